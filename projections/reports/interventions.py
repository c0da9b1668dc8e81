"""Interventions: what staff changed, with what there was before and after (reliability.md 5).

Corrections and bonuses, blocked players, limits and games. Payments are in `movements`, rounds that
staff closed in `exceptions`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from ledger.codec import PLAYER_STREAM, open_state, player_stream
from ledger.events import (
    BalanceAdjusted,
    BonusConverted,
    BonusForfeited,
    BonusGranted,
    Event,
    GameDisabled,
    GameEnabled,
    LimitsSet,
    Movement,
    PlayerBlocked,
    PlayerUnblocked,
)
from ledger.money import Currency
from projections.entries import names_of
from projections.reports.asked import Asked
from projections.reports.kind import ReportKind
from projections.reports.movements import booked
from projections.reports.report import Row, Table, amount, columns
from projections.reports.source import Snapshot

Found: TypeAlias = tuple[datetime, str, int, Event]
"""When, in which stream and at which version of it, and what was done."""

_STATES: Final[dict[type[Event], tuple[str, str]]] = {
    PlayerBlocked: ("active", "blocked"),
    PlayerUnblocked: ("blocked", "active"),
    GameDisabled: ("enabled", "disabled"),
    GameEnabled: ("disabled", "enabled"),
}
"""Before and after: what would change nothing, in its partition, is no event."""
_AMOUNTS: Final = ("max_bet", "loss_limit_day", "loss_limit_week", "loss_limit_month")
_COLUMNS: Final = columns(
    recorded_at="moment",
    movement_id="text",
    type="text",
    player_id="text",
    player_version="count",
    integration="text",
    game="text",
    currency="text",
    transaction_id="text",
    before="text",
    after="text",
    actor="text",
    reason="text",
)


async def read(asked: Asked, snapshot: Snapshot) -> list[Found]:
    """The interventions of a partition, and all switches of games: each is in every partition.

    Raises `BadRequest` for too many of them.
    """
    types = asked.types(INTERVENTIONS.types)
    player_id = asked.filters.player_id
    found: list[Found] = []
    async for recorded_at, whose, version, movement in booked(asked, snapshot, types):
        found.append((recorded_at, player_stream(whose), version, movement))
        asked.check_rows(len(found))
    stream_wanted = None if player_id is None else player_stream(player_id)
    switches = snapshot.stream("switches", {"types": types, "stream": stream_wanted})
    async for stream, version, name, state in switches:
        event = open_state(name, state)[1]
        if _is_of_game(event) or asked.covers(event.recorded_at):
            found.append((event.recorded_at, stream, version, event))
            asked.check_rows(len(found))
    return found


def build(asked: Asked, parts: Sequence[list[Found]]) -> tuple[Table, Table]:
    """A row an intervention, in the order in which they came; totals by type and by whom.

    The switch of a game is one movement id: it is one row, with the time of the first partition.
    """
    ordered = sorted((each for part in parts for each in part), key=lambda each: each[:3])
    together: dict[object, Found] = {}
    for each in ordered:
        _, stream, version, event = each
        together.setdefault(event.movement_id if _is_of_game(event) else (stream, version), each)
    found = [each for each in together.values() if asked.covers(each[0])]
    asked.check_rows(len(found))
    counts = Counter((event.NAME, event.actor or "") for *_, event in found)
    return (
        Table(_COLUMNS, [_row(asked, *each[1:]) for each in found]),
        Table(
            columns(type="text", actor="text", count="count"),
            [(name, actor or None, count) for (name, actor), count in sorted(counts.items())],
        ),
    )


def _is_of_game(event: Event) -> bool:
    return isinstance(event, GameDisabled | GameEnabled)


def _row(asked: Asked, stream: str, version: int, event: Event) -> Row:
    of_game = _is_of_game(event)
    return (
        event.recorded_at,
        event.movement_id,
        event.NAME,
        None if of_game else stream.removeprefix(PLAYER_STREAM),
        None if of_game else version,
        event.integration,
        getattr(event, "game", None),
        getattr(event, "currency", None),
        getattr(event, "transaction_id", None),
        *_change(asked, event),
        event.actor,
        event.reason,
    )


def _change(asked: Asked, event: Any) -> tuple[str, str]:
    """What there was before it and after it, for people."""
    if isinstance(event, Movement):
        unit = asked.unit(event.currency)
        real, bonus = event.balance_real, event.balance_bonus
        return _balances(real - event.real, bonus - event.bonus, unit), _balances(real, bonus, unit)
    if isinstance(event, LimitsSet):
        changed = [name for name, was in event.previous.items() if was != getattr(event, name)]
        before = {name: event.previous[name] for name in changed}
        after = {name: getattr(event, name) for name in changed}
        return _limits(asked, event.currency, before), _limits(asked, event.currency, after)
    return _STATES[type(event)]


def _balances(real: int, bonus: int, unit: Currency) -> str:
    return f"real {amount(real, unit)}, bonus {amount(bonus, unit)}"


def _limits(asked: Asked, currency: str | None, limits: Mapping[str, int | None]) -> str:
    texts = []
    for name, value in limits.items():
        if value is None:
            text = "none"
        elif name in _AMOUNTS and currency is not None:
            text = amount(value, asked.unit(currency))
        else:
            text = str(value)
        texts.append(f"{name} {text}")
    return ", ".join(texts)


INTERVENTIONS: Final = ReportKind(
    name="interventions",
    title="Interventions by staff",
    version=1,
    views=(),
    filters=("type", "player_id"),
    types=sorted(
        names_of(BalanceAdjusted, BonusGranted, BonusConverted, BonusForfeited, LimitsSet, *_STATES)
    ),
    read=read,
    build=build,
)
"""The report `interventions`."""
