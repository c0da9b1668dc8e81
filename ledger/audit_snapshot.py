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
    """Keys of rounds that stand in two places, or among the open ones though closed, or reversed.

    Raises `msgspec.MsgspecError` and `UnicodeDecodeError` for what is no round.
    """
    seen: set[str] = set()
    for key, found in _rounds(snapshot):
        if key in seen or found.closed == (key in snapshot.rounds):
            yield key
        seen.add(key)


def rounds_apart(snapshot: Player, folded: Player) -> Iterator[tuple[str, Round]]:
    """The rounds of a snapshot that the folded state does not hold so, with their keys.

    One that was read back from the log is held by the snapshot alone, and has to be folded from its
    own events. Raises as `misplaced`.
    """
    for key, found in _rounds(snapshot):
        if found != folded.find_round(key):
            yield key, found


def _rounds(player: Player) -> Iterator[tuple[str, Round]]:
    """Every round, also one that another of the same key hides from `Player.find_round`."""
    yield from player.rounds.items()
    for key, kept in chain(player.last_rounds.items(), player.past_rounds.items()):
        yield key, unpacked(kept)
