"""The schema: made once, upgraded from anywhere, refused where it does not fit."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from ledger.embedded import SUPERUSER, EmbeddedPostgres
from ledger.money import currency
from ledger.schema import SchemaError, check, check_currencies, initialise, record_currencies
from ledger.sql import migrations
from ledger.store import Store
from tests.conftest import Databases
from tests.integration.store_rows import first_bet

LEDGER = "(SELECT oid FROM pg_namespace WHERE nspname LIKE 'ledger%')"

CATALOG = {
    "schemas": "SELECT nspname, nspowner::regrole::text, nspacl::text FROM pg_namespace"
    " WHERE nspname LIKE 'ledger%'",
    "relations": "SELECT oid::regclass::text, relkind::text, relowner::regrole::text, relacl::text,"
    f" reloptions::text FROM pg_class WHERE relnamespace IN {LEDGER}",
    "columns": "SELECT attrelid::regclass::text, attnum, attname, atttypid::regtype::text,"
    " attnotnull, attcollation::regcollation::text, attidentity::text, attacl::text,"
    " pg_get_expr(adbin, adrelid) FROM pg_attribute"
    " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
    f" WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN {LEDGER}) AND attnum > 0",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
    f" FROM pg_constraint WHERE connamespace IN {LEDGER}",
    "indexes": "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid IN"
    f" (SELECT oid FROM pg_class WHERE relnamespace IN {LEDGER})",
    "functions": "SELECT pg_get_functiondef(oid), proowner::regrole::text, proacl::text"
    f" FROM pg_proc WHERE pronamespace IN {LEDGER}",
    "triggers": "SELECT pg_get_triggerdef(oid), tgenabled::text FROM pg_trigger WHERE tgrelid IN"
    f" (SELECT oid FROM pg_class WHERE relnamespace IN {LEDGER})",
    "views": "SELECT oid::regclass::text, pg_get_viewdef(oid) FROM pg_class WHERE relkind = 'v'"
    f" AND relnamespace IN {LEDGER}",
    "migrations": "SELECT number, name, checksum FROM ledger.migrations",
}


def catalog(url: str) -> dict[str, list[str]]:
    """Everything that makes up the ledger in a database."""
    with psycopg.connect(url) as connection:
        return {
            name: sorted(str(row) for row in connection.execute(query.encode()).fetchall())
            for name, query in CATALOG.items()
        }


@pytest.mark.parametrize("number", [0, *(migration.number for migration in migrations())])
async def test_an_upgrade_from_any_version_gives_what_a_fresh_start_gives(
    empty_database_url: str, databases: Databases, number: int
):
    """Otherwise a defect shows at old installations only, where nobody tests."""
    await initialise(empty_database_url, 2, target=number)
    await initialise(empty_database_url, 2)
    await initialise(empty_database_url, 2)
    with databases.fresh() as name:
        fresh = databases.server.url(name, SUPERUSER)
        await initialise(fresh, 2)
        assert catalog(empty_database_url) == catalog(fresh)


INITIALISE = "import asyncio, sys; from ledger.schema import initialise; "
INITIALISE += "asyncio.run(initialise(sys.argv[1], 3))"


def test_several_processes_may_initialise_at_once(empty_database_url: str):
    """Workers start together; one makes the schema, the others find it."""
    command = [sys.executable, "-c", INITIALISE, empty_database_url]
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(5)]
    assert [process.wait(60) for process in started] == [0] * 5
    asyncio.run(check(empty_database_url, 3))


async def test_who_waits_for_another_ones_upgrade_says_so(admin_url: str):
    """It may be one that died elsewhere without a word."""
    with psycopg.connect(admin_url, autocommit=True) as other, capture_logs() as lines:
        other.execute("SELECT pg_advisory_lock(8350120260)")
        waiting = asyncio.create_task(initialise(admin_url, 1))
        async with asyncio.timeout(10):
            while not lines:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
        assert [line["event"] for line in lines] == ["another_process_upgrades_the_database"]
        other.execute("SELECT pg_advisory_unlock(8350120260)")
        await waiting


async def test_the_number_of_partitions_never_changes(admin_url: str):
    """A player's partition hangs on it: with another number every player would be new."""
    for refuse in (initialise, check):
        with pytest.raises(SchemaError, match=r"1 partition\(s\), the configuration 2"):
            await refuse(admin_url, 2)


async def test_a_database_of_a_newer_version_is_refused(admin_url: str):
    """After a rollback of the software its old functions would write into new tables."""
    with psycopg.connect(admin_url) as connection:
        connection.execute("INSERT INTO ledger.migrations VALUES (999, 'future', 'x')")
    for refuse in (initialise, check):
        with pytest.raises(SchemaError, match=r"newer than this software: .* 999 \(future\)"):
            await refuse(admin_url, 1)


