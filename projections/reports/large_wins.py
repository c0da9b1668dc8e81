"""Large wins: every win from a threshold on, by currency."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from ledger.codec import PLAYER_STREAM, open_state
from ledger.events import WinCredited
from projections.reports.asked import Asked
from projections.reports.kind import ReportKind
from projections.reports.report import Row, Table, amount, columns
from projections.reports.source import Snapshot

Found: TypeAlias = tuple[datetime, str, int, WinCredited]
"""When, whose, at which version of the player, and the win."""

_COLUMNS: Final = columns(
    recorded_at="moment",
    player_id="text",
    integration="text",
    game="text",
    round_id="text",
    transaction_id="text",
    movement_id="text",
    currency="text",
    win="amount",
    real="amount",
    bonus="amount",
    threshold="amount",
)
_TOTALS: Final = columns(currency="text", win_count="count", wins="amount", largest="amount")


async def read(asked: Asked, snapshot: Snapshot) -> list[Found]:
    """The large wins of a partition. Raises `BadRequest` for a threshold that makes no sense."""
    thresholds = asked.thresholds()
    rows = await snapshot.rows(
        "large_wins",
        {
            "begins": asked.period.begins,
            "ends": asked.ends,
            "currencies": list(thresholds),
            "thresholds": list(thresholds.values()),
            "topic": WinCredited.NAME,
            "player_id": asked.filters.player_id,
            "integration": asked.filters.integration,
            "most": asked.rows_most,
        },
    )
    found: list[Found] = []
    for recorded_at, stream, version, name, state in rows:
        event: Any = open_state(name, state)[1]
        found.append((recorded_at, stream.removeprefix(PLAYER_STREAM), version, event))
    return found


def build(asked: Asked, parts: Sequence[list[Found]]) -> tuple[Table, Table]:
    """A row a win, in the order in which they came; totals by currency."""
    found = sorted((each for part in parts for each in part), key=lambda each: each[:3])
    asked.check_rows(len(found))
    thresholds = asked.thresholds()
    totals: dict[str, list[int]] = {}
    for *_, event in found:
        totals.setdefault(event.currency, []).append(event.real + event.bonus)
    sums = [
        (code, len(wins), amount(sum(wins), asked.unit(code)), amount(max(wins), asked.unit(code)))
        for code, wins in sorted(totals.items())
    ]
    rows = [_row(asked, each, thresholds) for each in found]
    return Table(_COLUMNS, rows), Table(_TOTALS, sums)


def _row(asked: Asked, found: Found, thresholds: dict[str, int]) -> Row:
    recorded_at, player_id, _, event = found
    unit = asked.unit(event.currency)
    return (
        recorded_at,
        player_id,
        event.integration,
        event.game or "",
        event.round_id,
        event.transaction_id,
        event.movement_id,
        event.currency,
        amount(event.real + event.bonus, unit),
        amount(event.real, unit),
        amount(event.bonus, unit),
        amount(thresholds[event.currency], unit),
    )


LARGE_WINS: Final = ReportKind(
    name="large-wins",
    title="Large wins",
    version=1,
    views=("journal",),
    filters=("integration", "currency", "player_id", "threshold"),
    read=read,
    build=build,
)
"""The report `large-wins`."""
