"""The call journal: every provider call as it came and as it was answered, evidence in a dispute.

Written in the background, many at a time; a crash may lose the last second of it. Money never
waits for it.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any, Final

import msgspec
import psycopg
import structlog
from msgspec.structs import asdict, astuple, replace
from psycopg.rows import dict_row

from adapters.metrics import Metrics
from ledger import arrays
from ledger.connections import ConnectionLost, PreparedStatement, connect, hung_up_after
from ledger.repeated import Repeated
from ledger.sql import statement

log = structlog.get_logger(__name__)

ENTRIES_MAX: Final = 20_000
BYTES_MAX: Final = 64 * 2**20
"""More than these wait only while the database is away; further ones are counted as lost."""

_FLUSH_INTERVAL_S: Final = 0.05
"""Short, so that few entries wait: a second's worth of them would not fit the processor's cache."""
_PAUSE_MAX_S: Final = 0.25
"""The longest pause between tries while writes fail.

What waits when the database is back waits for so long still: a crash may cost a second of it.
"""
_WRITE_S: Final = 5.0
"""After this a write, its connecting included, is given up: the database may be gone silently."""
_PART_ENTRIES: Final = 2_000
_PART_BYTES: Final = 4 * 2**20
"""What is written at once: packing more would hold up every call, and not be through in time."""
_CALLS_EACH_END: Final = 50
_BIGINT_MAX: Final = 2**63 - 1
_REFUSED: Final = (psycopg.DataError, psycopg.IntegrityError, ValueError, TypeError, struct.error)
"""What a bad entry raises; anything else is the database's trouble, and passes."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One call. Body and query hold no tokens.

    ``received_at`` is when its last byte was there, ``duration_us`` from then to its answer.
    ``trace_id`` is hexadecimal and the call's own: by both the table knows a call again.
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
        self._bytes = 0
        self._days: set[date] = set()  # whose tables this connection has made sure of
        self._insert: PreparedStatement | None = None
        self._in_doubt = False  # what waits may have been written by a write that failed
        self._pause_s = _FLUSH_INTERVAL_S
        self._failures = Repeated()
        self._stopping = asyncio.Event()

    def record(self, entry: Entry) -> None:
        """Take an entry; never blocks, never raises."""
        if len(self._entries) < ENTRIES_MAX and self._bytes < BYTES_MAX:
            self._entries.append(entry)
            self._bytes += _size(entry)
        else:
            self._metrics.journal_rows_lost.inc()

    async def run(self) -> None:
        """Write what is taken, and after `stop` the rest; what then cannot be written is lost."""
        stopping = False
        while not stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s):
                    await self._stopping.wait()
            stopping = self._stopping.is_set()
            await self._flush()
        self._disconnect()
        self._metrics.journal_rows_lost.inc(len(self._entries))

    def stop(self) -> None:
        """Let `run` write the rest and return."""
        self._stopping.set()

    async def calls(
        self, integration: str, transaction_id: str
    ) -> tuple[list[dict[str, Any]], int]:
        """The calls that carried a provider's transaction id, oldest first.

        Of more than 100 the first 50 and the last 50; with how many were left out between them.
        Raises `psycopg.Error` when the database cannot be asked.
        """
        wanted = {
            "integration": integration,
            "transaction_id": transaction_id,
            "each_end": _CALLS_EACH_END,
        }
        connection = await connect(self._url, "journal")
        async with connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement("calls_of_transaction"), wanted)
            rows = await cursor.fetchall()
        return rows, rows[0]["found"] - len(rows) if rows else 0

    async def _flush(self) -> None:
        """Write all entries; those of a refused write by halves, until the bad one is alone."""
        entries = [self._entries.popleft() for _ in range(len(self._entries))]
        self._bytes = 0
        parts = list(_parts(entries))
        while parts:
            part = parts.pop()
            try:
                await self._write(part)
            except _REFUSED as error:
                parts += self._divide(part, error)
            except (psycopg.Error, ConnectionLost, OSError) as error:
                self._failed(error, [entry for left in (part, *reversed(parts)) for entry in left])
                return
            else:
                self._pause_s = _FLUSH_INTERVAL_S
                self._metrics.journal_rows_written.inc(len(part))
        if self._in_doubt:
            self._in_doubt = False
            self._disconnect()  # the next connection inserts without looking

    def _failed(self, error: Exception, entries: list[Entry]) -> None:
        """The database does not work: keep what is not written, and try again later and later."""
        self._disconnect()
        self._in_doubt = True
        self._put_back(entries)
        self._pause_s = min(2 * self._pause_s, _PAUSE_MAX_S)
        if times := self._failures.happened():
            waiting = len(self._entries)
            log.warning("journal_write_failed", error=repr(error), entries=waiting, times=times)

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
        self._bytes += sum(map(_size, entries[:free]))

    async def _write(self, entries: list[Entry]) -> None:
        days = {entry.received_at.date() for entry in entries}
        async with asyncio.timeout(_WRITE_S):
            if not days <= self._days or self._insert is None or self._insert.closed:
                self._disconnect()
                self._insert = await self._connect(days)
                self._days = days
            await self._insert.execute(_parameters(entries))

    async def _connect(self, days: Iterable[date]) -> PreparedStatement:
        connection = await connect(self._url, "journal")
        try:
            with hung_up_after(_WRITE_S, connection):
                for day in days:
                    await connection.execute(statement("ensure_calls_partition"), (day,))
                # A commit of entries need not wait for the disk, and no bet for that of entries.
                await connection.execute("SET synchronous_commit = off")
            insert = PreparedStatement(connection)
            # Looking for rows that are there costs a quarter more: only after a failed write.
            looking = b" ON CONFLICT DO NOTHING" if self._in_doubt else b""
            await insert.prepare(statement("insert_calls") + looking)
        except BaseException:
            await connection.close()
            raise
        return insert

    def _disconnect(self) -> None:
        if self._insert is not None:
            self._insert.close()
            self._insert = None


