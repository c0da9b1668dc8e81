"""The two ways into a partition: one connection that appends, one that reads.

They keep their connection, build it again when it is lost, and say in the store's own errors what
became of a statement. Neither repeats an append.

    StoreError
    +-- StoreUnavailable   nothing was written: the database cannot be reached, or cannot work now
    |   +-- MemoryOutdated   what was read before may be another server's, or of another time
    +-- StoreRejected      nothing was written, and never will be: the rows break a rule
    +-- CommitUnknown      perhaps it was written: look the keys up
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any, Final, Generic, TypeVar

import psycopg

from ledger.connections import (
    CONNECT_S,
    Connection,
    ConnectionLost,
    PreparedStatement,
    ServerProcess,
    connect,
    hung_up_after,
    server_of,
    take_over,
)
from ledger.durability import Undurable, keep_durability
from ledger.home import Home

_Made = TypeVar("_Made")

_LATE: Final = b"late"
_PAUSE_S: Final = 0.02
_PAUSE_MAX_S: Final = 0.3
READ_S: Final = 5.0
"""How long a read may take that nobody is in a hurry for."""
_REFUSALS: Final = frozenset({"21", "22", "23", "54"})
"""Classes of SQLSTATE that speak of what the server was given, not of the server."""


class StoreError(Exception):
    """The database did not do as it was asked."""


class StoreUnavailable(StoreError):
    """Nothing was written or read: the database cannot be reached, or cannot work now."""


class MemoryOutdated(StoreUnavailable):
    """Nothing was written: since the memory that it rests on was read, the connection was lost.

    The server that is there now may have lost what was acknowledged, or got something else.
    """


class StoreRejected(StoreError):
    """Nothing was written, and never will be: a row breaks a rule of the database."""


class CommitUnknown(StoreError):
    """It is not known whether the append was committed."""


class Connecting(Generic[_Made]):
    """Makes a connection, however long that takes: one waiter at a time, who may give up.

    The next one goes on waiting for the same. Who began anew each time would never get past a dead
    host that stands first in the URL, if each can wait for less than that host takes.
    """

    def __init__(self, connect: Callable[[], Awaitable[_Made]]) -> None:
        self._connect = connect
        self._cause = "no answer"
        self._stopped = False
        self._task: asyncio.Task[_Made] | None = None

    async def wait(self, deadline: float) -> _Made:
        """The connection. Raises `StoreUnavailable`, at the deadline (loop time) at the latest."""
        self.start()
        task = self._task
        if task is not None:
            await asyncio.wait((task,), timeout=deadline - asyncio.get_running_loop().time())
        if task is None or self._stopped:
            raise StoreUnavailable("the store is closed")
        if not task.done():
            raise StoreUnavailable(f"the database cannot be reached: {self._cause}")
        self._task = None
        return task.result()

    def start(self) -> None:
        """Begin before anybody waits."""
        if self._task is None and not self._stopped:
            self._task = asyncio.create_task(self._make())

    async def stop(self) -> _Made | None:
        """Try no more; the connection that was made meanwhile, for its caller to close."""
        self._stopped = True
        task, self._task = self._task, None
        if task is None:
            return None
        task.cancel()
        await asyncio.wait((task,))
        return None if task.cancelled() or task.exception() else task.result()

    async def _make(self) -> _Made:
        """Try until it works, and the server keeps what it commits."""
        pause = _PAUSE_S
        while True:
            try:
                return await self._connect()
            except (Undurable, psycopg.Error, ConnectionLost, OSError) as error:
                self._cause = _one_line(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_MAX_S)


class Appender:
    """Runs the append statement, one at a time.

    An append that got lost must not take effect behind what is decided afterwards. So each says, in
    the server's clock, how late it may begin; and the server's process behind a connection that was
    lost is ended before the next one is used. ``reconnected`` is told of every connection but the
    first.
    """

    def __init__(
        self,
        url: str,
        purpose: str,
        statement: bytes,
        home: Home,
        reconnected: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._purpose = purpose
        self._statement = statement
        self._home = home
        self._server: str | None = None
        self._process: ServerProcess | None = None
        self._clock_ahead_us = 0  # of `time.monotonic`, at least
        self._reconnected = reconnected
        self._prepared: PreparedStatement | None = None
        self._connecting = Connecting(self._connect)
        self._turn = asyncio.Lock()

    async def append(
        self,
        parameters: Sequence[bytes | None],
        deadline_s: float,
        generation: int | None = None,
        begin_by: float = inf,
    ) -> bytes | None:
        """The statement's value, once committed. ``generation``: of the memory that it rests on.

        ``begin_by``: when the server must have it (monotonic seconds), if that is before the
        deadline. Raises `CommitUnknown`, `StoreUnavailable`, `MemoryOutdated`, `StoreRejected`, and
        as it is `psycopg.errors.UniqueViolation`.
        """
        deadline = asyncio.get_running_loop().time() + deadline_s
        begin_by = min(begin_by, time.monotonic() + deadline_s)
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailable("the append before this one is not through") from None
        try:
            prepared = await self._ready(deadline)
            if generation not in (None, self._home.generation):
                raise MemoryOutdated("the connection was made anew")
            begin_by_us = self._clock_ahead_us + int(begin_by * 1_000_000)
            timed = [*parameters, begin_by_us.to_bytes(8)]
            return await self._execute(prepared, timed, deadline)
        finally:
            self._turn.release()

    async def close(self) -> None:
        """Close the connection; an append under way becomes `CommitUnknown`."""
        coming = await self._connecting.stop()
        for prepared in (self._prepared, coming):
            if prepared is not None:
                prepared.close()
        self._prepared = None

    async def _execute(
        self, prepared: PreparedStatement, parameters: Sequence[bytes | None], deadline: float
    ) -> bytes | None:
        try:
            async with asyncio.timeout_at(deadline):
                answer = await prepared.execute(parameters)
        except TimeoutError:
            prepared.close()
            self._home.fell_silent()
            self._connecting.start()
            raise CommitUnknown("no answer within the deadline") from None
        except ConnectionLost as error:
            raise CommitUnknown(str(error)) from error
        except psycopg.errors.UniqueViolation:
            raise
        except psycopg.Error as error:
            raise self._rolled_back(prepared, error) from error
        if answer.warnings:
            # The wait for the standby was cancelled: committed here, perhaps nowhere else.
            prepared.close()
            raise CommitUnknown("; ".join(answer.warnings))
        self._note_clock(int.from_bytes(answer.value(1) or b""))
        value = answer.value(0)
        if value == _LATE:
            raise StoreUnavailable("the append came too late")
        return value

    def _note_clock(self, server_us: int) -> None:
        """Taken as of now, though it is as old as its answer: nothing may count as valid too long.

        Where that makes an append late, or the server's clock was set, its answer puts it right.
        """
        self._clock_ahead_us = server_us - int(time.monotonic() * 1_000_000)

    @staticmethod
    def _rolled_back(prepared: PreparedStatement, error: psycopg.Error) -> StoreError:
        if (error.sqlstate or "")[:2] in _REFUSALS:
            return StoreRejected(_one_line(error))
        prepared.close()  # perhaps another server of the URL can do it
        return StoreUnavailable(_one_line(error))

    async def _ready(self, deadline: float) -> PreparedStatement:
        """A connection that is open, and at home: one that was long in coming may be neither."""
        while True:
            known = self._prepared
            if known is not None and self._server != self._home.server:
                known.close()
            if known is not None and not known.closed:
                return known
            self._prepared = await self._connecting.wait(deadline)
            if known is not None:
                self._home.generation += 1
                self._reconnected()

    async def _connect(self) -> PreparedStatement:
        # A server process whose client has given up must not wait for the log's lock for ever.
        watched = {"client_connection_check_interval": "500ms"}
        connection = await connect(self._url, self._purpose, role=None, settings=watched)
        try:
            self._process = await take_over(connection, self._process)
            self._note_clock(self._process.clock_us)
            with hung_up_after(CONNECT_S, connection):
                await keep_durability(connection)
            server = await server_of(connection)
            prepared = PreparedStatement(connection)
        except BaseException:
            await connection.close()
            raise
        async with asyncio.timeout(CONNECT_S):
            await prepared.prepare(self._statement)
        self._server = server
        self._home.reached(server)
        return prepared


class Reader:
    """Runs every other statement, one at a time.

    What it commits need not be durable (snapshots, notifications): it does not wait for the disk.
    ``reconnected`` is told of every connection but the first.
    """

    def __init__(
        self,
        url: str,
        purpose: str,
        home: Home | None = None,
        reconnected: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._purpose = purpose
        self._home = home or Home()
        self._server: str | None = None
        self._reconnected = reconnected
        self._connection: Connection | None = None
        self._connecting = Connecting(self._connect)
        self._turn = asyncio.Lock()

    async def fetch(
        self,
        statement: bytes,
        parameters: Sequence[Any] = (),
        *,
        within_s: float = READ_S,
        generation: int | None = None,
    ) -> list[Any]:
        """All rows of a statement that may be repeated. ``generation``: as for `Appender.append`.

        Whoever has less time says so: to cancel it asks the server to stop, and waits for that.
        Raises `StoreUnavailable`, `MemoryOutdated`, `StoreRejected`.
        """
        deadline = asyncio.get_running_loop().time() + within_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailable("the reads before this one are not through") from None
        try:
            fresh = self._connection is None or self._connection.closed
            try:
                return await self._try(statement, parameters, deadline, generation)
            except psycopg.OperationalError:
                if fresh:
                    raise
                # The connection had died since it was last used; that says nothing of the server.
                return await self._try(statement, parameters, deadline, generation)
        except psycopg.Error as error:
            if isinstance(error, psycopg.DataError):  # also without a word to the server
                raise StoreRejected(_one_line(error)) from error
            raise StoreUnavailable(_one_line(error)) from error
        finally:
            self._turn.release()

    async def close(self) -> None:
        """Close the connection."""
        coming = await self._connecting.stop()
        for connection in (self._connection, coming):
            if connection is not None:
                await connection.close()
        self._connection = None

    async def _try(
        self,
        statement: bytes,
        parameters: Sequence[Any],
        deadline: float,
        generation: int | None,
    ) -> list[Any]:
        connection = await self._ready(deadline)
        if generation not in (None, self._home.generation):
            raise MemoryOutdated("the connection was made anew")
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:  # to hang up would cost the others their connection
            raise StoreUnavailable("no time left")
        try:
            with hung_up_after(left, connection):
                async with connection.cursor(binary=True) as cursor:
                    await cursor.execute(statement, parameters)
                    return await cursor.fetchall() if cursor.description else []
        except psycopg.Error:
            await connection.close()
            raise

    async def _ready(self, deadline: float) -> Connection:
        """As the appender's."""
        while True:
            known = self._connection
            if known is not None and self._server != self._home.server:
                await known.close()
            if known is not None and not known.closed:
                return known
            self._connection = await self._connecting.wait(deadline)
            if known is not None:
                self._reconnected()

    async def _connect(self) -> Connection:
        settings = {"synchronous_commit": "off"}
        connection = await connect(self._url, self._purpose, settings=settings)
        try:
            self._server = await server_of(connection)
        except BaseException:
            await connection.close()
            raise
        self._home.reached(self._server)
        return connection


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
