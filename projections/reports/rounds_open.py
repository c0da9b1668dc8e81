"""Rounds that are open, or were at a moment, with what was staked and won in them by then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from ledger.codec import open_state
from ledger.events import BetPlaced, BetRefunded, GameMovement, WinCredited, WinReversed
from projections.reports.asked import Asked, Filters
from projections.reports.source import Snapshot
from projections.rounds import reversed_amount

_PAGE: Final = 1_000


class OpenRound(msgspec.Struct):
    """A round that is open. Amounts in ledger units."""

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

    @property
    def locked(self) -> int:
        """The player's money in it: stakes that were not refunded."""
        return self.stakes - self.refunds


async def open_rounds(
    asked: Asked,
    snapshot: Snapshot,
    *,
    at: datetime | None = None,
    opened_before: datetime | None = None,
    filters: Filters | None = None,
) -> list[OpenRound]:
    """The rounds that were open at a moment (None: are open now), whenever they were opened.

    Those only that were opened before ``opened_before``, where it is given.
    """
    filters = filters or asked.filters
    rows = await snapshot.rows(
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
    found = [OpenRound(*row) for row in rows]
    if at is not None:
        later = [each for each in found if each.later]
        for start in range(0, len(later), _PAGE):
            await _turn_back(snapshot, later[start : start + _PAGE], at)
    return found


async def _turn_back(snapshot: Snapshot, rounds: Sequence[OpenRound], at: datetime) -> None:
    """Sum the rounds again from their events, up to that moment."""
    for each in rounds:
        each.bet_count = each.stakes = each.refund_count = each.refunds = 0
        each.win_count = each.wins = each.reversal_count = each.reversals = 0
    rows = await snapshot.rows(
        "round_movements",
        {
            "players": [each.player_id for each in rounds],
            "integrations": [each.integration for each in rounds],
            "rounds": [each.round_id for each in rounds],
            "at": at,
        },
    )
    for number, name, state in rows:
        event: Any = open_state(name, state)[1]
        assert isinstance(event, GameMovement)
        _add(rounds[number], event)


def _add(found: OpenRound, event: GameMovement) -> None:
    found.last_activity_at = event.recorded_at
    if isinstance(event, BetPlaced):
        found.bet_count += 1
        found.stakes -= event.real + event.bonus
    elif isinstance(event, BetRefunded):
        found.refund_count += 1
        found.refunds += event.real + event.bonus
    elif isinstance(event, WinCredited):
        found.win_count += 1
        found.wins += event.real + event.bonus
    elif isinstance(event, WinReversed):
        found.reversal_count += 1
        found.reversals += reversed_amount(event)
