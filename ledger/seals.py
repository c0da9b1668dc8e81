"""Seals: signed words about how far a partition's log went, and what it held.

Each covers the events behind the one before it. A seal that is known from elsewhere therefore fixes
every event up to it, the order of all players' events included.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Final, Protocol, TypeAlias

import msgspec
from msgspec import Meta

from ledger.chain import GENESIS, HASH_SIZE

SIGNATURE_SIZE: Final = 64
"""Bytes of an Ed25519 signature."""


class MalformedSeal(ValueError):
    """A text is no seal."""


class Signer(Protocol):
    """A private key."""

    id: str
    """That of its public half."""

    def sign(self, message: bytes) -> bytes:
        """Its signature of a message, `SIGNATURE_SIZE` bytes."""
        ...


class Verifier(Protocol):
    """A public key."""

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature, of any length, is one of its private half, of this message."""
        ...


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """A seal of a partition.

    ``number`` counts from 1. ``through_id`` is the notification id of the last event that it
    covers, ``events`` how many it covers itself, ``root`` the `ledger.merkle.Tree` over their
    `leaf`s, ``previous`` the digest of the seal before it, `GENESIS` for the first. ``key_id``
    names the key of ``signature``, which is one of the `statement`, by 8 hex digits.
    """

    partition: int
    number: int
    through_id: int
    events: int
    root: bytes
    previous: bytes
    sealed_at: datetime
    key_id: str
    signature: bytes = b""

    def statement(self) -> bytes:
        """What is signed: a line for each thing said, ASCII, each with its line end."""
        return (
            "wallet-ledger seal 1\n"
            f"partition {self.partition}\n"
            f"number {self.number}\n"
            f"through_id {self.through_id}\n"
            f"events {self.events}\n"
            f"root {self.root.hex()}\n"
            f"previous {self.previous.hex()}\n"
            f"sealed_at {_told(self.sealed_at)}\n"
            f"key_id {self.key_id}\n"
        ).encode()

    def digest(self) -> bytes:
        """SHA-256 of the `statement`, without the signature: what the next seal calls previous."""
        return sha256(self.statement()).digest()

    def signed(self, key: Signer) -> Seal:
        """The same with the key's signature."""
        unsigned = msgspec.structs.replace(self, key_id=key.id)
        signature = key.sign(unsigned.statement())
        return msgspec.structs.replace(unsigned, signature=signature)


Keys: TypeAlias = Mapping[str, Verifier]
"""The public keys whose seals are believed, by their ids."""


def leaf(notification_id: int, digest: bytes) -> bytes:
    """An event in a seal's tree: its notification id and its chain hash.

    The id as 8 bytes, big-endian, two's complement.
    """
    return notification_id.to_bytes(8, signed=True) + digest


def wrong(seal: Seal, before: Seal | None, keys: Keys) -> str | None:
    """What is wrong with a seal behind the one ``before`` it, its events aside; None if nothing."""
    return _unlinked(seal, before) or unsigned(seal, keys)


def _unlinked(seal: Seal, before: Seal | None) -> str | None:
    number, through_id, digest = (
        (0, 0, GENESIS) if before is None else (before.number, before.through_id, before.digest())
    )
    if before is not None and seal.partition != before.partition:
        return f"it is one of partition {seal.partition}"
    if seal.number != number + 1:
        return f"it follows seal {number}" if number else "those before it are missing"
    if seal.previous != digest:
        return "it was made behind another seal than the one before it"
    if seal.through_id <= through_id or seal.events < 1:
        return "it covers nothing"
    if before is not None and seal.sealed_at < before.sealed_at:
        return "it is older than the one before it"
    return None


def unsigned(seal: Seal, keys: Keys) -> str | None:
    """What is wrong with a seal's signature; None if nothing."""
    key = keys.get(seal.key_id)
    if key is None:
        return f"it is signed with the key {seal.key_id}, which is not known"
    if not key.verifies(seal.signature, seal.statement()):
        return "its signature is wrong"
    return None


_Count: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class SealLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A seal as JSON has it: hashes and signature in hex, the time in UTC to the microsecond."""

    partition: Annotated[int, Meta(ge=0, le=99)]
    number: _Count
    through_id: _Count
    events: _Count
    root: str
    previous: str
    sealed_at: str
    key_id: Annotated[str, Meta(pattern="^[0-9a-f]{8}$", max_length=8)]
    signature: str


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(SealLine).decode


def line_of(seal: Seal) -> SealLine:
    """The seal as JSON has it."""
    return SealLine(
        partition=seal.partition,
        number=seal.number,
        through_id=seal.through_id,
        events=seal.events,
        root=seal.root.hex(),
        previous=seal.previous.hex(),
        sealed_at=_told(seal.sealed_at),
        key_id=seal.key_id,
        signature=seal.signature.hex(),
    )


def to_line(seal: Seal) -> bytes:
    """The seal as one line of JSON, without its end."""
    return _encode(line_of(seal))


def from_line(line: bytes) -> Seal:
    """The seal of such a line; its signature may be any. Raises `MalformedSeal`."""
    try:
        said = _decode(line)
        seal = Seal(
            partition=said.partition,
            number=said.number,
            through_id=said.through_id,
            events=said.events,
            root=bytes.fromhex(said.root),
            previous=bytes.fromhex(said.previous),
            sealed_at=datetime.fromisoformat(said.sealed_at).astimezone(UTC),
            key_id=said.key_id,
            signature=bytes.fromhex(said.signature),
        )
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise MalformedSeal(f"no seal: {error}") from None
    if len(seal.root) != HASH_SIZE or len(seal.previous) != HASH_SIZE or to_line(seal) != line:
        raise MalformedSeal("no seal: not in the form that one has")
    return seal


def _told(moment: datetime) -> str:
    """UTC to the microsecond, always as long."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "Z"
