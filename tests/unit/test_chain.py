"""The hash chain: no two different events may have the same bytes to hash."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from ledger.chain import GENESIS, HASH_SIZE, link

HASHES = st.binary(min_size=HASH_SIZE, max_size=HASH_SIZE)
EVENTS = st.tuples(
    HASHES,
    st.text(st.characters(codec="utf-8"), max_size=6),
    st.integers(1, 2**63 - 1),
    st.text("ab.v1", max_size=6),
    st.binary(max_size=6),
)


def test_a_link_can_be_computed_by_anybody_from_its_description():
    """An auditor's own script must find the same hash, written from the documentation alone."""
    expected = sha256(
        bytes(32)
        + (9).to_bytes(4, "big")
        + (1).to_bytes(8, "big")
        + (20).to_bytes(4, "big")
        + b"player:p1"
        + b"player_registered.v1"
        + b"{}"
    ).digest()
    assert link(GENESIS, "player:p1", 1, "player_registered.v1", b"{}") == expected


@given(one=EVENTS, other=EVENTS)
def test_different_events_have_different_hashes(one, other):
    """Moving a byte from one field into the next must not go unseen."""
    assert (link(*one) == link(*other)) == (one == other)


@given(event=EVENTS, cut=st.integers(0, 12))
def test_fields_do_not_run_into_each_other(event, cut):
    """The same bytes cut differently into stream, name and payload are another event."""
    previous, stream, version, name, payload = event
    joined = stream + name
    moved = (previous, joined[:cut], version, joined[cut:], payload)
    assert (link(*moved) == link(*event)) == (moved == event)
