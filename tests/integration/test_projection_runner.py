"""The runner: exactly once, whatever ends it; one at a time; loud where it cannot go on."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import psycopg
import pytest
from structlog.testing import capture_logs

from ledger import codec
from ledger import events as e
from ledger.chain import HASH_SIZE
from ledger.connections import connect
from ledger.endpoints import Reader
from ledger.store import AppendBatch, EventRow, Store
from projections import writer as writer_module
from projections.feed import FEED_SETTINGS
from projections.rebuild import compare
from projections.registry import VIEW_NAMES
from projections.runner import Runner, RunnerLimits
from projections.sql import statement
from projections.status import ViewStatus, read_statuses
from projections.writer import ViewWriter
from projections.writes import apply
from tests.integration.projection_history import History, contents, positions
from tests.integration.test_outage import frozen

QUICK = RunnerLimits(batch_max=50, pause_s=0.0, poll_s=0.05)
LONG = RunnerLimits(pause_s=0.0, poll_s=60.0)


@asynccontextmanager
async def running(url: str, limits: RunnerLimits = QUICK) -> AsyncIterator[Runner]:
    """A runner at work."""
    runner = Runner(url, 0, limits=limits)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


def all_at(url: str, position: int, **elsewhere: int) -> bool:
    """Whether every view is there, but for those that are to be elsewhere."""
    return positions(url) == dict.fromkeys(VIEW_NAMES, position) | elsewhere


async def check_views(url: str, events: int) -> None:
    """Every view is at the head, and what a fresh fold gives."""
    assert positions(url) == dict.fromkeys(VIEW_NAMES, events)
    for name in VIEW_NAMES:
        assert await compare(url, 0, name) == []


async def statuses(url: str) -> dict[str, ViewStatus]:
    """Every view's status by name."""
    reader = Reader(url, "test")
    try:
        return {status.view: status for status in await read_statuses(reader, 0)}
    finally:
        await reader.close()


