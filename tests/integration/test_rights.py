"""What the service's role may do to the ledger, and what nobody may do by accident."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from ledger.embedded import SUPERUSER, EmbeddedPostgres
from ledger.store import AppendBatch, Store
from tests.conftest import Databases
from tests.integration.store_rows import first_bet, session

STATE = "decode(repeat('00', 40), 'hex')"
EVENT = f"('player:eve', 1, 'deposited.v1', {STATE})"
PROTECTED = ("events", "transactions", "sessions")

ATTEMPTS = {
    "insert an event": f"INSERT INTO ledger_p00.events VALUES {EVENT}",
    "update an event": "UPDATE ledger_p00.events SET topic = 'x'",
    "delete an event": "DELETE FROM ledger_p00.events",
    "truncate the events": "TRUNCATE ledger_p00.events",
    "merge into the events": (
        "MERGE INTO ledger_p00.events USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE"
    ),
    "overwrite on conflict": (
        f"INSERT INTO ledger_p00.events VALUES {EVENT} ON CONFLICT (originator_id,"
        " originator_version) DO UPDATE SET state = excluded.state"
    ),
    "copy into the events": "COPY ledger_p00.events FROM STDIN",
    "write through the view": "DELETE FROM ledger_p00.events_readable",
    "lock the events": "LOCK TABLE ledger_p00.events IN EXCLUSIVE MODE",
    "lock rows of the events": "SELECT * FROM ledger_p00.events FOR UPDATE",
    "drop the events": "DROP TABLE ledger_p00.events CASCADE",
    "alter the events": "ALTER TABLE ledger_p00.events ADD COLUMN note text",
    "disable the triggers": "ALTER TABLE ledger_p00.events DISABLE TRIGGER ALL",
    "drop a trigger": "DROP TRIGGER forbid_change ON ledger_p00.events",
    "replace the triggers' function": (
        "CREATE OR REPLACE FUNCTION ledger.forbid_change() RETURNS trigger LANGUAGE sql"
        " AS 'SELECT NULL'"
    ),
    "replace append": (
        "CREATE OR REPLACE FUNCTION ledger_p00.save_snapshots(streams text[], versions bigint[],"
        " states bytea[]) RETURNS void LANGUAGE sql AS 'SELECT'"
    ),
    "a rule on the events": (
        "CREATE RULE quiet AS ON INSERT TO ledger_p00.events DO INSTEAD NOTHING"
    ),
    "an index that fails": "CREATE INDEX ON ledger_p00.events ((1 / 0))",
    "become the owner": "SET ROLE ledger_owner",
    "become a superuser": "SET ROLE postgres",
    "rewind the ids": "SELECT setval('ledger_p00.events_notification_id_seq', 1)",
    "draw an id": "SELECT nextval('ledger_p00.events_notification_id_seq')",
    "silence triggers": "SET session_replication_role = replica",
    "create in the schema": "CREATE TABLE ledger_p00.mine (id int)",
    "drop the schema": "DROP SCHEMA ledger_p00 CASCADE",
    "update a transaction": "UPDATE ledger_p00.transactions SET key = 'x'",
    "delete a transaction": "DELETE FROM ledger_p00.transactions",
    "truncate the transactions": "TRUNCATE ledger_p00.transactions",
    "update a session": "UPDATE ledger_p00.sessions SET player_id = 'x'",
    "delete a session": "DELETE FROM ledger_p00.sessions",
    "write a snapshot directly": "UPDATE ledger_p00.snapshots SET version = 9",
    "alter the call journal": "UPDATE ledger.calls SET body = ''",
    "empty the call journal": "DELETE FROM ledger.calls",
    "truncate the call journal": "TRUNCATE ledger.calls",
    "alter who reconciled": "UPDATE ledger.reconciliations SET begun_by = 'x'",
    "forget a reconciliation": "DELETE FROM ledger.reconciliations",
    "alter an outcome": "UPDATE ledger.reconciliation_results SET outcome = '{}'",
    "forget a difference": "DELETE FROM ledger.reconciliation_differences",
    "empty the differences": "TRUNCATE ledger.reconciliation_differences",
    "alter the migrations": "DELETE FROM ledger.migrations",
    "alter the currencies": "UPDATE ledger.currency_scales SET scale = 2",
    "forget the currencies": "DELETE FROM ledger.currency_scales",
    "alter an exponent": "UPDATE ledger.currency_exponents SET exponent = 0",
    "alter the partitions": "UPDATE ledger.settings SET partitions = 2",
    "call what append calls": (
        "SELECT ledger_p00.conflicts(NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
    ),
}


@pytest.fixture(scope="module")
def guarded(databases: Databases, template_database: str) -> Iterator[str]:
    """One database for all attempts, with something to protect: none may change it."""
    with databases.fresh(template_database) as name:

        async def append() -> None:
            store = Store(databases.server.url(name))
            assert await store.append(first_bet(), 5) is None
            assert await store.append(AppendBatch(sessions=[session()]), 5) is None
            await store.close()

        asyncio.run(append())
        yield name


def contents(url: str) -> list[object]:
    """Everything that is protected."""
    with psycopg.connect(url) as connection:
        return [
            connection.execute(f"SELECT * FROM ledger_p00.{table}".encode()).fetchall()
            for table in PROTECTED
        ]


@pytest.mark.parametrize("role", ["SET ROLE ledger_app", "RESET ROLE"])
@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_the_service_can_do_nothing_but_append(
    postgres: EmbeddedPostgres, guarded: str, attempt: str, role: str
):
    """Whoever takes over the service must not be able to rewrite what happened."""
    url = postgres.url(guarded)
    before = contents(url)
    with psycopg.connect(url) as connection:
        connection.execute(role.encode())
        # A missing table would be refused as well; only a missing right counts.
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(connection, attempt)
    assert contents(url) == before


def run(connection: psycopg.Connection, query: str) -> None:
    """Run a statement, COPY included."""
    if query.startswith("COPY"):
        with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            copy.write_row(("player:eve", 1, "x", b"", 1))
    else:
        connection.execute(query.encode())


@pytest.mark.parametrize("table", PROTECTED)
@pytest.mark.parametrize(
    "attempt",
    [
        "UPDATE ledger_p00.{table} SET player_id = player_id",
        "DELETE FROM ledger_p00.{table}",
        "DELETE FROM ledger_p00.{table} WHERE false",
        "TRUNCATE ledger_p00.{table}",
    ],
)
@pytest.mark.parametrize("replication_role", ["origin", "replica"])
def test_even_a_superuser_is_stopped_by_the_triggers(
    postgres: EmbeddedPostgres, guarded: str, table: str, attempt: str, replication_role: str
):
    """A slip in psql must not cost a player's history; a replication role silences no trigger."""
    url = postgres.url(guarded, SUPERUSER)
    column = "topic" if table == "events" else "player_id"
    query = attempt.replace("player_id", column).format(table=table)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET session_replication_role = {replication_role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            connection.execute(query.encode())


@pytest.mark.parametrize(
    "table", ["reconciliations", "reconciliation_results", "reconciliation_differences"]
)
@pytest.mark.parametrize(
    "attempt", ["UPDATE {} SET id = 'x'", "DELETE FROM {} WHERE false", "TRUNCATE {}"]
)
@pytest.mark.parametrize("replication_role", ["origin", "replica"])
def test_what_a_reconciliation_found_cannot_be_unfound(
    postgres: EmbeddedPostgres, guarded: str, table: str, attempt: str, replication_role: str
):
    """An auditor sees what was compared, by whom, and what differed, also years later."""
    with psycopg.connect(postgres.url(guarded, SUPERUSER), autocommit=True) as connection:
        connection.execute(f"SET session_replication_role = {replication_role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            connection.execute(attempt.format(f"ledger.{table}").encode())


def test_a_stranger_may_not_even_look(postgres: EmbeddedPostgres, guarded: str):
    """A database is shared with other software more often than one thinks."""
    with psycopg.connect(postgres.url(guarded, SUPERUSER), autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
        try:
            with psycopg.connect(postgres.url(guarded, "stranger")) as other:
                for query in (
                    "SELECT * FROM ledger_p00.events",
                    "SELECT ledger_p00.save_snapshots(NULL, NULL, NULL)",
                    "SELECT ledger.create_calls_day(current_date)",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        other.execute(query.encode())
                    other.rollback()
        finally:
            connection.execute("DROP ROLE stranger")


def test_a_reader_reads_and_does_nothing_else(postgres: EmbeddedPostgres, guarded: str):
    """Projections and audits need no right to write; append would be one."""
    with psycopg.connect(postgres.url(guarded, SUPERUSER), autocommit=True) as connection:
        connection.execute("SET ROLE ledger_reader")
        found = connection.execute("SELECT stream FROM ledger_p00.events_readable").fetchall()
        assert found == [("player:ann",)]
        for query in (
            "SELECT ledger_p00.save_snapshots(NULL, NULL, NULL)",
            "INSERT INTO ledger.calls DEFAULT VALUES",
            f"INSERT INTO ledger_p00.events VALUES {EVENT}",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query.encode())


def test_the_service_writes_and_reads_the_call_journal(database_url: str):
    """Evidence is only ever added; a day's partition is made by a function, and only around now."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET ROLE ledger_app")
        for _ in range(2):
            connection.execute("SELECT ledger.create_calls_day(current_date)")
        connection.execute(
            "INSERT INTO ledger.calls (received_at, integration, operation, method, path, body,"
            " status, answer, outcome, duration_us) VALUES (now(), 'm', 'bet', 'POST', '/', '',"
            " 200, '', 'ok', 5)"
        )
        assert connection.execute("SELECT count(*) FROM ledger.calls").fetchone() == (1,)
        partition = "ledger.calls_" + str(
            connection.execute("SELECT to_char(now(), 'YYYYMMDD')").fetchall()[0][0]
        )
        for query in (f"DELETE FROM {partition}", f"DROP TABLE {partition}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query.encode())
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="7 days"):
            connection.execute("SELECT ledger.create_calls_day('2020-01-01')")


def test_a_stale_view_of_the_past_cannot_append(database_url: str):
    """Under repeatable read the checks would see the time before the lock, and pass."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(psycopg.errors.InvalidTransactionState, match="read committed"):
            connection.execute(b"SELECT ledger_p00.append(" + b", ".join([b"NULL"] * 28) + b")")


def test_functions_that_act_as_the_owner_fix_their_search_path(admin_url: str):
    """Otherwise a table of the caller's own could stand in for ours."""
    with psycopg.connect(admin_url) as connection:
        loose = connection.execute(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE prosecdef"
            " AND pronamespace::regnamespace::text LIKE 'ledger%'"
            " AND NOT 'search_path=pg_catalog, pg_temp' = ANY (coalesce(proconfig, '{}'))"
        ).fetchall()
    assert loose == []
