"""Events and snapshots to stored bytes and back.

A stored event's state is its chain hash (32 bytes) followed by the event as JSON; its topic is the
event's versioned name. A snapshot is the chain hash at its version followed by the state as JSON.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias
from zlib import crc32

import msgspec
from msgspec import Meta

from ledger.chain import HASH_SIZE, link
from ledger.events import EVENT_TYPES, Event
from ledger.games import Game
from ledger.player import Player

State: TypeAlias = Player | Game
"""What a stream's events fold into."""

PLAYER_STREAM = "player:"
GAME_STREAM = "game:"

_DAMAGED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the decoders raise for bytes that they did not write."""


class _Recorded(msgspec.Struct):
    recorded_at: Annotated[datetime, Meta(tz=True)]


_encoder = msgspec.json.Encoder()
_decoders: dict[str, msgspec.json.Decoder[Event]] = {
    name: msgspec.json.Decoder(kind) for name, kind in EVENT_TYPES.items()
}
_recorded_decoder = msgspec.json.Decoder(_Recorded)
_player_decoder = msgspec.json.Decoder(Player)
_game_decoder = msgspec.json.Decoder(Game)


class UnreadableEvent(ValueError):
    """A stored event has an unknown name, or bytes that are not what its name says."""


class UnreadableSnapshot(ValueError):
    """A snapshot's state is not what this release keeps: damaged, or marked by another release."""


def player_stream(player_id: str) -> str:
    """The stream of a player."""
    return PLAYER_STREAM + player_id


def partition_of(player_id: str, partitions: int) -> int:
    """A player's partition: a hash that stays the same for ever."""
    return crc32(player_id.encode("utf-8", "surrogatepass")) % partitions


def game_stream(integration: str, game: str) -> str:
    """The stream of a game; an integration's name holds no colon."""
    return f"{GAME_STREAM}{integration}:{game}"


def encode(event: Event) -> bytes:
    """The event as JSON; fields at their default are left out."""
    return _encoder.encode(event)


def decode(name: str, payload: bytes | memoryview) -> Event:
    """The event behind a stored name and its JSON. Raises `UnreadableEvent`."""
    try:
        return _decoders[name].decode(payload)
    except KeyError:
        raise UnreadableEvent(f"unknown event {name}") from None
    except _DAMAGED as error:
        raise UnreadableEvent(f"event {name}: {error}") from error


def seal(previous: bytes, stream: str, version: int, event: Event) -> tuple[bytes, bytes]:
    """The hash of an event behind ``previous``, and the state to store: hash and JSON."""
    payload = _encoder.encode(event)
    digest = link(previous, stream, version, event.NAME, payload)
    return digest, digest + payload


def open_state(name: str, state: bytes) -> tuple[bytes, Event]:
    """The hash and the event of a stored state.

    The chain is not verified here. Raises `UnreadableEvent`.
    """
    return state[:HASH_SIZE], decode(name, memoryview(state)[HASH_SIZE:])


def age_s(now: datetime, state: bytes | None) -> float:
    """The age of a stored event in seconds; 0 for None, and for one that cannot be read."""
    if state is None:
        return 0.0
    try:
        recorded_at = _recorded_decoder.decode(memoryview(state)[HASH_SIZE:]).recorded_at
    except _DAMAGED:
        return 0.0
    return max((now - recorded_at).total_seconds(), 0.0)


def encode_snapshot(digest: bytes, state: State) -> bytes:
    """A snapshot's bytes: the chain hash at its version, and the state.

    A release whose state has other fields puts a mark of its own between the two, and reads no
    other: releases before it then pass its snapshots over, and it theirs.
    """
    return digest + _encoder.encode(state)


def decode_snapshot(stream: str, state: bytes) -> tuple[bytes, State]:
    """The chain hash and the state of a snapshot. Raises `UnreadableSnapshot`."""
    decoder: Any = _player_decoder if stream.startswith(PLAYER_STREAM) else _game_decoder
    try:
        return state[:HASH_SIZE], decoder.decode(memoryview(state)[HASH_SIZE:])
    except _DAMAGED as error:
        raise UnreadableSnapshot(f"snapshot of {stream}: {error}") from error
