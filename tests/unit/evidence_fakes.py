"""Bundles of evidence, made by the product's own code, and the program that verifies them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import msgspec

from adapters.evidence import CallRecord, CurrencyRecord, End, Header
from ledger.codec import encode
from ledger.currencies import Currencies
from ledger.events import (
    BetPlaced,
    BonusGranted,
    Deposited,
    Event,
    PlayerBlocked,
    PlayerRegistered,
    SessionOpened,
    WalletOpened,
    WinCredited,
)
from ledger.evidence import EventRecord, SealRecord, Wanted
from ledger.merkle import path
from ledger.seals import Seal, from_line, leaf, line_of
from tests.unit.seal_fakes import (
    OURS,
    STREAMS,
    UNSEALED,
    Key,
    Ledger,
    Row,
    loaded,
    numbered,
    random_rows,
    sealed,
)

ANN, BOB = STREAMS[0], STREAMS[1]
PARTITION = 3
"""That of the seals of `seal_fakes`."""
BUNDLES = 10
EVENTS = 80
MADE_AT = datetime(2026, 2, 1, 12, tzinfo=UTC)
KEYS = {OURS.id: OURS.public}

Record = dict[str, Any]


def program() -> ModuleType:
    """`deploy/verify_evidence.py` as a module."""
    return loaded("verify_evidence")


def story(random: Random) -> Iterator[Event]:
    """What happens to a player, without end: balances follow, and time does not go back."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    balances = {"EUR": [0, 0], "JPY": [0, 0]}
    common: dict[str, Any] = {"movement_id": "m", "operation": "told", "recorded_at": at}
    yield PlayerRegistered(player_id="ann", **common)
    for code in balances:
        yield WalletOpened(currency=code, **common)
    number = 0
    while True:
        number += 1
        at += timedelta(seconds=random.choice((0, 1, 3600)))
        common["recorded_at"] = at
        code = random.choice(sorted(balances))
        held = balances[code]
        kind: Any = random.choice((Deposited, BonusGranted, BetPlaced, WinCredited, None))
        if kind is None:
            game = random.choice(("roulette", "Jürgen's 🎲"))
            yield SessionOpened(session="ab" * 32, game=game, currency=code, **common)
            yield PlayerBlocked(actor="sue", reason="asked for", **common)
            continue
        change = [0, 0]
        which = 1 if kind is BonusGranted else 0
        change[which] = random.choice((0, 1, 250_000, 10**9))
        if kind is BetPlaced:
            which = random.randrange(2)
            change = [0, 0]
            change[which] = -min(held[which], random.choice((100_000, 123_456)))
        held[:] = held[0] + change[0], held[1] + change[1]
        play: dict[str, Any] = {"integration": "slots", "round_id": f"r{number // 3}"}
        yield kind(
            key=f"k{number}",
            transaction_id=f"t{number}",
            fingerprint="cd" * 32,
            currency=code,
            real=change[0],
            bonus=change[1],
            balance_real=held[0],
            balance_bonus=held[1],
            **(play if kind in (BetPlaced, WinCredited) else {}),
            **common,
        )


@cache
def partition(seed: int) -> Ledger:
    """A sound partition's log in which a story of ann's is told among other streams' events."""
    random = Random(seed)
    told = story(random)
    rows = random_rows(random, EVENTS)
    for at, row in enumerate(rows):
        if row.stream == ANN or random.random() < 0.25:
            event = next(told)
            rows[at] = replace(row, stream=ANN, topic=event.NAME, payload=encode(event))
    made = numbered(rows)
    last = max(at for at, row in enumerate(made) if row.stream == ANN)
    return Ledger(made, sealed(made[: last + 1 - random.choice((0, UNSEALED))], random, OURS))


def proof(rows: Sequence[Row], seal: Seal, row: Row) -> Record:
    """What shows that a row is among those that the seal is said to cover."""
    place = rows.index(row)
    audit_path, _ = path([leaf(each.notification_id, each.hash) for each in rows], place)
    siblings = [each.hex() for each in audit_path]
    return as_record(SealRecord(line_of(seal), row.version, row.notification_id, place, siblings))


def as_record(record: msgspec.Struct) -> Record:
    """As it is in the file."""
    found: Record = json.loads(msgspec.json.encode(record))
    return found


