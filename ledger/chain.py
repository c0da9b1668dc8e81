"""The hash chain of a stream.

Each event's hash covers the hash before it, so that no event can change unseen.

Hashes cover the bytes as stored, never a re-serialisation.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import Final

HASH_SIZE: Final = 32
"""Bytes of a SHA-256."""

GENESIS: Final = bytes(HASH_SIZE)
"""What stands before the first event of every stream."""

_LENGTHS = Struct(">IQI")


def link(previous: bytes, stream: str, version: int, name: str, payload: bytes) -> bytes:
    """Hash of an event.

    SHA-256 over the previous hash, the stream id, the version, the stored name and the stored
    bytes.

    Texts are UTF-8. Lengths (stream: 4 bytes, version: 8 bytes, name: 4 bytes, all big-endian)
    stand behind the previous hash, so that no two different events give the same bytes to hash.
    """
    stream_bytes = stream.encode()
    name_bytes = name.encode()
    return sha256(
        b"".join(
            (
                previous,
                _LENGTHS.pack(len(stream_bytes), version, len(name_bytes)),
                stream_bytes,
                name_bytes,
                payload,
            )
        )
    ).digest()
