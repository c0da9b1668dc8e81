"""The keys kept in memory: what comes out is what went in, and there are never too many."""

from __future__ import annotations

from datetime import UTC, datetime

from ledger.decisions import TOMBSTONE, Key, Transaction
from ledger.events import BetPlaced, RefundTombstoned
from ledger.recent import RecentKeys

NOW = datetime(2026, 11, 21, 12, 30, 15, 123456, tzinfo=UTC)


def _bet(key: str, version: int = 3) -> Transaction:
    event = BetPlaced(
        movement_id="m1",
        recorded_at=NOW,
        integration="a",
        operation="bet",
        key=key,
        transaction_id=key,
        fingerprint="f" * 64,
        currency="EUR",
        real=-250_000,
        bonus=-1,
        balance_real=2**62,
        balance_bonus=0,
        round_id="ründe",
        opens_round=True,
        tags={"free_spin": {"free_spin_id": "x", "left": 3}},
        exceptions=("odd",),
    )
    return Transaction("p1", version, BetPlaced.NAME, event)


def _used(*keys: str) -> dict[Key, Transaction]:
    return {("a", key): _bet(key) for key in keys}


def test_a_key_comes_back_with_its_event_as_it_was():
    """The first answer is made of it again, to the last field."""
    recent = RecentKeys(10)
    recent.remember(_used("k"))
    assert recent.get(("a", "k")) == _bet("k")
    assert ("a", "k") in recent


def test_a_tombstone_comes_back_as_one():
    """Its kind is not the name of the event behind it (rule 8)."""
    event = RefundTombstoned(
        movement_id="m2",
        recorded_at=NOW,
        integration="a",
        operation="refund",
        key="refund",
        transaction_id="refund",
        fingerprint="f" * 64,
        currency="EUR",
        balance_real=0,
        balance_bonus=0,
        refers_to="late",
    )
    tombstone = Transaction("p1", 7, TOMBSTONE, event)
    recent = RecentKeys(10)
    recent.remember({("a", "late"): tombstone})
    assert recent.get(("a", "late")) == tombstone


def test_unknown_keys_are_unknown():
    """A key is integration and id together."""
    recent = RecentKeys(10)
    recent.remember(_used("k"))
    assert recent.get(("b", "k")) is None
    assert ("b", "k") not in recent


def test_the_first_to_come_are_the_first_to_fall_out():
    """Also where one was remembered twice, with what became of it last."""
    recent = RecentKeys(3)
    recent.remember(_used("k1", "k2"))
    recent.remember({("a", "k1"): _bet("k1", version=9)})
    recent.remember(_used("k3"))
    again = recent.get(("a", "k1"))
    assert again is not None
    assert again.version == 9
    recent.remember(_used("k4", "k5"))
    assert [f"k{n}" for n in range(1, 6) if ("a", f"k{n}") in recent] == ["k3", "k4", "k5"]


def test_more_than_there_is_room_for():
    """A batch larger than the memory leaves its last keys."""
    recent = RecentKeys(2)
    recent.remember(_used(*(f"k{number}" for number in range(50))))
    assert [n for n in range(50) if ("a", f"k{n}") in recent] == [48, 49]


def test_what_was_cleared_is_gone_and_room_is_as_before():
    """After a lost connection nothing in memory may be trusted."""
    recent = RecentKeys(2)
    recent.remember(_used("k1", "k2"))
    recent.clear()
    assert ("a", "k1") not in recent
    recent.remember(_used("k1", "k3"))
    assert ("a", "k1") in recent
    assert ("a", "k3") in recent
