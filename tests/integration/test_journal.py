"""The call journal: evidence must not be lost for the sake of one odd call, nor at a stop."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count as number_from
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from adapters import journal as module
from adapters.journal import Entry, Journal
from adapters.metrics import Metrics
from ledger.connections import PreparedStatement, connect
from tests.faults.ledgers import query

NOW = datetime.now(UTC)
_numbers = number_from(1)
WAIT_S = 10.0


def entry(transaction_id: str, **changes: Any) -> Entry:
    """A call."""
    fields: dict[str, Any] = {
        "received_at": NOW,
        "integration": "test",
        "operation": "bet",
        "method": "POST",
        "path": "/bet",
        "query": "",
        "body": b"{}",
        "status": 200,
        "answer": b"{}",
        "outcome": "ok",
        "player_id": "ann",
        "transaction_id": transaction_id,
        "duration_us": 5,
        "remote": "127.0.0.1",
        "key_id": "k",
        "trace_id": f"aabbccdd-{next(_numbers):08x}",
    }
    return Entry(**fields | changes)


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Journal]:
    """A journal that works until the block ends, and then writes the rest."""
    journal = Journal(url, Metrics())
    task = asyncio.create_task(journal.run())
    await asyncio.sleep(0)
    try:
        yield journal
    finally:
        journal.stop()
        await task


def written(url: str) -> list[str]:
    """The transaction ids of the journal, in order."""
    rows = query(url, "SELECT transaction_id FROM ledger.calls ORDER BY id")
    return [row[0] for row in rows]


def count(journal: Journal, name: str) -> float:
    """A counter's value."""
    value: float = getattr(journal._metrics, name)._value.get()
    return value


async def writes(journal: Journal, number: int) -> None:
    """Wait until it has written so many entries, 10 s at most."""
    async with asyncio.timeout(10):
        while True:
            if count(journal, "journal_rows_written") >= number:
                return
            await asyncio.sleep(0.01)


async def test_what_was_taken_is_written_when_the_journal_stops(database_url: str) -> None:
    """A graceful stop loses no second of it."""
    async with running(database_url) as journal:
        for number in range(500):
            journal.record(entry(f"b-{number}"))
    assert written(database_url) == [f"b-{number}" for number in range(500)]
    assert count(journal, "journal_rows_written") == 500


async def test_a_stop_in_the_middle_of_a_write_loses_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment of the stop is nobody's choice."""
    started = asyncio.Event()
    write = Journal._write

    async def slow(self, entries):
        started.set()
        await asyncio.sleep(0.1)
        await write(self, entries)

    monkeypatch.setattr(Journal, "_write", slow)
    async with running(database_url) as journal:
        journal.record(entry("b-1"))
        await started.wait()
        journal.record(entry("b-2"))
    assert written(database_url) == ["b-1", "b-2"]


@pytest.mark.parametrize(
    "poison",
    [
        {"player_id": "nul \0"},
        {"transaction_id": "half a surrogate \ud800"},
        {"query": "a=\udcff"},
        {"path": "/\0"},
        {"remote": "fe80::1%\udc80"},
        {"duration_us": 2**40},
        {"duration_us": -1},
    ],
    ids=lambda poison: next(iter(poison)),
)
async def test_an_entry_that_the_database_refuses_takes_no_other_with_it(
    database_url: str, poison: dict[str, Any]
) -> None:
    """One call with a character that cannot be stored must not end the journal."""
    async with running(database_url) as journal:
        journal.record(entry("before"))
        journal.record(replace(entry("poison"), **poison))
        journal.record(entry("behind"))
        await asyncio.sleep(0.5)
        journal.record(entry("after"))
    kept = written(database_url)
    assert [key for key in kept if key in ("before", "behind", "after")] == [
        "before",
        "behind",
        "after",
    ]
    assert len(kept) + count(journal, "journal_rows_lost") == 4


async def test_a_text_that_cannot_be_stored_is_kept_in_a_readable_form(database_url: str) -> None:
    """What was odd about the call is what the evidence is about."""
    async with running(database_url) as journal:
        journal.record(entry("a\0b\ud800c"))
    assert written(database_url) == ["a\\x00b\\ud800c"]


async def test_a_call_just_before_midnight_is_written_after_it(database_url: str) -> None:
    """Each day has its own table."""
    async with running(database_url) as journal:
        for days in (-1, 0, 1):
            journal.record(entry(f"day {days}", received_at=NOW + timedelta(days=days)))
    assert written(database_url) == ["day -1", "day 0", "day 1"]


async def test_a_slow_call_of_yesterday_is_written_behind_a_quick_one_of_today(
    database_url: str,
) -> None:
    """At midnight calls end in another order than they came in."""
    async with running(database_url) as journal:
        for number, days in enumerate((0, -1, 0), start=1):
            journal.record(entry(f"day {days}", received_at=NOW + timedelta(days=days)))
            await writes(journal, number)
    assert written(database_url) == ["day 0", "day -1", "day 0"]


