"""A dump, restored: what a move to another major version of PostgreSQL rests on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger.embedded import SUPERUSER, EmbeddedPostgres
from ledger.postgres_programs import binaries
from ledger.schema import check
from tests.conftest import Databases
from tests.faults.ledgers import bet, booked, opened
from tests.integration.test_rights import PROTECTED


def run(program: str, *arguments: str) -> str:
    """What a program of PostgreSQL prints; it must succeed."""
    command = [str(binaries() / program), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def schema(url: str) -> list[str]:
    """The statements that make everything but the rows: rights and triggers, too.

    Without brackets, of which PostgreSQL drops some when it reads a dump.
    """
    lines = run("pg_dump", "--schema-only", "-d", url).splitlines()
    kept = [line for line in lines if line and not line.startswith(("--", "\\"))]
    return [line.translate(str.maketrans("", "", "()")) for line in kept]


@pytest.fixture
def restored(databases: Databases) -> Iterator[str]:
    """The name of a database to restore into, with nothing in it."""
    with databases.fresh("template0") as name:
        yield name


async def test_the_ledger_goes_on_from_a_dump(
    postgres: EmbeddedPostgres, database: str, restored: str, tmp_path: Path
):
    """A repeated call gets its first answer, history is as closed as it was, and bets go on."""
    async with opened(postgres.url(database)) as before:
        session = await before.player()
        first = await before.accepted(bet(session, "one"))
    dump = str(tmp_path / "dump")
    old, new = (postgres.url(name, SUPERUSER) for name in (database, restored))
    run("pg_dump", "-Fc", "-f", dump, "-d", old)
    run("pg_restore", "--exit-on-error", "-d", new, dump)

    assert schema(new) == schema(old)
    await check(postgres.url(restored), 1)
    async with opened(postgres.url(restored)) as after:
        again = await after.accepted(bet(session, "one"))
        assert again.replayed
        assert again.event == first.event
        await after.accepted(bet(session, "two"))
    assert booked(new) == 2
    for table in PROTECTED:
        with (
            psycopg.connect(new) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
        ):
            connection.execute(f"DELETE FROM ledger_p00.{table}".encode())
