"""Exceptions: what was booked and still deserves a look, one row an event and kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.events import (
    GameMovement,
    RefundRepeated,
    RefundTombstoned,
    RoundClosed,
    WinReversalRepeated,
)
from projections.entries import Entry, names_of, pick
from projections.writes import Change, Write

_NAMES: Final = names_of(GameMovement)

TOMBSTONE: Final = "tombstone"
"""A refund came for a bet that is not there (rule 8)."""

REPEATED_REFUND: Final = "repeated_refund"
"""A bet was refunded again under another id (rule 9)."""

REPEATED_REVERSAL: Final = "repeated_reversal"
"""A win was reversed again under another id (rule 9)."""

ROUND_EXPIRED: Final = "round_expired"
"""A round stayed open too long and was closed by the ledger (rule 12)."""

ROUND_CLOSED_BY_STAFF: Final = "round_closed_by_staff"
"""A member of staff closed a round."""

KINDS: Final = (
    "late_win",
    "round_mismatch",
    "amount_mismatch",
    "reversal_shortfall",
    "unbound_win",
    "amount_parts_mismatch",
    TOMBSTONE,
    REPEATED_REFUND,
    REPEATED_REVERSAL,
    ROUND_EXPIRED,
    ROUND_CLOSED_BY_STAFF,
)
"""Every kind that the rules, the providers' modules and this view know."""


class Exceptions:
    """One row an event and kind. Kinds on the event itself are taken as they are."""

    name: Final = "exceptions"
    tables: Final = ("exceptions",)

    def fold(self, entries: Sequence[Entry]) -> list[Change]:
        """The exceptions of a batch."""
        return [
            Write("add_exceptions", _row(entry, event, kind), 1)
            for entry, event in pick(entries, _NAMES)
            for kind in kinds_of(event)
        ]


def kinds_of(event: GameMovement) -> tuple[str, ...]:
    """The kinds of exceptions that an event is, each once."""
    match event:
        case RefundTombstoned():
            kind = TOMBSTONE
        case RefundRepeated():
            kind = REPEATED_REFUND
        case WinReversalRepeated():
            kind = REPEATED_REVERSAL
        case RoundClosed():
            kind = ROUND_EXPIRED if event.actor is None else ROUND_CLOSED_BY_STAFF
        case _:
            return event.exceptions and tuple(dict.fromkeys(event.exceptions))
    return tuple(dict.fromkeys((kind, *event.exceptions)))


def _row(entry: Entry, event: GameMovement, kind: str) -> tuple[object, ...]:
    return (
        entry.notification_id,
        kind,
        event.recorded_at,
        entry.player_id,
        entry.version,
        event.NAME,
        event.integration,
        event.operation,
        event.transaction_id,
        event.movement_id,
        getattr(event, "refers_to", None),
        event.round_id,
        event.game,
        event.currency,
        event.real,
        event.bonus,
        getattr(event, "wire_amount", None),
        getattr(event, "shortfall", 0) or None,
        event.actor,
        event.reason,
    )
