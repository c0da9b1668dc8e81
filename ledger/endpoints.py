"""The two ways into a partition: one connection that appends, one that reads.

They keep their connection, build it again when it is lost, and say in the store's own errors what
became of a statement. Neither repeats an append.

    StoreError
    +-- StoreUnavailable   nothing was written: the database cannot be reached, or cannot work now
    +-- StoreRejected      nothing was written, and never will be: the rows break a rule
    +-- CommitUnknown      perhaps it was written: look the keys up
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import psycopg
import structlog

from ledger.connections import Connection, ConnectionLost, PreparedStatement, connect, hang_up

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 0.02
_PAUSE_MAX_S: Final = 0.3
_READ_S: Final = 5.0
_REFUSALS: Final = frozenset({"21", "22", "23", "54"})
"""Classes of SQLSTATE that speak of what the server was given, not of the server."""


class StoreError(Exception):
    """The database did not do as it was asked."""


class StoreUnavailable(StoreError):
    """Nothing was written or read: the database cannot be reached, or cannot work now."""


class StoreRejected(StoreError):
    """Nothing was written, and never will be: a row breaks a rule of the database."""


class CommitUnknown(StoreError):
    """It is not known whether the append was committed."""


class Appender:
    """Runs the append statement, one at a time.

    ``reconnected`` is told of every connection but the first.
    """

    def __init__(
        self, url: str, purpose: str, statement: bytes, reconnected: Callable[[], None]
    ) -> None:
        self._url = url
        self._purpose = purpose
        self._statement = statement
        self._reconnected = reconnected
        self._prepared: PreparedStatement | None = None
        self._turn = asyncio.Lock()

    async def append(self, parameters: Sequence[bytes | None], deadline_s: float) -> bytes | None:
        """The statement's value, once committed.

        Raises `CommitUnknown`, `StoreUnavailable`, `StoreRejected`, and as it is
        `psycopg.errors.UniqueViolation`.
        """
        deadline = asyncio.get_running_loop().time() + deadline_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailable("the append before this one is not through") from None
        try:
            prepared = await self._ready(deadline)
            return await self._execute(prepared, parameters, deadline)
        finally:
            self._turn.release()

    async def close(self) -> None:
        """Close the connection; an append under way becomes `CommitUnknown`."""
        if self._prepared is not None:
            self._prepared.close()
            self._prepared = None

    async def _execute(
        self, prepared: PreparedStatement, parameters: Sequence[bytes | None], deadline: float
    ) -> bytes | None:
        try:
            async with asyncio.timeout_at(deadline):
                answer = await prepared.execute(parameters)
        except TimeoutError:
            prepared.close()
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
        return answer.value

    @staticmethod
    def _rolled_back(prepared: PreparedStatement, error: psycopg.Error) -> StoreError:
        if (error.sqlstate or "")[:2] in _REFUSALS:
            return StoreRejected(_one_line(error))
        prepared.close()  # perhaps another server of the URL can do it
        return StoreUnavailable(_one_line(error))

    async def _ready(self, deadline: float) -> PreparedStatement:
        if self._prepared is None or self._prepared.closed:
            known = self._prepared
            self._prepared = await _connected(self._connect, deadline)
            if known is not None:
                self._reconnected()
        return self._prepared

    async def _connect(self) -> PreparedStatement:
        # A server process whose client has given up must not wait for the log's lock for ever.
        watched = {"client_connection_check_interval": "500ms"}
        connection = await connect(self._url, self._purpose, settings=watched)
        prepared = PreparedStatement(connection)
        await prepared.prepare(self._statement)
        return prepared


class Reader:
    """Runs every other statement, one at a time.

    What it commits need not be durable (snapshots, notifications): it does not wait for the disk.
    ``reconnected`` is told of every connection but the first.
    """

    def __init__(
        self, url: str, purpose: str, reconnected: Callable[[], None] = lambda: None
    ) -> None:
        self._url = url
        self._purpose = purpose
        self._reconnected = reconnected
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def fetch(
        self, statement: bytes, parameters: Sequence[Any] = (), *, within_s: float = _READ_S
    ) -> list[Any]:
        """All rows of a statement that may be repeated. Raises `StoreUnavailable`, `StoreRejected`.

        Whoever has less time says so: to cancel it asks the server to stop, and waits for that.
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
                return await self._try(statement, parameters, deadline)
            except psycopg.OperationalError:
                if fresh:
                    raise
                # The connection had died since it was last used; that says nothing of the server.
                return await self._try(statement, parameters, deadline)
        except psycopg.Error as error:
            if isinstance(error, psycopg.DataError):  # also without a word to the server
                raise StoreRejected(_one_line(error)) from error
            raise StoreUnavailable(_one_line(error)) from error
        finally:
            self._turn.release()

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _try(self, statement: bytes, parameters: Sequence[Any], deadline: float) -> list[Any]:
        if self._connection is None or self._connection.closed:
            known = self._connection
            self._connection = await _connected(self._connect, deadline)
            if known is not None:
                self._reconnected()
        connection = self._connection
        alarm = asyncio.get_running_loop().call_at(deadline, hang_up, connection)
        try:
            async with connection.cursor(binary=True) as cursor:
                await cursor.execute(statement, parameters)
                return await cursor.fetchall() if cursor.description else []
        except psycopg.Error:
            await connection.close()
            raise
        finally:
            alarm.cancel()

    async def _connect(self) -> Connection:
        return await connect(self._url, self._purpose, settings={"synchronous_commit": "off"})


async def _connected(connect: Callable[[], Awaitable[Any]], deadline: float) -> Any:
    """Try to connect until the deadline. Raises `StoreUnavailable`."""
    pause, cause = _PAUSE_S, "no answer"
    try:
        async with asyncio.timeout_at(deadline):
            while True:
                try:
                    return await connect()
                except (psycopg.Error, ConnectionLost, OSError) as error:
                    cause = _one_line(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PAUSE_MAX_S)
    except TimeoutError:
        raise StoreUnavailable(f"the database cannot be reached: {cause}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