async def test_a_call_from_a_clock_that_is_a_month_off_is_counted_as_lost(
    database_url: str,
) -> None:
    """It finds no table; the others must not wait for it."""
    async with running(database_url) as journal:
        journal.record(entry("now"))
        journal.record(entry("then", received_at=NOW - timedelta(days=30)))
    assert written(database_url) == ["now"]
    assert count(journal, "journal_rows_lost") == 1


async def test_entries_wait_while_the_database_is_away_and_keep_their_order(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage of the database is when evidence matters most."""
    failures = 2

    async def failing(url, purpose):
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise psycopg.OperationalError("away")
        return await connect(url, purpose)

    monkeypatch.setattr(module, "connect", failing)
    async with running(database_url) as journal:
        journal.record(entry("b-1"))
        await asyncio.sleep(0.3)
        journal.record(entry("b-2"))
        await asyncio.sleep(0.6)
    assert written(database_url) == ["b-1", "b-2"]


async def test_while_nothing_can_be_written_it_is_tried_ever_later_and_said_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty tries and lines a second help nobody; a second after the end all must be written."""
    away = True
    tries: list[float] = []

    async def failing(url, purpose):
        if away:
            tries.append(time.monotonic())
            raise psycopg.OperationalError("away")
        return await connect(url, purpose)

    monkeypatch.setattr(module, "connect", failing)
    monkeypatch.setattr(module, "_PAUSE_MAX_S", 0.4)
    with capture_logs() as logs:
        async with running(database_url) as journal:
            journal.record(entry("b-1"))
            async with asyncio.timeout(WAIT_S):
                while len(tries) < 6:  # noqa: ASYNC110 - the tries are the event
                    await asyncio.sleep(0.01)
                away = False
                while not written(database_url):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
    pauses = [later - sooner for sooner, later in itertools.pairwise(tries)]
    assert all(
        took > least for took, least in zip(pauses, (0.09, 0.19, 0.39, 0.39, 0.39), strict=True)
    )
    said = [line for line in logs if line["event"] == "journal_write_failed"]
    assert (said[0]["times"], said[0]["entries"]) == (1, 1)
    assert len(said) < len(tries)


@pytest.mark.parametrize("step", ["prepare", "execute"])
async def test_a_write_without_an_answer_is_given_up_and_made_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A link that is cut says nothing; what waits behind it must not wait for ever."""
    works = getattr(PreparedStatement, step)
    stuck = asyncio.Event()

    async def sticking(self, given):
        if not stuck.is_set():
            stuck.set()
            await asyncio.Event().wait()
        return await works(self, given)

    monkeypatch.setattr(PreparedStatement, step, sticking)
    monkeypatch.setattr(module, "_WRITE_S", 0.2)
    async with asyncio.timeout(20), running(database_url) as journal:
        journal.record(entry("b-1"))
        await stuck.wait()
        journal.record(entry("b-2"))
    assert written(database_url) == ["b-1", "b-2"]


async def test_a_write_that_took_place_unheard_is_made_again_without_a_second_row(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows of one call look in a dispute as if the provider had sent it twice."""
    works = PreparedStatement.execute
    unheard = asyncio.Event()

    async def silent(self, given):
        answer = await works(self, given)
        if not unheard.is_set():
            unheard.set()
            await asyncio.Event().wait()
        return answer

    monkeypatch.setattr(PreparedStatement, "execute", silent)
    monkeypatch.setattr(module, "_WRITE_S", 0.2)
    async with asyncio.timeout(20), running(database_url) as journal:
        journal.record(entry("b-1"))
        journal.record(entry("b-2"))
        await unheard.wait()
        journal.record(entry("b-3"))
        await writes(journal, 3)
        journal.record(entry("b-4"))
    assert written(database_url) == ["b-1", "b-2", "b-3", "b-4"]
    assert count(journal, "journal_rows_lost") == 0


async def test_a_write_that_takes_place_after_it_was_given_up_leaves_no_second_row(
    database_url: str, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server goes on with what it was told, also when nobody waits for the answer any more."""
    given_up = asyncio.Event()
    put_back = Journal._put_back

    def watched(self, entries):
        put_back(self, entries)
        given_up.set()

    monkeypatch.setattr(Journal, "_put_back", watched)
    monkeypatch.setattr(module, "_WRITE_S", 0.2)
    with psycopg.connect(admin_url) as blocking:
        async with asyncio.timeout(20), running(database_url) as journal:
            journal.record(entry("first"))
            await writes(journal, 1)
            blocking.execute("LOCK TABLE ledger.calls IN ACCESS EXCLUSIVE MODE")
            journal.record(entry("b-1"))
            await given_up.wait()
            blocking.rollback()
    assert written(database_url) == ["first", "b-1"]


async def test_a_day_that_was_lost_with_its_primary_is_made_again(
    database_url: str, admin_url: str
) -> None:
    """The table of the day is as young as its first entry: a fail-over may come before its copy."""
    async with running(database_url) as journal:
        journal.record(entry("lost"))
        await asyncio.sleep(0.5)
        assert written(database_url) == ["lost"]
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute(f"DROP TABLE ledger.calls_{NOW:%Y%m%d}".encode())
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'wallet-ledger journal' AND datname = current_database()"
            )
        journal.record(entry("kept"))
        await asyncio.sleep(0.5)
    assert written(database_url) == ["kept"]


async def test_more_than_may_wait_is_counted_and_dropped(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded, and what is missing is known."""
    monkeypatch.setattr(module, "ENTRIES_MAX", 3)
    async with running(database_url) as journal:
        for number in range(5):
            journal.record(entry(f"b-{number}"))
        assert count(journal, "journal_rows_lost") == 2
    assert written(database_url) == ["b-0", "b-1", "b-2"]


async def test_what_cannot_be_written_at_the_stop_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The service must end although the database is gone, and say what it takes with it."""

    async def failing(url, purpose):
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(module, "connect", failing)
    async with running("postgresql://nowhere/") as journal:
        journal.record(entry("b-1"))
    assert count(journal, "journal_rows_lost") == 1


async def test_calls_are_found_by_the_providers_id_oldest_first(database_url: str) -> None:
    """What an operator looks up in a dispute."""
    async with running(database_url) as journal:
        for number in range(3):
            at = NOW + timedelta(seconds=number)
            journal.record(entry("same", received_at=at, status=200 + number))
        journal.record(entry("other"))
        journal.record(entry("same", integration="another"))
    found, left_out = await journal.calls("test", "same")
    assert [call["status"] for call in found] == [200, 201, 202]
    assert left_out == 0


@pytest.mark.parametrize(("calls", "left_out"), [(99, 0), (100, 0), (101, 1), (230, 130)])
async def test_of_very_many_calls_the_first_and_the_last_are_found(
    database_url: str, calls: int, left_out: int
) -> None:
    """A provider that repeats a call for hours: how it began and where it stands now."""
    async with running(database_url) as journal:
        for number in range(calls):
            journal.record(entry("same", status=number))
    found = await journal.calls("test", "same")
    shown = [call["status"] for call in found[0]]
    middle = range(50, 50 + left_out)
    assert (shown, found[1]) == ([n for n in range(calls) if n not in middle], left_out)


async def test_of_an_id_that_no_call_carried_nothing_is_found(database_url: str) -> None:
    """Nothing is left out of nothing."""
    assert await Journal(database_url, Metrics()).calls("test", "unheard of") == ([], 0)


async def test_a_day_begins_while_somebody_reads_the_journal_at_length(
    database_url: str, admin_url: str
) -> None:
    """A backup over midnight must not keep a day's evidence out until it is through."""
    with psycopg.connect(admin_url) as reading:
        reading.execute("SELECT count(*) FROM ledger.calls")
        async with asyncio.timeout(WAIT_S), running(database_url) as journal:
            journal.record(entry("b-1"))
            await writes(journal, 1)
    assert written(database_url) == ["b-1"]


async def test_a_backlog_of_large_calls_is_written_in_parts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one statement it would hold up every call, and take longer than a write may."""
    parts: list[list[str | None]] = []
    write = Journal._write

    async def watched(self, entries):
        parts.append([each.transaction_id for each in entries])
        await write(self, entries)

    monkeypatch.setattr(Journal, "_write", watched)
    monkeypatch.setattr(module, "_PART_BYTES", 200_000)
    monkeypatch.setattr(module, "_PART_ENTRIES", 8)
    async with running(database_url) as journal:
        for number in range(20):
            journal.record(entry(f"large-{number}", body=b"x" * 60_000))
        for number in range(20):
            journal.record(entry(f"small-{number}"))
    assert max(map(len, parts)) == 8
    assert len(parts) >= 7
    assert written(database_url) == [each for part in parts for each in part]
    assert count(journal, "journal_rows_written") == 40


async def test_a_backlog_is_bounded_by_its_bytes_too(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service must not end for want of memory because the database was away for an hour."""
    monkeypatch.setattr(module, "BYTES_MAX", 1_000_000)
    async with running(database_url) as journal:
        for number in range(30):
            journal.record(entry(f"large-{number}", body=b"x" * 60_000))
        assert count(journal, "journal_rows_lost") == 13
        await writes(journal, 17)
        journal.record(entry("after"))
    assert written(database_url)[-1] == "after"


async def test_a_backlog_stays_bounded_by_its_bytes_while_nothing_can_be_written(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is put back after a try counts on: an outage has thousands of them."""

    async def failing(url, purpose):
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(module, "connect", failing)
    journal = Journal(database_url, Metrics())
    monkeypatch.setattr(module, "BYTES_MAX", 100_000)
    for number in range(10):
        journal.record(entry(f"large-{number}", body=b"x" * 60_000))
        await journal._flush()
    assert count(journal, "journal_rows_lost") == 8
