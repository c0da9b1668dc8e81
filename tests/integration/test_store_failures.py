"""What becomes of an append when the database fails around it: known, or said to be unknown."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import psycopg
import pytest
import uvloop

from ledger.connections import PreparedStatement, connect
from ledger.embedded import EmbeddedPostgres
from ledger.schema import initialise
from ledger.store import AppendBatch, CommitUnknown, SnapshotRow, Store, StoreUnavailable
from tests.faults.mortal import mortal
from tests.integration.store_rows import first_bet

DEADLINE_S = 5.0
APPENDER = "wallet-ledger append ledger_p00"
READER = "wallet-ledger read ledger_p00"


async def ask(url: str, query: str, *parameters: object) -> list[tuple[object, ...]]:
    """Rows of a query on a connection of its own."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        cursor = await connection.execute(query.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []


async def until(condition: Callable[[], Awaitable[object]], timeout_s: float = 10.0) -> None:
    """Wait for a condition; a test that hangs says nothing."""
    async with asyncio.timeout(timeout_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.01)


async def backend(url: str, application: str, event: str = "") -> list[tuple[object, ...]]:
    """The server processes behind one of our connections, in a wait of that kind."""
    return await ask(
        url,
        "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
        " AND (%s = '' OR wait_event = %s) AND datname = current_database()",
        application,
        event,
        event,
    )


