"""What a view wants written: plain data, so that folding needs no database.

Arrays travel in PostgreSQL's binary format, packed by `ledger.arrays`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from struct import Struct
from typing import Any, Final, TypeAlias

import msgspec
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from ledger import arrays
from ledger.connections import Connection
from projections.sql import statement

HOUR: Final = 3_600_000_000
"""Microseconds of an hour."""

NULL: Final = (-1).to_bytes(4, "big", signed=True)
"""A cell of a `Copy` that is NULL."""

_COPY_BEGIN: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_END: Final = b"\xff\xff"
_LENGTH: Final = Struct("!i").pack
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_ELEMENT: Final = 8  # where an array's header names the type of its elements
_TIMESTAMP: Final = arrays.TIMESTAMP.to_bytes(4, "big")


class BrokenView(Exception):
    """The events and what the view holds do not fit together; the message says where."""


class Packed(msgspec.Struct, frozen=True):
    """An array in PostgreSQL's binary format; None is an empty one. Needs a cast in the SQL."""

    data: bytes | None


class Write(msgspec.Struct, frozen=True):
    """A named statement with its parameters, which must touch ``rows`` rows exactly.

    ``otherwise`` says what is wrong where it touches others; empty: which statement it was.
    """

    name: str
    parameters: Sequence[object]
    rows: int
    otherwise: str = ""


class Copy(msgspec.Struct, frozen=True):
    """A named COPY in binary format, and the packed rows of it."""

    name: str
    data: bytes
    rows: int


Change: TypeAlias = Write | Copy
"""One step of what a view wants written."""


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Packed) -> bytes | None:
        return obj.data


def prepare(connection: Connection) -> None:
    """Teach a connection to send `Packed`."""
    connection.adapters.register_dumper(Packed, _PackedDumper)


async def apply(
    cursor: psycopg.AsyncCursor[Any], changes: Iterable[Change], schema: str, suffix: str
) -> None:
    """Write, within the caller's transaction.

    Raises `BrokenView` where a statement touched other than the expected rows, and `psycopg.Error`.
    """
    for change in changes:
        query = statement(change.name, schema, suffix)
        if isinstance(change, Copy):
            async with cursor.copy(query) as copy:
                await copy.write(change.data)
        else:
            await cursor.execute(query, change.parameters)
        if cursor.rowcount != change.rows:
            raise BrokenView(_why(change, cursor.rowcount))


def _why(change: Change, found: int) -> str:
    if isinstance(change, Write) and change.otherwise:
        return change.otherwise
    return f"{change.name} found {found} of {change.rows} rows"


def copied(name: str, parts: Iterable[bytes], rows: int) -> Copy:
    """The COPY of packed rows: each is its number of cells (16 bits), then cell by cell."""
    return Copy(name, b"".join((_COPY_BEGIN, *parts, _COPY_END)), rows)


class TextCells(dict[str, bytes]):
    """The cells of texts, each packed once: for columns that have few."""

    def __missing__(self, text: str) -> bytes:
        self[text] = cell = text_cell(text)
        return cell


def text_cell(text: str) -> bytes:
    """A cell of text. Raises UnicodeEncodeError for what is not UTF-8."""
    encoded = text.encode()
    return _LENGTH(len(encoded)) + encoded


def timestamps(moments: Sequence[int]) -> Packed:
    """A timestamptz[] of moments, as `microseconds` gives them: a bigint[] by another name."""
    data = arrays.bigints(moments)
    return Packed(data and data[:_ELEMENT] + _TIMESTAMP + data[_ELEMENT + len(_TIMESTAMP) :])


def numerics(sums: Sequence[int]) -> Packed:
    """A text[] of integers of any size, for a cast to numeric[]: sums outgrow a bigint."""
    return Packed(arrays.texts(list(map(str, sums))))


def microseconds(moment: datetime) -> int:
    """Microseconds since 2000-01-01 UTC: a timestamp as PostgreSQL keeps it."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
