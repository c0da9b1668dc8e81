"""The server's processes.

One worker here, or several under a supervisor, and the embedded database.

SIGTERM, Ctrl-C or SIGHUP stops gracefully: no new connections, what was taken is finished, then
exit.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import structlog
import uvloop
from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError

from adapters.app import LEDGER, create_app, past_the_router
from adapters.children import Children, stop_signals, stop_without
from adapters.command_line import CommandError, complain
from adapters.database import Addresses, database_in_use, one_line_errors
from adapters.demo import demonstrate
from adapters.ledgers import configured_ledger
from adapters.metrics import Metrics, worker_died
from adapters.open_files import allow_connections
from adapters.operator.problems import problem
from adapters.projecting import project_as_child
from adapters.sealing import seal_as_child
from adapters.settings import Settings
from adapters.settings_file import load_as_read
from adapters.telemetry import configure_logging
from ledger.connections import ROLE as SERVICE_ROLE
from ledger.forwarding import ALONE, Place
from ledger.schema import check, initialise, record_currencies
from ledger.sealing import ROLE as SEALS_ROLE
from ledger.service import Ledger
from projections.feed import ROLE as VIEWS_ROLE

log = structlog.get_logger(__name__)

_KEEPALIVE_S: Final = 75.0
_LINGER_S: Final = 2.0
"""How long a refused call's body is still taken in, so that its client reads the answer first."""
_CONNECTION: Final[dict[str, Any]] = {
    "access_log": None,
    "auto_decompress": False,
    "keepalive_timeout": _KEEPALIVE_S,
    "lingering_time": _LINGER_S,
}
_UNREAD_S: Final = 60.0
"""A client that takes nothing of what is there for it for as long as this is cut off."""
_SHUTDOWN_S: Final = 10.0
_TAKE_IN_S: Final = 5.0
"""How long a stop waits for bodies that come in, and for clients that take their answers.

Beside the rest it is less than the supervisor gives its workers.
"""
_TAKE_IN_TICK_S: Final = 0.01
_FIRST_CALL_S: Final = 0.1
"""How long, at a stop, a client that has just connected may take to begin its call."""
_BACKLOG: Final = 1024
_COLLECT_AFTER: Final = 50_000


def serve(settings: Settings) -> None:
    """Run until SIGTERM or Ctrl-C. Raises `CommandError` where the service cannot start."""
    _check_port(settings)
    _warn_of_nobody(settings)
    allow_connections(settings.limits.connections_max)  # here, once: the workers inherit it
    with one_line_errors(), database_in_use(settings) as addresses:
        asyncio.run(_prepare(addresses, settings))
        run = _work if settings.server.workers == 1 else _supervise
        run(settings, addresses)


def _check_port(settings: Settings) -> None:
    """Refuse a port that is taken before a database is made for nothing.

    Without SO_REUSEPORT: the workers share their port among themselves, never with another server.
    """
    _listen(settings, shared=False).close()


def _warn_of_nobody(settings: Settings) -> None:
    if not settings.integrations and not settings.operator_tokens:
        complain(
            "warning: neither [integrations] nor operator.tokens are configured:"
            " nobody can call this server"
        )


async def _prepare(addresses: Addresses, settings: Settings) -> None:
    """Bring the schema up to date.

    Refuse a database that may lose what it acknowledged, or whose amounts mean something else.
    """
    partitions = settings.database.partitions
    await initialise(addresses.migrate_url, partitions)
    roles = [SERVICE_ROLE]
    if settings.projections.in_serve:
        roles.append(VIEWS_ROLE)
    if settings.seals_in_serve:
        roles.append(SEALS_ROLE)
    await check(addresses.url, partitions, roles)
    await record_currencies(addresses.url, settings.currencies)


# --- one worker --------------------------------------------------------------------------


def _work(settings: Settings, addresses: Addresses) -> None:
    """Serve in this process, and watch over the embedded database if there is one."""
    sock = _listen(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work_alone(settings, addresses, sock))


async def _work_alone(settings: Settings, addresses: Addresses, sock: socket.socket) -> None:
    async with _helped(settings, addresses, Children(worker_died), _SHUTDOWN_S):
        await _serve_one(settings, addresses.url, sock, stop_signals())