@pytest.fixture
async def blocked(admin_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Somebody who holds the log's lock, so that an append stays under way."""
    connection = await psycopg.AsyncConnection.connect(admin_url)
    async with connection:
        await connection.execute("LOCK TABLE ledger_p00.events IN EXCLUSIVE MODE")
        yield connection


async def test_a_connection_killed_while_the_append_ran_leaves_it_unknown(
    store: Store, admin_url: str, blocked: psycopg.AsyncConnection
):
    """From outside, killed before the commit and after it look the same."""
    under_way = asyncio.create_task(store.append(first_bet(), DEADLINE_S))
    await until(lambda: backend(admin_url, APPENDER, "relation"))
    await ask(
        admin_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
        APPENDER,
    )
    with pytest.raises(CommitUnknown):
        await under_way
    await blocked.rollback()
    assert await store.append(first_bet(), DEADLINE_S) is None


def test_a_servers_death_is_noticed_on_the_services_event_loop(database_url: str, admin_url: str):
    """Not only at the deadline: the last words and the end may come as one."""

    async def scenario() -> None:
        with mortal(database_url) as (url, server):
            async with asyncio.timeout(20):
                store = Store(url)
                assert await store.append(first_bet(), DEADLINE_S) is None
                connection = await psycopg.AsyncConnection.connect(admin_url)
                async with connection:
                    await connection.execute("LOCK TABLE ledger_p00.events IN EXCLUSIVE MODE")
                    append = store.append(first_bet("b2", "bob"), 60.0)
                    under_way = asyncio.create_task(append)
                    await until(lambda: backend(admin_url, APPENDER, "relation"))
                    server.die()
                    with pytest.raises(CommitUnknown, match="terminating connection"):
                        await under_way
                await store.close()

    uvloop.run(scenario())


async def test_a_deadline_that_passes_leaves_it_unknown(
    store: Store, admin_url: str, blocked: psycopg.AsyncConnection
):
    """The caller gets its answer in time; who asks later finds it booked, or it never will be."""
    started = time.monotonic()
    with pytest.raises(CommitUnknown):
        await store.append(first_bet(), 0.3)
    assert time.monotonic() - started < 1
    await blocked.rollback()
    conflicts = await store.append(first_bet(), DEADLINE_S)
    assert conflicts is None or [row.key for row in conflicts.transactions] == ["b1"]
    assert await ask(admin_url, "SELECT count(*) FROM ledger_p00.events") == [(1,)]


async def test_an_append_that_waits_for_its_turn_too_long_was_never_sent(
    store: Store, blocked: psycopg.AsyncConnection
):
    """It is known not to have happened, so it must not be called unknown."""
    first = asyncio.create_task(store.append(first_bet(), 1.0))
    await asyncio.sleep(0.1)
    with pytest.raises(StoreUnavailable):
        await store.append(first_bet("b2", "bob"), 0.2)
    await blocked.rollback()
    assert await first is None
    assert await store.transactions([("marbles", "b2")]) == {}


async def test_a_cancelled_caller_does_not_leave_its_answer_to_the_next(
    store: Store, blocked: psycopg.AsyncConnection
):
    """An answer read by the wrong caller would acknowledge a bet that was never booked."""
    first = asyncio.create_task(store.append(first_bet(), DEADLINE_S))
    await asyncio.sleep(0.1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await blocked.rollback()
    assert await store.append(first_bet("b2", "bob"), DEADLINE_S) is None
    conflicts = await store.append(first_bet("b2", "bob"), DEADLINE_S)
    assert conflicts is not None


async def test_an_error_that_rolled_back_is_no_commit_and_not_unknown(
    store: Store, admin_url: str, blocked: psycopg.AsyncConnection
):
    """A cancelled statement, unlike a cancelled commit, has certainly done nothing."""
    under_way = asyncio.create_task(store.append(first_bet(), DEADLINE_S))
    await until(lambda: backend(admin_url, APPENDER, "relation"))
    await ask(
        admin_url,
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
        APPENDER,
    )
    with pytest.raises(StoreUnavailable):
        await under_way
    await blocked.rollback()
    assert await store.transactions([("marbles", "b1")]) == {}


async def test_an_error_that_another_server_may_not_have_costs_the_connection(
    store: Store, admin_url: str
):
    """Else a server that can book no more is asked for ever, though the URL names others."""
    assert await store.append(AppendBatch(), DEADLINE_S) is None
    before = await backend(admin_url, APPENDER)
    grant = "{} EXECUTE ON ROUTINE ledger_p00.append {} ledger_app"
    await ask(admin_url, grant.format("REVOKE", "FROM"))
    with pytest.raises(StoreUnavailable, match="permission denied"):
        await store.append(first_bet(), DEADLINE_S)
    await ask(admin_url, grant.format("GRANT", "TO"))
    assert await store.append(first_bet(), DEADLINE_S) is None
    assert len(before) == 1
    assert await backend(admin_url, APPENDER) not in ([], before)


async def test_a_connection_lost_while_idle_costs_nothing(store: Store, admin_url: str):
    """After a database restart the first calls must not all be unknown."""
    for number in range(3):
        assert await store.append(first_bet(f"k{number}", f"p{number}"), DEADLINE_S) is None
        await store.ping(DEADLINE_S)
        await ask(
            admin_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name IN (%s, %s)",
            APPENDER,
            READER,
        )
        await asyncio.sleep(0.1)
    assert await store.heads(["player:p2"]) == {"player:p2": 1}


async def test_a_database_that_is_not_there_is_unavailable_within_the_deadline(tmp_path):
    """An answer late is an answer lost: providers give up after seconds."""
    store = Store(f"postgresql://nobody@/nothing?host={tmp_path}")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await store.append(AppendBatch(), 0.5)
    assert 0.4 < time.monotonic() - started < 1.5
    await store.close()


async def test_a_server_that_accepts_and_says_nothing_is_unavailable_too():
    """A cut link looks like this: packets go nowhere, and no error comes back."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = Store(f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing")
        with pytest.raises(StoreUnavailable):
            await store.append(AppendBatch(), 0.5)
        await store.close()


# -- a server that waits for a standby which is not there ---------------------------------------


@pytest.fixture(scope="module")
def lonely(postgres: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """A server of its own, to be told to wait for standbys."""
    directory = postgres.data_dir.with_name(f"lonely-{time.monotonic_ns()}")
    with EmbeddedPostgres(directory) as server:
        asyncio.run(initialise(server.migrate_url, 1))
        yield server


@pytest.fixture
async def waiting(lonely: EmbeddedPostgres) -> AsyncIterator[tuple[Store, str]]:
    """A store whose commits wait for a standby for ever; and the superuser's URL."""
    store, url = Store(lonely.url()), lonely.migrate_url
    await ask(url, "ALTER SYSTEM SET synchronous_standby_names = 'missing'")
    await ask(url, "SELECT pg_reload_conf()")
    yield store, url
    await ask(url, "ALTER SYSTEM RESET synchronous_standby_names")
    await ask(url, "SELECT pg_reload_conf()")
    await store.close()


@pytest.mark.parametrize("verb", ["pg_cancel_backend", "pg_terminate_backend"])
@pytest.mark.parametrize("empty", [False, True], ids=["a bet", "duplicates alone"])
async def test_a_cancelled_wait_for_the_standby_is_unknown(
    waiting: tuple[Store, str], verb: str, empty: bool
):
    """The server calls it a success and adds a warning; a fail-over would lose the bet."""
    store, url = waiting
    batch = AppendBatch() if empty else first_bet(f"{verb}-1", verb)
    under_way = asyncio.create_task(store.append(batch, DEADLINE_S))
    await until(lambda: backend(url, APPENDER, "SyncRep"))
    await ask(
        url, f"SELECT {verb}(pid) FROM pg_stat_activity WHERE application_name = %s", APPENDER
    )
    with pytest.raises(CommitUnknown):
        await under_way


async def test_reads_snapshots_and_notifications_do_not_wait_for_the_standby(
    waiting: tuple[Store, str],
):
    """While writes stop, balances can still be shown; and none of these must ever block."""
    store, _ = waiting
    async with asyncio.timeout(3):
        await store.ping(DEADLINE_S)
        await store.notify()
        await store.save_snapshots([SnapshotRow("player:x", 1, bytes(40))])
        assert await store.heads(["player:x"]) == {"player:x": 0}


async def test_a_statement_that_cannot_be_prepared_leaves_its_socket_unwatched(database_url: str):
    """The number of a closed socket is given to the next: a provider's call would wait for ever."""
    prepared = PreparedStatement(await connect(database_url, "test"))
    watched = prepared._socket
    with pytest.raises(psycopg.errors.UndefinedColumn):
        await prepared.prepare(b"SELECT nothing_of_that_name")
    assert prepared.closed
    assert not asyncio.get_running_loop().remove_reader(watched)
