"""Totals: bets, refunds, wins and reversals by hour, integration, game and currency.

GGR (gross gaming revenue) and RTP (return to player) are computed when they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from ledger import arrays
from ledger.events import BetPlaced, BetRefunded, GameMovement, WinCredited, WinReversed
from projections.entries import Entry, names_of, pick
from projections.rounds import uncovered
from projections.writes import HOUR, Change, Packed, Write, numerics, timestamps

_NAMES: Final = names_of(BetPlaced, BetRefunded, WinCredited, WinReversed)
_COLUMN: Final[dict[type[GameMovement], int]] = {
    BetPlaced: 0,
    BetRefunded: 3,
    WinCredited: 6,
    WinReversed: 9,
}
_COUNTS: Final = frozenset(_COLUMN.values())
_SHORTFALLS: Final = 12

_Key: TypeAlias = tuple[int, str, str, str]


class Totals:
    """One row an hour (UTC), integration, game and currency."""

    name: Final = "totals"
    tables: Final = ("totals",)

    def fold(self, entries: Sequence[Entry]) -> list[Change]:
        """What the batch adds to the totals."""
        rows: dict[_Key, list[int]] = {}
        for entry, event in pick(entries, _NAMES):
            hour = entry.moment - entry.moment % HOUR
            key = (hour, event.integration, event.game or "", event.currency)
            sums = rows.get(key)
            if sums is None:
                rows[key] = sums = [0] * 13
            column = _COLUMN[type(event)]
            sums[column] += 1
            sums[column + 1] += abs(event.real)
            sums[column + 2] += abs(event.bonus)
            if column == _COLUMN[WinReversed]:
                sums[_SHORTFALLS] += uncovered(event)
        return [Write("add_totals", _columns(rows), len(rows))] if rows else []


def _columns(rows: dict[_Key, list[int]]) -> list[Packed]:
    hours, integrations, games, currencies = zip(*rows, strict=True)
    return [
        timestamps(hours),
        Packed(arrays.texts(integrations)),
        Packed(arrays.texts(games)),
        Packed(arrays.texts(currencies)),
        *(
            Packed(arrays.bigints(sums)) if place in _COUNTS else numerics(sums)
            for place, sums in enumerate(zip(*rows.values(), strict=True))
        ),
    ]