def terminate(admin_url: str, purpose: str) -> int:
    """Cut the connections of a purpose; how many there were."""
    with psycopg.connect(admin_url) as connection:
        query = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE %s"""
        row = connection.execute(query, (f"wallet-ledger {purpose}%",)).fetchone()
        return row[0] if row else 0


async def test_a_notification_moves_the_views_at_once(store: Store, database_url: str):
    """Nobody should wait for the next poll."""
    history = History(1)
    async with running(database_url, LONG) as runner:
        await until(lambda: all(writer.ready for writer in runner.writers))
        await asyncio.sleep(0.3)
        history.play(50)
        await history.append(store)
        await store.notify()
        await until(lambda: all_at(database_url, len(history.booked)), 5.0)


async def test_a_view_that_is_far_behind_does_not_keep_the_others_from_what_comes(
    store: Store, database_url: str, admin_url: str
):
    """A release reads what had stopped one view: until that is through, no report could be made."""
    history = History(1)
    history.play(200)
    await history.append(store)
    runner = Runner(database_url, 0, limits=RunnerLimits(batch_max=1, pause_s=0.0, turn_s=0.0))
    await runner.catch_up()
    await runner.close()
    before = len(history.booked)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("TRUNCATE ledger_p00.totals")
        connection.execute("UPDATE ledger_p00.projections SET position = 0 WHERE view = 'totals'")
    history.play(3)
    await history.append(store)
    seen: list[dict[str, int]] = []
    read = runner._feed.read

    async def read_and_look(after: int, head: int) -> Any:
        seen.append(positions(database_url))
        if len(seen) == 20:
            history.play(3)
            await history.append(store)
        return await read(after, head)

    runner._feed.read = read_and_look  # type: ignore[method-assign, assignment]
    await runner.catch_up()
    await runner.close()
    ahead = [each for each in seen if each["balances"] == len(history.booked)]
    assert min(each["totals"] for each in ahead) < before // 2
    await check_views(database_url, len(history.booked))


async def test_no_view_is_written_on_another_server_than_the_log_is_read_from(
    store: Store, database_url: str
):
    """Of a URL with several hosts each connection may reach another, with other events."""
    history = History(1)
    runner = Runner(database_url, 0)
    await runner.catch_up()
    history.play(50)
    await history.append(store)
    runner.writers[0].server = "another one"
    with pytest.raises(psycopg.OperationalError, match="another server"):
        await runner.catch_up()
    assert all_at(database_url, 0)
    assert [writer.position for writer in runner.writers] == [None] * len(runner.writers)
    await runner.catch_up()
    assert all_at(database_url, len(history.booked))
    await runner.close()


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(ViewWriter.look, id="a look at the view"),
        pytest.param(lambda writer: writer._stop("why"), id="a note that it stopped"),
    ],
)
async def test_a_view_whose_connection_is_silent_holds_up_the_others_for_a_moment_only(
    database_url: str,
    admin_url: str,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[ViewWriter], Awaitable[None]],
):
    """Its look had no end, and no view of the partition moved until somebody came."""
    monkeypatch.setattr(writer_module, "_LOOK_S", 0.3)
    runner = Runner(database_url, 0)
    await runner.catch_up()
    silent = next(writer for writer in runner.writers if writer.view.name == "rounds")
    with frozen(admin_url, "view ledger_p00.rounds"):
        async with asyncio.timeout(10):
            with pytest.raises(psycopg.OperationalError):
                await work(silent)
    await runner.close()


async def test_polling_moves_the_views_where_no_notification_comes(store: Store, database_url: str):
    """A notification is a hint: it may be lost with its connection."""
    history = History(1)
    async with running(database_url):
        for _ in range(3):
            history.play(50)
            await history.append(store)
            await until(lambda: all_at(database_url, len(history.booked)))


async def test_cancelled_at_any_point_it_goes_on_where_it_was(store: Store, database_url: str):
    """A restart must neither lose nor repeat an event."""
    chance = random.Random(5)
    history = History(5)
    for _ in range(15):
        history.play(40)
        await history.append(store)
        async with running(database_url, RunnerLimits(batch_max=7, pause_s=0.0, poll_s=0.05)):
            await asyncio.sleep(chance.random() * 0.15)
    async with running(database_url):
        await until(lambda: all_at(database_url, len(history.booked)))
    await check_views(database_url, len(history.booked))


async def test_a_read_that_fails_for_some_views_leaves_no_second_writer_of_the_others(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Two on one connection would undo each other's rows, and nothing would tell."""
    history = History(3)
    history.play(400)
    await history.append(store)
    runner = Runner(database_url, 0, limits=RunnerLimits(batch_max=1000, pause_s=0.0, poll_s=0.05))
    for writer in runner.writers:
        await writer.acquire()
    ahead, *_ = runner.writers
    read = runner._feed.read
    entries = await read(0, 150)
    await ahead.advance(0, entries, ahead.fold(entries))

    async def slow(cursor, changes, schema, suffix):
        for change in changes:
            await cursor.execute("SELECT pg_sleep(0.05)")
            await apply(cursor, [change], schema, suffix)

    failed: list[int] = []

    async def failing_once(after, until):
        if after == 150 and not failed:
            failed.append(after)
            await asyncio.sleep(0.3)
            raise psycopg.OperationalError("the connection is lost")
        return await read(after, until)

    writing: Counter[str] = Counter()
    at_once: list[str] = []
    write = ViewWriter._write

    async def watched(self, entries, changes):
        writing[self.view.name] += 1
        if writing[self.view.name] > 1:
            at_once.append(self.view.name)
        try:
            await write(self, entries, changes)
        finally:
            writing[self.view.name] -= 1

    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "apply", slow)
        patch.setattr(runner._feed, "read", failing_once)
        patch.setattr(ViewWriter, "_write", watched)
        task = asyncio.create_task(runner.run())
        await until(lambda: all_at(database_url, len(history.booked)))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert failed
    assert at_once == []
    await check_views(database_url, len(history.booked))


async def test_the_log_is_read_along_its_index_whatever_the_statistics_say(
    store: Store, database_url: str, admin_url: str
):
    """After a restore or a long pause they know nothing of the tail, which is all there is to do.

    A plan that sorts reads the whole rest of the log for each batch.
    """
    history = History(7)
    for analysed in (False, True):
        history.play(200)
        await history.append(store)
        query = statement("notifications", "ledger_p00")
        async with await connect(database_url, "test", settings=FEED_SETTINGS) as connection:
            cursor = await connection.execute(b"EXPLAIN " + query, (0, 10**9, 10_000))
            plan = "\n".join(line for (line,) in await cursor.fetchall())
        assert "Index Scan using events_notification_id_idx" in plan, analysed
        assert "Sort" not in plan, analysed
        with psycopg.connect(admin_url) as admin:
            admin.execute("ANALYZE ledger_p00.events")


async def test_a_second_runner_waits_and_takes_over(
    store: Store, database_url: str, admin_url: str
):
    """Two processes may run the views of a partition; one works, the other stands by."""
    history = History(2)
    async with running(database_url) as first:
        await until(lambda: all(writer.ready for writer in first.writers))
        async with running(database_url) as second:
            history.play(100)
            await history.append(store)
            await until(lambda: all_at(database_url, len(history.booked)))
            assert not any(writer.ready for writer in second.writers)
            while not any(writer.ready for writer in second.writers):
                terminate(admin_url, "view")  # whoever is quicker gets it
                await asyncio.sleep(0.1)
            history.play(100)
            await history.append(store)
            await until(lambda: all_at(database_url, len(history.booked)))
    await check_views(database_url, len(history.booked))


