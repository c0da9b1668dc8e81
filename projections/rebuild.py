"""Builds a view anew beside the live one: to take its place, or to be compared with it.

The live view moves on meanwhile, and whoever reads it sees one or the other, never a mixture.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import msgspec
import psycopg
import structlog
from psycopg.errors import DataError, IntegrityError, LockNotAvailable

from ledger.connections import Connection, connect, server_of
from ledger.sql import schema_name
from projections.ahead import gone
from projections.entries import Entry
from projections.feed import ROLE, Feed
from projections.registry import view_named
from projections.sql import REBUILD, statement
from projections.view import View
from projections.writer import WRITER_SETTINGS
from projections.writes import BrokenView, Change, apply, prepare

log = structlog.get_logger(__name__)

Progress: TypeAlias = Callable[[int, int], None]
"""Is told the position reached and the last position of the log."""

_BATCH: Final = 10_000
_SWAP_TRIES: Final = 30
_SWAP_PAUSE_S: Final = 1.0
_SAMPLES: Final = 20


class RebuildBusy(Exception):
    """The view is being rebuilt or compared by somebody else."""


class Unfoldable(Exception):
    """The view cannot take an event of the log, or stands nowhere; the text says what is wrong."""


class Difference(msgspec.Struct, frozen=True):
    """A row in which the live view and a fresh fold differ.

    ``fresh`` and ``live`` are its columns in each, as far as they differ; None: it has no such row.
    ``of``: how many such rows the table has, told or not.
    """

    view: str
    partition: int
    table: str
    key: dict[str, Any]
    fresh: dict[str, Any] | None
    live: dict[str, Any] | None
    of: int


async def rebuild(url: str, partition: int, name: str, progress: Progress | None = None) -> int:
    """Build a view from the whole log and put it in the live one's place; its new position.

    A view that had stopped moves again. Raises `RebuildBusy`, KeyError for an unknown view,
    `psycopg.Error`, and `Unfoldable` at an event that the view cannot take: the live view stays as
    it is.
    """
    async with _shadow(url, partition, name, progress) as shadow:
        await shadow.live_position()  # there is one
        await shadow.advance(await shadow.feed.head())
        for tries in range(1, _SWAP_TRIES + 1):
            try:
                return await shadow.swap()
            except LockNotAvailable:
                # Somebody reads the view at length; until then it would make everybody wait.
                log.info("rebuild_waits_for_readers", view=name, tries=tries)
                if tries == _SWAP_TRIES:
                    raise
            await asyncio.sleep(_SWAP_PAUSE_S)
            await shadow.advance(await shadow.feed.head())
    raise AssertionError("the last try returns or raises")


async def compare(
    url: str, partition: int, name: str, progress: Progress | None = None
) -> list[Difference]:
    """Differences between a view and a fresh fold of the log up to where the view is.

    At most 20 a table; empty: they are equal. Raises as `rebuild`.
    """
    async with _shadow(url, partition, name, progress) as shadow:
        await shadow.advance(await shadow.live_position())
        found = await shadow.differences()
        await shadow.begin()  # leave nothing behind
        return found


class _Shadow:
    """A view's twin tables, and how far they are."""

    def __init__(
        self, connection: Connection, feed: Feed, partition: int, view: View, progress: Progress
    ) -> None:
        self.feed = feed
        self.position = 0
        self._connection = connection
        self._partition = partition
        self._schema = schema_name(partition)
        self._view = view
        self._progress = progress

    async def begin(self) -> None:
        """Empty the twins and begin at the first event."""
        await self._execute("begin_rebuild", self._view.name)
        self.position = 0

    async def advance(self, until: int) -> None:
        """Write the log up to ``until``, a batch a transaction."""
        while self.position < until:
            async with self._connection.transaction():
                if not await self._step(until):
                    return

    async def live_position(self) -> int:
        """Where the live view is. Raises `Unfoldable` where nobody knows."""
        position = await self._execute("position", self._view.name)
        if position is None:
            raise Unfoldable(gone(self._view.name, self._schema))
        return int(position)

    async def swap(self) -> int:
        """Hold the live view, write what came meanwhile, and change places."""
        async with self._connection.transaction():
            await self._execute("hold_position", self._view.name)
            before = self.position
            try:
                while await self._step(await self.feed.head()):
                    pass
                await self._execute("swap_rebuilt", self._view.name)
            except BaseException:
                self.position = before
                raise
        return self.position

    async def differences(self) -> list[Difference]:
        """Compare as of one instant, with the twins brought to where the view was then."""
        await self._connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        async with self._connection.transaction():
            until = await self.live_position()
            while await self._step(until):
                pass
            for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
                await self._connection.execute(f"SET LOCAL {setting} = on".encode())
            return [each for table in self._view.tables for each in await self._unequal(table)]

    async def _step(self, until: int) -> bool:
        """One batch, within the caller's transaction; False: there was none."""
        if self.position >= until:
            return False
        entries = await self.feed.read(self.position, until)
        if not entries:
            return False
        position = entries[-1].notification_id
        async with self._connection.cursor() as cursor:
            name = self._view.name + REBUILD
            parameters = (position, name, self.position)
            await cursor.execute(statement("advance", self._schema), parameters)
            assert cursor.rowcount == 1, "somebody else moves the twins"
            try:
                await apply(cursor, self._fold(entries), self._schema, REBUILD)
            except (DataError, IntegrityError, BrokenView) as error:
                raise Unfoldable(str(error)) from error
        self.position = position
        self._progress(position, until)
        return True

    def _fold(self, entries: Sequence[Entry]) -> list[Change]:
        try:
            return self._view.fold(entries)
        except Exception as error:
            # Whatever it is: the live view would stop at it, and here it is said.
            raise Unfoldable(str(error) or type(error).__name__) from error

    async def _unequal(self, table: str) -> list[Difference]:
        names: list[str] = await self._execute("primary_key", f"{self._schema}.{table}")
        query = (
            statement("unequal_rows", self._schema)
            .replace(b"{table}", table.encode())
            .replace(b"{key}", ", ".join(names).encode())
        )
        cursor = await self._connection.execute(query, (_SAMPLES,))
        return [
            Difference(
                self._view.name,
                self._partition,
                table,
                {name: (fresh or live)[name] for name in names},
                _otherwise(fresh, live),
                _otherwise(live, fresh),
                of,
            )
            for fresh, live, of in await cursor.fetchall()
        ]

    async def _execute(self, name: str, parameter: object) -> Any:
        cursor = await self._connection.execute(statement(name, self._schema), (parameter,))
        row = await cursor.fetchone()
        return row[0] if row else None


