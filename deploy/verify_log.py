r"""Verifies an exported partition of a wallet-ledger against its seals, without the ledger's code.

    python verify_log.py --key seals-public.pem [--key OLDER.pem] EVENTS.csv SEALS [--known KEPT]

It is one file although a long one, to be read and carried alone. It needs Python 3.11 and
`cryptography`. psql makes EVENTS.csv, with PGCLIENTENCODING=UTF8, in one line and for the partition
in question:

    \copy (SELECT notification_id, originator_id, originator_version, topic, encode(state, 'hex')
    FROM ledger_p00.events ORDER BY notification_id) TO 'events-00.csv' (FORMAT csv)

SEALS are the partition's seals from the database, KEPT are those that were kept outside it, all or
some: JSON, a line each.

It shows whether an event up to the last seal was changed, added, removed or moved since it was
sealed, by anybody who has not the key; with KEPT, by anybody, up to the last seal in KEPT. Only
KEPT shows that a tail is gone together with its seals. The seals in KEPT must really come from
outside, and the key from somebody who is believed.

It cannot show what was changed behind the last seal, if the hashes were computed anew: such events
are counted as not sealed yet. Nor whether an event was true when it was sealed.

Exit codes: 0 no differences, 1 differences, 2 wrong usage or a file that cannot be read.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from binascii import unhexlify
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )
except ImportError:
    print("verify_log.py: the package cryptography is not installed", file=sys.stderr)
    sys.exit(2)

HASH_SIZE: Final = 32
NOTHING: Final = bytes(HASH_SIZE)
"""Stands for the hash before a stream's first event, and for the digest before the first seal."""

SHOWN: Final = 20
"""Differences of a kind that are told one by one."""

_FIELD_SIZE_MAX = 2**31 - 1  # twice the gigabyte that PostgreSQL keeps in a field: hex
_PROGRESS_EVENTS = 20_000
_LENGTHS = Struct(">IqI")
_INTEGER = rb"(0|-?[1-9][0-9]{0,18})"
_HASH = rb'"([0-9a-f]{64})"'
_SEAL = re.compile(
    rb'\{"partition":%b,"number":%b,"through_id":%b,"events":%b,"root":%b,"previous":%b,'
    rb'"sealed_at":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)",'
    rb'"key_id":"([0-9a-f]{8})","signature":"((?:[0-9a-f]{2})*)"\}'
    % (_INTEGER, _INTEGER, _INTEGER, _INTEGER, _HASH, _HASH)
)


class Unreadable(Exception):
    """A file is not what it should be; the message names it and the line."""


class Event(NamedTuple):
    """A row of EVENTS.csv: texts as UTF-8, ``state`` the chain hash and the payload behind it."""

    notification_id: int
    stream: bytes
    version: int
    topic: bytes
    state: bytes

    def __str__(self) -> str:
        return f"event {self.notification_id} (version {self.version} of {self.stream.decode()!a})"

    def hash(self, previous: bytes) -> bytes:
        """What its chain hash has to be behind the ``previous`` one of its stream."""
        lengths = _LENGTHS.pack(len(self.stream), self.version, len(self.topic))
        parts = (previous, lengths, self.stream, self.topic, self.state[HASH_SIZE:])
        return sha256(b"".join(parts)).digest()

    def leaf(self) -> bytes:
        """What of it is sealed."""
        return self.notification_id.to_bytes(8, "big", signed=True) + self.state[:HASH_SIZE]


class Seal(NamedTuple):
    """A line of SEALS, in the order of its fields."""

    partition: int
    number: int
    through_id: int
    events: int
    root: bytes
    previous: bytes
    sealed_at: str
    key_id: str
    signature: bytes

    def __str__(self) -> str:
        return (
            f"seal {self.number} (partition {self.partition}, {self.events} events up to"
            f" {self.through_id}, sealed at {self.sealed_at})"
        )

    def statement(self) -> bytes:
        """What its signature signs."""
        return (
            "wallet-ledger seal 1\n"
            f"partition {self.partition}\nnumber {self.number}\n"
            f"through_id {self.through_id}\nevents {self.events}\n"
            f"root {self.root.hex()}\nprevious {self.previous.hex()}\n"
            f"sealed_at {self.sealed_at}\nkey_id {self.key_id}\n"
        ).encode()

    def digest(self) -> bytes:
        """What the seal behind it has as ``previous``."""
        return sha256(self.statement()).digest()


