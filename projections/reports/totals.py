"""Totals: bets, refunds, wins and reversals by day, provider, game and currency, GGR and RTP.

GGR = bets - refunds - wins + reversals; RTP = (wins - reversals) / (bets - refunds).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeAlias

from ledger.codec import open_state
from ledger.events import BetPlaced, BetRefunded, Event, GameMovement, WinCredited, WinReversed
from ledger.money import Currency
from projections.reports.asked import Asked
from projections.reports.kind import ReportKind
from projections.reports.period import day_of, day_starts, hour_begin, is_whole_hour, place
from projections.reports.report import Cell, Column, Row, Table, amount, columns, ratio
from projections.reports.source import Snapshot
from projections.rounds import uncovered

SUMS: Final = columns(
    bet_count="count",
    bets="amount",
    bets_bonus="amount",
    refund_count="count",
    refunds="amount",
    refunds_bonus="amount",
    win_count="count",
    wins="amount",
    wins_bonus="amount",
    reversal_count="count",
    reversals="amount",
    reversals_bonus="amount",
    shortfalls="amount",
)
"""What is summed: in every row of sums, in this order."""

_RESULTS: Final = columns(ggr="amount", rtp="ratio")
_KEYS: Final = {
    "day": Column("day", "day"),
    "provider": Column("integration", "text"),
    "game": Column("game", "text"),
}
_CURRENCY: Final = Column("currency", "text")
_AT: Final = {column.name: at for at, column in enumerate(SUMS)}
_MOVING: Final = (BetPlaced, BetRefunded, WinCredited, WinReversed)
_HOUR: Final = timedelta(hours=1)

Key: TypeAlias = tuple[date, str, str, str]
"""Day, integration, game, currency."""

Sums: TypeAlias = dict[Key, list[int]]
"""What `SUM_NAMES` name, in their order, in ledger units."""

SUM_NAMES: Final = tuple(_AT)


async def read(asked: Asked, snapshot: Snapshot) -> Sums:
    """The sums of a partition."""
    ((first, last),) = await snapshot.rows("hours")
    if first is None:
        return {}
    # Before and behind these hours there is nothing: no need to tell those days apart.
    begins = max(asked.period.begins or first, first)
    ends = min(asked.period.ends or last + _HOUR, last + _HOUR)
    if begins >= ends:
        return {}
    starts = day_starts(begins, ends, asked.period.zone)
    days = [day_of(start, asked.period.zone) for start in starts]
    sums: Sums = {}
    # Hours that belong to two days, or to the period in part only, are summed from the events.
    shared = sorted({hour_begin(edge) for edge in (*starts, ends) if not is_whole_hour(edge)})
    for number, key, hourly in await _hourly(asked, snapshot, (begins, ends), starts, shared):
        _add(sums, (days[number], *key), hourly)
    if shared:
        async for event in _movements(snapshot, (begins, ends), shared):
            if _wanted(asked, event):
                day = days[place(starts, event.recorded_at)]
                game = (event.integration, event.game or "", event.currency)
                _add(sums, (day, *game), sums_of(event))
    return sums


def build(asked: Asked, parts: Sequence[Sums]) -> tuple[Table, Table]:
    """Rows told apart as asked for; totals by currency."""
    groups = asked.groups()
    shown = [at for at, name in enumerate(_KEYS) if name in groups]
    grouped = _regroup(parts, lambda key: (*(key[at] for at in shown), key[3]))
    heads = tuple(_KEYS[name] for name in groups)
    return (
        _table(asked, (*heads, _CURRENCY), grouped),
        _table(asked, (_CURRENCY,), _regroup(parts, lambda key: (key[3],))),
    )


def sums_of(event: GameMovement) -> list[int]:
    """What one movement adds."""
    sums = [0] * len(SUMS)
    moved, bonus = abs(event.real) + abs(event.bonus), abs(event.bonus)
    if isinstance(event, BetPlaced):
        _count(sums, "bet_count", bets=moved, bets_bonus=bonus)
    elif isinstance(event, BetRefunded):
        _count(sums, "refund_count", refunds=moved, refunds_bonus=bonus)
    elif isinstance(event, WinCredited):
        _count(sums, "win_count", wins=moved, wins_bonus=bonus)
    elif isinstance(event, WinReversed):
        kept = uncovered(event)
        _count(
            sums,
            "reversal_count",
            reversals=moved + kept,
            reversals_bonus=bonus,
            shortfalls=kept,
        )
    return sums


def ggr(sums: Sequence[int]) -> int:
    """Gross gaming revenue in ledger units."""
    bets, refunds = sums[_AT["bets"]], sums[_AT["refunds"]]
    return bets - refunds - sums[_AT["wins"]] + sums[_AT["reversals"]]


async def _hourly(
    asked: Asked,
    snapshot: Snapshot,
    between: tuple[datetime, datetime],
    starts: list[datetime],
    shared: list[datetime],
) -> list[tuple[int, tuple[str, str, str], list[int]]]:
    """The sums of whole hours, each with the number of its day."""
    rows = await snapshot.rows(
        "totals",
        {
            "begins": between[0],
            "ends": between[1],
            "starts": starts,
            "shared": shared,
            "integration": asked.filters.integration,
            "game": asked.filters.game,
            "currency": asked.filters.currency,
        },
    )
    return [(row[0], (row[1], row[2], row[3]), [int(cell) for cell in row[4:]]) for row in rows]


async def _movements(
    snapshot: Snapshot, between: tuple[datetime, datetime], hours: list[datetime]
) -> AsyncIterator[GameMovement]:
    """What was recorded in those hours, in no order."""
    parameters = {
        "begins": between[0],
        "ends": between[1],
        "hours": hours,
        "topics": [kind.NAME for kind in _MOVING],
        "position": snapshot.positions["totals"],
    }
    async for name, state in snapshot.stream("movements_in_hours", parameters):
        event: Event = open_state(name, state)[1]
        assert isinstance(event, GameMovement)
        yield event


def _wanted(asked: Asked, event: GameMovement) -> bool:
    filters = asked.filters
    return (
        filters.integration in (None, event.integration)
        and filters.game in (None, event.game or "")
        and filters.currency in (None, event.currency)
    )


def _count(sums: list[int], counter: str, **amounts: int) -> None:
    sums[_AT[counter]] += 1
    for name, moved in amounts.items():
        sums[_AT[name]] += moved


def _add(sums: dict[Any, list[int]], key: Any, more: Sequence[int]) -> None:
    held = sums.get(key)
    if held is None:
        sums[key] = list(more)
    else:
        for at, moved in enumerate(more):
            held[at] += moved


def _regroup(parts: Sequence[Sums], key_of: Any) -> dict[tuple[Any, ...], list[int]]:
    grouped: dict[tuple[Any, ...], list[int]] = {}
    for part in parts:
        for key, sums in part.items():
            _add(grouped, key_of(key), sums)
    return grouped


def _table(
    asked: Asked, heads: tuple[Column, ...], grouped: dict[tuple[Any, ...], list[int]]
) -> Table:
    asked.check_rows(len(grouped))
    rows = [_row(key, sums, asked.unit(key[-1])) for key, sums in sorted(grouped.items())]
    return Table((*heads, *SUMS, *_RESULTS), rows)


def _row(key: tuple[Cell, ...], sums: list[int], unit: Currency) -> Row:
    cells: list[Cell] = [
        amount(value, unit) if column.kind == "amount" else value
        for column, value in zip(SUMS, sums, strict=True)
    ]
    staked = sums[_AT["bets"]] - sums[_AT["refunds"]]
    returned = sums[_AT["wins"]] - sums[_AT["reversals"]]
    return (*key, *cells, amount(ggr(sums), unit), ratio(returned, staked))


TOTALS: Final = ReportKind(
    name="totals",
    title="Totals and gross gaming revenue",
    version=2,
    views=("totals",),
    filters=("integration", "game", "currency", "by"),
    read=read,
    build=build,
)
"""The report `totals`."""