async def test_a_migration_that_was_edited_is_refused(admin_url: str):
    """Two installations with one number and two schemas cannot be told apart later."""
    with psycopg.connect(admin_url) as connection:
        connection.execute("UPDATE ledger.migrations SET checksum = 'x' WHERE number = 2")
    with pytest.raises(SchemaError, match=r"migration 2 \(partition\) was changed"):
        await check(admin_url, 1)


async def test_a_database_that_is_not_up_to_date_is_not_served(empty_database_url: str):
    """The message must say what to do."""
    with pytest.raises(SchemaError, match="no ledger yet: run `wallet-ledger init`"):
        await check(empty_database_url, 1)
    await initialise(empty_database_url, 1, target=2)
    with pytest.raises(SchemaError, match=r"at migration 2, .* needs \d+: run"):
        await check(empty_database_url, 1)
    await initialise(empty_database_url, 1)
    await check(empty_database_url, 1)


async def test_the_services_login_may_check_and_find_nothing_to_do(database_url: str):
    """With one URL for everything, a start must not need the rights of a migration."""
    await initialise(database_url, 1)
    await check(database_url, 1)


async def test_a_login_without_the_rights_is_told_so_in_one_line(
    postgres: EmbeddedPostgres, databases: Databases
):
    """A stack trace of the driver helps nobody."""
    with databases.fresh() as name, pytest.raises(SchemaError, match="login may not create"):
        await initialise(postgres.url(name), 1)


# -- how texts are kept and spoken --------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_does_not_keep_unicode_is_refused(
    databases: Databases, encoding: str
):
    """An id that comes back as another is a player that nobody finds, with the money."""
    with databases.encoded(encoding) as url:
        for refuse in (initialise, check):
            with pytest.raises(SchemaError, match=rf"{encoding}.* with ENCODING 'UTF8'$"):
                await refuse(url, 1)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT to_regnamespace('ledger')").fetchone() == (None,)