@asynccontextmanager
async def _shadow(
    url: str, partition: int, name: str, progress: Progress | None
) -> AsyncIterator[_Shadow]:
    view = view_named(name)
    schema = schema_name(partition)
    feed = Feed(url, partition, _BATCH)
    purpose = f"rebuild {schema}.{name}"
    try:
        async with await connect(url, purpose, role=ROLE, settings=WRITER_SETTINGS) as connection:
            prepare(connection)
            lock = f"{schema}.{name}{REBUILD}"
            cursor = await connection.execute(statement("try_lock", schema), (lock,))
            if not (await cursor.fetchone() or (False,))[0]:
                raise RebuildBusy(f"view {name} of partition {partition} is being rebuilt already")
            await feed.head()
            if feed.server != await server_of(connection):
                raise psycopg.OperationalError("another server is read than the view is written to")
            shadow = _Shadow(connection, feed, partition, view, progress or _silent)
            await shadow.begin()
            yield shadow
            # Not left to the end of the connection, which the server may notice after the next try.
            await connection.execute(statement("unlock", schema), (lock,))
    finally:
        await feed.close()


def _otherwise(row: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a row says otherwise than another."""
    if row is None or other is None:
        return row
    return {name: cell for name, cell in row.items() if cell != other[name]}


def _silent(position: int, head: int) -> None:
    """Nobody wants to know."""
