"""The server behind the URL is another one, or set up in another way: nothing old is trusted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.commands import RegisterPlayer
from ledger.connections import connect
from ledger.durability import Undurable, keep_durability
from ledger.refusals import Refusal, Refused
from tests.faults.ledgers import Process, bet, booked, cents, opened, query
from tests.faults.pair import Pair, configure, require_standby

PATIENCE_S = 20.0


@asynccontextmanager
async def playing(url: str, **limits: Any) -> AsyncIterator[tuple[Process, str]]:
    """A ledger with a player who has 10.00, and the player's session."""
    async with opened(url, **limits) as process:
        yield process, await process.player(money=1000)


def change(admin_url: str, statement: str) -> None:
    """Run a statement that answers nothing."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def dead_host() -> Iterator[str]:
    """Host and port of a machine that answers nothing, not even that it is not there."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):  # its queue is full, and nobody takes from it
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listening.getsockname())
        yield "{}:{}".format(*listening.getsockname())


def end_connections(admin_url: str, purpose: str) -> None:
    """End those of the database's connections that a purpose has."""
    query(
        admin_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = current_database() AND application_name LIKE 'wallet-ledger {purpose}%'",
    )


async def test_what_a_fail_over_lost_is_not_answered_from_memory(servers: Pair) -> None:
    """A standby that nobody waits for may lack what was acknowledged; then it did not happen."""
    require_standby(servers.primary, "")
    async with playing(servers.url) as (process, session):
        await asyncio.to_thread(_wait_for_replay, servers)
        servers.cut_standby_off()
        assert cents(await process.accepted(bet(session, "lost", 500))) == 500
        servers.kill_primary()
        await asyncio.to_thread(servers.promote)  # meanwhile the loss of the connection is noticed
        again = await process.accepted(bet(session, "lost", 500))
        assert not again.replayed
        assert cents(again) == 500
        assert booked(servers.url, "bet_placed.v1") == 1
        assert (await process.accepted(bet(session, "lost", 500))).replayed


async def test_what_another_server_booked_meanwhile_is_not_overwritten(servers: Pair) -> None:
    """Two different events of one version look alike to whoever only counts them."""
    require_standby(servers.primary, "")
    async with playing(servers.url) as (process, session):
        await asyncio.to_thread(_wait_for_replay, servers)
        servers.cut_standby_off()
        await process.accepted(bet(session, "lost", 500))
        servers.kill_primary()
        servers.promote()
        async with opened(servers.url) as spare:
            assert cents(await spare.accepted(bet(session, "kept", 100))) == 900
        assert cents(await process.accepted(bet(session, "next", 100))) == 800


async def test_reads_follow_the_appends_to_another_server(servers: Pair) -> None:
    """A server that was overtaken still answers: what is read there is not what appends find."""
    async with playing(servers.url, answer_s=2.0) as (process, session):
        servers.cut_standby_off()
        servers.promote()  # the old one lives on, and nothing tells the connection that reads
        async with asyncio.timeout(PATIENCE_S):
            while True:
                outcome = await process.ledger.execute(bet(session, "b1", 100))
                if not isinstance(outcome, Refused):
                    break
                assert outcome.refusal is Refusal.UNAVAILABLE
        store = process.ledger.stores[0]
        names = [row.topic for row in await store.events("player:ann", 0, 100)]
        assert names[-1] == "bet_placed.v1"
        end_connections(servers.primary.migrate_url, "append")
        assert cents(await process.accepted(bet(session, "b2", 100))) == 800


async def test_a_dead_host_that_stands_first_does_not_keep_the_living_one_away(
    database_url: str, dead_host: str
) -> None:
    """A machine that is off answers nothing, and to find out takes longer than a call may wait."""
    given: dict[str, Any] = conninfo_to_dict(database_url)
    host, _, port = dead_host.partition(":")
    given |= {"host": f"{host},{given['host']}", "port": f"{port},{given.get('port', 5432)}"}
    async with opened(make_conninfo(**given), answer_s=1.0) as process:
        async with asyncio.timeout(PATIENCE_S):
            while isinstance(
                await process.ledger.execute(RegisterPlayer(player_id="ann", currency="EUR")),
                Refused,
            ):
                pass
        assert await process.session()


