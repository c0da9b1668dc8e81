"""The call journal: every provider call as it came and as it was answered, evidence in a dispute.

Written in the background by COPY; a crash may lose the last second of it. Money never waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
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
_REFUSED: Final = (psycopg.DataError, psycopg.IntegrityError, ValueError, TypeError, OverflowError)
"""What a bad entry raises; anything else is the database's trouble, and passes."""


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
    """Takes entries without waiting; `run` writes them, until `stop`."""

    def __init__(self, url: str, metrics: Metrics) -> None:
        self._url = url
        self._metrics = metrics
        self._entries: deque[Entry] = deque()
        self._days: set[date] = set()
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._stopping = asyncio.Event()

    def record(self, entry: Entry) -> None:
        """Take an entry; never blocks, never raises."""
        if len(self._entries) < ENTRIES_MAX:
            self._entries.append(entry)
        else:
            self._metrics.journal_rows_lost.inc()

    async def run(self) -> None:
        """Write what is taken, and after `stop` the rest; what then cannot be written is lost."""
        stopping = False
        while not stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_INTERVAL_S):
                    await self._stopping.wait()
            stopping = self._stopping.is_set()
            await self._flush()
        await self._disconnect()
        self._metrics.journal_rows_lost.inc(len(self._entries))

    def stop(self) -> None:
        """Let `run` write the rest and return."""
        self._stopping.set()

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
        """Write all entries; those of a refused write by halves, until the bad one is alone."""
        entries = [self._entries.popleft() for _ in range(len(self._entries))]
        parts = [entries] if entries else []
        while parts:
            part = parts.pop()
            try:
                await self._write(part)
            except _REFUSED as error:
                parts += self._divide(part, error)
            except (psycopg.Error, OSError) as error:
                log.warning("journal_write_failed", error=str(error), entries=len(entries))
                await self._disconnect()
                self._put_back([entry for left in (part, *reversed(parts)) for entry in left])
                return
            else:
                self._metrics.journal_rows_written.inc(len(part))

    def _divide(self, part: list[Entry], error: Exception) -> list[list[Entry]]:
        """What to write in place of a part that was refused, the last first."""
        middle = len(part) // 2
        if middle:
            return [part[middle:], part[:middle]]
        storable = _storable(part[0])
        if storable != part[0]:
            return [[storable]]
        log.error("journal_entry_refused", error=str(error), trace_id=storable.trace_id)
        self._metrics.journal_rows_lost.inc()
        return []

    def _put_back(self, entries: list[Entry]) -> None:
        free = max(ENTRIES_MAX - len(self._entries), 0)
        self._metrics.journal_rows_lost.inc(len(entries[free:]))
        self._entries.extendleft(reversed(entries[:free]))

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


def _storable(entry: Entry) -> Entry:
    """The entry with what PostgreSQL's text cannot hold (NUL, half a surrogate) spelled out."""
    texts = {name: text for name, text in entry._asdict().items() if isinstance(text, str)}
    return entry._replace(**{name: _spelled_out(text) for name, text in texts.items()})


def _spelled_out(text: str) -> Any:
    return text.replace("\0", r"\x00").encode(errors="backslashreplace").decode()
