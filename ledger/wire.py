"""Commands and outcomes between two worker processes of one server, on a Unix socket.

A message is its length (4 bytes, big-endian) and a MessagePack array of `Asked` or of `Answered`.
Both ends run the same release: nothing here is stored, and nothing need be read by another.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

import msgspec
import structlog
from msgspec.structs import replace

from ledger.batch import Accepted, Outcome
from ledger.codec import UnreadableEvent, decode, encode
from ledger.commands import AnyCommand
from ledger.player import Player
from ledger.refusals import Refused

log = structlog.get_logger(__name__)

_LENGTH_BYTES: Final = 4
_ARRAY_32: Final = b"\xdd"


class Asked(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A command on its way to the owner of its partition.

    ``taken_at``: monotonic seconds of this machine.
    """

    number: int
    partition: int
    movement_id: str
    taken_at: float
    command: AnyCommand


class Answered(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of it: ``refused``, or the parts of an `Accepted`, its player without rounds."""

    number: int
    refused: Refused | None = None
    player: Player | None = None
    event_name: str = ""
    event: bytes = b""
    version: int = 0
    replayed: bool = False

    def outcome(self) -> Outcome:
        """The outcome as the owner had it."""
        if self.refused is not None:
            return self.refused
        assert self.player is not None
        event = decode(self.event_name, self.event) if self.event_name else None
        return Accepted(self.player, event, self.version, self.replayed)


def answered(number: int, outcome: Outcome) -> Answered:
    """The outcome on its way back.

    Nobody asks for the player's rounds, which may be hundreds, nor for losses, which may be more
    than a message's 64 bits can hold.
    """
    if isinstance(outcome, Refused):
        return Answered(number, outcome)
    player = replace(outcome.player, rounds={}, past_rounds={}, last_rounds={}, losses={})
    event = outcome.event
    if event is None:
        return Answered(number, player=player)
    return Answered(
        number,
        player=player,
        event_name=event.NAME,
        event=encode(event),
        version=outcome.version,
        replayed=outcome.replayed,
    )


encode_item: Final = msgspec.msgpack.Encoder().encode
decode_asked: Final = msgspec.msgpack.Decoder(list[Asked]).decode
decode_answered: Final = msgspec.msgpack.Decoder(list[Answered]).decode


class Messages(asyncio.Protocol):
    """A connection of which each side sends lists: the items of one turn of the loop at once."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._items: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either way
        """Send nothing any more."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Cut what has arrived into messages; what cannot be read ends the connection."""
        received = self._received
        received += data
        start = 0
        while len(received) >= start + _LENGTH_BYTES:
            body = start + _LENGTH_BYTES
            end = body + int.from_bytes(received[start:body])
            if len(received) < end:
                break
            try:
                self.message(bytes(received[body:end]))
            except (msgspec.MsgspecError, UnreadableEvent, LookupError) as error:
                log.error("unreadable_command_message", error=str(error))
                self.close()
                return
            start = end
        del received[:start]

    def message(self, body: bytes) -> None:
        """A whole message has arrived."""
        raise NotImplementedError

    def send(self, item: bytes) -> None:
        """Send an encoded item with the others of this turn."""
        if not self._items:
            self._loop.call_soon(self._flush)
        self._items.append(item)

    def close(self) -> None:
        """End the connection at once; what the other side has not taken in is lost."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        items, self._items = self._items, []
        if self._transport is not None:
            body = b"".join((_ARRAY_32, len(items).to_bytes(4), *items))
            self._transport.write(len(body).to_bytes(_LENGTH_BYTES) + body)
