"""Clients that read no answers, or send what is no HTTP: they get neither memory nor a place."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from adapters import server
from adapters.app import PROVIDER_CALLS
from adapters.providers.answers import Answer
from adapters.providers.protocol import Reply
from adapters.providers.turn import Turn
from adapters.settings_file import load
from tests.acceptance.service import write_configuration

CALLS = 4_000
BODY = bytes(16 * 1024)
MOST_UNREAD = 1_600
"""More answers than this do not fit the buffers of two sockets, whatever the system gives them."""
UNREAD_S = 0.2
UNREAD_SLOWLY_S = 1.0
"""Longer than a busy machine makes this process wait."""
KEPT = 64 * 1024
"""What a socket is asked to keep, on either side: the system may make it twice as much."""
LARGE = bytes(64 * 2**20)
GARBLED = 8
GARBAGE = b"\x01" * 2**22
PORTION = 2**20
"""More than a socket keeps: once it is read, some more has left the server."""


class Site:
    """A server of the service's own kind, with one page; counts how often it was asked for."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.calls = 0
        self._turn = Turn()

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page, in the way that a provider's answer takes."""
        self.calls += 1
        return Answer(Reply(200, self.body), self._turn, keep_alive=request.content.is_eof())

    @asynccontextmanager
    async def served(self, directory: Path) -> AsyncIterator[Callable[[], socket.socket]]:
        """Serve; yields what makes a connection, which reads nothing by itself."""
        app = web.Application()
        app[PROVIDER_CALLS] = {}
        app.router.add_get("/", self.page)
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KEPT)  # those it accepts have it too
        sock.setblocking(False)
        settings = load(write_configuration(directory / "s.toml"))
        with ExitStack() as clients:  # they are there until the server has stopped

            def connect() -> socket.socket:
                client = clients.enter_context(socket.create_connection(sock.getsockname()))
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KEPT)
                client.setblocking(False)
                return client

            async with server._listening(app, settings, sock):
                yield connect


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """On the loop that the service runs on: how a transport buffers is the loop's own."""

    async def whole() -> None:
        async with asyncio.timeout(60):
            await scenario()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())


def request(*, connection: str = "keep-alive") -> bytes:
    """A request for the page."""
    return f"GET / HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\n\r\n".encode()


async def settled(site: Site) -> int:
    """How many calls were answered once no more are."""
    before = -1
    while site.calls != before:
        before = site.calls
        await asyncio.sleep(0.3)
    return before


async def read_answers(client: socket.socket, size: int) -> int:
    """Read to the end, or until that many bytes have come; how many did."""
    loop = asyncio.get_running_loop()
    taken = 0
    while taken < size and (chunk := await loop.sock_recv(client, 2**20)):
        taken += len(chunk)
    return taken


class Lost:
    """The connections that end for the server."""

    def __init__(self) -> None:
        self._ended: asyncio.Queue[None] = asyncio.Queue()

    def note(self) -> None:
        """One more."""
        self._ended.put_nowait(None)

    def any(self) -> bool:
        """Whether one has ended that nobody waited for."""
        return not self._ended.empty()

    async def wait(self, count: int = 1) -> None:
        """Wait for so many."""
        for _ in range(count):
            await self._ended.get()


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Lost:
    """The connections that end, of a server that does not wait long for a client."""
    lost = Lost()
    connection_lost = server._Connection.connection_lost

    def noted(connection: server._Connection, error: BaseException | None) -> None:
        connection_lost(connection, error)
        lost.note()

    monkeypatch.setattr(server._Connection, "connection_lost", noted)
    monkeypatch.setattr(server, "_UNREAD_S", UNREAD_S)
    return lost


def test_a_client_that_reads_nothing_gets_no_further_answers(tmp_path: Path) -> None:
    """It would fill the memory: with calls that nobody signed, 15 MB in every second."""

    async def scenario() -> None:
        site = Site(BODY)
        async with site.served(tmp_path) as connect:
            client = connect()
            await asyncio.get_running_loop().sock_sendall(client, CALLS * request())
            assert 0 < await settled(site) < MOST_UNREAD
            while site.calls < CALLS:
                await read_answers(client, len(BODY))

    run(scenario)


