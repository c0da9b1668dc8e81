"""Sealing on a real database: one chain without a gap, whoever else seals and whatever breaks."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from structlog.testing import capture_logs

from adapters.seal_copies import SealCopies, read_copy
from adapters.sealing import Sealing, keep_sealed, seal_now
from ledger import sealing as sealing_module
from ledger.chain import GENESIS
from ledger.embedded import SUPERUSER, EmbeddedPostgres
from ledger.sealing import NotSealed, Sealer, SealsDiffer, newest_seals, seals_behind
from ledger.seals import Seal, to_line
from ledger.store import Store
from tests.conftest import Databases
from tests.faults.ledgers import query
from tests.faults.pair import require_standby
from tests.integration.seal_stories import (
    KEY,
    KEYS,
    STOLEN,
    Log,
    all_seals,
    come_true,
    lines_of,
    sealed,
    settings,
    told,
    verified,
)
from tests.integration.tampering import superuser


@pytest.fixture
def log(store: Store) -> Log:
    """The log of the test's database."""
    return Log(store)


@pytest.fixture
async def make_sealer(database_url: str) -> AsyncIterator[Callable[[], Sealer]]:
    """Sealers of the test's database: other processes."""
    made: list[Sealer] = []

    def make() -> Sealer:
        made.append(Sealer(database_url, 0, KEY, KEYS))
        return made[-1]

    yield make
    for sealer in made:
        await sealer.close()


@pytest.fixture
def sealer(make_sealer: Callable[[], Sealer]) -> Sealer:
    """One of them."""
    return make_sealer()


@pytest.fixture
async def make_sealing(database_url: str) -> AsyncIterator[Callable[[Path | None], Sealing]]:
    """Sealers that keep copies: processes that seal the test's database."""
    made: list[Sealing] = []

    def make(copy_to: Path | None) -> Sealing:
        made.append(Sealing(database_url, 0, settings(copy_to)))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def test_everything_that_is_there_is_sealed_and_nothing_twice(log, sealer, database_url):
    """What no seal covers can be rewritten unseen; a seal of nothing says nothing."""
    assert await sealer.advance(None) is None
    await log.append(7)
    first = await sealer.advance(None)
    assert first is not None
    assert (first.number, first.through_id, first.events) == (1, 7, 7)
    assert first.previous == GENESIS
    assert await sealer.advance(first) == first
    await log.append(1)
    second = await sealer.advance(first)
    assert second is not None
    assert (second.number, second.through_id, second.events) == (2, 8, 1)
    assert second.previous == first.digest()
    assert await all_seals(database_url) == [first, second]
    assert told(await verified(database_url)) == []


@pytest.mark.parametrize(
    ("events_max", "fetched", "numbers"),
    [(3, 2, [3, 3, 1]), (7, 3, [7]), (6, 100, [6, 1]), (1, 1, [1] * 7)],
)
async def test_a_long_log_takes_several_seals(
    *, events_max, fetched, numbers, log, sealer, database_url, monkeypatch
):
    """The first seal of an old ledger must not be one of a night's work; wherever a portion ends.

    Progress is told up to the last event.
    """
    monkeypatch.setattr(sealing_module, "EVENTS_MAX", events_max)
    monkeypatch.setattr(sealing_module, "_FETCH", fetched)
    monkeypatch.setattr(sealing_module, "_SLICE", 2)
    shown: list[tuple[int, int]] = []
    await log.append(7)
    await sealer.advance(None, lambda done, total: shown.append((done, total)))
    seals = await all_seals(database_url)
    assert [seal.events for seal in seals] == numbers
    assert shown == [(seal.through_id, 7) for seal in seals]
    assert told(await verified(database_url)) == []


async def test_a_clock_that_was_put_back_makes_no_seal_that_is_older(
    log, sealer, database_url, monkeypatch
):
    """Nobody would seal behind it, and every audit would find it."""
    await log.append(1)
    first = await sealer.advance(None)

    class Slow(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2020, 1, 1, tzinfo=tz)

    monkeypatch.setattr(sealing_module, "datetime", Slow)
    await log.append(1)
    second = await sealer.advance(first)
    assert second is not None
    assert second.sealed_at == first.sealed_at
    assert told(await verified(database_url)) == []


