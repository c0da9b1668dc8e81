"""One view of one partition: its lock, its position, and its batches, each in one transaction.

The lock belongs to the session that writes: who loses the connection loses the right to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import psycopg
import structlog
from psycopg.errors import DataError, IntegrityError

from ledger.connections import Connection, connect, hung_up_after, server_of
from ledger.repeated import Repeated
from ledger.sql import schema_name
from projections.ahead import ahead_of_log, gone, was_ahead
from projections.entries import Entry
from projections.feed import ROLE
from projections.sql import LIVE, statement
from projections.view import View
from projections.writes import BrokenView, Change, apply, prepare

log = structlog.get_logger(__name__)

_WRITE_S: Final = 60.0
_LOOK_S: Final = 5.0

WRITER_SETTINGS: Final = {
    # A lost tail is read again from the log: position and rows are lost together.
    "synchronous_commit": "off",
    # A plan made on an empty table must not turn into a scan of a full one.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # A process that froze in the middle must not hold the view for ever.
    "idle_in_transaction_session_timeout": "60s",
}


Folded: TypeAlias = list[Change] | Exception
"""What a batch changes in a view, or why the view cannot take it."""


class Overtaken(Exception):
    """Somebody else moved the view: a rebuilt one has taken its place."""


class ViewWriter:
    """Writes a view's batches while it holds the view's lock.

    ``position`` is None until the lock is held, and where nobody knows it; ``error`` says why the
    view does not move, and ``stopped`` that it will not until the next start, or until it was made
    anew.
    """

    def __init__(self, url: str, partition: int, view: View) -> None:
        self.view = view
        self.position: int | None = None
        self.error: str | None = None
        self.stopped = False
        self.server: str | None = None
        """Which server is written to."""
        self.losses = Repeated()
        self._url = url
        self._schema = schema_name(partition)
        self._connection: Connection | None = None

    @property
    def ready(self) -> bool:
        """Whether the view can be moved by this writer now."""
        return self.position is not None and not self.stopped

    async def acquire(self) -> bool:
        """Take the lock if nobody else has it, and look where the view is; False: others have it.

        Raises `psycopg.Error`.
        """
        if self._connection is not None and (self.position is not None or self.stopped):
            return True
        if self._connection is None or self._connection.closed:
            purpose = f"view {self._schema}.{self.view.name}"
            self._connection = await connect(
                self._url, purpose, role=ROLE, settings=WRITER_SETTINGS
            )
            self.server = await server_of(self._connection)
            prepare(self._connection)
        if not await self._lock():
            return False
        await self.look()
        if self.position is not None:
            log.info("view_taken", schema=self._schema, view=self.view.name, position=self.position)
        return True

    async def look(self) -> None:
        """Look where the view is, and whether it can go on from there.

        It cannot where it is ahead of the log, or stopped and was not made anew since. Raises
        `psycopg.Error`.
        """
        name = self.view.name
        with hung_up_after(_LOOK_S, self._held()):
            cursor = await self._held().execute(statement("place", self._schema), (name,))
            place = await cursor.fetchone()
        if place is None:
            self._stopped_at(None, gone(name, self._schema))
            return
        self.position, error, head = place
        reason = error if was_ahead(error) else ahead_of_log(name, place[0], head)
        if reason is None:
            self.stopped = self.stopped and error is not None
            self.error = self.error if self.stopped else None
        elif not self.stopped:
            await self._stop(reason)

    def fold(self, entries: Sequence[Entry]) -> Folded:
        """What the entries change in the view, or why it cannot take them."""
        try:
            return self.view.fold(entries)
        except Exception as error:  # noqa: BLE001 - whatever it is, this view stops and says so
            return error

    async def advance(self, after: int, entries: Sequence[Entry], folded: Folded) -> None:
        """Move the view over the entries behind ``after``, unless it stands elsewhere by now.

        At one that it cannot take it stops, having written all before it. Raises `psycopg.Error`
        where the database cannot work: `lose` the view then.
        """
        if not entries or self.stopped or self.position != after:
            return
        if isinstance(folded, Exception):
            await self._narrow(entries, folded)
            return
        try:
            await self._write(entries, folded)
        except Overtaken:
            await self.look()
        except (DataError, IntegrityError, BrokenView) as error:
            await self._narrow(entries, error)

    async def lose(self, error: str | None = None) -> None:
        """Give up the connection, and the lock with it."""
        self.position, self.stopped, self.error, self.server = None, False, error, None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _narrow(self, entries: Sequence[Entry], error: Exception) -> None:
        """Find the entry that did it: try the halves one after the other."""
        if len(entries) == 1:
            reason = " ".join(str(error).split()) or type(error).__name__
            await self._stop(f"{entries[0]}: {reason}")
            return
        middle = len(entries) // 2
        for after, half in (
            (self.position, entries[:middle]),
            (entries[middle - 1].notification_id, entries[middle:]),
        ):
            if after is not None:
                await self.advance(after, half, self.fold(half))

    def _stopped_at(self, position: int | None, reason: str) -> None:
        if not self.stopped:
            name = self.view.name
            log.error(
                "view_stopped", schema=self._schema, view=name, position=position, error=reason
            )
        self.position, self.stopped, self.error = position, True, reason

    async def _stop(self, reason: str) -> None:
        self._stopped_at(self.position, reason)
        connection = self._held()
        parameters = (self.error, self.view.name, self.position)
        with hung_up_after(_LOOK_S, connection):
            await connection.execute(statement("stop", self._schema), parameters)

    async def _write(self, entries: Sequence[Entry], changes: Sequence[Change]) -> None:
        connection = self._held()
        position = entries[-1].notification_id
        with hung_up_after(_WRITE_S, connection):
            if not changes:
                await self._advance(connection, position)  # a transaction of its own
            else:
                async with connection.transaction(), connection.cursor() as cursor:
                    await self._advance(connection, position)
                    await apply(cursor, changes, self._schema, LIVE)
        self.position, self.error = position, None

    async def _advance(self, connection: Connection, position: int) -> None:
        parameters = (position, self.view.name, self.position)
        cursor = await connection.execute(statement("advance", self._schema), parameters)
        if cursor.rowcount != 1:
            raise Overtaken

    async def _lock(self) -> bool:
        name = f"{self._schema}.{self.view.name}"
        with hung_up_after(_LOOK_S, self._held()):
            cursor = await self._held().execute(statement("try_lock", self._schema), (name,))
            return bool((await cursor.fetchone() or (False,))[0])

    def _held(self) -> Connection:
        if self._connection is None:
            raise psycopg.OperationalError("the connection is closed")
        return self._connection
