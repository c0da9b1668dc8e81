"""Reads a partition's log in batches.

Ids are drawn under the log's lock: whoever sees an event sees all that came before it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from ledger.connections import Connection, connect, hung_up_after, server_of
from ledger.sql import schema_name
from projections.entries import Entry, read_entries
from projections.sql import statement

ROLE: Final = "ledger_project"
"""The role of the projections; the login must be a member."""

FEED_SETTINGS: Final = {
    # Along the index only: a plan made with statistics older than the log's tail takes the tail
    # for short, and would read and sort all of it for every batch.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
}

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
        self.server: str | None = None
        """Which server was read last."""
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def head(self) -> int:
        """The id of the last event, 0 for an empty log."""
        rows = await self._fetch("head")
        return int(rows[0][0])

    async def read(self, after: int, until: int) -> list[Entry]:
        """The next events behind ``after`` up to ``until``, `batch_max` at most, in order."""
        rows = await self._fetch("notifications", after, until, self.batch_max)
        entries: list[Entry] = []
        for start in range(0, len(rows), _SLICE):
            entries += read_entries(rows[start : start + _SLICE])
            await asyncio.sleep(0)  # others of this process have work to do, too
        return entries

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()
        self.server = None

    async def _fetch(self, name: str, *parameters: object) -> list[Any]:
        async with self._turn:
            connection = await self._connected()
            with hung_up_after(_READ_S, connection):
                async with connection.cursor(binary=True) as cursor:
                    await cursor.execute(statement(name, self._schema), parameters)
                    return await cursor.fetchall()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            purpose = f"feed {self._schema}"
            connection = await connect(self._url, purpose, role=ROLE, settings=FEED_SETTINGS)
            try:
                self.server = await server_of(connection)
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
        return self._connection