async def test_what_comes_meanwhile_does_not_keep_one_call_going(log, make_sealer, monkeypatch):
    """A call ends, however fast events come: it seals what was there when it was called."""
    monkeypatch.setattr(sealing_module, "EVENTS_MAX", 2)
    await log.append(4)
    sealer = make_sealer()
    make = Sealer._make

    async def make_and_append(self: Sealer, last: Seal | None) -> Seal | None:
        await log.append(2)
        return await make(self, last)

    monkeypatch.setattr(Sealer, "_make", make_and_append)
    newest = await sealer.advance(None)
    assert newest is not None
    assert newest.through_id == 4


async def test_many_seals_of_others_are_read_in_portions(log, make_sealer, monkeypatch):
    """After a month away there are half a million of them."""
    monkeypatch.setattr(sealing_module, "EVENTS_MAX", 1)
    await log.append(7)
    newest = await make_sealer().advance(None)
    monkeypatch.setattr(sealing_module, "_SEALS", 2)
    assert await make_sealer().advance(None) == newest


def _before_commit(sealer: Sealer, happens: Callable[[], Any]) -> None:
    """Have something happen between the read of the sealer's next seal and its insert."""
    commit = sealer._commit

    async def late(name: str, *parameters: object) -> list[Any]:
        if name == "add_seal":
            vars(sealer)["_commit"] = commit
            await happens()
        return await commit(name, *parameters)

    vars(sealer)["_commit"] = late


async def test_a_sealer_that_was_overtaken_goes_on_behind_the_other(log, make_sealer, database_url):
    """Two processes may seal; of one number there is one seal."""
    await log.append(3)
    slow, fast = make_sealer(), make_sealer()

    async def overtake() -> None:
        await log.append(2)
        await fast.advance(None)
        await log.append(2)

    _before_commit(slow, overtake)
    newest = await slow.advance(None)
    assert newest is not None
    assert (newest.number, newest.through_id) == (1, 5)  # all that was there at the call, and more
    assert await slow.advance(newest) == (await all_seals(database_url))[1]
    assert told(await verified(database_url)) == []