async def test_neither_the_environment_nor_the_database_decides_how_texts_are_sent(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """A variable that somebody set for another program ended the start with a traceback."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET client_encoding = SQL_ASCII".encode())
    await initialise(empty_database_url, 1)
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    await initialise(empty_database_url, 1)
    await check(empty_database_url, 1)


# -- servers with other settings, logins with fewer rights --------------------------------------


@pytest.fixture(scope="module")
def server(postgres: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """A server of its own, whose settings and roles may be changed."""
    with EmbeddedPostgres(postgres.data_dir.with_name(f"schema-{id(postgres)}")) as server:
        asyncio.run(initialise(server.migrate_url, 1))
        yield server


def alter(server: EmbeddedPostgres, *queries: str) -> None:
    """Run statements as a superuser; settings are in force afterwards."""
    with psycopg.connect(server.migrate_url, autocommit=True) as connection:
        for query in queries:
            connection.execute(query.encode())
        connection.execute("SELECT pg_reload_conf(), pg_sleep(0.2)")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
async def test_a_server_that_may_lose_commits_is_refused(server: EmbeddedPostgres, setting: str):
    """An acknowledged bet must survive a power cut, and these settings decide that."""
    await check(server.url(), 1)
    alter(server, f"ALTER SYSTEM SET {setting} = off")
    try:
        with pytest.raises(SchemaError, match=f"runs with {setting} = off"):
            await check(server.url(), 1)
    finally:
        alter(server, f"ALTER SYSTEM RESET {setting}")


async def test_a_server_that_does_not_wait_for_its_standby_is_refused(server: EmbeddedPostgres):
    """What it acknowledges would be gone after a fail-over; without a standby it is as good."""
    alter(server, "ALTER SYSTEM SET synchronous_commit = local")
    try:
        await check(server.url(), 1)
        alter(server, "ALTER SYSTEM SET synchronous_standby_names = 'other'")
        with pytest.raises(SchemaError, match="would not wait for its synchronous standby"):
            await check(server.url(), 1)
    finally:
        alter(server, "ALTER SYSTEM RESET synchronous_standby_names")
        alter(server, "ALTER SYSTEM RESET synchronous_commit")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
async def test_no_ledger_is_made_on_a_server_that_may_lose_commits(
    server: EmbeddedPostgres, setting: str
):
    """Whoever runs `init` first must not be told that all is ready."""
    alter(server, "CREATE DATABASE unsafe", f"ALTER SYSTEM SET {setting} = off")
    try:
        with pytest.raises(SchemaError, match=f"runs with {setting} = off"):
            await initialise(server.url("unsafe", SUPERUSER), 1)
    finally:
        alter(server, f"ALTER SYSTEM RESET {setting}")
    with pytest.raises(SchemaError, match="holds no ledger yet"):
        await check(server.url("unsafe", SUPERUSER), 1)
    alter(server, "DROP DATABASE unsafe")


async def test_a_login_that_may_lose_commits_is_refused(server: EmbeddedPostgres):
    """The setting of a role counts as much as the server's."""
    alter(server, "ALTER ROLE wallet_ledger SET synchronous_commit = off")
    try:
        with pytest.raises(SchemaError, match="synchronous_commit = off"):
            await check(server.url(), 1)
    finally:
        alter(server, "ALTER ROLE wallet_ledger RESET synchronous_commit")


async def test_a_login_with_createrole_can_do_all_of_it(server: EmbeddedPostgres):
    """A hosted database gives nobody a superuser."""
    alter(
        server,
        "CREATE DATABASE casino",
        "CREATE ROLE deployer LOGIN CREATEROLE",
        "GRANT CREATE ON DATABASE casino TO deployer",
    )
    # The roles are there already, made by another login: somebody who may must grant them.
    with pytest.raises(SchemaError, match="login may not create"):
        await initialise(server.url("casino", "deployer"), 2)
    with psycopg.connect(server.url("postgres", SUPERUSER), autocommit=True) as connection:
        connection.execute("DROP DATABASE wallet_ledger")
        ours = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'ledger%' OR rolname LIKE 'wallet%'"
        for (role,) in connection.execute(ours.encode()).fetchall():
            connection.execute(f"DROP ROLE {role}".encode())
    url = server.url("casino", "deployer")
    await initialise(url, 2, target=1)
    await initialise(url, 2)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE service LOGIN")
        connection.execute("GRANT ledger_app TO service")
    await check(server.url("casino", "service"), 2)
    store = Store(server.url("casino", "service"), 1)
    assert await store.append(first_bet(), 5) is None
    await store.close()


# -- what an amount means -----------------------------------------------------------------------


EUR, BTC = currency("EUR", 2), currency("BTC", 8)


async def test_a_currency_keeps_the_decimals_that_it_was_first_started_with(database_url: str):
    """With another scale every stored amount would be another: 12.50 would become 0.0125."""
    await record_currencies(database_url, {"EUR": EUR, "BTC": BTC})
    every = {"EUR": EUR, "BTC": BTC, "XBT": replace(BTC, code="XBT")}
    await record_currencies(database_url, every)
    for wrong in (every | {"BTC": currency("BTC", 8, 10)}, every | {"XBT": EUR}):
        for start in (record_currencies, check_currencies):
            with pytest.raises(SchemaError, match="a currency's scale cannot change"):
                await start(database_url, wrong)
    await check_currencies(database_url, every)


async def test_a_currencys_subunits_stay_what_they_were(database_url: str, admin_url: str):
    """A provider's 100 was 1.00; without decimals it would take 100.00 from the next start on."""
    await record_currencies(database_url, {"EUR": EUR})
    for start in (record_currencies, check_currencies):
        with pytest.raises(SchemaError, match=r"EUR with exponent 2.* with 0: .* set exponent = 2"):
            await start(database_url, {"EUR": currency("EUR", 0)})
    with psycopg.connect(admin_url) as connection:  # as an upgrade finds it
        connection.execute("ALTER TABLE ledger.currency_exponents DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM ledger.currency_exponents")
    await check_currencies(database_url, {"EUR": currency("EUR", 0)})
    await record_currencies(database_url, {"EUR": EUR})
    with pytest.raises(SchemaError, match="a currency's exponent cannot change"):
        await check_currencies(database_url, {"EUR": currency("EUR", 3)})


async def test_a_start_that_is_refused_fixes_nothing(database_url: str):
    """What is recorded can never be altered: a slip beside another one must not be."""
    await record_currencies(database_url, {"EUR": EUR})
    with pytest.raises(SchemaError, match="scale cannot change"):
        await record_currencies(database_url, {"BTC": EUR, "EUR": currency("EUR", 2, 6)})
    await record_currencies(database_url, {"BTC": BTC, "EUR": EUR})


async def test_a_currency_that_is_kept_must_stay_in_the_configuration(database_url: str):
    """Without it a provider's amounts would be read as those of most: 1000 times a stake in BTC."""
    await record_currencies(database_url, {"EUR": EUR, "BTC": BTC})
    for start in (record_currencies, check_currencies):
        with pytest.raises(SchemaError, match=r"keeps BTC with 8 decimals.*add \[currencies.BTC\]"):
            await start(database_url, {"EUR": EUR})


async def test_a_currency_that_the_database_has_not_met_is_only_looked_for(database_url: str):
    """A report reads; it decides nothing for good."""
    await check_currencies(database_url, {"BTC": BTC})
    await record_currencies(database_url, {"BTC": currency("BTC", 10)})
