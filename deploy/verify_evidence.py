r"""Verifies a bundle of evidence from a wallet-ledger, and shows it, without the ledger's code.

    python verify_evidence.py --key seals-public.pem [--key OLDER.pem] EVIDENCE [--known KEPT]

It is one file, to be read and carried alone: what it shares with verify_log.py stands in both. It
needs Python 3.11 and `cryptography`. `wallet-ledger evidence` makes EVIDENCE. KEPT are seals that
were kept outside the database, all or some: JSON, a line each.

A player's events are chained: the hash of each covers the one before it, its version, its name and
its content. A seal is signed over a Merkle tree (RFC 9162) of all players' events. Where EVIDENCE
proves that an event is in that tree, neither it nor any before it was changed, added or removed
since the seal was made, by anybody who has not the key; if KEPT holds that very seal, or the next
one, by anybody.
The seals in KEPT must really come from outside, and the key from somebody who is believed.

Where a time was asked for, the event before it and the one behind it are there, too: they show that
none in it is missing. It cannot show that no further events of the player follow, that none outside
the file is of the same round, or that an event was true when it was booked. Events behind the last
proof are counted as not sealed. Calls are shown as the casino kept them, and amounts in the units
that it names: no seal covers these.

Exit codes: 0 no differences, 1 differences, 2 wrong usage or a file that cannot be read.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Any, Final

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )
except ImportError:
    print("verify_evidence.py: the package cryptography is not installed", file=sys.stderr)
    sys.exit(2)

FORMAT: Final = 1
NOTHING: Final = bytes(32)
"""Stands for the hash before a player's first event."""

_LENGTHS: Final = Struct(">IqI")
_HASH: Final = re.compile("[0-9a-f]{64}")
_HEX: Final = re.compile("([0-9a-f]{2})*")
"""What stands in the place of a hash may be anything, and is a difference then."""
_FORMS: Final = {
    "sealed_at": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII),
    "key_id": re.compile("[0-9a-f]{8}"),
    "signature": _HEX,
}
_UNIT: Final[dict[str, type]] = {"exponent": int, "scale": int}
_DIGITS_MAX: Final = 30
_SEAL: Final[dict[str, type]] = {
    "partition": int,
    "number": int,
    "through_id": int,
    "events": int,
    "root": str,
    "previous": str,
    "sealed_at": str,
    "key_id": str,
    "signature": str,
}
_FIELDS: Final[dict[str, dict[str, type]]] = {
    "evidence": {
        "format": int,
        "made_at": str,
        "made_by": str,
        "player_id": str,
        "stream": str,
        "partition": int,
        "first": int,
        "last": int,
        "previous": str,
        "currencies": dict,
    },
    "event": {"version": int, "name": str, "hash": str, "payload": str},
    "seal": {"seal": dict, "version": int, "notification_id": int, "place": int, "path": list},
    "call": {
        "received_at": str,
        "integration": str,
        "operation": str,
        "method": str,
        "path": str,
        "query": str,
        "body": str,
        "status": int,
        "answer": str,
        "outcome": str,
    },
    "end": {"events": int, "seals": int, "calls": int},
}
_ORDER: Final = list(_FIELDS)
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What content that is not an event's may raise."""
_LABELS: Final = ("integration", "transaction_id", "round_id", "game", "actor", "reason")
_CHANGES: Final = (("real", "balance_real"), ("bonus", "balance_bonus"))

Record = dict[str, Any]
Place = tuple[int, int]
Seals = defaultdict[Place, set[bytes]]
"""Digests by partition and number: of one seal all are the same."""
Keys = Mapping[str, Ed25519PublicKey]


class Unreadable(Exception):
    """A file is not what it should be; the message names it and the line."""


@dataclass
class Report:
    """What was verified. ``sealed``: the last version that a good seal covers, 0 for none."""

    stream: str = ""
    first: int = 1
    last: int = 0
    sealed: int = 0
    known: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The differences, and the summary last."""
        yield from self.differences
        unsealed = max(self.last - max(self.sealed, self.first - 1), 0)
        yield (
            f"{_counted(len(self.differences), 'difference')} in"
            f" {_counted(self.counts['event'], 'event')} of {self.stream} (versions {self.first}"
            f" to {self.last}), {_counted(self.counts['seal'], 'seal')} ({self.known} known from"
            f" outside), {_counted(self.counts['call'], 'call')};"
            f" {_counted(unsealed, 'event')} not sealed"
        )


def _quoted(content: object) -> str:
    """Ids as JSON: what one of them holds cannot look like another part of the line."""
    return json.dumps(content, ensure_ascii=False)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def statement(seal: Record) -> bytes:
    """What a seal's signature signs: a line for each field but the signature."""
    lines = [f"{name} {seal[name]}\n" for name in _SEAL if name != "signature"]
    return ("wallet-ledger seal 1\n" + "".join(lines)).encode()


