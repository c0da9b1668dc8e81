"""While appends fail the ledger says so, and it notices by itself when they work again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from ledger import outage, repeated
from ledger.commands import ReadPlayer
from ledger.endpoints import READ_S
from ledger.outage import Outage
from ledger.refusals import Refusal
from ledger.store import StoreUnavailable
from tests.faults.ledgers import Process, bet, opened, query

APPEND = "EXECUTE ON ROUTINE ledger_p00.append"
ANSWER_S = 0.7


def execute(url: str, statement: str) -> None:
    """Run a statement as a superuser."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


async def fail(one: Process, admin_url: str, session: str) -> None:
    """Let one call find that nothing can be appended."""
    execute(admin_url, f"REVOKE {APPEND} FROM ledger_app")
    assert await one.refused(bet(session, "lost")) is Refusal.UNAVAILABLE


async def test_a_check_fails_while_appends_do_and_passes_by_itself_when_they_work_again(
    database_url: str, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load balancer sends no calls to who is not ready: no call would ever show it."""
    monkeypatch.setattr(outage, "DOUBT_S", 0.0)
    async with opened(database_url, queue_wait_s=0.2, answer_s=0.3) as one:
        session = await one.player()
        await one.ledger.check()
        await fail(one, admin_url, session)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await one.ledger.check()
        execute(admin_url, f"GRANT {APPEND} TO ledger_app")
        await one.ledger.check()


async def test_an_empty_append_just_after_a_failure_does_not_end_an_outage(
    database_url: str, admin_url: str
) -> None:
    """On a full disk it goes through: a service that bets meanwhile would look ready in between."""
    async with opened(database_url, queue_wait_s=0.2, answer_s=0.3) as one:
        session = await one.player()
        await fail(one, admin_url, session)
        execute(admin_url, f"GRANT {APPEND} TO ledger_app")
        await one.accepted(ReadPlayer(player_id="ann"))  # its append holds nothing
        with pytest.raises(StoreUnavailable, match="the last append failed"):
            await one.ledger.check()
        await one.accepted(bet(session, "booked"))
        await one.ledger.check()


async def test_a_check_of_a_server_that_is_frozen_fails_in_time_and_holds_up_no_read(
    database_url: str, admin_url: str
) -> None:
    """Who asks whether it is ready waits two seconds, and a player's bet waits for the same reads.

    A read that is cancelled would wait for the server's word on that, for five seconds or ten.
    """
    async with opened(database_url) as one:
        await one.player()
        await one.ledger.check()
        with frozen(admin_url):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await one.ledger.check()
            await one.ledger.check()  # on a connection made anew
            assert time.monotonic() - started < 4


async def test_a_lookup_of_a_server_that_is_frozen_ends_when_a_call_must_be_answered(
    database_url: str, admin_url: str
) -> None:
    """A provider that had no answer in time may take it for whatever it likes."""
    async with opened(database_url, answer_s=ANSWER_S) as one:
        for look_up in (
            lambda: one.ledger.session("00unknown"),
            lambda: one.ledger.transactions("test", ["k"]),
        ):
            assert not await look_up()
            with frozen(admin_url):
                started = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    await look_up()
                assert ANSWER_S / 2 <= time.monotonic() - started < READ_S - 1


async def test_a_connection_that_was_cut_while_nobody_called_is_no_outage(
    database_url: str, admin_url: str
) -> None:
    """Servers cut idle connections; every instance would leave the load balancer at once."""
    async with opened(database_url) as one:
        await one.player()
        query(
            admin_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'wallet-ledger append ledger_p00'"
            " AND datname = current_database()",
        )
        appends: Any = one.ledger.stores[0]._appender
        for _ in range(1000):
            if appends._prepared.closed:
                break
            await asyncio.sleep(0.01)
        await one.accepted(ReadPlayer(player_id="ann"))
        await one.ledger.check()


@contextmanager
def frozen(admin_url: str, purpose: str = "read ledger_p00") -> Iterator[None]:
    """The server's process for a connection of ours does nothing until the block ends."""
    ((process_id,),) = query(
        admin_url,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        f" AND application_name = 'wallet-ledger {purpose}'",
    )
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


async def test_tries_that_all_fail_are_said_once_and_then_counted(
    database_url: str, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty lines a second fill the disk that was full, and hide what else happens."""
    async with opened(database_url, queue_wait_s=0.2, answer_s=0.3) as one:
        session = await one.player()
        with capture_logs() as logs:
            await fail(one, admin_url, session)
            monkeypatch.setattr(repeated, "EVERY_S", 0.0)
            assert await one.refused(bet(session, "lost")) is Refusal.UNAVAILABLE
        said = [line["times"] for line in logs if line["event"] == "commit_failed"]
        assert said[0] == 1
        assert said[1] > 2
        assert set(said[2:]) <= {1}


def test_an_outage_is_one_for_all_who_share_its_memory() -> None:
    """Any worker may be asked, and another one may decide for the partition."""
    failed_at = [0.0, 0.0]
    here, there, other = Outage(failed_at, 0), Outage(failed_at, 0), Outage(failed_at, 1)
    here.failed()
    assert (here.lasts, there.lasts, other.lasts) == (True, True, False)
    there.passed(events=0)
    assert here.lasts
    there.passed(events=1)
    assert not here.lasts
