"""Requests as the providers send them, signed in advance and kept in lanes: one file a sender.

A protocol takes part by a function that yields `Request`s without end; nothing else here knows it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: what a provider would send."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def encoded(self) -> bytes:
        """The request as it stands on the wire (HTTP/1.1, connection kept)."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclass(frozen=True, slots=True)
class Seat:
    """A player at a game: the player's id and the token of a live session."""

    player_id: str
    session_token: str


def identifier(chance: random.Random) -> str:
    """An id of a transaction or round that no other call has."""
    return f"{chance.getrandbits(128):032x}"


class Lanes:
    """Files of framed requests that a load generator reads, each request once.

    `positions` says how far (in bytes) each lane has been read.
    """

    def __init__(self, directory: Path, source: Iterator[Request], *, count: int = 2) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.positions = [0] * count
        self._left = [0] * count
        self._source = source
        self._files = [directory / f"lane-{number}.bin" for number in range(count)]
        for file in self._files:
            file.write_bytes(b"")

    def senders(self, connections: int) -> int:
        """How many lanes are read at once where there are that many connections."""
        return min(len(self._files), connections)

    def fill(self, requests: int, *, connections: int) -> None:
        """Make sure that the lanes which will be read still hold that many requests together."""
        senders = self.senders(connections)
        share = -(-requests // senders)
        for number, file in enumerate(self._files[:senders]):
            missing = max(0, share - self._left[number])
            with file.open("ab") as lane:
                lane.writelines(_frame(request) for request in islice(self._source, missing))
            self._left[number] += missing

    def taken(self, number: int, *, requests: int, position: int) -> None:
        """Note that a sender read that many requests of a lane, up to that position."""
        self._left[number] -= requests
        self.positions[number] = position


def _frame(request: Request) -> bytes:
    encoded = request.encoded()
    return b"%05d" % len(encoded) + encoded
