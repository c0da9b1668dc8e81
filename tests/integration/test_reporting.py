"""Reports in processes of their own: what becomes of them, and of what goes wrong there."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest

from adapters.reporting import Reporting, _make
from ledger.currencies import Currencies
from projections.reports.asked import Filters
from projections.reports.errors import (
    AppendUnderWay,
    BadRequest,
    ReportProcessLost,
    ReportTooLong,
    UnknownPlayer,
    UnsoundEvents,
    ViewsBehind,
    ViewsStopped,
)
from projections.reports.period import read_period
from projections.reports.report import Report
from projections.reports.service import Reports

EVER = read_period(None, None, "UTC")
ANYBODY = Filters(player_id="ann")


@pytest.fixture
def reporting(database_url: str) -> Reporting:
    """Reports of an empty ledger."""
    return Reporting(Reports(database_url, 1, Currencies(), answer_s=0.5))


def whose(report: Report) -> tuple[str, int, int]:
    """Of which report, made by which process, and how far that steps back for others."""
    return report.name, os.getpid(), os.nice(0)


def die(_: Report) -> None:
    """What the system does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(_: Report) -> None:
    """A bug."""
    raise RuntimeError("a bug")


def refuse(_: Report) -> None:
    """What was asked for makes no sense."""
    raise BadRequest("no")


def linger(note: Path, _: Report) -> None:
    """Says which process it is, and takes its time."""
    note.with_suffix(".new").write_text(str(os.getpid()))
    note.with_suffix(".new").rename(note)
    time.sleep(60)


def open_files() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(done: Callable[[], bool]) -> None:
    """Until it is so; gives up after 20 s."""
    until = time.monotonic() + 20
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


async def test_a_report_is_made_by_another_process_that_steps_back(reporting: Reporting) -> None:
    """In a thread of the service it would take turns with the providers' calls."""
    first = await reporting.make("open-rounds", EVER, Filters(), whose)
    second = await reporting.make("large-wins", EVER, Filters(), whose)
    assert [first[0], second[0]] == ["open-rounds", "large-wins"]
    assert len({os.getpid(), first[1], second[1]}) == 3
    assert min(first[2], second[2]) >= min(os.nice(0) + 10, 19)  # there is no 20


async def test_what_keeps_a_report_from_being_made_is_said_as_ever(reporting: Reporting) -> None:
    """A provider's engineer, a support agent and a script rely on the problem's code."""
    with pytest.raises(BadRequest, match="currency: XXX is not known"):
        await reporting.make("totals", EVER, Filters(currency="XXX"), whose)
    with pytest.raises(UnknownPlayer, match="there is no player ann"):
        await reporting.make("player-statement", EVER, ANYBODY, whose)
    away = Reporting(Reports("postgresql://127.0.0.1:1/x", 1, Currencies(), answer_s=0.5))
    with pytest.raises(psycopg.OperationalError):
        await away.make("totals", EVER, Filters(), whose)


async def test_a_bug_says_where_it_is(reporting: Reporting) -> None:
    """The process is gone by then, and its stack with it."""
    with pytest.raises(RuntimeError, match="a bug") as found:
        await reporting.make("open-rounds", EVER, Filters(), fail)
    assert ", in fail" in found.value.__notes__[0]


async def test_a_process_that_is_killed_costs_its_own_report_only(reporting: Reporting) -> None:
    """Nobody waits for it, and the next one is made."""
    with pytest.raises(ReportProcessLost, match="has ended"):
        await reporting.make("open-rounds", EVER, Filters(), die)
    assert (await reporting.make("open-rounds", EVER, Filters(), whose))[0] == "open-rounds"


async def test_a_report_that_nobody_waits_for_is_not_made_any_further(
    reporting: Reporting, tmp_path: Path
) -> None:
    """A stop, or its time is up."""
    note = tmp_path / "process"
    asked = asyncio.ensure_future(
        reporting.make("open-rounds", EVER, Filters(), partial(linger, note))
    )
    await asyncio.to_thread(wait_until, note.exists)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.to_thread(wait_until, lambda: not Path("/proc", note.read_text()).exists())


@pytest.mark.parametrize("finish", [whose, fail, die])
async def test_no_report_leaves_open_files_behind(
    reporting: Reporting, finish: Callable[[Report], object]
) -> None:
    """What piles up until garbage is collected may meet the limit of open files first."""

    async def make() -> None:
        with suppress(RuntimeError, ReportProcessLost):
            await reporting.make("open-rounds", EVER, Filters(), finish)

    await make()
    gc.disable()  # what only it would close is open for as long as it has nothing to do
    try:
        before = open_files()
        for _ in range(3):
            await make()
        assert open_files() <= before
    finally:
        gc.enable()


async def test_an_error_is_gone_with_its_call(reporting: Reporting) -> None:
    """Its traceback holds everything that was about: a thousand of them were megabytes."""
    gc.disable()
    try:
        await reporting.make("open-rounds", EVER, Filters(), refuse)
    except BadRequest as error:
        kept = weakref.ref(error)
    try:
        await asyncio.to_thread(wait_until, lambda: kept() is None)  # a thread hands it over
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "error",
    [
        BadRequest("from: x"),
        UnknownPlayer("player_id: x"),
        ViewsBehind("x is behind"),
        ViewsStopped(3, {"totals": "event 7"}),
        AppendUnderWay(3),
        ReportTooLong("not made within 60 s"),
        UnsoundEvents("x"),
    ],
)
def test_every_error_of_a_report_passes_between_processes(error: Exception) -> None:
    """One that does not arrive would be a report that has ended without a word."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    assert vars(again) == vars(error)


async def test_what_makes_no_sense_is_refused_though_every_turn_is_taken(reporting):
    """A wrong filter once waited for a minute behind two long reports, and got no word of why."""
    async with reporting._turns, reporting._turns:
        with pytest.raises(BadRequest, match="threshold"):
            await reporting.make("totals", EVER, Filters(threshold="5"), whose)


async def test_a_report_that_takes_too_long_says_what_to_do(reporting, monkeypatch, database_url):
    """Who asks again and again for the same would never get it."""
    monkeypatch.setattr("adapters.beside.TIMEOUT_S", 0.0)
    reports = Reports(database_url, 1, Currencies(), answer_s=0.5)
    with pytest.raises(ReportTooLong, match="narrow the period"):
        await asyncio.to_thread(_make, reports, "totals", EVER, Filters(), whose)


async def test_the_query_of_a_report_that_was_killed_ends_with_it(
    database_url: str, admin_url: str
) -> None:
    """It kept its table from a rebuild, and a core busy, for ten minutes more."""
    code = f"""
import asyncio
from projections.reports.source import open_snapshot

async def main():
    async with open_snapshot({database_url!r}, 0, ("journal",)) as snapshot:
        print("begun", flush=True)
        await snapshot._connection.execute("SELECT count(*) FROM generate_series(1, 1000000000000)")

asyncio.run(main())
"""
    arguments = sys.executable, "-c", code
    process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    await asyncio.to_thread(wait_until, lambda: running(admin_url) == 1)
    process.kill()
    await process.wait()
    await asyncio.to_thread(wait_until, lambda: running(admin_url) == 0)


def running(admin_url: str) -> int:
    """How many such queries of reports run in this database."""
    query = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name LIKE 'wallet-ledger report%' AND query LIKE '%generate_series%'
        AND state = 'active'"""
    with psycopg.connect(admin_url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