@asynccontextmanager
async def _helped(
    settings: Settings, addresses: Addresses, children: Children, wait_s: float
) -> AsyncIterator[None]:
    """Keep the children, views and seals among them, and the embedded database running meanwhile.

    They are stopped whatever ends it: the process could not end with a child that lives.
    """
    watching: list[asyncio.Task[None]] = []
    keeping = asyncio.create_task(children.keep())
    try:
        if settings.projections.in_serve:
            children.add(project_as_child, addresses.url, settings.database.partitions)
        if settings.seals_in_serve:
            children.add(seal_as_child, settings.file, settings.texts, addresses.url)
        if addresses.embedded is not None:
            watching.append(asyncio.create_task(addresses.embedded.watch()))
        yield
    finally:
        keeping.cancel()
        await children.stop(wait_s)
        for task in watching:
            task.cancel()


def _work_as_child(
    file: Path | None, texts: Mapping[Path, str], url: str, place: Place, parent: int
) -> None:
    """Serve in a process of the supervisor's; ends when the supervisor is gone."""
    settings = load_as_read(file, texts)
    sock = _listen(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work_under(parent, settings, url, sock, place))


async def _work_under(
    parent: int, settings: Settings, url: str, sock: socket.socket, place: Place
) -> None:
    stopped = stop_signals()
    helper = asyncio.create_task(stop_without(parent, stopped))
    await _serve_one(settings, url, sock, stopped, place)
    helper.cancel()


async def _serve_one(
    settings: Settings,
    url: str,
    sock: socket.socket,
    stopped: asyncio.Event,
    place: Place | None = None,
) -> None:
    """``place``: among several workers; the only one announces the service."""
    # Set here: the command line's own one-line errors come before this.
    writer = configure_logging()
    app = create_app(settings, url, writer, Metrics(), place or ALONE)
    async with _listening(app, settings, sock):
        if place is None:
            await _announce(app[LEDGER], settings)
        _tune_collector()
        await stopped.wait()
        log.info("stopping")
        sock.close()


