"""The audit of what forbids changes: each way to loosen it is found, and what was made is sound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from adapters import cli
from ledger.audit_instant import one_instant
from ledger.connections import Connection, connect
from ledger.embedded import SUPERUSER, EmbeddedPostgres
from ledger.guards import expected, found_guards, found_roles, verify_guards
from ledger.sql import schema_name
from tests.conftest import Databases

EVENTS = "ledger_p00.events"
WEAK_TRIGGER = """CREATE OR REPLACE TRIGGER forbid_change BEFORE UPDATE ON ledger_p00.transactions
    FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION ledger.forbid_change()"""
UNCHECKED = f"""ALTER TABLE {EVENTS} DROP CONSTRAINT events_state_check,
    ADD CONSTRAINT events_state_check CHECK (octet_length(state) > 32) NOT VALID"""


@pytest.fixture(scope="module")
def shared_url(postgres: EmbeddedPostgres, databases: Databases) -> Iterator[str]:
    """A database of one partition, as a superuser: what is done to it is rolled back."""
    with databases.fresh(databases.template(1)) as name:
        yield postgres.url(name, SUPERUSER)


@pytest.fixture
async def loosened(shared_url: str) -> AsyncIterator[Connection]:
    """A transaction in which a test may do what it wants."""
    async with await connect(shared_url, "test", role=None) as connection:
        await connection.execute("BEGIN")
        yield connection
        await connection.execute("ROLLBACK")


async def differences(connection: Connection, schema: str) -> tuple[list[str], list[str]]:
    """The guards that are missing in a schema, and those that are not ours."""
    wanted = expected().shared if schema == "ledger" else expected().partition
    found = await found_guards(connection, schema, wanted)
    return sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))


async def test_what_the_migrations_make_is_what_is_expected_in_every_partition(postgres, databases):
    """`guards.txt` is what a fresh ledger has: a migration that changes a guard changes it too."""
    template = await asyncio.to_thread(databases.template, 3)
    with databases.fresh(template) as name:
        url = postgres.url(name)
        async with one_instant(url, "test") as connection:
            wanted = expected()
            assert tuple(await found_roles(connection)) == wanted.roles
            assert tuple(await found_guards(connection, "ledger", wanted.shared)) == wanted.shared
            for partition in range(3):
                found = await found_guards(connection, schema_name(partition), wanted.partition)
                assert tuple(found) == wanted.partition
        verified = await verify_guards(url, 3)
        assert verified.findings == []
        each = len(wanted.roles) + len(wanted.shared) + 3 * len(wanted.partition)
        assert verified.guards == each


@pytest.mark.parametrize(
    ("statement", "missing", "there"),
    [
        (f"ALTER TABLE {EVENTS} DISABLE TRIGGER forbid_change", "always", "switched off"),
        (f"ALTER TABLE {EVENTS} ENABLE TRIGGER forbid_change", "always", "unless replicated"),
        (f"ALTER TABLE {EVENTS} ENABLE REPLICA TRIGGER forbid_change", "always", "if replicated"),
        (f"DROP TRIGGER forbid_change_of_rows ON {EVENTS}", "forbid_change_of_rows", None),
        (
            WEAK_TRIGGER,
            "type 58, always",
            "type 18, unless replicated, sometimes",
        ),
        (f"CREATE RULE nothing AS ON INSERT TO {EVENTS} DO INSTEAD NOTHING", None, "rule nothing"),
        (f"ALTER TABLE {EVENTS} ENABLE ROW LEVEL SECURITY", None, "row security"),
        (f"GRANT UPDATE ON {EVENTS} TO ledger_app", None, "ledger_app: UPDATE"),
        (f"GRANT UPDATE (state) ON {EVENTS} TO PUBLIC", None, "state: granted to everybody"),
        (
            f"GRANT DELETE ON {EVENTS} TO ledger_seal WITH GRANT OPTION",
            None,
            "ledger_seal: DELETE to pass on",
        ),
        ("GRANT CREATE ON SCHEMA ledger_p00 TO ledger_app", None, "ledger_app: CREATE"),
        (
            "GRANT EXECUTE ON FUNCTION ledger_p00.save_snapshots TO PUBLIC",
            None,
            "granted to everybody: EXECUTE",
        ),
        ("REVOKE INSERT ON ledger_p00.seals FROM ledger_seal", "ledger_seal: INSERT", None),
        (f"ALTER TABLE {EVENTS} DROP CONSTRAINT events_pkey", "unique (originator_id", None),
        ("DROP INDEX ledger_p00.events_notification_id_idx", "unique (notification_id)", None),
        (
            UNCHECKED,
            "check events_state_check",
            None,
        ),
        (
            f"ALTER TABLE {EVENTS} ALTER state DROP NOT NULL",
            "column state bytea, not null",
            "column state bytea",
        ),
        (
            "ALTER FUNCTION ledger_p00.save_snapshots SECURITY INVOKER",
            "owner's rights",
            "caller's rights",
        ),
        (
            "ALTER FUNCTION ledger_p00.save_snapshots RESET search_path",
            "search_path",
            "no settings",
        ),
        (
            "CREATE FUNCTION ledger_p00.mend() RETURNS void LANGUAGE sql AS ''",
            None,
            "function mend()",
        ),
    ],
)
async def test_what_was_loosened_in_a_partition_is_found(
    loosened: Connection, statement: str, missing: str | None, there: str | None
) -> None:
    """An event may be changed behind it, and everything put back before the next look."""
    await loosened.execute(statement.encode())
    for lines, part in zip(
        await differences(loosened, "ledger_p00"), (missing, there), strict=True
    ):
        if part is None:
            assert lines == []
        else:
            assert lines
            assert all(part in line for line in lines), lines


async def test_another_owner_of_the_log_is_found(loosened: Connection) -> None:
    """Who owns a table switches its triggers off."""
    await loosened.execute(f"ALTER TABLE {EVENTS} OWNER TO ledger_app".encode())
    missing, there = await differences(loosened, "ledger_p00")
    assert "table events: owner ledger_owner" in missing
    assert "table events: owner ledger_app" in there


async def test_a_changed_body_of_the_trigger_is_found(loosened: Connection) -> None:
    """It is there, switched on, and forbids nothing."""
    await loosened.execute(
        "CREATE OR REPLACE FUNCTION ledger.forbid_change() RETURNS trigger LANGUAGE plpgsql"
        " SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NEW; END'"
    )
    (missing,), (there,) = await differences(loosened, "ledger")
    said = "function forbid_change(): owner ledger_owner, caller's rights, search_path"
    assert missing.startswith(said)
    assert there.startswith(said)


async def test_a_right_to_read_is_nobodys_loss(loosened: Connection) -> None:
    """The casino's own reports may read the log; that is no finding every night."""
    await loosened.execute(f"GRANT SELECT ON {EVENTS} TO PUBLIC".encode())
    await loosened.execute("GRANT USAGE ON SCHEMA ledger, ledger_p00 TO PUBLIC")
    assert await differences(loosened, "ledger") == ([], [])
    assert await differences(loosened, "ledger_p00") == ([], [])


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("ALTER ROLE ledger_app SUPERUSER", "role ledger_app: there, superuser"),
        ("ALTER ROLE ledger_owner LOGIN", "role ledger_owner: there, logs in"),
        ("GRANT ledger_owner TO ledger_app", "role ledger_app: member of ledger_owner"),
        ("GRANT pg_write_all_data TO ledger_seal", "role ledger_seal: member of pg_write_all_data"),
    ],
)
async def test_a_role_that_may_more_is_found(
    loosened: Connection, statement: str, line: str
) -> None:
    """No trigger stops a superuser from switching it off."""
    await loosened.execute(statement.encode())
    assert line in await found_roles(loosened)
    assert line not in expected().roles


def test_the_command_names_them_and_ends_with_1(postgres, database, tmp_path, capfd):
    """A shell runs it every night."""
    file = tmp_path / "wallet-ledger.toml"
    file.write_text(f'[database]\nurl = "{postgres.url(database)}"\n')
    file.chmod(0o600)
    count = sum(map(len, (expected().roles, expected().shared, expected().partition)))
    assert told(file, capfd) == (0, [f"0 differences in {count} guards of the log"])
    with psycopg.connect(postgres.url(database, SUPERUSER)) as connection:
        connection.execute(f"ALTER TABLE {EVENTS} DISABLE TRIGGER forbid_change".encode())
    trigger = "table events: trigger forbid_change, type 58"
    assert told(file, capfd) == (
        1,
        [
            f"guards, partition 0: missing: {trigger}, always, calls ledger.forbid_change",
            f"guards, partition 0: not ours: {trigger}, switched off, calls ledger.forbid_change",
            f"2 differences in {count} guards of the log",
        ],
    )


def told(file, capfd) -> tuple[int, list[str]]:
    """The exit code and the lines of `audit guards`."""
    code = cli.run(["audit", "guards", "--config", str(file)])
    return code, capfd.readouterr().out.splitlines()
