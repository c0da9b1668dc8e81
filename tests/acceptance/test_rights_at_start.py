"""A login without its rights: the start ends with the statement that is missing."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.embedded import EmbeddedPostgres
from ledger.schema import initialise
from tests.acceptance.service import COMMAND, SEAL_KEY, START_S, free_port, write_configuration


@pytest.fixture(scope="module")
def server(postgres: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """A server of its own: migrations of any database grant roles to all logins of a server."""
    with EmbeddedPostgres(postgres.data_dir.with_name(f"rights-{os.getpid()}")) as server:
        asyncio.run(initialise(server.migrate_url, 1))
        yield server


@pytest.fixture
def login(server: EmbeddedPostgres) -> Iterator[str]:
    """A login without any right; such names need quotes in SQL."""
    name = "wallet-app"
    with psycopg.connect(server.migrate_url, autocommit=True) as connection:
        connection.execute(f'CREATE ROLE "{name}" LOGIN'.encode())
        yield name
        connection.execute(f'DROP ROLE "{name}"'.encode())


BOTH = "ledger_app, ledger_project"
SEALS = {"seals": {"key": SEAL_KEY}}


@pytest.mark.parametrize(
    ("command", "granted", "missing", "sections"),
    [
        ("serve", (), BOTH, {}),
        ("serve", ("ledger_app",), "ledger_project", {}),
        ("serve", (), "ledger_app", {"projections": {"in_serve": False}}),
        ("serve", ("ledger_app", "ledger_project"), "ledger_seal", SEALS),
        ("serve", (), "ledger_app", {"database": {"migrate_url": ""}}),
        ("project", (), BOTH, {}),
        ("project", ("ledger_app",), "ledger_project", {}),
        ("audit views", ("ledger_app",), "ledger_project", {}),
        ("rebuild --all", ("ledger_app",), "ledger_project", {}),
        ("seal --once", ("ledger_app", "ledger_project"), "ledger_seal", SEALS),
    ],
)
def test_a_start_without_the_rights_ends_with_the_grant_that_is_missing(
    *,
    tmp_path: Path,
    server: EmbeddedPostgres,
    login: str,
    command: str,
    granted: tuple[str, ...],
    missing: str,
    sections: dict[str, dict[str, Any]],
) -> None:
    """No waiting mends it, and the name of a table tells nobody what to do."""
    with psycopg.connect(server.migrate_url, autocommit=True) as connection:
        for role in granted:
            connection.execute(f'GRANT {role} TO "{login}"'.encode())
    database = {"url": server.url(user=login), "migrate_url": server.migrate_url}
    file = write_configuration(
        tmp_path / "service.toml",
        server={"port": free_port()},
        **{**sections, "database": database | sections.get("database", {})},
    )
    done = subprocess.run(
        [COMMAND, *command.split(), "--config", str(file)],
        check=False,
        capture_output=True,
        text=True,
        timeout=START_S,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f'wallet-ledger: database: the login "{login}" lacks rights: GRANT {missing} TO "{login}"\n'
    )
