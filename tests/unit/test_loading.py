"""What is written of keys and sessions, and what is read back of those and of streams."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from ledger.chain import GENESIS, HASH_SIZE
from ledger.codec import UnreadableEvent, seal
from ledger.decisions import TOMBSTONE, Transaction
from ledger.events import (
    BetPlaced,
    Event,
    GameDisabled,
    GameEnabled,
    RefundTombstoned,
    SessionOpened,
)
from ledger.games import Game
from ledger.loading import Loader, fold
from ledger.player import Session
from ledger.rows import session_row, transaction_row
from ledger.store import EventRow, LoadedStream, SessionRow, Store, TransactionRow

NOW = datetime(2026, 11, 21, 12, 30, 15, 123456, tzinfo=UTC)
GAME = "game:a:slot"
SWITCH: dict[str, Any] = {
    "movement_id": "m1",
    "recorded_at": NOW,
    "integration": "a",
    "operation": "set_game",
    "game": "slot",
}
MOVEMENT: dict[str, Any] = {
    "movement_id": "m1",
    "recorded_at": NOW,
    "integration": "a",
    "operation": "x",
    "key": "k",
    "transaction_id": "k",
    "fingerprint": "0f" * 32,
    "currency": "EUR",
    "balance_real": 0,
    "balance_bonus": 0,
    "round_id": "r1",
}


class Sessions:
    """A store that has these sessions."""

    def __init__(self, *rows: SessionRow) -> None:
        self.rows = rows

    async def sessions(self, token_hashes: Iterable[bytes]) -> list[SessionRow]:
        """Those of the tokens."""
        wanted = set(token_hashes)
        return [row for row in self.rows if row.token_hash in wanted]


def _sealed(*events: Event) -> list[EventRow]:
    rows, digest = [], GENESIS
    for version, event in enumerate(events, start=1):
        digest, state = seal(digest, GAME, version, event)
        rows.append(EventRow(GAME, version, event.NAME, state))
    return rows


def test_a_game_is_as_its_last_switch_left_it():
    """Switched on again by another process, it must not stay closed in this one."""
    rows = _sealed(GameDisabled(**SWITCH), GameEnabled(**SWITCH))
    for count, enabled in ((1, False), (2, True)):
        head = fold(GAME, LoadedStream(None, rows[:count]))
        assert head.state == Game(count, enabled=enabled)
        assert head.hash == rows[count - 1].state[:HASH_SIZE]
        assert head.snapshot_version == 0


def test_a_gap_in_a_history_is_noticed():
    """Whoever goes on behind it would seal it over."""
    rows = _sealed(GameDisabled(**SWITCH), GameEnabled(**SWITCH))
    with pytest.raises(UnreadableEvent, match="game:a:slot has a gap before version 2"):
        fold(GAME, LoadedStream(None, rows[1:]))


@pytest.mark.parametrize("parent", [None, "b" * 64])
async def test_a_session_is_read_back_as_it_was_opened_and_counts_as_closed(parent):
    """What fell out of memory says still whose it was, and where it was played (rule 3)."""
    opened = SessionOpened(
        movement_id="m1",
        recorded_at=NOW,
        operation="open_session",
        integration="a",
        session="a" * 64,
        game="slot",
        currency="EUR",
        parent=parent,
    )
    loader = Loader(cast("Store", Sessions(session_row("p1", opened))))
    session = Session("a" * 64, "a", "slot", "EUR", NOW, parent, closed=True)
    found = await loader.sessions(["a" * 64, "c" * 64])
    assert found == {"a" * 64: ("p1", session), "c" * 64: None}


def test_a_key_is_entered_with_what_its_event_says_of_it():
    """Reconciliation and replays go by this row, long after the key has left the memory."""
    bet = BetPlaced(**MOVEMENT, opens_round=True, closes_round=True)
    assert transaction_row(("a", "k"), Transaction("p1", 7, BetPlaced.NAME, bet)) == TransactionRow(
        integration="a",
        key="k",
        player_id="p1",
        version=7,
        kind="bet_placed.v1",
        fingerprint=bytes.fromhex("0f" * 32),
        refers_to=None,
        round_id="r1",
        closes_round=True,
        recorded_at=NOW,
    )


def test_a_refund_before_its_bet_is_entered_for_both_keys_and_in_no_round_but_one_it_closed():
    """The bet's own entry keeps it out, and says by which refund (rule 8)."""
    refund = RefundTombstoned(**MOVEMENT, refers_to="late")
    own = transaction_row(("a", "k"), Transaction("p1", 7, RefundTombstoned.NAME, refund))
    assert (own.kind, own.refers_to, own.round_id) == ("refund_tombstoned.v1", "late", None)
    assert own.fingerprint == bytes.fromhex("0f" * 32)
    bets = transaction_row(("a", "late"), Transaction("p1", 7, TOMBSTONE, refund))
    assert (bets.kind, bets.refers_to, bets.round_id) == (TOMBSTONE, "k", None)
    assert bets.fingerprint is None
    ended = RefundTombstoned(**MOVEMENT, refers_to="late", closes_round=True)
    own = transaction_row(("a", "k"), Transaction("p1", 7, RefundTombstoned.NAME, ended))
    assert (own.round_id, own.closes_round) == ("r1", True)
    bets = transaction_row(("a", "late"), Transaction("p1", 7, TOMBSTONE, ended))
    assert (bets.round_id, bets.closes_round) == (None, False)
