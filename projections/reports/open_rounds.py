"""Open rounds: games that nobody finished, with their age and the players' money in them.

At the end of the period; without one, now. Where the period begins makes no difference, as it makes
none to what is owed at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from projections.reports.asked import Asked
from projections.reports.kind import ReportKind
from projections.reports.report import Row, Table, amount, columns
from projections.reports.rounds_open import OpenRound, open_rounds
from projections.reports.source import Snapshot

BANDS: Final = (
    ("under 1 h", timedelta(hours=1)),
    ("1 h to 24 h", timedelta(hours=24)),
    ("24 h to 72 h", timedelta(hours=72)),
    ("72 h to 30 d", timedelta(days=30)),
)
"""Bands of age, each with where it ends."""

OLDEST: Final = "over 30 d"
"""The band behind the last of `BANDS`."""

_COLUMNS: Final = columns(
    integration="text",
    round_id="text",
    player_id="text",
    game="text",
    opened_at="moment",
    last_activity_at="moment",
    age_h="count",
    age_band="text",
    currency="text",
    bet_count="count",
    stakes="amount",
    refunds="amount",
    wins="amount",
    reversals="amount",
    funds_locked="amount",
)
_TOTALS: Final = columns(
    age_band="text", currency="text", round_count="count", funds_locked="amount"
)


async def read(asked: Asked, snapshot: Snapshot) -> list[OpenRound]:
    """The open rounds of a partition. Raises `BadRequest` for too many of them."""
    if asked.is_ahead:
        return []
    older = asked.filters.older_than_h
    before = None if older is None else asked.ends - timedelta(hours=older)
    found: list[OpenRound] = []
    async for each in open_rounds(asked, snapshot, at=asked.ended_at, opened_before=before):
        found.append(each)
        asked.check_rows(len(found))
    return found


def build(asked: Asked, parts: Sequence[list[OpenRound]]) -> tuple[Table, Table]:
    """A row a round, the oldest first; totals by band and currency."""
    found = sorted(
        (each for part in parts for each in part),
        key=lambda each: (each.opened_at, each.player_id, each.integration, each.round_id),
    )
    asked.check_rows(len(found))
    totals: dict[tuple[str, str], list[int]] = {}
    for each in found:
        sums = totals.setdefault((band(asked, each), each.currency), [0, 0])
        sums[0] += 1
        sums[1] += each.locked
    order = [name for name, _ in BANDS] + [OLDEST]
    keys = sorted(totals, key=lambda key: (order.index(key[0]), key[1]))
    return (
        Table(_COLUMNS, [_row(asked, each) for each in found]),
        Table(
            _TOTALS,
            [(*key, totals[key][0], amount(totals[key][1], asked.unit(key[1]))) for key in keys],
        ),
    )


def band(asked: Asked, found: OpenRound) -> str:
    """The band that a round's age falls into."""
    age = asked.ends - found.opened_at
    return next((name for name, end in BANDS if age < end), OLDEST)


def _row(asked: Asked, found: OpenRound) -> Row:
    unit = asked.unit(found.currency)
    return (
        found.integration,
        found.round_id,
        found.player_id,
        found.game,
        found.opened_at,
        found.last_activity_at,
        max(asked.ends - found.opened_at, timedelta()) // timedelta(hours=1),
        band(asked, found),
        found.currency,
        found.bet_count,
        amount(found.stakes, unit),
        amount(found.refunds, unit),
        amount(found.wins, unit),
        amount(found.reversals, unit),
        amount(found.locked, unit),
    )


OPEN_ROUNDS: Final = ReportKind(
    name="open-rounds",
    title="Open rounds",
    version=2,
    views=("rounds",),
    filters=("integration", "game", "currency", "player_id", "older_than_h"),
    read=read,
    build=build,
)
"""The report `open-rounds`."""