@pytest.mark.parametrize("outcome", ["commit", "rollback"])
async def test_a_seal_whose_commit_is_under_way_is_waited_for(
    outcome, log, sealer, database_url, admin_url
):
    """The other one may fail yet: then this one is needed."""
    await log.append(3)
    other = await sealed(database_url)
    assert other is not None
    with superuser(admin_url) as root:
        root.execute("DELETE FROM ledger_p00.seals")
    connection = await psycopg.AsyncConnection.connect(database_url)
    try:
        await connection.execute("SET ROLE ledger_seal")
        await connection.execute(
            "INSERT INTO ledger_p00.seals VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            sealing_module._row(other),
        )
        sealing = asyncio.create_task(sealer.advance(None))
        waiting = (
            "SELECT FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        await come_true(lambda: query(admin_url, waiting))
        await getattr(connection, outcome)()
        newest = await sealing
    finally:
        await connection.close()
    assert await all_seals(database_url) == [newest]
    assert (newest == other) is (outcome == "commit")
    assert told(await verified(database_url)) == []


def _forged(seal: Seal, name: str) -> Seal:
    """A second seal behind it, with something wrong."""
    following = msgspec.structs.replace(seal, number=2, through_id=4, events=1)
    behind = msgspec.structs.replace(following, previous=seal.digest())
    return {
        "another key": behind.signed(STOLEN),
        "another key under this one's name": msgspec.structs.replace(
            behind, signature=STOLEN.sign(behind.statement())
        ),
        "no signature": msgspec.structs.replace(behind, signature=bytes(64)),
        "another previous": following.signed(KEY),
        "another number": msgspec.structs.replace(behind, number=3).signed(KEY),
        "the same events": msgspec.structs.replace(behind, through_id=3).signed(KEY),
        "an older time": msgspec.structs.replace(
            behind, sealed_at=seal.sealed_at.replace(year=2000)
        ).signed(KEY),
    }[name]


FORGED = {
    "another key": f"seal 2: it is signed with the key {STOLEN.id}, which is not known",
    "another key under this one's name": "seal 2: its signature is wrong",
    "no signature": "seal 2: its signature is wrong",
    "another previous": "seal 2: it was made behind another seal than the one before it",
    "another number": "seal 3: it follows seal 1",
    "the same events": "seal 2: it covers nothing",
    "an older time": "seal 2: it is older than the one before it",
}


async def test_nothing_is_sealed_behind_a_seal_that_is_not_believed(
    log, sealer, database_url, admin_url
):
    """The next signature would vouch for it."""
    await log.append(3)
    first = await sealer.advance(None)
    await log.append(2)
    for name, reason in FORGED.items():
        with superuser(admin_url) as root:
            _insert(root, _forged(first, name))
        for last in (first, None):
            with pytest.raises(SealsDiffer) as raised:
                await sealer.advance(last)
            assert str(raised.value) == reason
        assert len(await all_seals(database_url)) == 2
        with superuser(admin_url) as root:
            root.execute("DELETE FROM ledger_p00.seals WHERE number > 1")


def _insert(root: Any, seal: Seal) -> None:
    root.execute(
        "INSERT INTO ledger_p00.seals VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        *sealing_module._row(seal),
    )


async def test_a_sealer_goes_on_behind_the_seals_of_an_earlier_key(log, database_url):
    """Keys are changed."""
    await log.append(3)
    await sealed(database_url, STOLEN, {STOLEN.id: STOLEN.verifier})
    await log.append(1)
    newest = await sealed(database_url, KEY, {STOLEN.id: STOLEN.verifier} | KEYS)
    assert newest is not None
    assert (newest.number, newest.key_id) == (2, KEY.id)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM ledger_p00.seals",
        "DELETE FROM ledger_p00.seals WHERE number = 2",
        "UPDATE ledger_p00.seals SET events = 7 WHERE number = 2",
        "UPDATE ledger_p00.seals SET root = sha256('') WHERE number = 2",
        "UPDATE ledger_p00.seals SET number = 3 WHERE number = 2",
    ],
)
async def test_nothing_is_sealed_where_a_known_seal_is_gone_or_another(
    *, change, log, make_sealing, database_url, admin_url, tmp_path
):
    """The log was put back: whoever seals on would bless what came instead.

    Neither the process that made the seal does, nor one that knows it from its copy.
    """
    sealing = make_sealing(tmp_path)
    for count in (3, 2):
        await log.append(count)
        await sealing.seal()
        await sealing.copy()
    with superuser(admin_url) as root:
        root.execute(change)
    await log.append(1)
    there = await all_seals(database_url)
    copied = (tmp_path / "seals-00.jsonl").read_bytes()
    for each in (sealing, sealing, make_sealing(tmp_path)):
        with pytest.raises(SealsDiffer, match="seal 2 is known and not in the database"):
            await each.seal()
    assert await all_seals(database_url) == there
    assert (tmp_path / "seals-00.jsonl").read_bytes() == copied


async def test_without_a_copy_the_databases_own_seal_is_gone_on_behind(
    log, make_sealing, database_url
):
    """A restart is no reason to verify a year's seals."""
    await log.append(3)
    first = await make_sealing(None).seal()
    await log.append(1)
    assert (await seal_now(database_url, 0, settings())) == (await all_seals(database_url))[1]
    newest = await make_sealing(None).seal()
    assert newest is not None
    assert newest.previous == first.digest()


async def test_what_is_behind_the_databases_own_seal_is_left_to_the_audit(
    log, make_sealing, database_url
):
    """An earlier key that is listed no more is no reason not to seal."""
    await log.append(1)
    keys = {STOLEN.id: STOLEN.verifier} | KEYS
    await sealed(database_url, STOLEN, keys)
    await log.append(1)
    await sealed(database_url, KEY, keys)
    await log.append(1)
    newest = await make_sealing(None).seal()
    assert newest is not None
    assert newest.number == 3


