"""Movements: every movement of money in a period, of all players, in the order in which they came.

For what regulators ask to see as a list (reliability.md 5): corrections by staff, voided stakes,
payments in and out, and large ones of each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final, TypeAlias, cast

from ledger.codec import open_state
from ledger.events import Movement
from projections.balances import held_change
from projections.reports.asked import Asked
from projections.reports.kind import ReportKind
from projections.reports.report import Row, Table, amount, columns
from projections.reports.source import Snapshot
from projections.reports.wallets import MOVEMENT_TYPES

Found: TypeAlias = tuple[datetime, str, int, Movement]
"""When, whose, at which version of the player, and what."""

_COLUMNS: Final = columns(
    recorded_at="moment",
    player_id="text",
    player_version="count",
    type="text",
    integration="text",
    operation="text",
    transaction_id="text",
    movement_id="text",
    refers_to="text",
    round_id="text",
    game="text",
    currency="text",
    total_before="amount",
    real="amount",
    bonus="amount",
    total_after="amount",
    held="amount",
    actor="text",
    reason="text",
)
_TOTALS: Final = columns(
    type="text", currency="text", count="count", real="amount", bonus="amount", held="amount"
)


async def read(asked: Asked, snapshot: Snapshot) -> list[Found]:
    """The movements of a partition. Raises `BadRequest` for too many of them."""
    thresholds = {} if asked.filters.threshold is None else asked.thresholds()
    found: list[Found] = []
    async for each in booked(asked, snapshot, asked.types(MOVEMENTS.types)):
        event = each[-1]
        is_wanted = asked.filters.currency in {None, event.currency}
        if is_wanted and _size(event) >= thresholds.get(event.currency, 0):
            found.append(each)
            asked.check_rows(len(found))
    return found


async def booked(asked: Asked, snapshot: Snapshot, types: Sequence[str]) -> AsyncIterator[Found]:
    """The movements of these types in the period, of the integration and player asked for."""
    rows = snapshot.stream(
        "movements",
        {
            "begins": asked.period.begins,
            "ends": asked.ends,
            "types": types,
            "integration": asked.filters.integration,
            "player_id": asked.filters.player_id,
        },
    )
    async for recorded_at, player_id, version, name, state in rows:
        yield recorded_at, player_id, version, cast("Movement", open_state(name, state)[1])


def build(asked: Asked, parts: Sequence[list[Found]]) -> tuple[Table, Table]:
    """A row a movement; totals by type and currency."""
    found = sorted((each for part in parts for each in part), key=lambda each: each[:3])
    asked.check_rows(len(found))
    sums: dict[tuple[str, str], list[int]] = {}
    for *_, event in found:
        summed = sums.setdefault((event.NAME, event.currency), [0, 0, 0, 0])
        for at, units in enumerate((1, event.real, event.bonus, held_change(event))):
            summed[at] += units
    totals: list[Row] = [
        (name, code, count, *(amount(units, asked.unit(code)) for units in moved))
        for (name, code), (count, *moved) in sorted(sums.items())
    ]
    return Table(_COLUMNS, [_row(asked, *each) for each in found]), Table(_TOTALS, totals)


def _size(event: Movement) -> int:
    """How large a movement is, whichever of the balances it moved."""
    return max(abs(event.real + event.bonus), abs(event.bonus), abs(held_change(event)))


def _row(asked: Asked, recorded_at: datetime, player_id: str, version: int, event: Movement) -> Row:
    unit = asked.unit(event.currency)
    after = event.balance_real + event.balance_bonus
    return (
        recorded_at,
        player_id,
        version,
        event.NAME,
        event.integration,
        event.operation,
        event.transaction_id,
        event.movement_id,
        getattr(event, "refers_to", None),
        getattr(event, "round_id", None),
        getattr(event, "game", None),
        event.currency,
        amount(after - event.real - event.bonus, unit),
        amount(event.real, unit),
        amount(event.bonus, unit),
        amount(after, unit),
        amount(held_change(event), unit),
        event.actor,
        event.reason,
    )


MOVEMENTS: Final = ReportKind(
    name="movements",
    title="Movements",
    version=1,
    views=(),
    filters=("type", "threshold", "integration", "currency", "player_id"),
    types=MOVEMENT_TYPES,
    read=read,
    build=build,
)
"""The report `movements`."""
