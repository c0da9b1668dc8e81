"""The log as the views read it: each event decoded once, or carried along as unreadable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from ledger.codec import PLAYER_STREAM, UnreadableEvent, open_state
from ledger.events import EVENT_TYPES, Event
from projections.writes import microseconds

_PLAYER_PREFIX: Final = len(PLAYER_STREAM)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event with its place in the partition's log.

    ``player_id`` is empty for a game's event. An ``event`` that could not be decoded is the error.
    ``moment`` is when it was recorded, as `writes.microseconds` has it; 0 where that is not known.
    """

    notification_id: int
    player_id: str
    version: int
    name: str
    event: Event | UnreadableEvent
    moment: int

    def __str__(self) -> str:
        return (
            f"event {self.notification_id} ({self.name}, player {self.player_id or '-'}, "
            f"version {self.version})"
        )


def read_entries(rows: Iterable[Sequence[Any]]) -> list[Entry]:
    """Entries of the log's rows: notification id, stream, version, name, state."""
    return [_entry(*row) for row in rows]


def names_of(*kinds: type[Event]) -> frozenset[str]:
    """The stored names of these kinds of events, their sub-kinds included."""
    return frozenset(name for name, kind in EVENT_TYPES.items() if issubclass(kind, kinds))


def pick(entries: Iterable[Entry], names: frozenset[str]) -> Iterator[tuple[Entry, Any]]:
    """The entries of these names, each with its event.

    Raises `UnreadableEvent` at one that cannot be decoded, and at a name that nobody knows: what it
    means for the view is not known either. Unreadable events of other known names are passed over.
    """
    for entry in entries:
        if entry.name in names:
            if isinstance(entry.event, UnreadableEvent):
                raise entry.event
            yield entry, entry.event
        elif entry.name not in EVENT_TYPES:
            raise UnreadableEvent(f"unknown event {entry.name}")


def _entry(notification_id: int, stream: str, version: int, name: str, state: bytes) -> Entry:
    player_id = stream[_PLAYER_PREFIX:] if stream.startswith(PLAYER_STREAM) else ""
    event: Event | UnreadableEvent
    try:
        event = open_state(name, state)[1]
        moment = microseconds(event.recorded_at)
    except UnreadableEvent as error:
        event, moment = error, 0
    return Entry(notification_id, player_id, version, name, event, moment)