async def test_seals_of_a_busy_log_are_one_chain_over_all_of_it(
    log, make_sealer, database_url, monkeypatch
):
    """Two sealers, and a service that appends: neither a gap nor an event twice."""
    monkeypatch.setattr(sealing_module, "EVENTS_MAX", 25)
    appended = asyncio.Event()

    async def append() -> None:
        for number in range(60):
            await log.append(1 + number % 11)
        appended.set()

    async def seal() -> None:
        sealer, last = make_sealer(), None
        while not appended.is_set():
            last = await sealer.advance(last)
        await sealer.advance(last)

    async with asyncio.TaskGroup() as tasks:
        for each in (append(), seal(), seal()):
            tasks.create_task(each)
    found = await verified(database_url)
    assert told(found) == []
    assert found.seals > 10
    assert (found.events, found.unsealed) == (log.events, 0)


async def test_a_database_that_may_lose_commits_seals_nothing(log, sealer, database, admin_url):
    """A seal that was told of and then lost is an alarm for ever."""
    await log.append(1)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} SET synchronous_commit = off".encode())
    with pytest.raises(NotSealed, match="synchronous_commit = off"):
        await sealer.advance(None)
    assert query(admin_url, "SELECT FROM ledger_p00.seals") == []


async def test_a_database_that_was_away_is_sealed_when_it_is_back(
    log, sealer, database, admin_url, postgres
):
    """Nobody restarts a sealer at night."""
    await log.append(1)
    first = await sealer.advance(None)
    await log.append(1)
    admin = postgres.url("postgres", SUPERUSER)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false".encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            (database,),
        )
        for _ in range(2):
            with pytest.raises(NotSealed):
                await sealer.advance(first)
        connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true".encode())
    second = await sealer.advance(first)
    assert second is not None
    assert second.number == 2


