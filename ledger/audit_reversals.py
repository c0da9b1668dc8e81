"""Holds what was given or taken back against what it reverses: pure."""

from __future__ import annotations

from ledger.currencies import Currencies
from ledger.events import BetPlaced, BetRefunded, Event, WinCredited, WinReversed
from ledger.findings import amount_told

ReversalEvent = BetRefunded | WinReversed
"""A movement that reverses another one of its player's, whole and once."""


def wrong(
    event: ReversalEvent, original: Event | None, reversals: int, currencies: Currencies
) -> str | None:
    """What is wrong with a reversal; None: nothing.

    ``original``: the event of the player's, before it, that used the key it refers to, if one did;
    ``reversals``: how many there are of that. A refund gives back a bet's split (rule 7); of a win
    all is taken back, or what is there (rule 10); a second reversal moves nothing (rule 9).
    """
    kind = BetPlaced if isinstance(event, BetRefunded) else WinCredited
    if not isinstance(original, kind) or original.currency != event.currency:
        return f"there is no such {'bet' if kind is BetPlaced else 'win'} of the player before it"
    if reversals > 1:
        return f"it was reversed {reversals} times"
    if isinstance(event, BetRefunded):
        is_whole = (event.real, event.bonus) == (-original.real, -original.bonus)
    else:
        won, taken = original.real + original.bonus, -(event.real + event.bonus)
        is_whole = taken in {won, won - event.shortfall} and 0 <= event.shortfall <= won
    if is_whole:
        return None
    gave, moved = (
        amount_told(each.real + each.bonus, each.currency, currencies) for each in (original, event)
    )
    return f"it moved {gave}, and this {moved}"