def evidence(found: Ledger, first: int, last: int, stream: str = ANN) -> list[Record]:
    """The records of a bundle, as `adapters.evidence` makes them from a database."""
    ours = [row for row in found.rows if row.stream == stream]
    shown = [row for row in ours if first <= row.version <= last]
    currencies = Currencies()
    units = {code: currencies[code] for code in ("EUR", "JPY")}
    header = Header(
        made_at=MADE_AT,
        made_by="wallet-ledger 1.0",
        operator="Casino",
        player_id=stream.removeprefix("player:"),
        stream=stream,
        partition=PARTITION,
        wanted=Wanted(),
        first=first,
        last=last,
        previous=ours[first - 2].hash.hex() if first > 1 else "0" * 64,
        currencies={
            code: CurrencyRecord(unit.exponent, unit.scale) for code, unit in units.items()
        },
        calls_from=MADE_AT,
        calls_to=MADE_AT,
    )
    made: list[msgspec.Struct | Record] = [header]
    made += [
        EventRecord(row.version, row.topic, row.hash.hex(), row.payload.decode()) for row in shown
    ]
    made += proofs(found, shown)
    made += [call("t1"), call("t2")]
    seals = sum(isinstance(each, dict) for each in made)
    made.append(End(events=len(shown), seals=seals, calls=2))
    return [each if isinstance(each, dict) else as_record(each) for each in made]


def proofs(found: Ledger, shown: Sequence[Row]) -> list[Record]:
    """For each seal over some of these rows the proof of the last of them."""
    made, after = [], 0
    for seal in found.seals:
        covered = [row for row in found.rows if after < row.notification_id <= seal.through_id]
        after = seal.through_id
        if proven := [row for row in shown if row in covered]:
            made.append(proof(covered, seal, proven[-1]))
    return made


def call(transaction_id: str) -> CallRecord:
    """A provider's call."""
    return CallRecord(
        integration="slots",
        transaction_id=transaction_id,
        received_at=MADE_AT,
        operation="bet",
        method="POST",
        path="/slots/bet",
        query="",
        body='{"amount": 1}',
        status=200,
        answer='{"ok": true}',
        outcome="ok",
        player_id="ann",
        duration_us=10,
        remote=None,
        key_id=None,
        trace_id=None,
    )


@cache
def _bundle(seed: int) -> str:
    found = partition(seed % BUNDLES)
    versions = max(row.version for row in found.rows if row.stream == ANN)
    random = Random(seed)
    first = random.choice((1, random.randint(2, versions // 3)))
    last = random.choice((versions, random.randint(versions // 2 + 3, versions)))
    return json.dumps(evidence(found, first, last))


def bundle(seed: int) -> list[Record]:
    """A sound bundle of a part of ann's events or of all, to be changed at will."""
    records: list[Record] = json.loads(_bundle(seed))
    return records


def of(records: Iterable[Record], kind: str) -> list[Record]:
    """The records of a kind, in their order."""
    return [record for record in records if record["record"] == kind]


def write(path: Path, records: Iterable[Record]) -> Path:
    """As a bundle is handed over."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def seal_in(record: Record) -> Seal:
    """The seal of a proof."""
    return from_line(msgspec.json.encode(record["seal"]))


def signed_anew(record: Record, key: Key, **fields: Any) -> None:
    """Another seal in a proof: with other fields, signed by somebody."""
    seal = msgspec.structs.replace(seal_in(record), **fields)
    record["seal"] = as_record(line_of(seal.signed(key)))


@dataclass
class Verdict:
    """What the program made of a bundle."""

    report: Any
    said: list[str]


def verified(
    file: Path,
    records: Iterable[Record],
    known: Iterable[Mapping[str, Any]] = (),
    keys: Mapping[str, Any] = KEYS,
) -> Verdict:
    """The program's report of the records, read from a file. Raises its `Unreadable`."""
    said: list[str] = []
    verifier = program().Verifier(keys, known, said.append)
    for record in program().read_records(write(file, records)):
        verifier.take(record)
    return Verdict(verifier.report, said)


Change = Callable[[Random, list[Record]], str]
"""Changes the records of a bundle; a part of the line that has to tell it."""
