"""Appending: everything or nothing, and what stands in the way."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from ledger.store import AppendBatch, EventRow, SessionRow, Store, TransactionRow

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
PLAYER = "player:ann"


def event(version: int = 1, stream: str = PLAYER, payload: bytes = b'{"amount":1}') -> EventRow:
    return EventRow(stream, version, "bet_placed.v1", os.urandom(32) + payload)


def bet(key: str = "b1", version: int = 1, **changes: object) -> TransactionRow:
    fields: dict[str, object] = {
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
    return TransactionRow(**(fields | changes))  # type: ignore[arg-type]


async def test_a_batch_is_stored_as_it_was_given(store: Store):
    """What comes back must be what went in, to the byte and the microsecond."""
    row, used = event(), bet()
    session = SessionRow(bytes(32), "ann", "marbles", "book", "EUR", None, NOW)
    batch = AppendBatch(
        [PLAYER], [0], [("marbles", "b1")], [("ann", "marbles", "r1")], [row], [used], [session]
    )
    assert await store.append(batch, 5) is None
    assert await store.transactions([("marbles", "b1")]) == {("marbles", "b1"): (used, row)}
    assert await store.rounds([("ann", "marbles", "r1")]) == {
        ("ann", "marbles", "r1"): [(used, row)]
    }
    assert await store.session(bytes(32)) == session
    assert await store.events(PLAYER, 0, 10) == [row]
    assert (await store.load([PLAYER]))[PLAYER].events == [row]
    again = await store.append(batch, 5)
    assert again is not None
    assert again.streams == {PLAYER}
    assert again.transactions == [used]
    assert again.rounds == {("ann", "marbles", "r1")}