def _digests(seal: Record) -> tuple[tuple[Place, bytes], tuple[Place, bytes]]:
    """What a seal fixes: itself, and the one before it."""
    partition, number = seal["partition"], seal["number"]
    return (
        ((partition, number), sha256(statement(seal)).digest()),
        ((partition, number - 1), bytes.fromhex(seal["previous"])),
    )


def _learn(seals: Seals, seal: Record) -> None:
    for place, digest in _digests(seal):
        seals[place].add(digest)


def root_of(leaf: bytes, place: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root of a tree of so many leaves, from a leaf and its audit path (RFC 9162, 2.1.3.2).

    None where such a tree has no such place, or the path another length.
    """
    node, last = sha256(b"\x00" + leaf).digest(), size - 1
    if not 0 <= place <= last:
        return None
    for sibling in path:
        if last == 0:
            return None
        if place % 2 or place == last:
            node = sha256(b"\x01" + sibling + node).digest()
            while place % 2 == 0 and place:
                place, last = place // 2, last // 2
        else:
            node = sha256(b"\x01" + node + sibling).digest()
        place, last = place // 2, last // 2
    return node if last == 0 else None


class Verifier:
    """Takes the records of a bundle one after the other; ``say`` gets what people read."""

    def __init__(self, keys: Keys, known: Iterable[Record], say: Callable[[str], None]) -> None:
        self.report = Report()
        self._keys = keys
        self._known: Seals = defaultdict(set)
        for each in known:
            _learn(self._known, each)
        self._met: Seals = defaultdict(set)
        self._say = say
        self._header: Record = {}
        self._previous = NOTHING
        self._recorded_at: datetime | None = None
        self._balances: dict[tuple[str, str], int] = {}
        self._hashes: dict[int, bytes] = {}
        self._take: Final[dict[str, Callable[[Record], None]]] = {
            "evidence": self._begin,
            "event": self._take_event,
            "seal": self._take_seal,
            "call": self._take_call,
            "end": self._end,
        }

    def take(self, record: Record) -> None:
        """Verify the next record."""
        self.report.counts[record["record"]] += 1
        self._take[record["record"]](record)

    def _differs(self, what: str) -> None:
        self.report.differences.append(what)

    def _begin(self, header: Record) -> None:
        self._header = header
        self._previous = bytes.fromhex(header["previous"])
        report = self.report
        report.stream, report.first, report.last = (
            header["stream"],
            header["first"],
            header["last"],
        )
        if header["stream"] != f"player:{header['player_id']}":
            self._differs(f"the events are those of {header['stream']}, not of the player")
        if report.first == 1 and self._previous != NOTHING:
            self._differs("a hash is said to stand before the first event")
        self._say(
            f"player {header['player_id']}, made at {header['made_at']} by {header['made_by']},"
            f" operator: {header.get('operator') or 'not named'}"
        )
        self._say(f"asked for: {_quoted(header.get('wanted'))}")
        for code, unit in header["currencies"].items():
            self._say(
                f"1 {code} is {10 ** unit['scale']} of the units in events, by the casino's word"
            )

    def _take_event(self, event: Record) -> None:
        version, stream = event["version"], self._header["stream"].encode()
        name, payload = event["name"].encode(), event["payload"].encode()
        expected = self.report.first + len(self._hashes)
        if version != expected:
            self._differs(f"event {version}: event {expected} has to stand there")
        lengths = _LENGTHS.pack(len(stream), version, len(name))
        digest = sha256(self._previous + lengths + stream + name + payload).hexdigest()
        if digest != event["hash"]:
            self._differs(
                f"event {version}: its hash is not that of its content behind the one before"
            )
        self._previous = bytes.fromhex(event["hash"])
        self._hashes[version] = self._previous
        try:
            content = _parsed(event["payload"])
            self._say(self._told(version, event["name"], content))
            self._follow(version, content)
        except _UNREADABLE:
            self._differs(f"event {version}: its content cannot be read")

    def _follow(self, version: int, content: Record) -> None:
        """Time does not go back, and a balance is the one before it and what was changed."""
        recorded_at = datetime.fromisoformat(content["recorded_at"])
        if self._recorded_at is not None and recorded_at < self._recorded_at:
            self._differs(f"event {version}: it is older than the one before it")
        self._recorded_at = recorded_at
        for change, balance in _CHANGES:
            if balance not in content:
                continue
            purse = content["currency"], change
            before = self._balances.get(purse, 0 if self.report.first == 1 else None)
            if before is not None and before + content.get(change, 0) != content[balance]:
                self._differs(
                    f"event {version}: its {balance} does not follow from what it changed"
                )
            self._balances[purse] = content[balance]

    def _told(self, version: int, name: str, content: Record) -> str:
        parts = [f"{version}  {content['recorded_at']}  {name.partition('.')[0]}"]
        parts += [f"{label} {_quoted(content[label])}" for label in _LABELS if content.get(label)]
        if "balance_real" in content:
            code = content["currency"]
            for change, balance in _CHANGES:
                moved, held = content.get(change, 0), content[balance]
                sign = "+" if moved > 0 else ""
                amounts = f"{sign}{self._amount(moved, code)} = {self._amount(held, code)}"
                parts.append(f"{change} {amounts} {code}")
        return ", ".join(parts)

    def _amount(self, units: int, code: str) -> str:
        unit = self._header["currencies"][code]
        whole, rest = divmod(abs(units), 10 ** unit["scale"])
        digits = f"{rest:0{unit['scale']}d}".rstrip("0").ljust(unit["exponent"], "0")
        return f"{'-' if units < 0 else ''}{whole}{'.' if digits else ''}{digits}"

    def _take_seal(self, record: Record) -> None:
        seal, version = record["seal"], record["version"]
        about = f"seal {seal['number']} of partition {seal['partition']}"
        wrong = self._unsigned(seal) or self._unproven(record)
        if wrong:
            self._differs(f"{about}: {wrong}")
        own, before = _digests(seal)
        is_known = own[1] in self._known[own[0]]
        self.report.known += is_known
        for (place, digest), other in ((own, "another one"), (before, "another one before it")):
            if self._known[place] - {digest}:
                self._differs(f"{about}: {other} is known from outside")
            if self._met[place] - {digest}:
                self._differs(f"{about}: {other} is in the file")
        if not wrong:
            self.report.sealed = version
            _learn(self._met, seal)
            outside = ", known from outside" if is_known else ""
            self._say(f"up to event {version}: sealed at {seal['sealed_at']} ({about}{outside})")

    def _unsigned(self, seal: Record) -> str | None:
        key = self._keys.get(seal["key_id"])
        if key is None:
            return f"it is signed with the key {seal['key_id']}, which was not given"
        try:
            key.verify(bytes.fromhex(seal["signature"]), statement(seal))
        except InvalidSignature:
            return "its signature is wrong"
        return None

    def _unproven(self, record: Record) -> str | None:
        seal, version = record["seal"], record["version"]
        if seal["partition"] != self._header["partition"]:
            return f"the player is in partition {self._header['partition']}"
        digest = self._hashes.get(version)
        if digest is None:
            return f"event {version} is not in the file"
        if version <= self.report.sealed:
            return f"event {version} is sealed already"
        leaf = record["notification_id"].to_bytes(8, "big", signed=True) + digest
        path = [bytes.fromhex(each) for each in record["path"]]
        if root_of(leaf, record["place"], seal["events"], path) != bytes.fromhex(seal["root"]):
            return f"event {version} is not proven to be among those that it covers"
        return None

    def _take_call(self, call: Record) -> None:
        query = f"?{call['query']}" if call["query"] else ""
        self._say(
            f"call {call['received_at']}  {call['integration']} {call['operation']}:"
            f" {call['method']} {call['path']}{query}, answered {call['status']}"
            f" ({call['outcome']})"
        )
        self._say(f"  {call['body']}")
        self._say(f"  {call['answer']}")

    def _end(self, end: Record) -> None:
        counts = self.report.counts
        for kind in ("event", "seal", "call"):
            if counts[kind] != end[f"{kind}s"]:
                self._differs(f"{_counted(counts[kind], kind)} in place of {end[f'{kind}s']}")
        if counts["event"] != self.report.last - self.report.first + 1:
            self._differs(f"{_counted(counts['event'], 'event')}, which is not what is announced")


def read_records(path: Path) -> Iterator[Record]:
    """The records of EVIDENCE, in the order that they have to have: nothing is taken on trust."""
    reached = -1
    for at, record in _objects(path):
        kind = record.get("record")
        if kind not in _ORDER or not _has(record, _FIELDS[kind]):
            raise Unreadable(f"{path}, line {at}: no record of a bundle of evidence")
        place = _ORDER.index(kind)
        once = kind in ("evidence", "end")
        if place < reached or (place == reached and once) or (reached < 0 and place):
            raise Unreadable(f"{path}, line {at}: a record {kind} has no place there")
        reached = place
        _check(record, f"{path}, line {at}")
        yield record
    if reached != len(_ORDER) - 1:
        raise Unreadable(f"{path}: it ends too early: a part of it is missing")


def _check(record: Record, where: str) -> None:
    """What the types of the fields do not say."""
    kind = record["record"]
    if kind == "evidence" and record["format"] != FORMAT:
        raise Unreadable(f"{where}: format {record['format']}, and this program reads {FORMAT}")
    stored = [record[name] for name in ("hash", "previous") if name in record]
    hashes: list[object] = []
    units: Iterable[object] = ()
    if kind == "seal":
        _check_seal(record["seal"], where)
        hashes = record["path"]
    elif kind == "evidence":
        units = record["currencies"].values()
    numbers = [each for each in record.values() if isinstance(each, int)]
    try:
        for text in record.values():
            str(text).encode()
    except UnicodeEncodeError:
        raise Unreadable(f"{where}: half a character") from None
    if not (
        all(_is(_HASH, each) for each in hashes)
        and all(_is(_HEX, each) for each in stored)
        and all(-(2**63) <= number < 2**63 for number in numbers)
        and all(map(_is_unit, units))
    ):
        raise Unreadable(f"{where}: no record of a bundle of evidence")


def _check_seal(seal: Record, where: str) -> None:
    forms = {"root": _HASH, "previous": _HASH, **_FORMS}
    if not (_has(seal, _SEAL) and all(_is(form, seal[name]) for name, form in forms.items())):
        raise Unreadable(f"{where}: no seal")


def _is_unit(unit: object) -> bool:
    return (
        isinstance(unit, dict)
        and _has(unit, _UNIT)
        and all(0 <= unit[name] <= _DIGITS_MAX for name in _UNIT)
    )


def _is(form: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and form.fullmatch(text) is not None


def read_known(path: Path) -> list[Record]:
    """The lines of KEPT, of which there has to be one: an empty file would show nothing."""
    seals = []
    for at, seal in _objects(path):
        _check_seal(seal, f"{path}, line {at}")
        seals.append(seal)
    if not seals:
        raise Unreadable(f"{path}: no seal in it")
    return seals


def _objects(path: Path) -> Iterator[tuple[int, Record]]:
    with path.open("rb") as file:
        for at, line in enumerate(file, 1):
            try:
                found = _parsed(line)
            except (ValueError, RecursionError) as error:
                raise Unreadable(f"{path}, line {at}: no JSON: {error}") from None
            if not isinstance(found, dict):
                raise Unreadable(f"{path}, line {at}: no object of JSON")
            yield at, found


def _parsed(text: str | bytes) -> Any:
    """JSON in which no name stands twice: readers differ in which of the two they show."""
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> Record:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _has(record: Record, fields: Mapping[str, type]) -> bool:
    return all(type(record.get(name)) is kind for name, kind in fields.items())


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


def say(line: str) -> None:
    """One line to standard output, whatever ids hold and wherever it goes: nothing unseen."""
    seen = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)
    print(seen.encode(sys.stdout.encoding, "backslashreplace").decode(sys.stdout.encoding))


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify what the command line names, print it and the verdict; the exit code."""
    told = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=told)
    parser.add_argument("--key", type=Path, action="append", required=True, dest="keys")
    parser.add_argument("--known", type=Path, metavar="KEPT")
    parser.add_argument("--quiet", action="store_true", help="the verdict alone")
    parser.add_argument("evidence", type=Path, metavar="EVIDENCE")
    options = parser.parse_args(arguments)
    try:
        verifier = Verifier(
            dict(map(read_key, options.keys)),
            read_known(options.known) if options.known else (),
            (lambda _line: None) if options.quiet else say,
        )
        for record in read_records(options.evidence):
            verifier.take(record)
    except (Unreadable, OSError) as error:
        print(f"verify_evidence.py: {error}", file=sys.stderr)
        return 2
    for line in verifier.report.lines():
        say(line)
    return 1 if verifier.report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
