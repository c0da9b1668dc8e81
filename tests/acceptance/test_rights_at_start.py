"""A login without its rights: the start ends with the statement that is missing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.service import COMMAND, SEAL_KEY, START_S, free_port, write_configuration
from tests.conftest import Databases


@pytest.fixture
def login(databases: Databases) -> Iterator[str]:
    """A login without any right; such names need quotes in SQL."""
    name = f"wallet-app-{os.getpid()}"
    with psycopg.connect(databases.server.migrate_url, autocommit=True) as connection:
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
    shared_database: dict[str, Any],
    databases: Databases,
    login: str,
    command: str,
    granted: tuple[str, ...],
    missing: str,
    sections: dict[str, dict[str, Any]],
) -> None:
    """No waiting mends it, and the name of a table tells nobody what to do."""
    with psycopg.connect(databases.server.migrate_url, autocommit=True) as connection:
        for role in granted:
            connection.execute(f'GRANT {role} TO "{login}"'.encode())
    url = shared_database["url"].replace("//wallet_ledger@", f"//{login}@")
    file = write_configuration(
        tmp_path / "service.toml",
        server={"port": free_port()},
        **{**sections, "database": shared_database | {"url": url} | sections.get("database", {})},
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