def _parts(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """What to write at once, the last part first."""
    part: list[Entry] = []
    size = 0
    for entry in reversed(entries):
        part.append(entry)
        size += _size(entry)
        if len(part) == _PART_ENTRIES or size >= _PART_BYTES:
            yield part[::-1]
            part, size = [], 0
    if part:
        yield part[::-1]


def _size(entry: Entry) -> int:
    return len(entry.body) + len(entry.answer)


def _parameters(entries: Iterable[Entry]) -> list[bytes | None]:
    """The parameters of `insert_calls`: a packed array a column, and the rows' ids."""
    columns = list(zip(*map(astuple, entries), strict=True))
    packed = [pack(list(column)) for pack, column in zip(_PACKERS, columns, strict=True)]
    return [*packed, arrays.bigints(list(map(_row_id, columns[-1])))]


def _row_id(trace_id: str) -> int:
    """The same whenever the call is written: its primary key keeps it from standing twice."""
    return int(trace_id.replace("-", ""), 16) & _BIGINT_MAX


_PACKERS: Final[Sequence[Callable[[list[Any]], bytes | None]]] = (
    arrays.timestamps,
    arrays.texts,
    arrays.texts,
    arrays.texts,
    arrays.texts,
    arrays.texts,
    arrays.byte_strings,
    arrays.bigints,
    arrays.byte_strings,
    arrays.texts,
    arrays.optional_texts,
    arrays.optional_texts,
    arrays.bigints,
    arrays.optional_texts,
    arrays.optional_texts,
    arrays.texts,
)
"""One a field of `Entry`."""


def _storable(entry: Entry) -> Entry:
    """The entry with what PostgreSQL's text cannot hold (NUL, half a surrogate) spelled out."""
    texts = {name: text for name, text in asdict(entry).items() if isinstance(text, str)}
    return replace(entry, **{name: _spelled_out(text) for name, text in texts.items()})


def _spelled_out(text: str) -> str:
    return text.replace("\0", r"\x00").encode(errors="backslashreplace").decode()
