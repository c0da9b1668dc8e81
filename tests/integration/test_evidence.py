"""Bundles of evidence from a real database: what is in them, and what was done to it."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from adapters import evidence as module
from adapters.evidence import Bundle, Bundles, Evidences
from ledger.chain import GENESIS
from ledger.codec import game_stream, partition_of, player_stream, seal
from ledger.connections import ROLE
from ledger.currencies import Currencies
from ledger.events import BetPlaced, Deposited, Event, GameEnabled, PlayerRegistered
from ledger.evidence import Evidence, NoSuchEvents, NoSuchPlayer, Wanted
from ledger.sealing import Sealer
from ledger.seals import line_of
from ledger.store import AppendBatch, EventRow, Store
from projections.reports.errors import BadRequest
from tests.faults.ledgers import query
from tests.integration.seal_stories import KEY, KEYS, PEM, STOLEN, all_seals, public_pem, sealed
from tests.integration.tampering import Superuser, superuser
from tests.integration.test_journal import entry, running
from tests.unit.evidence_fakes import Record, as_record, of, program, verified

ANN, BEN = player_stream("ann"), player_stream("ben")
T0 = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
PUBLIC = {KEY.id: load_pem_public_key(public_pem(PEM).encode())}
EVENTS = 10
"""Ann's; version n was recorded n seconds after `T0`, and versions 5 and 6 both after 5."""

LONG = 3_000


def happened(version: int, player_id: str = "ann") -> Event:
    """The event of a version: a registration, a deposit, and then a bet a round."""
    common: dict[str, Any] = {
        "movement_id": "m",
        "operation": "o",
        "recorded_at": T0 + (5 if version == 6 else version) * SECOND,
    }
    if version == 1:
        return PlayerRegistered(player_id=player_id, **common)
    money: dict[str, Any] = {
        "key": f"{player_id}-{version}",
        "transaction_id": f"t{version}",
        "fingerprint": "ab" * 32,
        "currency": "EUR",
        "balance_real": 100_000_000 - 100_000 * (version - 2),
        "balance_bonus": 0,
    }
    if version == 2:
        return Deposited(real=100_000_000, **money, **common)
    play: dict[str, Any] = {
        "integration": "test",
        "round_id": f"r{version // 2}",
        "game": "roulette",
    }
    return BetPlaced(real=-100_000, **money, **play, **common)


class Streams:
    """Events that are appended with the hashes they ought to have."""

    def __init__(self, url: str, partition: int = 0) -> None:
        self._url, self._partition = url, partition
        self._heads: dict[str, tuple[int, bytes]] = {}

    async def append(self, stream: str, *events: Event) -> None:
        """In one batch."""
        version, digest = before = self._heads.get(stream, (0, GENESIS))
        rows = []
        for event in events:
            version += 1
            digest, state = seal(digest, stream, version, event)
            rows.append(EventRow(stream, version, event.NAME, state))
        store = Store(self._url, self._partition)
        batch = AppendBatch(streams=[stream], versions=[before[0]], events=rows)
        assert await store.append(batch, time.monotonic() + 60) is None
        await store.close()
        self._heads[stream] = version, digest


async def _live(url: str) -> None:
    streams = Streams(url)
    game = GameEnabled(movement_id="m", operation="o", recorded_at=T0, game="roulette")
    await streams.append(game_stream("test", "roulette"), game)
    for first, last in ((1, 3), (4, 8), (9, EVENTS)):
        await streams.append(BEN, *(happened(each, "ben") for each in range(first, last + 1)))
        await streams.append(ANN, *(happened(each) for each in range(first, last + 1)))
        if last < EVENTS:
            await sealed(url)
    async with running(url) as journal:
        for number, changes in enumerate(CALLS):
            journal.record(entry(**{"transaction_id": f"c{number}", **changes}))


