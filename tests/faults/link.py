"""A link to the database that a test can cut at the worst moment: a small TCP proxy.

What passes it is PostgreSQL's protocol: a message's type is its first byte, and the service's
append is the only prepared statement that is called `statement`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from urllib.parse import parse_qs, urlsplit


class Cut(Enum):
    """When the link is cut, seen from an append."""

    BEFORE = "before the server has heard of it"
    AFTER = "after the server has answered that it is committed"
    UNDERWAY = "when the server has it, but has not answered"
    LATE = "while it is on its way: it arrives when `Link.arrive` says so"


class Link:
    """Forwards connections to the server, and cuts the next appends as the test says."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._cuts: list[Cut] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._on_their_way: list[tuple[asyncio.StreamWriter, bytes]] = []
        self.down = False
        self.cuts_made = 0

    def cut(self, *cuts: Cut) -> None:
        """Cut the next append, and the one after it, and so on."""
        self._cuts += cuts

    def drop(self) -> None:
        """Cut everything that is open, at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def arrive(self) -> None:
        """Hand the server what was on its way; whether anybody is there, nobody asks."""
        for writer, data in self._on_their_way:
            with suppress(ConnectionError):
                writer.write(data)
                await writer.drain()

    def close(self) -> None:
        """Leave no connection to the server."""
        for writer, _ in self._on_their_way:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if self.down:
            writer.transport.abort()
            return
        from_server, to_server = await asyncio.open_unix_connection(self._socket_path)
        pair = {writer, to_server}
        self._writers |= pair
        state = _Connection()
        try:
            await asyncio.gather(
                self._up(reader, to_server, state), self._down(from_server, writer, state)
            )
        except (ConnectionError, _CutOff):
            pass
        finally:
            self._writers -= pair
            for end in pair - {kept for kept, _ in self._on_their_way}:
                end.transport.abort()

    async def _up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: _Connection
    ) -> None:
        while data := await reader.read(65536):
            if self._cuts and data.startswith(b"B") and b"\0statement\0" in data[:64]:
                state.cut = self._cuts.pop(0)
                self.cuts_made += 1
                if state.cut is Cut.LATE:
                    self._on_their_way.append((writer, data))
                if state.cut in (Cut.BEFORE, Cut.LATE):
                    raise _CutOff
            writer.write(data)
            await writer.drain()
            if state.cut is Cut.UNDERWAY:
                raise _CutOff
        raise _CutOff

    async def _down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: _Connection
    ) -> None:
        while data := await reader.read(65536):
            if state.cut is not None:
                raise _CutOff
            writer.write(data)
            await writer.drain()
        raise _CutOff


class _Connection:
    cut: Cut | None = None


class _CutOff(Exception):
    """The link was cut, or one side closed it."""


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[tuple[str, Link]]:
    """The database behind a link: its URL there, and the link."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    link = Link(f"{asked['host'][0]}/.s.PGSQL.{asked['port'][0]}")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await link.serve(reader, writer)
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user = parts.netloc.split("@")[0]
    path = parts.path
    try:
        yield f"postgresql://{user}@127.0.0.1:{port}{path}?sslmode=disable&gssencmode=disable", link
    finally:
        server.close()
        link.drop()
        link.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.gather(*tasks, return_exceptions=True)
