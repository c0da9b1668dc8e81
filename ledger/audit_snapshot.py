"""Holds a snapshot against the state that the events fold into: pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ledger.codec import State
from ledger.games import Game
from ledger.player import Player, Round

_ROUNDS: Final = frozenset({"rounds", "past_rounds", "last_rounds"})


def unequal(snapshot: State, folded: State) -> list[str]:
    """The fields that say something else, the rounds in a player's memory aside.

    Which rounds those are depends on what was asked for when; see `rounds_apart`.
    """
    if isinstance(snapshot, Game) or isinstance(folded, Game):
        return [] if snapshot == folded else ["enabled"]
    names = [name for name in Player.__struct_fields__ if name not in _ROUNDS]
    return [name for name in names if getattr(snapshot, name) != getattr(folded, name)]


def rounds_apart(snapshot: Player, folded: Player) -> Iterator[tuple[str, Round]]:
    """The rounds of a snapshot that the folded state does not hold so, by `round_key`.

    One that was read back from the log is held by the snapshot alone, and has to be folded from its
    own events. Raises `msgspec.MsgspecError` for what is no round.
    """
    for key in snapshot.rounds | snapshot.last_rounds | snapshot.past_rounds:
        found = snapshot.find_round(key)
        assert found is not None
        if found != folded.find_round(key):
            yield key, found