CALLS: tuple[dict[str, Any], ...] = (
    {"transaction_id": "t4", "received_at": T0 - timedelta(minutes=10), "player_id": None},
    {"transaction_id": "t4", "received_at": T0 + 4 * SECOND, "player_id": "ben", "status": 666},
    {"transaction_id": "t4", "received_at": T0 + 4 * SECOND, "player_id": "ann"},
    {"transaction_id": "t4", "received_at": T0, "integration": "other", "player_id": None},
    {"transaction_id": "t2", "received_at": T0 - timedelta(minutes=9), "player_id": "ann"},
    {"transaction_id": None, "received_at": T0 - timedelta(minutes=2), "player_id": "ann"},
    {"transaction_id": "x", "received_at": T0 + 5 * SECOND, "player_id": "ann", "outcome": "no"},
    {"transaction_id": "x", "received_at": T0 + 5 * SECOND, "player_id": None},
    {"body": b"\xff\x00", "answer": b"\xfe", "received_at": T0 + 7 * SECOND, "query": "a=b"},
)


@pytest.fixture(scope="module")
def lived(postgres, databases, template_database) -> Iterator[str]:
    """A ledger with two seals over ann's first eight events; only clones of it are changed."""
    with databases.fresh(template_database) as name:
        asyncio.run(_live(postgres.url(name)))
        yield name


@pytest.fixture
def database(databases, lived) -> Iterator[str]:
    """A clone of it; its name."""
    with databases.fresh(lived) as name:
        yield name


class Office:
    """Makes bundles of one database, and has them verified."""

    def __init__(self, url: str, file: Path, partitions: int = 1) -> None:
        self.bundles = Bundles(url, partitions, Currencies(), "Casino")
        self._file = file

    async def make(self, player_id: str = "ann", **wanted: Any) -> tuple[Bundle, list[Record]]:
        """What was made, and its records."""
        file = BytesIO()
        bundle = await self.bundles.write(player_id, Wanted(**wanted), file, role=ROLE)
        return bundle, [json.loads(line) for line in file.getvalue().splitlines()]

    def differences(self, records: list[Record], known: Any = ()) -> list[str]:
        """What the auditor's program finds."""
        found: list[str] = verified(self._file, records, known, PUBLIC).report.differences
        return found


@pytest.fixture
def office(database_url, tmp_path) -> Office:
    """On the clone."""
    return Office(database_url, tmp_path / "evidence.jsonl")


def versions(records: list[Record]) -> list[int]:
    """Those of the events."""
    return [event["version"] for event in of(records, "event")]


# --- Stretches ---


async def test_a_whole_history_verifies(office, database_url):
    """With every seal that covers a part of it, and what is not sealed yet."""
    bundle, records = await office.make()
    assert bundle.wrong == []
    assert (bundle.sealed, bundle.counts.events, bundle.counts.seals) == (8, EVENTS, 2)
    known = [as_record(line_of(each)) for each in await all_seals(database_url)]
    report = verified(office._file, records, known, PUBLIC).report
    assert (report.differences, report.sealed, report.known) == ([], 8, 2)
    assert records[0]["currencies"] == {"EUR": {"exponent": 2, "scale": 5}}


@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [
        (None, None, range(1, 11)),
        (3 * SECOND, None, range(3, 11)),
        (3 * SECOND + MICROSECOND, None, range(4, 11)),
        (None, 3 * SECOND, range(1, 3)),
        (None, 3 * SECOND + MICROSECOND, range(1, 4)),
        (5 * SECOND, 5 * SECOND + MICROSECOND, range(5, 7)),
        (5 * SECOND, 5 * SECOND, range(5, 5)),
        (5 * SECOND + MICROSECOND, 7 * SECOND, range(7, 7)),
        (None, SECOND, range(1, 1)),
        (10 * SECOND + MICROSECOND, None, range(11, 11)),
    ],
)
async def test_a_time_includes_its_beginning_and_not_its_end(office, begins, ends, expected):
    """With a neighbour at each end, which shows that none is missing there, or none at all."""
    bundle, records = await office.make(
        begins=None if begins is None else T0 + begins, ends=None if ends is None else T0 + ends
    )
    if begins or ends:
        expected = range(max(expected.start - 1, 1), min(expected.stop, EVENTS) + 1)
    assert versions(records) == list(expected)
    assert (bundle.stretch.first, bundle.stretch.last) == (expected.start, expected.stop - 1)
    whole = of((await office.make())[1], "event")
    hashes = ["0" * 64, *(event["hash"] for event in whole)]
    assert records[0]["previous"] == hashes[expected.start - 1]
    assert office.differences(records) == []
    assert bundle.wrong == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"round_id": "r4"}, [8, 9]),
        ({"transaction_id": "t2"}, [2]),
        ({"integration": "test"}, list(range(3, 11))),
        ({"integration": "operator"}, [1, 2]),
        ({"integration": "test", "round_id": "r1"}, [3]),
        ({"round_id": "r4", "ends": T0 + 9 * SECOND}, [7, 8, 9]),
    ],
)
async def test_a_round_or_a_transaction_is_a_stretch(office, wanted, expected):
    """From the first that fits to the last."""
    bundle, records = await office.make(**wanted)
    assert versions(records) == expected
    assert (office.differences(records), bundle.wrong) == ([], [])