async def test_when_the_first_ends_the_second_is_there(store: Store, database_url: str):
    """A rolling restart leaves no gap longer than a poll."""
    history = History(2)
    async with AsyncExitStack() as ending:
        first = await ending.enter_async_context(running(database_url))
        await until(lambda: all(writer.ready for writer in first.writers))
        async with running(database_url) as second:
            await asyncio.sleep(0.2)
            assert not any(writer.ready for writer in second.writers)
            await ending.aclose()
            await until(lambda: all(writer.ready for writer in second.writers))
            history.play(100)
            await history.append(store)
            await until(lambda: all_at(database_url, len(history.booked)))
    await check_views(database_url, len(history.booked))


@pytest.mark.parametrize("purpose", ["listen", "feed", "view", ""])
async def test_lost_connections_are_built_again(
    store: Store, database_url: str, admin_url: str, purpose: str
):
    """A failover of the database must not need a restart of the runner."""
    history = History(3)
    async with running(database_url) as runner:
        await until(lambda: all(writer.ready for writer in runner.writers))
        for _ in range(3):
            await asyncio.sleep(0.1)
            terminate(admin_url, purpose)
            history.play(60)
            await asyncio.sleep(0.05)
            await history.append(store)
            await until(lambda: all_at(database_url, len(history.booked)))
    await check_views(database_url, len(history.booked))


# --- events that cannot be taken ---------------------------------------------------------------


def raw(name: str, payload: dict[str, Any], *, stream: str = "player:p9", version: int) -> EventRow:
    """An event as nobody should have written it."""
    return EventRow(stream, version, name, bytes(HASH_SIZE) + msgspec.json.encode(payload))


ABOUT = {"movement_id": "m", "recorded_at": "2026-03-04T12:00:00Z", "operation": "x"}
MONEY = ABOUT | {"key": "k", "transaction_id": "t", "fingerprint": "f", "currency": "EUR"}
OPENED = raw("wallet_opened.v1", ABOUT | {"currency": "EUR"}, version=1)
FUTURE = raw("bet_placed.v2", MONEY, version=2)
UNDECODABLE = raw("wallet_opened.v1", ABOUT | {"currency": 7}, version=2)
UNBALANCED = raw(
    "bonus_converted.v1",
    MONEY | {"real": 5, "bonus": 0, "balance_real": 5, "balance_bonus": 0},
    version=2,
)
LEAP = raw(
    "deposited.v1",
    MONEY | {"real": 5, "bonus": 0, "balance_real": 6, "balance_bonus": 0},
    version=2,
)
OVERDRAWN = raw(
    "bonus_forfeited.v1",
    MONEY | {"real": 0, "bonus": -5, "balance_real": 0, "balance_bonus": -5},
    version=2,
)
LOST_ROUND = raw(
    "win_credited.v1",
    MONEY | {"real": 0, "balance_real": 0, "balance_bonus": 0, "round_id": "nowhere"},
    version=2,
)
ENDLESS = raw(
    "deposited.v1",
    MONEY | {"real": 2**70, "bonus": 0, "balance_real": 2**70, "balance_bonus": 0},
    version=2,
)


@pytest.mark.parametrize(
    ("poison", "stops"),
    [
        pytest.param(FUTURE, set(VIEW_NAMES), id="an event of a later version"),
        pytest.param(UNDECODABLE, {"balances"}, id="a payload that does not fit its name"),
        pytest.param(UNBALANCED, {"journal"}, id="postings that do not sum to zero"),
        pytest.param(LEAP, {"balances"}, id="a balance that does not follow"),
        pytest.param(OVERDRAWN, {"balances"}, id="a row that breaks a rule of the database"),
        pytest.param(LOST_ROUND, {"rounds"}, id="a win in a round that was never opened"),
        pytest.param(ENDLESS, {"balances", "journal"}, id="an amount beyond the database's"),
    ],
)
async def test_a_poison_event_stops_the_views_that_cannot_take_it_and_no_other(
    store: Store, database_url: str, poison: EventRow, stops: set[str]
):
    """A money projection never skips: it stops where it is, says why, and holds up nobody."""
    history = History(4)
    history.play(30)
    await history.append(store)
    before = len(history.booked) + 1
    await store.append(AppendBatch(events=[OPENED, poison]), 5.0)
    history.play(30)
    await history.append(store)
    head = before + 1 + len(history.booked) - (before - 1)
    async with running(database_url) as runner:
        await until(lambda: set(positions(database_url).values()) <= {head, before})
        await asyncio.sleep(0.2)
        assert {writer.view.name for writer in runner.writers if writer.stopped} == stops
    found = await statuses(database_url)
    for name, status in found.items():
        assert status.head == head
        if name in stops:
            assert (status.position, status.lag_events) == (before, head - before), name
            assert status.error is not None
            assert f"event {before + 1} ({poison.topic}, player p9, version 2)" in status.error
            assert status.stopped_at is not None
            assert status.lag_s > 0
        else:
            assert (status.position, status.error, status.lag_s) == (head, None, 0), name