def _tune_collector() -> None:
    """Look for cycles rarely: a call leaves none, and the wallets in memory are many objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)


@asynccontextmanager
async def _listening(
    app: web.Application, settings: Settings, sock: socket.socket
) -> AsyncIterator[None]:
    """Accept connections, at most ``connections_max`` at a time.

    On leaving, finish what was taken.
    """
    runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_S, handler_cancellation=False)
    await runner.setup()
    manager = runner.server
    assert manager is not None
    manager.request_handler = past_the_router(app, manager.request_handler)
    loop = asyncio.get_running_loop()

    def admit() -> asyncio.Protocol:
        if len(manager.connections) >= settings.limits.connections_max:
            return _Refusing()
        return _Connection(manager, loop=loop, **_CONNECTION)

    server = await loop.create_server(admit, sock=sock, backlog=_BACKLOG)
    try:
        yield
    finally:
        server.close()
        await _take_in(manager, min(settings.limits.body_timeout_s, _TAKE_IN_S))
        await runner.cleanup()


async def _take_in(manager: web.Server, most_s: float) -> None:
    """Take in the bodies that are under way, and nothing else: a cleanup throws them away.

    Clients have as long to take the answers that are on their way.
    """
    began = time.monotonic()
    await asyncio.sleep(_TAKE_IN_TICK_S)
    left = [each for each in manager.connections if isinstance(each, _Connection)]
    while left and (waited_s := time.monotonic() - began) < most_s:
        left = [each for each in left if not each.finish(is_late=waited_s > _FIRST_CALL_S)]
        await asyncio.sleep(_TAKE_IN_TICK_S)  # an event would cost every call
    for each in left:
        each.cut_off_unread()


class _Connection(web.RequestHandler):
    """A connection that repeats nothing it was sent: a head that is no HTTP may hold a token.

    Its client has to take its answers: without that, even a connection that is closed would stay.
    """

    __slots__ = ("_is_garbled", "_look")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have `pause_writing` called as soon as anything waits for the client."""
        super().connection_made(transport)
        self._is_garbled = False
        self._look: asyncio.TimerHandle | None = None
        cast("asyncio.WriteTransport", transport).set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Take in requests, and nothing behind what is none: the library would keep it all."""
        if self._is_garbled:
            return
        super().data_received(data)
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            self._is_garbled = True
            _let_go(self._messages[-1][0].exc)

    def pause_writing(self) -> None:
        """Keep an eye on what waits for the client."""
        super().pause_writing()
        assert self.transport is not None
        self._look_at(self.transport, 0)

    def resume_writing(self) -> None:
        """It has taken everything."""
        super().resume_writing()
        self._look_no_more()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Whatever it has not taken is gone."""
        super().connection_lost(exc)
        self._look_no_more()

    def _look_at(self, transport: asyncio.WriteTransport, waiting_before: int) -> None:
        waiting = transport.get_write_buffer_size()
        if waiting == waiting_before:
            transport.abort()
        else:
            loop = asyncio.get_running_loop()
            self._look = loop.call_later(_UNREAD_S, self._look_at, transport, waiting)

    def _look_no_more(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def finish(self, *, is_late: bool) -> bool:
        """Take no further request; False while one is coming in, or an answer is leaving.

        Where none came yet, one may be on its way until it ``is_late``.
        """
        request, waiter = self._current_request, self._waiter
        if request is not None and request.content.is_eof():
            self.close()  # once it is answered
            return True
        is_idle = request is None and waiter is not None and not waiter.done()
        if is_idle and (is_late or self._request_count > 0):
            self.force_close()  # now: who sends on it has to learn at once that nobody reads
        return self.transport is None

    def cut_off_unread(self) -> None:
        """Nobody waits any more for a client that has not taken its answer."""
        if self.writing_paused and self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused; anything else is the library's to log and to answer."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        _let_go(exc)
        log.info("not_http", kind=type(exc).__name__, remote=request.remote)
        response = problem(status, "")
        response.force_close()
        return response


def _let_go(error: BaseException) -> None:
    """Free what was read when it was raised: as a cycle it would stay until somebody looks."""
    error.__traceback__ = None


class _Refusing(asyncio.Protocol):
    """Closes the connection at once: there are too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close."""
        transport.close()


def _listen(settings: Settings, *, shared: bool = True) -> socket.socket:
    """The listening socket; several workers share the port unless ``shared`` is False."""
    family = socket.AF_INET6 if ":" in settings.server.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared and settings.server.workers > 1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((settings.server.host, settings.server.port))
    except OSError as error:
        sock.close()
        address = f"{settings.server.host}:{settings.server.port}"
        raise CommandError(f"cannot listen on {address}: {error.strerror}") from error
    sock.settimeout(0)
    return sock


async def _announce(ledger: Ledger, settings: Settings) -> None:
    """Say where the service is; for a demonstration, with players and an example that works."""
    log.info("serving", host=settings.server.host, port=settings.server.port)
    if settings.demo is not None:
        configure_logging().flush()  # no log line between the lines for people
        await demonstrate(ledger, settings)


# --- several workers ---------------------------------------------------------------------


def _supervise(settings: Settings, addresses: Addresses) -> None:
    """Keep the workers running, and the embedded database if there is one, until a signal."""
    with (
        TemporaryDirectory(prefix="wallet-ledger-workers-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_keep_workers(settings, addresses, directory))


async def _keep_workers(settings: Settings, addresses: Addresses, directory: str) -> None:
    url = addresses.url
    configure_logging()
    stopped = stop_signals()
    children = Children(worker_died)
    workers = settings.server.workers
    failed_at = multiprocessing.get_context("spawn").RawArray("d", settings.database.partitions)
    async with _helped(settings, addresses, children, _SHUTDOWN_S * 2):
        for number in range(workers):
            place = Place(number, workers, directory, failed_at)
            children.add(_work_as_child, settings.file, settings.texts, url, place)
        async with configured_ledger(url, settings, Metrics()) as ledger:
            await _announce(ledger, settings)
        await stopped.wait()
