"""Rows and batches for tests of the store, plausible where nothing else is said."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from ledger.store import AppendBatch, EventRow, SessionRow, TransactionRow

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
ANN = "player:ann"
ROUND = ("ann", "marbles", "r1")


def event(version: int = 1, stream: str = ANN, payload: bytes = b'{"amount":1}') -> EventRow:
    """An event with a random chain hash."""
    return EventRow(stream, version, "bet_placed.v1", os.urandom(32) + payload)


def bet(key: str = "b1", version: int = 1, **changes: Any) -> TransactionRow:
    """Ann's bet in round r1 at marbles."""
    fields: dict[str, Any] = {
        "integration": "marbles",
        "key": key,
        "player_id": "ann",
        "version": version,
        "kind": "bet_placed.v1",
        "fingerprint": bytes(range(32)),
        "refers_to": None,
        "round_id": "r1",
        "closes_round": False,
        "recorded_at": NOW,
    }
    return TransactionRow(**(fields | changes))


def session(token_hash: bytes = bytes(32)) -> SessionRow:
    """Ann's session."""
    return SessionRow(token_hash, "ann", "marbles", "book", "EUR", None, NOW)


def first_bet(key: str = "b1", player: str = "ann", **changes: Any) -> AppendBatch:
    """A player's first event: a bet that opens a round of its own."""
    stream, round_id = f"player:{player}", f"round-of-{key}"
    row = bet(key, player_id=player, round_id=round_id, **changes)
    return AppendBatch(
        streams=[stream],
        versions=[0],
        keys=[("marbles", key)],
        rounds=[(player, "marbles", round_id)],
        events=[event(stream=stream)],
        transactions=[row],
    )
