"""Holds a snapshot against the state that the events fold into: pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from ledger.codec import State
from ledger.player import Player, Round, unpacked

_ROUNDS: Final = frozenset({"rounds", "past_rounds", "last_rounds"})


def unequal(snapshot: State, folded: State) -> list[str]:
    """The fields that say something else, the rounds in a player's memory aside.

    Which rounds those are depends on what was asked for when; see `rounds_apart`. Both must be
    states of one stream.
    """
    names = [name for name in folded.__struct_fields__ if name not in _ROUNDS]
    return [name for name in names if getattr(snapshot, name) != getattr(folded, name)]


def misplaced(snapshot: Player) -> Iterator[str]:
    """Keys of rounds that stand among the open ones though closed, or the other way round.

    Raises `msgspec.MsgspecError` and `UnicodeDecodeError` for what is no round.
    """
    yield from (key for key, found in snapshot.rounds.items() if found.closed)
    for key, found in _closed(snapshot):
        if key in snapshot.rounds or not found.closed:
            yield key


def rounds_apart(snapshot: Player, folded: Player) -> Iterator[tuple[str, Round]]:
    """The rounds of a snapshot that the folded state does not hold so, with their keys.

    One that was read back from the log is held by the snapshot alone, and has to be folded from its
    own events. Raises as `misplaced`.
    """
    for key, found in chain(snapshot.rounds.items(), _closed(snapshot)):
        if found != folded.find_round(key):
            yield key, found


def _closed(player: Player) -> Iterator[tuple[str, Round]]:
    """Every closed round, also one that another of its key hides from `Player.find_round`."""
    for key, kept in chain(player.last_rounds.items(), player.past_rounds.items()):
        yield key, unpacked(kept)
