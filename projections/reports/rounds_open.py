"""Rounds that are open, or were at a moment, with what was staked and won in them by then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import msgspec

from ledger.codec import open_state
from ledger.events import GameMovement
from ledger.player import fold_round
from projections.reports.asked import Asked
from projections.reports.source import Snapshot
from projections.rounds import SUMS, add_to

_PAGE: Final = 1_000


class OpenRound(msgspec.Struct):
    """A round that is open. Amounts in ledger units.

    ``locked`` is the player's money in it: stakes that were neither refunded nor settled (rule 9).
    """

    player_id: str
    integration: str
    round_id: str
    game: str
    currency: str
    opened_at: datetime
    last_activity_at: datetime
    later: bool
    bet_count: int
    stakes: int
    refund_count: int
    refunds: int
    win_count: int
    wins: int
    reversal_count: int
    reversals: int
    locked: int = 0


async def open_rounds(
    asked: Asked,
    snapshot: Snapshot,
    *,
    at: datetime | None = None,
    opened_before: datetime | None = None,
) -> AsyncIterator[OpenRound]:
    """The rounds that were open at a moment (None: are open now), whenever they were opened.

    Those only that were opened before ``opened_before``, where it is given. However many there are,
    few are in memory at once.
    """
    filters = asked.filters
    rows = snapshot.stream(
        "rounds_open_now" if at is None else "rounds_open_at",
        {
            "at": at,
            "opened_before": opened_before or "infinity",
            "integration": filters.integration,
            "game": filters.game,
            "currency": filters.currency,
            "player_id": filters.player_id,
        },
    )
    page: list[OpenRound] = []
    async for row in rows:
        page.append(OpenRound(*row))
        if len(page) == _PAGE:
            await _lock(snapshot, page, at)
            for each in page:
                yield each
            page = []
    await _lock(snapshot, page, at)
    for each in page:
        yield each


async def _lock(snapshot: Snapshot, rounds: Sequence[OpenRound], at: datetime | None) -> None:
    """Say of each round what of the player's money is in it."""
    for each in rounds:
        each.locked = each.stakes - each.refunds
    # What a win has settled, sums do not tell; and those of today do not tell what was then.
    asked_of_events = [each for each in rounds if each.later or each.win_count]
    if asked_of_events:
        await _read_events(snapshot, asked_of_events, at)


async def _read_events(
    snapshot: Snapshot, rounds: Sequence[OpenRound], at: datetime | None
) -> None:
    """Fold the rounds from their events, up to that moment; None: all of them."""
    rows = await snapshot.rows(
        "round_movements",
        {
            "players": [each.player_id for each in rounds],
            "integrations": [each.integration for each in rounds],
            "rounds": [each.round_id for each in rounds],
            "at": at,
            "position": snapshot.positions["rounds"],
        },
    )
    for number, group in groupby(rows, itemgetter(0)):
        events: list[Any] = [open_state(name, state)[1] for _, name, state in group]
        if rounds[number].later:
            _turn_back(rounds[number], events)
        folded = fold_round(rounds[number].player_id, events)
        if folded is not None:
            rounds[number].locked = folded.open_stakes


def _turn_back(found: OpenRound, events: Sequence[GameMovement]) -> None:
    """Sum the round again from the events up to a moment."""
    sums = [0] * SUMS
    for event in events:
        add_to(sums, event)
        found.last_activity_at = event.recorded_at
    found.bet_count, found.stakes, found.refund_count, found.refunds = sums[:4]
    found.win_count, found.wins, found.reversal_count, found.reversals = sums[4:]
    found.locked = found.stakes - found.refunds
