"""What reports read: one partition at one instant, with the views as far as the log.

A report never shows a view that has not seen what was in the log when it was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import msgspec

from ledger.connections import ROLE, Connection, connect
from ledger.sql import schema_name
from projections.ahead import ahead_of_log, gone, was_ahead
from projections.registry import view_named
from projections.reports.errors import AppendUnderWay, ViewsBehind, ViewsStopped
from projections.reports.queries import query

CATCH_UP_S: Final = 5.0
"""How long to wait for appends that are under way, and then again for the views."""

_POLL_S: Final = 0.02
_TRIES: Final = 100
_FETCH: Final = 2_000
_SETTINGS: Final = {
    "default_transaction_read_only": "on",
    "statement_timeout": "10min",
    "lock_timeout": "10s",
    "client_connection_check_interval": "500ms",
    "jit": "off",
    # What is read twice comes in one order: of a long list the same beginning is kept.
    "synchronize_seqscans": "off",
}


class ViewState(msgspec.Struct, frozen=True):
    """Where a view stands, where its log ends, and why it stopped if it has."""

    view: str
    position: int
    head: int
    error: str | None

    def stopped(self, until: int) -> str | None:
        """Why it does not come there as it is, or is no view of this log; None: it does."""
        if was_ahead(self.error) or self.position < until:
            return self.error
        return ahead_of_log(self.view, self.position, self.head)


class Snapshot:
    """One partition as of one instant."""

    def __init__(
        self, connection: Connection, partition: int, positions: Mapping[str, int]
    ) -> None:
        self.partition = partition
        self.positions = positions
        self._connection = connection
        self._schema = schema_name(partition)

    async def rows(
        self, name: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[tuple[Any, ...]]:
        """All rows of a named statement."""
        async with self._connection.cursor(binary=True) as cursor:
            await cursor.execute(query(name, self._schema), parameters)
            return await cursor.fetchall()

    async def stream(
        self, name: str, parameters: Mapping[str, Any]
    ) -> AsyncIterator[tuple[Any, ...]]:
        """The rows of a named statement one by one, however many there are."""
        async with self._connection.cursor(name, binary=True) as cursor:
            cursor.itersize = _FETCH
            await cursor.execute(query(name, self._schema), parameters)
            async for row in cursor:
                yield row

    async def value(self, name: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """First column of the first row; None where there is none."""
        rows = await self.rows(name, parameters)
        return rows[0][0] if rows else None


@asynccontextmanager
async def open_snapshot(
    url: str, partition: int, views: Sequence[str], begun_by: datetime | None = None
) -> AsyncIterator[Snapshot]:
    """A partition in which those views stand at one and the same position.

    They have seen at least what the log held when this was called, and all that is appended by who
    had ``begun_by`` then. Raises `ViewsBehind`, `AppendUnderWay`, `psycopg.Error`.
    """
    schema = schema_name(partition)
    async with await connect(url, f"report {schema}", settings=_SETTINGS) as connection:
        if begun_by is not None:
            await _wait_for_appends(connection, partition, begun_by)
        await _wait(connection, partition, views)
        states: list[ViewState] = []
        for _ in range(_TRIES):
            await _begin(connection, schema, views)
            states = await _states(connection, partition, views)
            positions = {state.view: state.position for state in states}
            if len(set(positions.values())) <= 1:
                yield Snapshot(connection, partition, positions)
                return
            await connection.execute("ROLLBACK")
            await asyncio.sleep(_POLL_S)
        places = ", ".join(f"{state.view} at {state.position}" for state in states)
        raise ViewsBehind(f"the views do not stand at one position: {places}")


async def _begin(connection: Connection, schema: str, views: Sequence[str]) -> None:
    """Begin a transaction that sees one instant.

    The tables are locked before its snapshot is taken: a rebuilt view that took the old one's place
    in between would be seen in part only.
    """
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    tables = [f"{schema}.{table}" for name in views for table in view_named(name).tables]
    if tables:
        await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE".encode())


async def _wait_for_appends(connection: Connection, partition: int, begun_by: datetime) -> None:
    """Return when those have ended that are under way now. Raises `AppendUnderWay`."""
    schema = schema_name(partition)
    deadline = asyncio.get_running_loop().time() + CATCH_UP_S
    cursor = await connection.execute(query("append_turn", schema))
    turn = (await cursor.fetchone() or (None,))[0]
    await connection.execute("SET ROLE NONE")  # only the login sees when its processes began
    awaited: set[str] | None = None
    while True:
        cursor = await connection.execute(query("appends_under_way", schema), (turn, begun_by))
        under_way = {row[0] for row in await cursor.fetchall()}
        awaited = under_way if awaited is None else awaited & under_way
        if not awaited:
            break
        if asyncio.get_running_loop().time() > deadline:
            raise AppendUnderWay(partition)
        await asyncio.sleep(_POLL_S)
    await connection.execute(f"SET ROLE {ROLE}")


async def _wait(connection: Connection, partition: int, views: Sequence[str]) -> None:
    """Return when the views have seen what the log holds now. Raises `ViewsBehind`."""
    if not views:
        return
    schema = schema_name(partition)
    cursor = await connection.execute(query("head", schema))
    head = (await cursor.fetchone() or (0,))[0]
    deadline = asyncio.get_running_loop().time() + CATCH_UP_S
    while True:
        states = await _states(connection, partition, views)
        stopped = {state.view: why for state in states if (why := state.stopped(head))}
        if stopped:
            raise ViewsStopped(partition, stopped)
        behind = [state for state in states if state.position < head]
        if not behind:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise ViewsBehind(_how_far(behind[0], partition, head))
        await asyncio.sleep(_POLL_S)


async def _states(connection: Connection, partition: int, views: Sequence[str]) -> list[ViewState]:
    """Where each of the views stands. Raises `ViewsStopped` where one of them stands nowhere."""
    schema = schema_name(partition)
    cursor = await connection.execute(query("states", schema), (list(views),))
    states = [ViewState(*row) for row in await cursor.fetchall()]
    missing = set(views) - {state.view for state in states}
    if missing:
        raise ViewsStopped(partition, {view: gone(view, schema) for view in sorted(missing)})
    return states


def _how_far(state: ViewState, partition: int, head: int) -> str:
    return (
        f"the view {state.view} of partition {partition} is {head - state.position} events behind"
        " the log; is anything running the projections?"
    )