class Tree:
    """The Merkle tree of RFC 9162, leaf by leaf, by the stack of its section 2.1.2."""

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """One more leaf."""
        node = sha256(b"\x00" + leaf).digest()
        size = self.size
        while size & 1:
            node = sha256(b"\x01" + self._stack.pop() + node).digest()
            size >>= 1
        self._stack.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The hash of the whole tree."""
        if not self._stack:
            return sha256().digest()
        *left, node = self._stack
        while left:
            node = sha256(b"\x01" + left.pop() + node).digest()
        return node


@dataclass
class Report:
    """What was verified; of ``differences`` the first `SHOWN` of each kind, all in ``counts``."""

    events: int = 0
    streams: int = 0
    seals: int = 0
    known: int = 0
    unsealed: int = 0
    differences: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, place: Event | Seal, what: str) -> None:
        """One more difference."""
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN:
            self.differences.append(f"{place}: {what}")

    def lines(self) -> Iterator[str]:
        """The whole report, the summary last."""
        yield from self.differences
        for kind, count in self.counts.items():
            if count > SHOWN:
                yield f"{kind}: {count - SHOWN} more"
        known = f" ({self.known} known from outside)" if self.known else ""
        yield (
            f"{_counted(self.counts.total(), 'difference')} in {_counted(self.events, 'event')}"
            f" of {_counted(self.streams, 'stream')} and {_counted(self.seals, 'seal')}{known};"
            f" {_counted(self.unsealed, 'event')} not sealed yet"
        )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def verify(
    events: Iterable[Event],
    seals: Iterable[Seal],
    known: Iterable[Seal],
    keys: Mapping[str, Ed25519PublicKey],
) -> Report:
    """Everything that is wrong, in the order of the log; seals kept outside but missing last.

    What follows something wrong is held against what is stored, so that it is told once.
    """
    report = Report()
    log = _Log(events, report)
    chain = _Seals(known, keys, report)
    for seal, following in _with_next(seals):
        through_id = seal.through_id
        unsigned = chain.unsigned(seal)
        if following is not None and unsigned:
            # Whoever put in an id that is too high must not hide what the other seals are about.
            through_id = min(through_id, following.through_id)
        chain.check(seal, log.tree(through_id), unsigned)
    chain.check_missing()
    report.unsealed = log.tree(2**63).size
    return report


def _with_next(seals: Iterable[Seal]) -> Iterator[tuple[Seal, Seal | None]]:
    waiting = iter(seals)
    seal = next(waiting, None)
    while seal is not None:
        following = next(waiting, None)
        yield seal, following
        seal = following


class _Log:
    """The events, and what the chain of each stream has come to."""

    def __init__(self, events: Iterable[Event], report: Report) -> None:
        self._events = iter(events)
        self._next = next(self._events, None)
        self._last_id = 0
        self._heads: dict[bytes, tuple[int, bytes]] = {}  # version and hash
        self._report = report

    def tree(self, through_id: int) -> Tree:
        """Check the events that are left, up to this id; a tree of them."""
        tree = Tree()
        while self._next is not None and self._next.notification_id <= through_id:
            event = self._next
            self._check(event)
            tree.add(event.leaf())
            self._next = next(self._events, None)
        self._report.events += tree.size
        self._report.streams = len(self._heads)
        return tree

    def _check(self, event: Event) -> None:
        add = self._report.add
        if event.notification_id <= self._last_id:
            add("order of events", event, f"it stands behind event {self._last_id}")
        self._last_id = event.notification_id
        version, previous = self._heads.get(event.stream, (0, NOTHING))
        if event.version != version + 1:
            add("versions", event, f"it follows version {version} of its stream")
        stored = event.state[:HASH_SIZE]
        if len(stored) < HASH_SIZE:
            add("chain hashes", event, "its state holds no hash")
        elif len(previous) == HASH_SIZE and event.hash(previous) != stored:
            add("chain hashes", event, "its hash is not that of its content behind the one before")
        self._heads[event.stream] = (event.version, stored)


class _Seals:
    """The chain of seals."""

    def __init__(
        self, known: Iterable[Seal], keys: Mapping[str, Ed25519PublicKey], report: Report
    ) -> None:
        self._before: Seal | None = None
        self._known: defaultdict[int, list[Seal]] = defaultdict(list)
        for seal in known:
            self._known[seal.number].append(seal)
            report.known += 1
        self._keys = keys
        self._report = report

    def check(self, seal: Seal, tree: Tree, unsigned: str | None) -> None:
        """The next seal, with the tree of the events behind the one before it up to its own id."""
        self._report.seals += 1
        if unsigned:
            self._report.add("signatures", seal, unsigned)
        if self._continues(seal):
            self._check_events(seal, tree)
        for known in self._known.pop(seal.number, ()):
            if known.digest() != seal.digest():
                what = f"it is not the known one, which is {known}"
                self._report.add("known seals", seal, what + self._signed(known))
        self._before = seal

    def check_missing(self) -> None:
        """Known seals that did not come."""
        for number in sorted(self._known):
            for known in self._known[number]:
                what = "it is known, and missing" + self._signed(known)
                self._report.add("known seals", known, what)

    def _continues(self, seal: Seal) -> bool:
        """Whether it stands where it says: otherwise other events are meant than the tree's."""
        add = self._report.add
        before = self._before
        number, through_id = (before.number, before.through_id) if before else (0, 0)
        is_next = seal.number == number + 1
        if not is_next:
            add("numbers of seals", seal, f"it follows seal {number}")
        elif seal.previous != (before.digest() if before else NOTHING):
            add("links of seals", seal, "it was made behind another seal than the one before it")
        if before and seal.partition != before.partition:
            add("partitions", seal, f"it follows one of partition {before.partition}")
        if before and seal.sealed_at < before.sealed_at:
            add("times of seals", seal, f"it follows one sealed at {before.sealed_at}")
        if seal.through_id <= through_id:
            add("order of seals", seal, f"it follows one up to event {through_id}")
            return False
        return is_next

    def _check_events(self, seal: Seal, tree: Tree) -> None:
        if tree.size != seal.events:
            self._report.add("sealed events", seal, f"it covers {_counted(tree.size, 'event')}")
        elif tree.root() != seal.root:
            self._report.add("sealed events", seal, "its events are not those that were sealed")

    def unsigned(self, seal: Seal) -> str | None:
        """What is wrong with its signature; None if nothing."""
        key = self._keys.get(seal.key_id)
        if key is None:
            return f"it is signed with the key {seal.key_id}, which was not given"
        try:
            key.verify(seal.signature, seal.statement())
        except InvalidSignature:
            return "its signature is wrong"
        return None

    def _signed(self, known: Seal) -> str:
        """Of a known seal: whether the key's holder has to own up to it."""
        unsigned = self.unsigned(known)
        return f" (of the known one: {unsigned})" if unsigned else ", and rightly signed"


