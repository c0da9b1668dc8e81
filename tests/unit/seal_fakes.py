"""Ledgers with seals, made by the product's own code, and the auditor's program to verify them."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from random import Random
from types import ModuleType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.chain import GENESIS, link
from ledger.merkle import Tree
from ledger.seals import Seal, leaf, to_line

PROGRAM = Path(__file__).parents[2] / "deploy" / "verify_log.py"

STREAMS = (
    "player:ann",
    "player:bob",
    "player:c,d",
    'player:"e"',
    "player:f\r\ng\nh\ri",
    "player:Jürgen 🎲",
    "player:",
    "game:betbrothers:demo::Roulette",
)
TOPICS = ("stake_placed.v1", "win_paid.v1", 'odd, "name"\n.v1')
START = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = 200
UNSEALED = 5


def program() -> ModuleType:
    """`deploy/verify_log.py` as a module."""
    return loaded(PROGRAM.stem)


@cache
def loaded(name: str) -> ModuleType:
    """A program of `deploy` as a module."""
    spec = spec_from_file_location(name, PROGRAM.with_stem(name))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


class Key:
    """An Ed25519 key, the same for the same number."""

    def __init__(self, number: int) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        self.public = self._private.public_key()
        der = self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = sha256(der).hexdigest()[:8]

    def sign(self, message: bytes) -> bytes:
        """As a `Signer`."""
        return self._private.sign(message)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """As a `Verifier`."""
        try:
            self.public.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """The public half, as it is given to an auditor."""
        return self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


OURS = Key(1)
OTHER = Key(2)


@dataclass(frozen=True)
class Row:
    """An event as stored."""

    notification_id: int
    stream: str
    version: int
    topic: str
    payload: bytes
    hash: bytes = b""

    @property
    def state(self) -> bytes:
        """Hash and payload."""
        return self.hash + self.payload


@dataclass(frozen=True)
class Ledger:
    """A partition's log, and its seals."""

    rows: tuple[Row, ...]
    seals: tuple[Seal, ...]

    def seal_over(self, row: Row) -> Seal:
        """The seal that covers an event."""
        return next(seal for seal in self.seals if seal.through_id >= row.notification_id)

    def sealed(self) -> list[int]:
        """Indexes of the events that are covered."""
        last = self.seals[-1].through_id
        return [at for at, row in enumerate(self.rows) if row.notification_id <= last]


def chained(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The same events with hashes made anew, in their order; versions stay."""
    heads: dict[str, bytes] = {}
    made = []
    for row in rows:
        previous = heads.get(row.stream, GENESIS)
        heads[row.stream] = link(previous, row.stream, row.version, row.topic, row.payload)
        made.append(replace(row, hash=heads[row.stream]))
    return tuple(made)


def numbered(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The same events with versions made anew, then the hashes."""
    versions: dict[str, int] = {}
    made = []
    for row in rows:
        versions[row.stream] = versions.get(row.stream, 0) + 1
        made.append(replace(row, version=versions[row.stream]))
    return chained(made)


def random_rows(random: Random, count: int, after: int = 0) -> list[Row]:
    """Events of several streams among each other, with gaps in their ids; no versions yet."""
    rows = []
    for _ in range(count):
        after += random.choice((1, 1, 1, 2, 7))
        payload = random.randbytes(random.choice((0, 1, 30, 60)))
        rows.append(Row(after, random.choice(STREAMS), 0, random.choice(TOPICS), payload))
    return rows


def sealed(
    rows: Sequence[Row], random: Random, key: Key, before: Seal | None = None
) -> tuple[Seal, ...]:
    """Seals over all of these events, of 1 to 17 each, behind the seal before them."""
    seals = []
    first = 0
    while first < len(rows):
        covered = rows[first : first + random.randint(1, 17)]
        first += len(covered)
        tree = Tree()
        for row in covered:
            tree.add(leaf(row.notification_id, row.hash))
        number = 1 if before is None else before.number + 1
        before = Seal(
            partition=3,
            number=number,
            through_id=covered[-1].notification_id,
            events=tree.size,
            root=tree.root(),
            previous=GENESIS if before is None else before.digest(),
            sealed_at=START + timedelta(seconds=number, microseconds=random.randrange(1000)),
            key_id="",
        ).signed(key)
        seals.append(before)
    return tuple(seals)


@cache
def ledger(seed: int) -> Ledger:
    """A sound ledger of `EVENTS`, the last `UNSEALED` of them not sealed yet."""
    random = Random(seed)
    rows = numbered(random_rows(random, EVENTS))
    return Ledger(rows, sealed(rows[:-UNSEALED], random, OURS))


def write_events(path: Path, rows: Iterable[Row]) -> None:
    """As psql writes them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            (row.notification_id, row.stream, row.version, row.topic, row.state.hex())
            for row in rows
        )


def write_seals(path: Path, seals: Iterable[Seal]) -> None:
    """As they are exported and kept."""
    path.write_bytes(b"".join(to_line(seal) + b"\n" for seal in seals))
