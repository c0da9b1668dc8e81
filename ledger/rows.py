"""What is entered beside an event in the same commit: the row of its key, and of its session."""

from __future__ import annotations

from ledger.decisions import TOMBSTONE, Key, Transaction
from ledger.events import GameMovement, SessionOpened, in_its_round
from ledger.store import SessionRow, TransactionRow


def transaction_row(key: Key, used: Transaction) -> TransactionRow:
    """The key's entry, with what its event says, or for the key of a refunded bet its tombstone."""
    event = used.event
    integration, text = key
    is_tombstone = used.kind == TOMBSTONE
    round_id, closes_round = None, False
    if isinstance(event, GameMovement) and not is_tombstone and in_its_round(event):
        round_id, closes_round = event.round_id, event.closes_round
    return TransactionRow(
        integration=integration,
        key=text,
        player_id=used.player_id,
        version=used.version,
        kind=used.kind,
        fingerprint=None if is_tombstone else bytes.fromhex(event.fingerprint),
        refers_to=event.key if is_tombstone else getattr(event, "refers_to", None),
        round_id=round_id,
        closes_round=closes_round,
        recorded_at=event.recorded_at,
    )


def session_row(player_id: str, event: SessionOpened) -> SessionRow:
    """The session that the event opened."""
    return SessionRow(
        token_hash=bytes.fromhex(event.session),
        player_id=player_id,
        integration=event.integration,
        game=event.game,
        currency=event.currency,
        parent_hash=bytes.fromhex(event.parent) if event.parent else None,
        opened_at=event.recorded_at,
    )
