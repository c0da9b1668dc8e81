"""Reads a partition's log in batches, one batch ahead of who asks.

Ids are drawn under the log's lock: whoever sees an event sees all that came before it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import psycopg

from ledger.connections import Connection, connect, hang_up
from ledger.sql import schema_name
from projections.entries import Entry, read_entries
from projections.sql import statement

ROLE: Final = "ledger_project"
"""The role of the projections; the login must be a member."""

_SLICE: Final = 250
_READ_S: Final = 30.0


class Feed:
    """One partition's log. Connects when it is used; `close` when done.

    Methods raise `psycopg.Error`; the next call connects again.
    """

    def __init__(self, url: str, partition: int, batch_max: int) -> None:
        self.batch_max = batch_max
        self._url = url
        self._schema = schema_name(partition)
        self._connection: Connection | None = None
        self._ahead: tuple[int, asyncio.Task[list[Entry]]] | None = None
        self._turn = asyncio.Lock()

    async def head(self) -> int:
        """The id of the last event, 0 for an empty log."""
        rows = await self._fetch("head")
        return int(rows[0][0])

    async def read(self, after: int, until: int) -> list[Entry]:
        """The next events behind ``after`` up to ``until``, `batch_max` at most, in order."""
        entries = await self._taken(after, until)
        if len(entries) >= self.batch_max and entries[-1].notification_id < until:
            position = entries[-1].notification_id
            self._ahead = position, asyncio.create_task(self._load(position, until))
        return entries

    async def close(self) -> None:
        """Close the connection."""
        await self._drop_ahead()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _taken(self, after: int, until: int) -> list[Entry]:
        if self._ahead is not None and self._ahead[0] == after:
            _, task = self._ahead
            self._ahead = None
            return await task
        await self._drop_ahead()
        return await self._load(after, until)

    async def _drop_ahead(self) -> None:
        if self._ahead is not None:
            _, task = self._ahead
            self._ahead = None
            task.cancel()
            with suppress(asyncio.CancelledError, psycopg.Error):
                await task

    async def _load(self, after: int, until: int) -> list[Entry]:
        rows = await self._fetch("notifications", after, until, self.batch_max)
        entries: list[Entry] = []
        for start in range(0, len(rows), _SLICE):
            entries += read_entries(rows[start : start + _SLICE])
            await asyncio.sleep(0)  # others of this process have work to do, too
        return entries

    async def _fetch(self, name: str, *parameters: object) -> list[Any]:
        async with self._turn:
            connection = await self._connected()
            alarm = asyncio.get_running_loop().call_later(_READ_S, hang_up, connection)
            try:
                async with connection.cursor(binary=True) as cursor:
                    await cursor.execute(statement(name, self._schema), parameters)
                    return await cursor.fetchall()
            finally:
                alarm.cancel()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._url, f"feed {self._schema}", role=ROLE)
        return self._connection
