"""What is stored comes back as it was; what cannot be read is said to be so, whatever it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.chain import GENESIS, link
from ledger.codec import (
    UnreadableEvent,
    UnreadableSnapshot,
    age_s,
    decode,
    decode_snapshot,
    encode,
    encode_snapshot,
    game_stream,
    open_state,
    partition_of,
    player_stream,
    seal,
)
from ledger.events import WalletOpened
from ledger.games import Game
from ledger.player import Player

NOW = datetime(2026, 11, 21, 12, 30, 15, 123456, tzinfo=UTC)
EVENT = WalletOpened(movement_id="m1", recorded_at=NOW, operation="register", currency="EUR")
HASH = bytes(range(32))


def test_a_sealed_event_is_its_link_and_its_json():
    """An auditor takes the two apart at the 32nd byte, and finds the same hash."""
    digest, state = seal(HASH, "player:p1", 7, EVENT)
    assert state == digest + encode(EVENT)
    assert digest == link(HASH, "player:p1", 7, "wallet_opened.v1", encode(EVENT))
    assert open_state("wallet_opened.v1", state) == (digest, EVENT)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("wallet_lost.v1", encode(EVENT)),
        ("bet_placed.v1", encode(EVENT)),
        ("wallet_opened.v1", b"{"),
        ("wallet_opened.v1", b'{"movement_id": "\xff"}'),
        ("wallet_opened.v1", b"[" * 100_000),
    ],
)
def test_bytes_that_are_not_what_their_name_says_are_unreadable(name, payload):
    """Damage to one player's history must not look like an error of the service."""
    with pytest.raises(UnreadableEvent, match=name):
        decode(name, payload)


@pytest.mark.parametrize(
    ("stream", "state"), [("player:p1", Player("p1", 7)), ("game:a:slot", Game(3, enabled=False))]
)
def test_a_snapshot_comes_back_with_the_hash_that_it_was_taken_at(stream, state):
    """A game's as well as a player's: else its whole history is read with every start."""
    taken = encode_snapshot(HASH, state)
    assert decode_snapshot(stream, taken) == (HASH, state)
    with pytest.raises(UnreadableSnapshot, match=stream):
        decode_snapshot(stream, taken[:-1])


def test_streams_are_named_by_what_they_are_about():
    """The names are in the log for ever, and in the hashes."""
    assert player_stream("p1") == "player:p1"
    assert game_stream("a", "slot") == "game:a:slot"


def test_a_player_stays_in_one_partition_for_ever():
    """Another hash, and every player of a ledger with several would be gone."""
    players = ("ann", "Zoë", "p1", "\ud800")
    assert [partition_of(player_id, 1) for player_id in players] == [0, 0, 0, 0]
    assert [partition_of(player_id, 1000) for player_id in players] == [347, 378, 67, 600]


def test_an_age_is_never_negative_and_never_an_error():
    """Readiness asks for it: a clock that is behind, or a damaged event, must not stop that."""
    _, state = seal(GENESIS, "player:p1", 1, EVENT)
    assert age_s(NOW + timedelta(seconds=90), state) == 90.0
    assert age_s(NOW + timedelta(seconds=0.25), state) == 0.25
    assert age_s(NOW - timedelta(seconds=90), state) == 0.0
    for unreadable in (None, b"", GENESIS + b"{", GENESIS + b'{"recorded_at":"2026-11-21T12:30"}'):
        assert age_s(NOW, unreadable) == 0.0
