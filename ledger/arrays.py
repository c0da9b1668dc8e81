"""PostgreSQL's binary array format, packed by hand.

psycopg's own list dumper takes several times as long, and the append packs twenty arrays a batch.
An empty array is None: SQL NULL, which `unnest` reads as no rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from itertools import repeat
from struct import Struct
from typing import Final

BOOLEAN: Final = 16
BYTES: Final = 17
BIGINT: Final = 20
TEXT: Final = 25
TIMESTAMP: Final = 1184
"""Element types, by their numbers in PostgreSQL's catalog; timestamps are with time zone."""

_HEADER: Final = Struct("!iiIii").pack  # dimensions, has nulls, element type, length, first index
_LENGTH: Final = Struct("!i").pack
_BIGINT: Final = Struct("!iq").pack
_NULL: Final = _LENGTH(-1)
_TRUE: Final = _LENGTH(1) + b"\x01"
_FALSE: Final = _LENGTH(1) + b"\x00"
_LENGTHS: Final = tuple(_LENGTH(length) for length in range(2048))
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


def texts(values: Sequence[str]) -> bytes | None:
    """A text[]. Raises UnicodeEncodeError for what is not UTF-8."""
    return _pack(TEXT, list(map(str.encode, values)))


def optional_texts(values: Sequence[str | None]) -> bytes | None:
    """A text[] that may hold NULL."""
    return _pack_optional(TEXT, [None if value is None else value.encode() for value in values])


def byte_strings(values: Sequence[bytes]) -> bytes | None:
    """A bytea[]."""
    return _pack(BYTES, values)


def optional_byte_strings(values: Sequence[bytes | None]) -> bytes | None:
    """A bytea[] that may hold NULL."""
    return _pack_optional(BYTES, values)


def bigints(values: Sequence[int]) -> bytes | None:
    """A bigint[]. Raises struct.error beyond 64 bits."""
    return _join(BIGINT, len(values), map(_BIGINT, repeat(8), values))


def booleans(values: Sequence[bool]) -> bytes | None:
    """A boolean[]."""
    return _join(BOOLEAN, len(values), [_TRUE if value else _FALSE for value in values])


def timestamps(values: Sequence[datetime]) -> bytes | None:
    """A timestamptz[]; the times must carry their zone."""
    packed = {value: _BIGINT(8, _microseconds(value)) for value in set(values)}  # a batch has few
    return _join(TIMESTAMP, len(values), map(packed.__getitem__, values))


def _microseconds(value: datetime) -> int:
    since = value - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _pack(element: int, values: Collection[bytes]) -> bytes | None:
    lengths = _LENGTHS
    try:
        parts = [lengths[len(value)] + value for value in values]
    except IndexError:
        parts = [_LENGTH(len(value)) + value for value in values]
    return _join(element, len(values), parts)


def _pack_optional(element: int, values: Sequence[bytes | None]) -> bytes | None:
    if None not in values:
        return _pack(element, values)  # type: ignore[arg-type]
    parts = [_NULL if value is None else _LENGTH(len(value)) + value for value in values]
    return _join(element, len(values), parts, has_nulls=1)


def _join(element: int, length: int, parts: Iterable[bytes], *, has_nulls: int = 0) -> bytes | None:
    if not length:
        return None
    return _HEADER(1, has_nulls, element, length, 1) + b"".join(parts)