async def test_any_stretch_verifies(office):
    """Wherever it begins and ends among the seals."""
    for first, last in combinations_with_replacement(range(1, EVENTS + 1), 2):
        times = {"begins": T0 + first * SECOND, "ends": T0 + last * SECOND + MICROSECOND}
        bundle, records = await office.make(**times)
        assert (office.differences(records), bundle.wrong) == ([], []), (first, last)
        assert bundle.sealed == max((each for each in versions(records) if each <= 8), default=0)


async def test_what_is_not_there_is_said(office):
    """A bundle about nothing would look like one."""
    for player_id in ("zoe", "", "\udcff", "ann\0"):
        with pytest.raises(NoSuchPlayer):
            await office.make(player_id)
    for wanted in ({"round_id": "r99"}, {"round_id": "r4", "ends": T0}):
        with pytest.raises(NoSuchEvents, match="no event of round_id"):
            await office.make(**wanted)


async def test_every_partition_has_its_own_log_and_seals(postgres, databases, tmp_path):
    """A player is in one of them, and its seals name it."""
    template = await asyncio.to_thread(databases.template, 4)
    with databases.fresh(template) as name:
        url = postgres.url(name)
        places = set()
        for player_id in ("ann", "ben", "cat", "dan", "eve"):
            partition = partition_of(player_id, 4)
            places.add(partition)
            one = happened(1, player_id)
            await Streams(url, partition).append(player_stream(player_id), one)
        for partition in places:
            sealer = Sealer(url, partition, KEY, KEYS)
            await sealer.advance(None)
            await sealer.close()
        office = Office(url, tmp_path / "evidence", 4)
        for player_id in ("ann", "ben", "cat", "dan", "eve"):
            bundle, records = await office.make(player_id)
            assert records[0]["partition"] == partition_of(player_id, 4)
            assert (bundle.sealed, office.differences(records)) == (1, [])
    assert len(places) > 1


# --- Calls ---


def calls(records: list[Record]) -> list[int]:
    """Which of `CALLS` are there, by their times and ids."""
    found = []
    for call in of(records, "call"):
        at = datetime.fromisoformat(call["received_at"])
        for number, each in enumerate(CALLS):
            name = each.get("transaction_id", f"c{number}")
            one = at, call["integration"], call["transaction_id"], call["player_id"]
            player_id, integration = each.get("player_id", "ann"), each.get("integration", "test")
            if one == (each["received_at"], integration, name, player_id):
                found.append(number)
    assert len(found) == len(of(records, "call"))
    return sorted(found)


async def test_calls_of_other_players_are_not_given_away(office):
    """Whatever id they carried; one that names nobody may be the player's."""
    _, records = await office.make()
    assert calls(records) == [0, 2, 6, 8]
    assert 666 not in [call["status"] for call in of(records, "call")]
    _, records = await office.make("ben")
    assert calls(records) == [0, 1]


