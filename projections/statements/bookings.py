"""The ledger's side: what a movement of a provider's game is in the words of a statement."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from ledger.events import (
    BetPlaced,
    BetRefunded,
    GameMovement,
    RefundRepeated,
    RefundTombstoned,
    WinCredited,
    WinReversalRepeated,
    WinReversed,
)
from ledger.player import own_round
from projections.rounds import uncovered
from projections.statements.form import Operation

Booked: TypeAlias = Literal["bet", "win", "refund", "reversal"]
"""What the ledger books: unlike a statement it always knows what was rolled back."""

_OPERATIONS: Final[dict[type[GameMovement], Booked]] = {
    BetPlaced: "bet",
    WinCredited: "win",
    BetRefunded: "refund",
    RefundRepeated: "refund",
    RefundTombstoned: "refund",
    WinReversed: "reversal",
    WinReversalRepeated: "reversal",
}

NAMES: Final = sorted(kind.NAME for kind in _OPERATIONS)
"""The stored names of what a statement can tell of. A round that was closed is not among them."""

TOMBSTONE: Final = RefundTombstoned.NAME
"""The stored name of a refund whose bet never came."""


class Booking(msgspec.Struct, frozen=True, gc=False):
    """A movement as a statement would tell it.

    ``amount`` is what moved between provider and house, in ledger units, 0 where nothing moved.
    """

    partition: int
    player_id: str
    version: int
    movement_id: str
    recorded_at: datetime
    type: str
    operation: Booked
    key: str
    transaction_id: str
    amount: int
    currency: str
    round_id: str | None
    refers_to: str | None

    @property
    def told_round(self) -> str | None:
        """Its round as the provider named it; None: the provider did not, or it has none."""
        return None if (self.round_id or "").startswith(_OWN_ROUND) else self.round_id

    @property
    def place(self) -> tuple[str, int]:
        """What tells it from every other one."""
        return self.player_id, self.version


_OWN_ROUND: Final = own_round("")


def booking(partition: int, player_id: str, version: int, event: GameMovement) -> Booking:
    """The movement at that place.

    Of a reversed win the whole of it, also what the player was let keep (rule 10, "clamp"): the
    provider took back all.
    """
    amount = abs(event.real + event.bonus)
    if isinstance(event, WinReversed):
        amount += uncovered(event)
    return Booking(
        partition=partition,
        player_id=player_id,
        version=version,
        movement_id=event.movement_id,
        recorded_at=event.recorded_at,
        type=event.NAME,
        operation=_OPERATIONS[type(event)],
        key=event.key,
        transaction_id=event.transaction_id,
        amount=amount,
        currency=event.currency,
        round_id=event.round_id,
        refers_to=getattr(event, "refers_to", None),
    )


def fits(told: Operation, booked: Booked) -> bool:
    """Whether a statement's operation is the one that was booked."""
    return told == booked or (told == "rollback" and booked in ("refund", "reversal"))