async def test_a_view_without_its_row_is_stopped_until_it_has_one_again(
    store: Store, database_url: str, admin_url: str
):
    """Nobody knew how far it was: it was left out of readiness and metrics, and looked well."""
    history = History(4)
    history.play(30)
    await history.append(store)
    async with running(database_url):
        await until(lambda: all_at(database_url, len(history.booked)))
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT * FROM ledger_p00.projections")
        connection.execute("DELETE FROM ledger_p00.projections WHERE view = 'totals'")
        with capture_logs() as logs:
            async with running(database_url) as runner:
                totals = next(each for each in runner.writers if each.view.name == "totals")
                await until(lambda: totals.stopped)
                found = await statuses(database_url)
                assert found["totals"].error == totals.error
                assert "totals has no row in ledger_p00.projections" in str(totals.error)
                history.play(30)
                await history.append(store)
                head = len(history.booked)
                await until(lambda: positions(database_url)["rounds"] == head)
                connection.execute(
                    "INSERT INTO ledger_p00.projections SELECT * FROM kept WHERE view = 'totals'"
                )
                await until(lambda: all_at(database_url, head))
    assert [line["event"] for line in logs].count("view_stopped") == 1
    await check_views(database_url, head)


async def test_a_wallet_that_does_not_stand_where_the_events_say_is_named(
    store: Store, database_url: str
):
    """Whoever is called by the alarm has to know whose money to look at, not which statement."""
    await store.append(AppendBatch(events=[OPENED]), 5.0)
    async with running(database_url):
        await until(lambda: all_at(database_url, 1))
    await store.append(AppendBatch(events=[LEAP]), 5.0)
    async with running(database_url) as runner:
        await until(lambda: any(writer.stopped for writer in runner.writers))
    assert (await statuses(database_url))["balances"].error == (
        "event 2 (deposited.v1, player p9, version 2):"
        " p9 EUR: its balance does not follow from the one before it"
    )


class _BetSeen(e.Event, frozen=True, kw_only=True, gc=False):
    NAME = "bet_placed.v2"


async def test_a_stopped_view_goes_on_when_the_software_can_read_the_event(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """After the upgrade nobody has to repair a view by hand."""
    await store.append(AppendBatch(events=[OPENED, FUTURE]), 5.0)
    async with running(database_url):
        await until(lambda: all_at(database_url, 1))
        await asyncio.sleep(0.2)
    assert all(status.error for status in (await statuses(database_url)).values())
    monkeypatch.setitem(e.EVENT_TYPES, _BetSeen.NAME, _BetSeen)
    monkeypatch.setitem(codec._decoders, _BetSeen.NAME, msgspec.json.Decoder(_BetSeen))
    async with running(database_url):
        await until(lambda: all_at(database_url, 2))
    assert not any(status.error for status in (await statuses(database_url)).values())


async def test_a_runner_that_meets_the_poison_again_writes_nothing_twice(
    store: Store, database_url: str
):
    """What came before the poison was written once, however often the runner is started."""
    history = History(4)
    history.play(30)
    await history.append(store)
    await store.append(AppendBatch(events=[OPENED, UNBALANCED]), 5.0)
    seen = []
    for _ in range(3):
        async with running(database_url):
            await asyncio.sleep(0.5)
        seen.append(contents(database_url))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0]["journal"]


async def test_the_status_says_how_far_a_view_is_behind(store: Store, database_url: str):
    """Readiness and alerts rest on these figures."""
    found = await statuses(database_url)
    assert {(s.position, s.head, s.lag_events, s.lag_s) for s in found.values()} == {(0, 0, 0, 0)}
    history = History(4)
    history.play(30)
    await history.append(store)
    found = await statuses(database_url)
    assert set(found) == set(VIEW_NAMES)
    assert {status.lag_events for status in found.values()} == {len(history.booked)}
    assert all(status.lag_s > 0 for status in found.values())