def test_a_client_that_reads_nothing_is_cut_off(tmp_path: Path, lost: Lost) -> None:
    """It would keep one of the connections that others need."""

    async def scenario() -> None:
        site = Site(BODY)
        async with site.served(tmp_path) as connect:
            client = connect()
            await asyncio.get_running_loop().sock_sendall(client, CALLS * request())
            await lost.wait()
            assert await settled(site) < MOST_UNREAD

    run(scenario)


def test_a_closed_connection_does_not_wait_for_its_client_for_ever(
    tmp_path: Path, lost: Lost
) -> None:
    """What has not left yet keeps it: nobody else gets its place."""

    async def scenario() -> None:
        async with Site(LARGE).served(tmp_path) as connect:
            client = connect()
            await asyncio.get_running_loop().sock_sendall(client, request(connection="close"))
            await lost.wait()

    run(scenario)


def test_nor_does_it_wait_where_little_is_left_to_send(tmp_path: Path, lost: Lost) -> None:
    """Some of these numbers of answers are a little more than the two sockets keep."""
    numbers = range(64, 1024, 32)

    async def scenario() -> None:
        async with Site(bytes(1024)).served(tmp_path) as connect:
            for number in numbers:
                asked = number * request() + request(connection="close")
                await asyncio.get_running_loop().sock_sendall(connect(), asked)
            await lost.wait(len(numbers))

    run(scenario)


def test_a_stop_does_not_wait_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take longer than the supervisor, or whoever gave the signal, has patience."""
    monkeypatch.setattr(server, "_TAKE_IN_S", UNREAD_S)
    monkeypatch.setattr(server, "_SHUTDOWN_S", 1_000.0)

    async def scenario() -> None:
        site = Site(BODY)
        async with site.served(tmp_path) as connect:
            await asyncio.get_running_loop().sock_sendall(connect(), CALLS * request())
            await settled(site)

    run(scenario)


def test_a_client_that_reads_slowly_gets_all_of_its_answer(
    tmp_path: Path, lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes: an export over a thin line is no attack."""
    looks: asyncio.Queue[int] = asyncio.Queue()
    look_at = server._Connection._look_at

    def noted(connection: server._Connection, transport: asyncio.WriteTransport, n: int) -> None:
        looks.put_nowait(n)
        look_at(connection, transport, n)

    monkeypatch.setattr(server._Connection, "_look_at", noted)
    monkeypatch.setattr(server, "_UNREAD_S", UNREAD_SLOWLY_S)

    async def scenario() -> None:
        async with Site(LARGE).served(tmp_path) as connect:
            client = connect()
            await asyncio.get_running_loop().sock_sendall(client, request(connection="close"))
            taken = 0
            for _ in range(5):
                taken += await read_answers(client, PORTION)
                await looks.get()
            assert not lost.any()
            assert taken + await read_answers(client, 2 * len(LARGE)) > len(LARGE)

    run(scenario)


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"GET / HTTP/1.1\r\nX-Endless: ",
        b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
    ids=["at once", "in a header", "behind an upgrade"],
)
def test_what_is_no_http_is_not_kept(tmp_path: Path, lost: Lost, begin: bytes) -> None:
    """A hundred such connections took four gigabytes, until somebody looked for cycles."""

    async def scenario() -> None:
        async with Site(b"{}").served(tmp_path) as connect:
            tracemalloc.start()
            for _ in range(GARBLED):
                with suppress(ConnectionError):
                    await asyncio.get_running_loop().sock_sendall(connect(), begin + GARBAGE)
            await lost.wait(GARBLED)
            kept, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert kept < len(GARBAGE)

    gc.collect()
    gc.disable()
    try:
        run(scenario)
    finally:
        gc.enable()