async def test_calls_of_a_time_are_those_that_name_the_player_in_it(office):
    """Refused ones too, to which no event leads; the end is not in it, as with events."""
    times = {"begins": T0 + 5 * SECOND, "ends": T0 + 7 * SECOND}
    _, records = await office.make(**times)
    assert calls(records) == [6]
    _, records = await office.make(begins=T0 + 7 * SECOND, ends=T0 + 7 * SECOND + MICROSECOND)
    assert calls(records) == [8]
    _, records = await office.make(begins=T0 + 5 * SECOND + MICROSECOND, ends=T0 + 6 * SECOND)
    assert calls(records) == []


async def test_calls_before_a_players_first_event_are_found_by_their_time(office):
    """Bets came before the player was registered, and nothing was booked: that is the dispute."""
    _, records = await office.make(ends=T0)
    assert versions(records) == [1]
    assert calls(records) == [4, 5]
    assert records[0]["calls_from"] < records[0]["calls_to"]


async def test_bodies_that_are_no_text_are_shown_all_the_same(office):
    """A provider may send anything."""
    _, records = await office.make()
    (call,) = (each for each in of(records, "call") if each["query"])
    assert call["body"] == "\\xff\x00"
    assert call["answer"] == "\\xfe"
    shown = "\n".join(verified(office._file, records, (), PUBLIC).said)
    assert "POST /bet?a=b, answered 200" in shown


# --- What was done to it ---

Tamper = Callable[[Superuser], object]


def _sql(statement: str) -> Tamper:
    return lambda root: root.execute(statement)


def _loosened(table: str, assignment: str, where: str) -> Tamper:
    """Another value, past every constraint."""

    def tamper(root: Superuser) -> None:
        for (name,) in root.rows(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass"
            " ORDER BY contype = 'p' DESC",
            f"ledger_p00.{table}",
        ):
            root.execute(f"ALTER TABLE ledger_p00.{table} DROP CONSTRAINT {name}")
        root.execute(f"UPDATE ledger_p00.{table} SET {assignment} WHERE {where}")

    return tamper


def _of_ann(version: int) -> str:
    return f"originator_id = '{ANN}' AND originator_version = {version}"


def _alter(version: int, **fields: Any) -> Tamper:
    return lambda root: root.alter(ANN, version, lambda said: said.update(fields))


def _forge(version: int, **fields: Any) -> Tamper:
    return lambda root: root.forge(ANN, version, lambda said: said.update(fields))


NOT_ITS_CONTENT = "event 5: its hash is not that of its content"
OTHERS_COVERED = "seal 2: the events are not those that it covered"
UPDATE, SEALS = "UPDATE ledger_p00.events SET", "UPDATE ledger_p00.seals SET"

