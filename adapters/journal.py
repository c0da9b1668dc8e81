"""The call journal: every provider call as it came and as it was answered, evidence in a dispute.

Written in the background by COPY; a crash may lose the last second of it. Money never waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import date, datetime
from typing import Any, Final, NamedTuple

import psycopg
import structlog
from psycopg.rows import dict_row

from adapters.metrics import Metrics
from ledger.connections import connect
from ledger.sql import statement

log = structlog.get_logger(__name__)

ENTRIES_MAX: Final = 20_000
"""More than these wait only while the database is away; further ones are counted as lost."""

_FLUSH_INTERVAL_S: Final = 0.2
_CALLS_MAX: Final = 100


class Entry(NamedTuple):
    """One call. Body and query hold no tokens.

    ``duration_us`` is from its last byte to its answer.
    """

    received_at: datetime
    integration: str
    operation: str
    method: str
    path: str
    query: str
    body: bytes
    status: int
    answer: bytes
    outcome: str
    player_id: str | None
    transaction_id: str | None
    duration_us: int
    remote: str | None
    key_id: str | None
    trace_id: str


class Journal:
    """Takes entries without waiting; `run` writes them."""

    def __init__(self, url: str, metrics: Metrics) -> None:
        self._url = url
        self._metrics = metrics
        self._entries: deque[Entry] = deque()
        self._days: set[date] = set()
        self._connection: psycopg.AsyncConnection[Any] | None = None

    def record(self, entry: Entry) -> None:
        """Take an entry; never blocks, never raises."""
        if len(self._entries) < ENTRIES_MAX:
            self._entries.append(entry)
        else:
            self._metrics.journal_rows_lost.inc()

    async def run(self) -> None:
        """Write what is taken until cancelled, then the rest."""
        try:
            while True:
                await asyncio.sleep(_FLUSH_INTERVAL_S)
                await self._flush()
        finally:
            await self._flush()
            await self._disconnect()

    async def calls(self, integration: str, transaction_id: str) -> list[dict[str, Any]]:
        """The calls that carried a provider's transaction id, oldest first, at most 100.

        Raises `psycopg.Error` when the database cannot be asked.
        """
        connection = await connect(self._url, "journal")
        async with connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                statement("calls_of_transaction"), (integration, transaction_id, _CALLS_MAX)
            )
            return await cursor.fetchall()

    async def _flush(self) -> None:
        if not self._entries:
            return
        entries = [self._entries.popleft() for _ in range(len(self._entries))]
        try:
            await self._write(entries)
        except psycopg.Error as error:
            log.warning("journal_write_failed", error=str(error), entries=len(entries))
            await self._disconnect()
            self._entries.extendleft(reversed(entries[: ENTRIES_MAX - len(self._entries)]))
        else:
            self._metrics.journal_rows_written.inc(len(entries))

    async def _write(self, entries: list[Entry]) -> None:
        if self._connection is None:
            self._connection = await connect(self._url, "journal")
            self._days.clear()
        connection = self._connection
        days = {entry.received_at.date() for entry in entries} - self._days
        for day in days:
            await connection.execute(statement("ensure_calls_partition"), (day,))
        self._days |= days
        async with connection.cursor() as cursor, cursor.copy(statement("copy_calls")) as copy:
            for entry in entries:
                await copy.write_row(entry)

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