def read_events(path: Path) -> Iterator[Event]:
    """The rows of EVENTS.csv."""
    csv.field_size_limit(_FIELD_SIZE_MAX)
    # What is no UTF-8 comes to light in encode(), with its line.
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        rows = csv.reader(file, strict=True)
        try:
            for number, stream, version, topic, state in rows:
                key = _integer(number), stream.encode(), _integer(version)
                yield Event(*key, topic.encode(), unhexlify(state))
        except (csv.Error, ValueError) as error:
            raise Unreadable(f"{path}, line {rows.line_num}: {error}") from None


def _integer(text: str) -> int:
    number = int(text)
    if str(number) != text or not -(2**63) <= number < 2**63:
        raise ValueError(f"no integer of 8 bytes: {text[:40]!r}")
    return number


def read_seals(path: Path) -> Iterator[Seal]:
    """The lines of SEALS."""
    with path.open("rb") as file:
        for at, line in enumerate(file, 1):
            found = _SEAL.fullmatch(line.rstrip(b"\r\n"))
            if found is None:
                raise Unreadable(f"{path}, line {at}: not in the form of a seal")
            *integers, root, previous, sealed_at, key_id, signature = found.groups()
            partition, number, through_id, events = map(int, integers)
            hashes = unhexlify(root), unhexlify(previous)
            texts = sealed_at.decode(), key_id.decode()
            yield Seal(partition, number, through_id, events, *hashes, *texts, unhexlify(signature))


def read_known(path: Path) -> Iterator[Seal]:
    """The lines of KEPT, of which there has to be one: an empty file would show nothing."""
    seals = read_seals(path)
    first = next(seals, None)
    if first is None:
        raise Unreadable(f"{path}: no seal in it")
    yield first
    yield from seals


def read_key(path: Path) -> tuple[str, Ed25519PublicKey]:
    """A public key in PEM, and its id: how the SHA-256 of its DER form begins."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise Unreadable(f"{path}: no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise Unreadable(f"{path}: a public key, but not of Ed25519")
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).hexdigest()[:8], key


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify what the command line names, print the report; the exit code."""
    told = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=told)
    parser.add_argument("--key", type=Path, action="append", required=True, dest="keys")
    parser.add_argument("--known", type=Path, metavar="KEPT")
    parser.add_argument("events", type=Path, metavar="EVENTS.csv")
    parser.add_argument("seals", type=Path, metavar="SEALS")
    options = parser.parse_args(arguments)
    try:
        report = verify(
            _shown(read_events(options.events)),
            read_seals(options.seals),
            read_known(options.known) if options.known else (),
            dict(map(read_key, options.keys)),
        )
    except (Unreadable, OSError) as error:
        print(f"verify_log.py: {error}", file=sys.stderr)
        return 2
    for line in report.lines():
        print(line)
    return 1 if report.counts else 0


def _shown(events: Iterator[Event]) -> Iterator[Event]:
    """The same events, counted on a terminal."""
    if not sys.stderr.isatty():
        yield from events
        return
    try:
        for count, event in enumerate(events, 1):
            if count % _PROGRESS_EVENTS == 0:
                print(f"\r{count} events", end="", file=sys.stderr, flush=True)
            yield event
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