TAMPERED: dict[str, tuple[Tamper, list[str], str]] = {
    "an amount": (_alter(5, real=-1), [NOT_ITS_CONTENT], "event 5: its hash"),
    "an amount, and all hashes": (
        _forge(5, real=-1), [OTHERS_COVERED], "event 8 is not proven"
    ),
    "a name": (
        _sql(f"{UPDATE} topic = 'win_credited.v1' WHERE {_of_ann(5)}"),
        [NOT_ITS_CONTENT],
        "event 5: its hash",
    ),
    "a name that nobody knows": (
        _sql(f"{UPDATE} topic = 'dreamt.v1' WHERE {_of_ann(5)}"),
        [NOT_ITS_CONTENT],
        "event 5: its hash",
    ),
    "bytes that are no text": (
        _sql(f"{UPDATE} state = state || '\\xff'::bytea WHERE {_of_ann(5)}"),
        [NOT_ITS_CONTENT],
        "event 5: its hash",
    ),
    "half a hash": (
        _loosened("events", "state = substring(state FROM 1 FOR 16)", _of_ann(5)),
        [NOT_ITS_CONTENT, "event 6: its hash is not that of its content", OTHERS_COVERED],
        "event 5: its hash",
    ),
    "no state": (
        _loosened("events", "state = NULL", _of_ann(5)),
        [NOT_ITS_CONTENT, "event 6: its hash is not that of its content", OTHERS_COVERED],
        "event 5: its hash",
    ),
    "an event gone": (
        _sql(f"DELETE FROM ledger_p00.events WHERE {_of_ann(5)}"),
        ["event 6: it follows version 4", OTHERS_COVERED],
        "event 6: event 5 has to stand there",
    ),
    "ben's event gone": (
        _sql("DELETE FROM ledger_p00.events WHERE originator_id = 'player:ben'"
             " AND originator_version = 5"),
        [OTHERS_COVERED],
        "event 8 is not proven",
    ),
    "the beginning of all times": (
        _alter(1, recorded_at="0001-01-01T00:00:00Z"),
        ["event 1: its hash is not that of its content"],
        "event 1: its hash",
    ),
    "the end of all times": (
        _alter(10, recorded_at="9999-12-31T23:59:59.999999Z"),
        ["event 10: its hash is not that of its content"],
        "event 10: its hash",
    ),
    "a time without a zone": (
        _alter(5, recorded_at="2026-01-01T00:00:00"),
        [NOT_ITS_CONTENT],
        "event 5: its content cannot be read",
    ),
    "no place": (
        _loosened("events", "notification_id = NULL", _of_ann(8)),
        [OTHERS_COVERED],
        "event 7 is not proven",
    ),
    "a place before all": (
        _sql(f"{UPDATE} notification_id = -5 WHERE {_of_ann(8)}"),
        [OTHERS_COVERED],
        "event 7 is not proven",
    ),
    "no name": (
        _loosened("events", "topic = NULL", _of_ann(5)),
        [NOT_ITS_CONTENT],
        "event 5: its hash",
    ),
    "a seal's root": (
        _sql(f"{SEALS} root = sha256('') WHERE number = 2"),
        [OTHERS_COVERED],
        "seal 2 of partition 0: its signature is wrong",
    ),
    "a seal's time": (
        _sql(f"{SEALS} sealed_at = sealed_at - '1 us'::interval WHERE number = 2"),
        [],
        "seal 2 of partition 0: its signature is wrong",
    ),
    "a seal's time, to none": (
        _sql(f"{SEALS} sealed_at = 'infinity' WHERE number = 2"),
        ["seal 2: it cannot be read"],
        "",
    ),
    "the first seal gone": (
        _sql("DELETE FROM ledger_p00.seals WHERE number = 1"),
        [OTHERS_COVERED],
        "event 8 is not proven",
    ),
    "all seals gone": (_sql("DELETE FROM ledger_p00.seals"), [], ""),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
async def test_whatever_was_done_the_bundle_is_made_and_tells_it(name, office, admin_url):
    """Here above all: somebody disputes, and somebody has changed the database."""
    tamper, expected, told = TAMPERED[name]
    with superuser(admin_url) as root:
        tamper(root)
    for wanted in ({}, {"begins": T0, "ends": T0 + timedelta(days=1)}, {"integration": "test"}):
        bundle, records = await office.make(**wanted)
        first = bundle.stretch.first
        assert set(bundle.wrong) <= set(expected), bundle.wrong
        differences = office.differences(records)
        if first == 1 and bundle.stretch.last == EVENTS:
            assert bundle.wrong == expected
            assert bool(differences) == bool(told)
            assert any(told in line for line in differences) or not told, differences
    for first in range(1, EVENTS + 1):
        moment = T0 + first * SECOND
        _, records = await office.make(begins=moment, ends=moment + SECOND)
        office.differences(records)


@pytest.mark.parametrize("version", [1, EVENTS])
async def test_an_end_that_cannot_be_read_is_in_a_whole_history(office, admin_url, version):
    """Left out, it would look as if the history began or ended beside it."""
    with superuser(admin_url) as root:
        root.alter(ANN, version, lambda said: said.update(recorded_at="never"))
    bundle, records = await office.make()
    assert versions(records) == list(range(1, EVENTS + 1))
    assert bundle.wrong == [f"event {version}: its hash is not that of its content"]
    assert any(f"event {version}: " in line for line in office.differences(records))


async def test_a_seal_of_a_stolen_key_is_told_by_whoever_verifies(office, database_url, admin_url):
    """The maker has no key, and believes what is there."""
    await sealed(database_url, STOLEN, {KEY.id: KEY.verifier, STOLEN.id: STOLEN.verifier})
    bundle, records = await office.make()
    assert (bundle.wrong, bundle.sealed) == ([], EVENTS)
    assert office.differences(records) == [
        f"seal 3 of partition 0: it is signed with the key {STOLEN.id}, which was not given"
    ]


# --- How it is read ---


async def test_a_bundle_is_of_one_instant(office, database_url, monkeypatch):
    """What is booked and sealed meanwhile is in the next one; half of it would be a break."""
    finding = Evidence.find

    async def find(self: Evidence, wanted: Wanted) -> Any:
        stretch = await finding(self, wanted)
        streams = Streams(database_url)
        ((state,),) = query(
            database_url, f"SELECT state FROM ledger_p00.events WHERE {_of_ann(EVENTS)}"
        )
        streams._heads[ANN] = EVENTS, state[:32]
        await streams.append(ANN, happened(EVENTS + 1))
        await sealed(database_url)
        async with running(database_url) as journal:
            journal.record(entry("t4", received_at=T0 + 4 * SECOND))
        return stretch

    monkeypatch.setattr(Evidence, "find", find)
    bundle, records = await office.make()
    monkeypatch.undo()
    assert (bundle.counts.events, bundle.sealed, calls(records)) == (EVENTS, 8, [0, 2, 6, 8])
    assert office.differences(records) == []
    bundle, records = await office.make()
    assert (bundle.counts.events, bundle.sealed) == (EVENTS + 1, EVENTS + 1)
    assert office.differences(records) == []


async def test_who_may_read_may_make_one(office, admin_url, postgres, database):
    """And needs no other right, nor leaves a trace."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS evidence_reader")
        connection.execute("CREATE ROLE evidence_reader LOGIN IN ROLE ledger_reader")
    try:
        bundles = Bundles(postgres.url(database, "evidence_reader"), 1, Currencies(), None)
        file = BytesIO()
        bundle = await bundles.write("ann", Wanted(), file)
        assert (bundle.counts.events, bundle.counts.calls, bundle.wrong) == (EVENTS, 4, [])
    finally:
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute("DROP ROLE evidence_reader")


async def test_more_than_a_call_may_return_is_refused(database_url, monkeypatch):
    """The service's memory is for bets; nothing but a reason comes back."""
    evidences = Evidences(Bundles(database_url, 1, Currencies(), None))
    whole = await evidences.make("ann", Wanted())
    assert whole.endswith(b'{"record":"end","events":10,"seals":2,"calls":4}\n')
    monkeypatch.setattr(module, "beside", _here)
    monkeypatch.setattr(module, "BYTES_MAX", len(whole))
    made = await asyncio.to_thread(module._make, evidences._bundles, "ann", Wanted())
    assert abs(len(made) - len(whole)) < 20  # the time at which it was made
    monkeypatch.setattr(module, "BYTES_MAX", len(whole) - 100)
    with pytest.raises(BadRequest, match="narrow what is asked for"):
        await asyncio.to_thread(module._make, evidences._bundles, "ann", Wanted())


async def _here(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def test_a_long_history_takes_little(postgres, databases, template_database, tmp_path):
    """Who plays most disputes most; what it takes is printed."""
    with databases.fresh(template_database) as name:
        url = postgres.url(name)
        streams = Streams(url)
        for first in range(1, LONG, 500):
            await streams.append(ANN, *(happened(each) for each in range(first, first + 500)))
            if first % 1_000 == 1:
                await sealed(url)
        await sealed(url)
        office = Office(url, tmp_path / "evidence.jsonl")
        tracemalloc.start()
        began = time.monotonic()
        bundle, records = await office.make()
        seconds, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    print(f"{LONG} events: {seconds:.1f} s traced, {peak / 2**20:.0f} MiB with the bundle itself")
    assert (bundle.counts.events, bundle.counts.seals, bundle.wrong) == (LONG, 4, [])
    assert office.differences(records) == []
    assert program().FORMAT == module.FORMAT
