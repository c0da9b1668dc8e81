"""Connections to the ledger's database: in the service's role, and one built for appending.

Nothing here retries a statement: whether one may be repeated is for its caller to know.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeAlias

import psycopg
from psycopg.abc import ConnDict
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import Diagnostic
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from ledger.sql import statement

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

ROLE: Final = "ledger_app"
"""The role of the service; the login must be a member."""

CONNECT_S: Final = 3
"""How long each step towards a connection may take."""
_ONE_OF_SEVERAL_S: Final = 2
"""psycopg's least."""
_UNLESS_THE_URL_SAYS: Final[dict[str, str | int]] = {
    # What a standby answers may be old, and nothing may be decided by it (reliability 1.9).
    "target_session_attrs": "read-write",
    # A link that was cut without a word is given up.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_SETTINGS: Final = {
    # Append's checks must see what was committed before it got its lock.
    "default_transaction_isolation": "read committed",
    "timezone": "UTC",
    # That a wait for a standby was cancelled is said in a warning only (reliability 1.2).
    "client_min_messages": "warning",
    # The server gives up a cut link too, or what it holds for us would be held for hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}
_SET: Final = (
    "SELECT pg_catalog.set_config(name, value, false)"
    " FROM unnest(%s::text[], %s::text[]) AS given (name, value)"
)
_SERVER: Final = statement("server")
_SERVER_PROCESS: Final = statement("server_process")
_END_PROCESS: Final = statement("end_process")
_PREPARED: Final = b"statement"
_NO_DOUBT: Final = frozenset({"GetNewTransactionId", "GetNewMultiXactId"})
"""Functions of the server that warn, with every commit, of a VACUUM that will be due."""


class ConnectionLost(Exception):
    """The connection ended; a statement that was under way may have taken effect or not."""


async def connect(
    url: str, purpose: str, *, role: str | None = ROLE, settings: Mapping[str, str] | None = None
) -> Connection:
    """A connection in autocommit and in ``role``; ``purpose`` is what an operator sees it as.

    None for the login's own role. Of a URL's hosts `target_session_attrs` decides, a primary where
    it is left out. Text goes as UTF-8 whatever else was set. ``settings`` are server parameters for
    this connection. Each host, and the settings, are given up after a while. Raises
    `psycopg.Error`.
    """
    given = conninfo_to_dict(url)
    left_open = {name: each for name, each in _UNLESS_THE_URL_SAYS.items() if name not in given}
    connection = await psycopg.AsyncConnection.connect(
        make_conninfo(url, **left_open),
        autocommit=True,
        prepare_threshold=0,
        connect_timeout=int(given.get("connect_timeout") or _host_s(given)),
        application_name=f"wallet-ledger {purpose}",
        client_encoding="utf8",
    )
    wanted = {**_SETTINGS, **(settings or {})} | ({} if role is None else {"role": role})
    try:
        with hung_up_after(CONNECT_S, connection):
            await connection.execute(_SET, (list(wanted), list(wanted.values())), prepare=False)
    except BaseException:
        await connection.close()
        raise
    return connection


def _host_s(given: ConnDict) -> int:
    """How long one host may take, in seconds: of several the dead ones are passed in turn."""
    return _ONE_OF_SEVERAL_S if "," in str(given.get("host", "")) else CONNECT_S


@contextmanager
def hung_up_after(seconds: float, connection: Connection) -> Iterator[None]:
    """End the connection if what is done on it meanwhile takes longer; it gets an error then."""
    alarm = asyncio.get_running_loop().call_later(seconds, hang_up, connection)
    try:
        yield
    finally:
        alarm.cancel()


def hang_up(connection: Connection) -> None:
    """End a connection at once, without a word to the server; who waits on it gets an error.

    Unlike a cancelled task, this sends no cancel request, which would end a wait for a standby.
    """
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as copy:
        try:
            copy.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was first


async def server_of(connection: Connection) -> str:
    """What tells the server from every other one behind the URL. Raises `psycopg.Error`."""
    with hung_up_after(CONNECT_S, connection):
        cursor = await connection.execute(_SERVER, prepare=False)
        row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


class ServerProcess(NamedTuple):
    """The process that serves a connection: its id, which is used again, and when it was started.

    ``clock_us``: the server's clock, in microseconds since 1970.
    """

    pid: int
    started: str
    clock_us: int


async def take_over(connection: Connection, before: ServerProcess | None) -> ServerProcess:
    """End the process of the connection ``before``; returns that of this one, now in `ROLE`.

    What was sent on a connection that was lost may still be on its way: the process that it would
    reach must be gone before anything is decided anew. ``connection`` must be in the login's own
    role: no other may end the login's processes. Raises `psycopg.Error`, also where the process
    does not end; where it may not be ended, with the first connection.
    """
    with hung_up_after(CONNECT_S, connection):
        gone = (0, "") if before is None else before[:2]
        cursor = await connection.execute(_END_PROCESS, gone, prepare=False)
        if await cursor.fetchone() == (False,):
            raise psycopg.OperationalError("the server still works on what was lost")
        cursor = await connection.execute(_SERVER_PROCESS, prepare=False)
        row = await cursor.fetchone()
        await connection.execute(_SET, (["role"], [ROLE]), prepare=False)
    assert row is not None
    return ServerProcess(*row)


def is_doubt(notice: Diagnostic) -> bool:
    """Whether the server says with a commit that it may not be durable (reliability 1.2)."""
    return notice.severity_nonlocalized == "WARNING" and notice.source_function not in _NO_DOUBT


class Answer:
    """What a statement brought: its last result, and the warnings on the way."""

    __slots__ = ("_result", "warnings")

    def __init__(self, result: PGresult, warnings: list[str]) -> None:
        self._result = result
        self.warnings = warnings

    def value(self, column: int) -> bytes | None:
        """A column of its one row, as it is on the wire."""
        assert self._result.ntuples == 1, "no row is no NULL"
        return self._result.get_value(0, column)


class PreparedStatement:
    """One statement on a connection of its own, sent without psycopg's layers.

    Saves 75 us a call. Notices at once when the connection ends, also between calls.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pgconn: PGconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._answer: asyncio.Future[None] | None = None
        self._results: list[PGresult] = []
        self._warnings: list[str] = []
        self._closed = False
        self._unread = select.poll()
        self._unread.register(self._socket, select.POLLIN)
        connection.add_notice_handler(self._take_notice)
        self._loop.add_reader(self._socket, self._read)

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._closed

    async def prepare(self, statement: bytes) -> None:
        """Prepare the statement that `execute` runs.

        Raises `ConnectionLost` and `psycopg.Error`, and closes the connection then: its socket must
        not stay watched when its number belongs to somebody else.
        """
        try:
            self._begin()
            self._pgconn.send_prepare(_PREPARED, statement)
            await self._finish()
        except BaseException:
            self.close()
            raise

    async def execute(self, parameters: Sequence[bytes | None]) -> Answer:
        """Run the statement with binary parameters; returns when the server is ready again.

        Only then is the transaction committed: the result itself comes before its commit. Raises
        `ConnectionLost`, and `psycopg.Error` where the server rolled it back. Cancelling it closes
        the connection.
        """
        self._begin()
        formats = [Format.BINARY] * len(parameters)
        try:
            self._pgconn.send_query_prepared(_PREPARED, parameters, formats, Format.BINARY)
        except psycopg.Error as error:
            raise self._lost(error) from error
        except BaseException:
            self.close()
            raise
        return await self._finish()

    def close(self) -> None:
        """End the connection at once; a statement under way may still take effect."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._pgconn.finish()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _begin(self) -> None:
        if self._closed:
            raise ConnectionLost("the connection is closed")
        assert self._answer is None, "one statement at a time"
        self._results, self._warnings = [], []
        self._answer = self._loop.create_future()

    async def _finish(self) -> Answer:
        assert self._answer is not None
        try:
            self._write()
            await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._answer = None
        if self._closed:
            raise ConnectionLost(self._last_words())
        return self._judge()

    def _judge(self) -> Answer:
        """An error that left the connection in order means that the transaction was rolled back."""
        for result in self._results:
            if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                error = psycopg.errors.error_from_result(result)
                if error.diag.severity_nonlocalized != "ERROR":
                    raise self._lost(error) from error
                raise error
        if not self._results or self._pgconn.transaction_status != TransactionStatus.IDLE:
            raise self._lost(None)
        return Answer(self._results[-1], self._warnings)

    def _write(self) -> None:
        """Send what the kernel has not taken yet."""
        try:
            unsent = self._pgconn.flush()
        except psycopg.Error:
            self.close()
            return
        if unsent:
            self._loop.add_writer(self._socket, self._write)
        else:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        """Take what has come, all of it.

        Where the socket has an error too, uvloop calls for the last time, and what is left unread
        would never be seen: not even that the server is gone.
        """
        try:
            while True:
                self._pgconn.consume_input()
                complete = self._collect()
                if not self._unread.poll(0):
                    break
        except psycopg.Error:
            self.close()
            return
        if self._pgconn.status != ConnStatus.OK:
            self.close()
        elif complete and self._answer is not None and self._results and not self._answer.done():
            self._answer.set_result(None)

    def _collect(self) -> bool:
        """Take over the results that are there; whether the server is ready again."""
        while not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:
                return True
            self._results.append(result)
        return False

    def _take_notice(self, notice: Diagnostic) -> None:
        if is_doubt(notice):
            self._warnings.append(f"{notice.sqlstate} {notice.message_primary}")

    def _lost(self, error: Exception | None) -> ConnectionLost:
        words = str(error) if error else self._last_words()
        self.close()
        return ConnectionLost(" ".join(words.split()))

    def _last_words(self) -> str:
        said = [result.get_error_message() for result in self._results]
        return " ".join(" ".join(said).split()) or "the connection was lost"
