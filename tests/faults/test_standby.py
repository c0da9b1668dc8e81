"""A synchronous standby that is missing: nothing may be acknowledged until it has a copy.

A duplicate least of all: it would be answered from a row that a fail-over takes back.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ledger.commands import ReadPlayer
from ledger.currencies import Currencies
from ledger.embedded import SUPERUSER, EmbeddedPostgres
from ledger.money import currency
from ledger.refusals import Refusal
from ledger.schema import initialise, record_currencies
from ledger.service import Accepted
from ledger.store import StoreUnavailable
from projections.reports import source
from projections.reports.asked import Filters
from projections.reports.errors import AppendUnderWay
from projections.reports.period import Period
from projections.reports.report import Report
from projections.reports.service import Reports
from tests.conftest import Databases
from tests.faults.ledgers import Process, bet, booked, cents, opened, query
from tests.faults.pair import require_standby

ANSWER_S = 0.5


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedPostgres]:
    """A database server whose settings the tests may change."""
    directory = Path(tempfile.mkdtemp(prefix="wl-"))
    with EmbeddedPostgres(directory / "pg") as server:
        yield server
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def url(own_server: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database on it, which waits for no standby until the test says so."""
    databases = Databases(own_server)
    with databases.fresh(databases.template(1)) as name:
        yield own_server.url(name)
        require_standby(own_server, "")


@pytest.fixture
async def process(url: str) -> AsyncIterator[Process]:
    """A process of the service on it that does not wait for long."""
    async with opened(url, queue_wait_s=0.3, answer_s=ANSWER_S) as process:
        yield process


def log_position(server: EmbeddedPostgres) -> int:
    """How much was ever written to the write-ahead log, in bytes."""
    position = query(server.migrate_url, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0]
    return int(position)


def require_missing_standby(server: EmbeddedPostgres) -> None:
    """Have commits wait for ever.

    It is for the checkpointer to say that they do, and it may not have heard of it yet.
    """
    require_standby(server, "missing")
    with psycopg.connect(server.migrate_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


async def test_a_bet_waits_for_the_missing_standby_and_is_unavailable(
    own_server: EmbeddedPostgres, url: str, process: Process
) -> None:
    """It is committed here, and perhaps nowhere else: that is no "accepted"."""
    session = await process.player()
    require_missing_standby(own_server)
    assert await process.refused(bet(session, "b-1")) is Refusal.UNAVAILABLE
    require_standby(own_server, "")
    settled = await process.insist(bet(session, "b-1"))
    assert isinstance(settled, Accepted)
    assert cents(settled) == 900
    assert booked(url) == 1


async def test_a_duplicate_waits_for_the_missing_standby_too(
    own_server: EmbeddedPostgres, process: Process
) -> None:
    """The first answer may be lost with this server; to repeat it is to promise it again."""
    session = await process.player()
    first = await process.accepted(bet(session, "b-1"))
    require_missing_standby(own_server)
    assert await process.refused(bet(session, "b-1")) is Refusal.UNAVAILABLE
    require_standby(own_server, "")
    again = await process.insist(bet(session, "b-1"))
    assert isinstance(again, Accepted)
    assert again.event == first.event


async def test_a_balance_and_a_refusal_wait_for_the_missing_standby_too(
    own_server: EmbeddedPostgres, process: Process
) -> None:
    """Both rest on rows that a fail-over might take back."""
    session = await process.player()
    require_missing_standby(own_server)
    assert await process.refused(ReadPlayer(player_id="ann")) is Refusal.UNAVAILABLE
    assert await process.refused(bet(session, "b-1", 9_000)) is Refusal.UNAVAILABLE


async def test_that_a_session_is_unknown_is_not_said_without_a_commit(
    own_server: EmbeddedPostgres, process: Process
) -> None:
    """It may have been opened on the server that took over: a win would be refused for good."""
    token = process.ledger.mint_token("ann")
    assert await process.ledger.session(token) is None
    require_missing_standby(own_server)
    with pytest.raises(StoreUnavailable):
        await process.ledger.session(token)
    require_standby(own_server, "")
    assert await process.ledger.session(token) is None


async def test_an_upgrade_and_a_start_wait_for_no_standby(own_server: EmbeddedPostgres) -> None:
    """Nobody is told of what they write, and who starts the service would wait without a word."""
    databases = Databases(own_server)
    with databases.fresh() as name:
        admin_url = own_server.url(name, SUPERUSER)
        require_missing_standby(own_server)
        try:
            async with asyncio.timeout(20):
                await initialise(admin_url, 1)
                await record_currencies(own_server.url(name), {"XGM": currency("XGM", 2)})
        finally:
            require_standby(own_server, "")


@pytest.mark.parametrize("messages", ["warning", "error"])
async def test_a_wait_for_the_standby_that_is_cancelled_is_no_success(
    own_server: EmbeddedPostgres, url: str, messages: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL then says "committed" with a warning only; the service must not believe it.

    Nor miss it because somebody has had warnings turned off.
    """
    monkeypatch.setenv("PGOPTIONS", f"-c client_min_messages={messages}")
    async with opened(url, queue_wait_s=0.3, answer_s=ANSWER_S) as process:
        await _a_cancelled_wait_is_no_success(own_server, url, process)


async def _a_cancelled_wait_is_no_success(
    own_server: EmbeddedPostgres, url: str, process: Process
) -> None:
    session = await process.player()
    require_missing_standby(own_server)
    waiting = process.ledger.execute(bet(session, "b-1"))
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    async with asyncio.timeout(10):
        while not query(own_server.migrate_url, cancel):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    outcome = await waiting
    assert not isinstance(outcome, Accepted)
    assert outcome.refusal is Refusal.UNAVAILABLE
    assert process.counts.unknowns >= 1
    require_standby(own_server, "")
    settled = await process.insist(bet(session, "b-1"))
    assert isinstance(settled, Accepted)
    assert booked(url) == 1


async def test_a_duplicate_makes_a_commit_of_its_own(
    own_server: EmbeddedPostgres, process: Process
) -> None:
    """A batch of duplicates alone writes to the log: only a commit can be waited for."""
    session = await process.player()
    await process.accepted(bet(session, "b-1"))
    before = log_position(own_server)
    again = await process.accepted(bet(session, "b-1"))
    assert again.replayed
    assert log_position(own_server) > before


async def test_a_report_of_the_past_waits_for_what_no_standby_has_yet(
    own_server: EmbeddedPostgres, url: str, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sees it before a standby has it; then it stands in a period that was reported."""
    monkeypatch.setattr(source, "CATCH_UP_S", 0.1)
    session = await process.player()
    await asyncio.sleep(0.01)
    before = datetime.now(UTC)
    require_missing_standby(own_server)
    assert await process.refused(bet(session, "b-1")) is Refusal.UNAVAILABLE
    after = datetime.now(UTC)
    with pytest.raises(AppendUnderWay, match="partition 0 that may belong to the period"):
        await statement(url, after)
    assert (await statement(url, before - timedelta(days=1))).table.is_idle
    require_standby(own_server, "")
    assert isinstance(await process.insist(bet(session, "b-1")), Accepted)
    known = await statement(url, after)
    earlier = await statement(url, before)
    assert len(known.table.rows) == len(earlier.table.rows) + 1


async def statement(url: str, ends: datetime) -> Report:
    """The player's, until then."""
    reports = Reports(url, 1, Currencies(), answer_s=ANSWER_S)
    return await reports.make(
        "player-statement", Period("UTC", None, ends), Filters(player_id="ann")
    )