async def test_a_login_that_may_not_seal_is_told_so(postgres, database, log, admin_url):
    """Instead of a sealer that dies: the right may be given while it runs."""
    await log.append(1)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS no_sealer")
        connection.execute("CREATE ROLE no_sealer LOGIN IN ROLE ledger_app")
        try:
            with pytest.raises(NotSealed, match="permission denied to set role"):
                await sealed(postgres.url(database, "no_sealer"))
        finally:
            connection.execute("DROP ROLE no_sealer")


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedPostgres]:
    """A database server whose settings the tests may change."""
    directory = Path(tempfile.mkdtemp(prefix="wl-"))
    with EmbeddedPostgres(directory / "pg") as server:
        yield server
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def standby_url(own_server: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database on it."""
    databases = Databases(own_server)
    with databases.fresh(databases.template(1)) as name:
        yield own_server.url(name)
        require_standby(own_server, "")


async def test_each_of_anothers_seals_is_waited_for(own_server, standby_url, monkeypatch):
    """That the last one was safe says nothing of this one."""
    store = Store(standby_url)
    log, one, two = Log(store), Sealer(standby_url, 0, KEY, KEYS), Sealer(standby_url, 0, KEY, KEYS)
    try:
        last = None
        for _ in range(2):
            await log.append(1)
            seal = await two.advance(last)
            require_standby(own_server, "missing")
            with psycopg.connect(own_server.migrate_url, autocommit=True) as connection:
                connection.execute("CHECKPOINT")
            with monkeypatch.context() as hurry:
                hurry.setattr(sealing_module, "_ANSWER_S", 0.2)
                with pytest.raises(NotSealed):
                    await one.advance(last)
            require_standby(own_server, "")
            last = await one.advance(last)
            assert last == seal
    finally:
        for each in (one, two, store):
            await each.close()


async def test_a_seal_that_no_standby_has_is_not_told_of(own_server, standby_url, monkeypatch):
    """It would be lost with this server, and be missed in the next one's log for ever.

    Not by the one whose wait was cancelled, nor by another one that sees it meanwhile.
    """
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    store = Store(standby_url)
    one, two = (Sealer(standby_url, 0, KEY, KEYS) for _ in range(2))
    try:
        await Log(store).append(3)
        require_standby(own_server, "missing")
        with psycopg.connect(own_server.migrate_url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        sealing = asyncio.create_task(one.advance(None))
        await come_true(lambda: query(own_server.migrate_url, waiting))
        query(own_server.migrate_url, waiting.replace("pid", "pg_cancel_backend(pid)", 1))
        with pytest.raises(NotSealed, match="canceling wait for synchronous replication"):
            await sealing
        (seal,) = await all_seals(standby_url)
        monkeypatch.setattr(sealing_module, "_ANSWER_S", 0.2)
        for sealer in (one, two):
            with pytest.raises(NotSealed):
                await sealer.advance(None)
        require_standby(own_server, "")
        monkeypatch.undo()
        for sealer in (one, two):
            assert await sealer.advance(None) == seal
    finally:
        for each in (one, two, store):
            await each.close()


SEALS = "SELECT count(*) FROM ledger_p00.seals"


def copies(directory: Path) -> list[int]:
    """The numbers of the seals in the copy."""
    return [seal.number for seal in lines_of(directory / "seals-00.jsonl")]


async def test_every_seal_is_copied_once_and_in_order(
    log, make_sealing, make_sealer, database_url, tmp_path
):
    """Those of other sealers, too; a directory that is not there is made."""
    directory = tmp_path / "far" / "away"
    sealing = make_sealing(directory)
    await sealing.seal()
    await sealing.copy()
    assert not directory.exists()
    await log.append(1)
    await sealing.seal()
    assert not directory.exists()
    await sealing.copy()
    assert copies(directory) == [1]
    await log.append(1)
    await sealed(database_url)
    await log.append(1)
    for _ in range(2):
        await sealing.seal()
        await sealing.copy()
    assert lines_of(directory / "seals-00.jsonl") == await all_seals(database_url)
    assert copies(directory) == [1, 2, 3]


async def test_a_long_copy_is_made_in_portions(log, make_sealing, monkeypatch, tmp_path):
    """That a directory is configured in the second year is no reason to run out of memory."""
    monkeypatch.setattr(sealing_module, "EVENTS_MAX", 1)
    monkeypatch.setattr(sealing_module, "_SEALS", 3)
    await log.append(8)
    sealing = make_sealing(tmp_path)
    await sealing.seal()
    await sealing.copy()
    assert copies(tmp_path) == [*range(1, 9)]


@pytest.mark.parametrize("torn", [b'{"partition":0,"num', b"\0\0\0", b"{"])
async def test_a_line_that_was_cut_off_is_written_anew(torn, log, make_sealing, tmp_path):
    """A machine dies while it writes."""
    file = tmp_path / "seals-00.jsonl"
    sealing = make_sealing(tmp_path)
    for _ in range(2):
        await log.append(1)
        await sealing.seal()
        await sealing.copy()
    whole = file.read_bytes()
    with file.open("ab") as kept:
        kept.write(torn)
    assert [seal.number for seal in read_copy(file, 0)] == [1, 2]
    await log.append(1)
    later = make_sealing(tmp_path)
    await later.seal()
    await later.copy()
    assert file.read_bytes().startswith(whole)
    assert copies(tmp_path) == [1, 2, 3]


async def test_a_copy_that_was_cut_off_in_its_first_line_is_begun_again(
    log, make_sealing, tmp_path
):
    """All seals are still in the database."""
    (tmp_path / "seals-00.jsonl").write_bytes(b'{"part')
    await log.append(1)
    sealing = make_sealing(tmp_path)
    await sealing.seal()
    await sealing.copy()
    assert copies(tmp_path) == [1]


async def test_a_line_that_wants_only_its_end_is_no_second_one(log, make_sealing, tmp_path):
    """The unluckiest place to be cut off."""
    file = tmp_path / "seals-00.jsonl"
    await log.append(1)
    sealing = make_sealing(tmp_path)
    seal = await sealing.seal()
    assert seal is not None
    file.write_bytes(to_line(seal))
    assert list(read_copy(file, 0)) == [seal]
    await sealing.copy()
    assert copies(tmp_path) == [1]


async def test_a_copy_goes_on_behind_its_last_line(log, make_sealing, tmp_path):
    """Old lines are moved elsewhere: what is left is enough to go on."""
    file = tmp_path / "seals-00.jsonl"
    sealing = make_sealing(tmp_path)
    for _ in range(3):
        await log.append(1)
        await sealing.seal()
        await sealing.copy()
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[-1])
    for each in (sealing, make_sealing(tmp_path)):
        await log.append(1)
        await each.seal()
        await each.copy()
    assert copies(tmp_path) == [3, 4, 5]


@pytest.mark.parametrize("garbage", [b"garbage\n", b"\xff\xfe\0\n" * 30_000, b"{}\n", b"\n"])
async def test_a_file_that_is_no_copy_is_named_and_left_as_it_is(
    garbage, log, make_sealing, tmp_path
):
    """Somebody's file: it is neither written behind nor away."""
    file = tmp_path / "seals-00.jsonl"
    file.write_bytes(garbage)
    await log.append(1)
    sealing = make_sealing(tmp_path)
    with pytest.raises(NotSealed, match=r"seals-00\.jsonl, its last line: no seal: "):
        await sealing.seal()
    assert file.read_bytes() == garbage


async def test_a_copy_whose_last_line_is_not_signed_by_a_known_key_is_not_believed(
    log, make_sealing, database_url, tmp_path
):
    """Whoever can write there could else say behind what to seal."""
    await log.append(1)
    first = await sealed(database_url)
    for forged in (first.signed(STOLEN), msgspec.structs.replace(first, signature=bytes(64))):
        (tmp_path / "seals-00.jsonl").write_bytes(to_line(forged) + b"\n")
        with pytest.raises(NotSealed, match=r"seals-00\.jsonl, its last line: it"):
            await make_sealing(tmp_path).seal()


async def _kept(url: str, copy_to: Path | None, until_true: Callable[[], bool]) -> None:
    stopped = asyncio.Event()
    keeping = asyncio.create_task(keep_sealed(url, 1, settings(copy_to, interval_s=0.01), stopped))
    await come_true(lambda: keeping.done() or until_true())
    assert not keeping.done(), keeping
    stopped.set()
    await keeping


async def test_sealing_goes_on_while_no_copy_can_be_written(log, database_url, admin_url, tmp_path):
    """A full disk elsewhere must not leave the log unsealed; the copy catches up by itself."""
    there = tmp_path / "copies"
    stopped = asyncio.Event()
    with capture_logs() as said:
        keeping = asyncio.create_task(
            keep_sealed(database_url, 1, settings(there, interval_s=0.01), stopped)
        )
        await log.append(1)
        await come_true(lambda: there.exists() and copies(there) == [1])
        there.rename(tmp_path / "elsewhere")
        there.write_text("no directory")
        for number in (2, 3):
            await log.append(1)
            await come_true(lambda: query(admin_url, SEALS) == [(number,)])  # noqa: B023
        there.unlink()
        (tmp_path / "elsewhere").rename(there)
        await come_true(lambda: len(copies(there)) == 3)
        stopped.set()
        await keeping
    assert copies(there) == [1, 2, 3]
    (failed,) = {line["partition"] for line in said if line["event"] == "seals_not_copied"}
    assert failed == 0


async def test_seals_that_differ_are_said_and_sealing_is_tried_again(
    log, database_url, admin_url, tmp_path
):
    """The sealer lives: what it says every few seconds is the alarm."""
    await log.append(1)
    first = await sealed(database_url)
    SealCopies(tmp_path).add(0, [first])
    with superuser(admin_url) as root:
        root.execute("DELETE FROM ledger_p00.seals")
    with capture_logs() as said:
        await _kept(database_url, tmp_path, lambda: "seals_differ" in str(said))
    assert "seal 1 is known and not in the database" in str(said)
    assert await all_seals(database_url) == []


async def test_an_answer_to_a_call_is_not_sealed_behind_what_the_copy_does_not_know(
    log, make_sealing, database_url, admin_url, tmp_path
):
    """Else whoever removed the seals only has to wait for somebody's call."""
    sealing = make_sealing(tmp_path)
    await log.append(3)
    await sealing.seal()
    await sealing.copy()
    with superuser(admin_url) as root:
        root.execute("DELETE FROM ledger_p00.seals")
    with pytest.raises(SealsDiffer, match="seal 1 is known and not in the database"):
        await seal_now(database_url, 0, settings(tmp_path))
    assert await all_seals(database_url) == []


async def test_a_seal_that_may_be_lost_is_not_copied(log, make_sealing, database_url, tmp_path):
    """Another one's seal that has only just become visible may be on no standby yet."""
    sealing = make_sealing(tmp_path)
    await log.append(1)
    await sealing.seal()
    await log.append(1)
    await sealed(database_url)
    await sealing.copy()
    assert copies(tmp_path) == [1]
    await sealing.seal()
    await sealing.copy()
    assert copies(tmp_path) == [1, 2]


async def test_seals_that_vanish_before_they_are_copied_are_missed(
    log, make_sealing, admin_url, tmp_path
):
    """Somebody took them: that is to be said, and no reason for the sealer to die."""
    sealing = make_sealing(tmp_path)
    await log.append(1)
    await sealing.seal()
    with superuser(admin_url) as root:
        root.execute("DELETE FROM ledger_p00.seals")
    with pytest.raises(SealsDiffer):
        await sealing.copy()


async def test_two_processes_with_one_copy_write_no_seal_twice(
    log, make_sealing, database_url, tmp_path
):
    """A service that was killed and started again: its sealer still ends when the next begins.

    A line twice is a file that no audit reads any more.
    """
    one, two = make_sealing(tmp_path), make_sealing(tmp_path)
    for _ in range(3):
        await log.append(1)
        await one.seal()
        await two.seal()
        both = [await each._copied() for each in (one, two)]
        assert both[0] == both[1]
        found = await one._sealer.behind(both[0])
        for _ in (one, two):
            await asyncio.to_thread(SealCopies(tmp_path).add, 0, found)
    assert copies(tmp_path) == [1, 2, 3]
    assert (
        told(await verified(database_url, known=[read_copy(tmp_path / "seals-00.jsonl", 0)])) == []
    )


@pytest.mark.parametrize(
    ("damage", "said_of_it"),
    [
        ("ALTER TABLE seals RENAME TO elsewhere", "sealing_failed"),
        ("UPDATE seals SET sealed_at = 'infinity'", "seal 1: it cannot be read"),
        (
            "ALTER TABLE seals ALTER root DROP NOT NULL; UPDATE seals SET root = NULL",
            "seal 1: it cannot be read",
        ),
        (
            "ALTER TABLE seals ALTER key_id DROP NOT NULL; UPDATE seals SET key_id = NULL",
            "seal 1: it cannot be read",
        ),
        (
            "ALTER TABLE events ALTER state DROP NOT NULL; UPDATE events SET state = NULL",
            "'number': 2",
        ),
    ],
)
@pytest.mark.parametrize("copied", ["copied", "not copied"])
async def test_nothing_that_is_in_the_database_ends_the_sealer(
    *, damage, said_of_it, copied, log, database_url, admin_url, tmp_path
):
    """Of a process that dies twice a second nobody reads what is wrong."""
    await log.append(1)
    seal = await sealed(database_url)
    assert seal is not None
    await log.append(1)
    with superuser(admin_url) as root:
        root.execute("SET LOCAL search_path = ledger_p00")
        for each in damage.split(";"):
            root.execute(each)
    copy_to = tmp_path if copied == "copied" else None
    if copy_to is not None:
        SealCopies(copy_to).add(0, [seal])
    with capture_logs() as said:
        await _kept(database_url, copy_to, lambda: said_of_it in str(said))


@pytest.mark.parametrize(
    "read", [newest_seals, partial(seals_behind, partition=0, after=0, limit=1)]
)
async def test_a_read_of_seals_is_given_up_when_the_database_does_not_answer(
    read, database_url, admin_url, monkeypatch
):
    """Reads take turns with reports: a few that hang would hold up all of them."""
    monkeypatch.setattr(sealing_module, "_ANSWER_S", 0.2)
    given = {"partitions": 1} if read is newest_seals else {}
    with psycopg.connect(admin_url) as lock:
        lock.execute("LOCK TABLE ledger_p00.seals IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(20):
            with pytest.raises(psycopg.OperationalError):
                await read(database_url, **given)