async def test_a_server_that_no_longer_keeps_what_it_commits_gets_nothing(
    database_url: str, admin_url: str
) -> None:
    """The check at the start says nothing of the connections to come."""
    name = query(admin_url, "SELECT current_database()")[0][0]
    async with playing(database_url, answer_s=2.0) as (process, session):
        change(admin_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
        end_connections(admin_url, "append")
        outcome = await process.ledger.execute(bet(session, "b1"))
        assert isinstance(outcome, Refused)
        assert outcome.refusal is Refusal.UNAVAILABLE
        change(admin_url, f"ALTER DATABASE {name} RESET synchronous_commit")
        await process.accepted(bet(session, "b1"))


async def test_a_connection_keeps_waiting_for_its_commits(servers: Pair) -> None:
    """A setting of the whole server that changes later must not reach it."""
    async with await connect(servers.url, "test") as connection:
        await keep_durability(connection)
        configure(servers.primary, "synchronous_commit", "local")
        cursor = await connection.execute("SHOW synchronous_commit")
        assert await cursor.fetchone() == ("on",)
    require_standby(servers.primary, "")
    async with await connect(servers.url, "test") as connection:
        await keep_durability(connection)  # safe as long as there is no standby to wait for
        cursor = await connection.execute("SHOW synchronous_commit")
        assert await cursor.fetchone() == ("on",)
    require_standby(servers.primary, "standby")
    async with await connect(servers.url, "test") as connection:
        with pytest.raises(Undurable, match="synchronous_commit = local"):
            await keep_durability(connection)


async def test_a_later_connection_keeps_waiting_for_its_commits_too(servers: Pair) -> None:
    """Where it followed the server down, no bet would be taken until somebody noticed."""
    async with playing(servers.primary.url(), answer_s=2.0) as (process, session):
        end_connections(servers.primary.migrate_url, "append")
        await process.insist(bet(session, "b1"))
        assert process.counts.reconnects
        configure(servers.primary, "synchronous_commit", "off")
        await process.accepted(bet(session, "b2"))
        servers.cut_standby_off()
        assert await process.refused(bet(session, "b3")) is Refusal.UNAVAILABLE


async def test_nothing_is_appended_where_its_commit_would_not_be_waited_for(
    servers: Pair,
) -> None:
    """`remote_write` is not held: an open connection follows the server, but never down to off."""
    configure(servers.primary, "synchronous_commit", "remote_write")
    async with playing(servers.primary.url(), answer_s=2.0) as (process, session):
        await process.accepted(bet(session, "b1"))
        configure(servers.primary, "synchronous_commit", "off")
        outcome = await process.ledger.execute(bet(session, "b2"))
        assert isinstance(outcome, Refused)
        assert outcome.refusal is Refusal.UNAVAILABLE
        configure(servers.primary, "synchronous_commit", "on")
        await process.insist(bet(session, "b2"))


async def test_a_standby_is_not_taken_for_the_ledger(servers: Pair) -> None:
    """Behind an old address; what it does not have yet would be refused for good."""
    with pytest.raises(psycopg.OperationalError, match="read-only"):
        await connect(servers.standby.url(), "test")
    async with await connect(f"{servers.standby.url()}&target_session_attrs=any", "test") as asked:
        assert not asked.closed


async def test_text_is_utf_8_whatever_the_surroundings_say(
    database_url: str, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another encoding the same id is another key, and its bet is booked twice."""
    name = query(admin_url, "SELECT current_database()")[0][0]
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    change(admin_url, f"ALTER DATABASE {name} SET client_encoding = 'LATIN1'")
    async with opened(database_url) as one:
        session = await one.player("zoë", money=1000)
        assert cents(await one.accepted(bet(session, "café", 100, player_id="zoë"))) == 900
    monkeypatch.delenv("PGCLIENTENCODING")
    change(admin_url, f"ALTER DATABASE {name} RESET client_encoding")
    async with opened(database_url) as two:
        again = await two.accepted(bet(session, "café", 100, player_id="zoë"))
        assert again.replayed


def _wait_for_replay(servers: Pair) -> None:
    """Until the standby has all that the primary has."""
    ours = query(servers.primary.migrate_url, "SELECT pg_current_wal_lsn()::text")[0][0]
    there = f"SELECT pg_last_wal_replay_lsn() >= '{ours}'::pg_lsn"
    while query(servers.standby.migrate_url, there) != [(True,)]:
        pass
