"""Database fixtures: one embedded PostgreSQL for all workers, a fresh database for a test."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from ledger.embedded import SUPERUSER, EmbeddedPostgres
from ledger.schema import initialise
from ledger.store import Store

_DIRECTORY = "WALLET_LEDGER_TEST_DIRECTORY"
_numbers = count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Choose a directory with a short name: the path of a socket has to fit 103 bytes."""
    if not hasattr(config, "workerinput"):
        os.environ[_DIRECTORY] = tempfile.mkdtemp(prefix="wl-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no server and no files, whatever became of the workers."""
    if hasattr(config, "workerinput"):
        return
    server = _server()
    if server.pid is not None:
        server.start()
        server.stop()
    shutil.rmtree(os.environ[_DIRECTORY], ignore_errors=True)


def _server() -> EmbeddedPostgres:
    return EmbeddedPostgres(Path(os.environ[_DIRECTORY]) / "pg")


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The server of this run, shared by its workers."""
    with _server() as server:
        yield server


class Databases:
    """Makes databases on the test server: empty ones, or clones that have the schema already."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server

    def create(self, template: str | None = None, options: str = "") -> str:
        """The name of a new database; ``options`` are further ones of CREATE DATABASE."""
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw")
        name = f"test_{worker}_{next(_numbers)}"
        source = template or "template1"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY FILE_COPY {options}")
        return name

    def drop(self, name: str) -> None:
        """Drop a database and whoever is still connected to it."""
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def template(self, partitions: int) -> str:
        """A database that has the schema, made by the first worker that asks."""
        name = f"ledger_{partitions}"
        with psycopg.connect(self.server.migrate_url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(20)")
            query = "SELECT FROM pg_database WHERE datname = %s AND datistemplate"
            if connection.execute(query, (name,)).fetchone() is None:
                connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
                connection.execute(f"CREATE DATABASE {name}".encode())
                asyncio.run(initialise(self.server.url(name, SUPERUSER), partitions))
                connection.execute(f"ALTER DATABASE {name} IS_TEMPLATE true".encode())
        return name

    @contextmanager
    def fresh(self, template: str | None = None, options: str = "") -> Iterator[str]:
        """A database for the length of a block; its name."""
        name = self.create(template, options)
        try:
            yield name
        finally:
            self.drop(name)

    @contextmanager
    def encoded(self, encoding: str) -> Iterator[str]:
        """An empty database of another encoding for the length of a block, as a superuser."""
        options = f"ENCODING '{encoding}' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
        with self.fresh("template0", options) as name:
            yield self.server.url(name, SUPERUSER)

    def _execute(self, query: str) -> None:
        with psycopg.connect(self.server.migrate_url, autocommit=True) as connection:
            connection.execute(query.encode())


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Databases:
    """Databases of any kind, for tests that need more than one."""
    return Databases(postgres)


@pytest.fixture(scope="session")
def template_database(databases: Databases) -> str:
    """A database with the schema of one partition, to clone."""
    return databases.template(1)


@pytest.fixture
def database(databases: Databases, template_database: str) -> Iterator[str]:
    """A fresh database with the schema of one partition; its name."""
    with databases.fresh(template_database) as name:
        yield name


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, database: str) -> str:
    """A fresh database, as the service's login."""
    return postgres.url(database)


@pytest.fixture
def admin_url(postgres: EmbeddedPostgres, database: str) -> str:
    """The same database, as a superuser."""
    return postgres.url(database, SUPERUSER)


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres, databases: Databases) -> Iterator[str]:
    """A fresh database without anything in it, as a superuser."""
    with databases.fresh() as name:
        yield postgres.url(name, SUPERUSER)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """The store of the only partition."""
    store = Store(database_url)
    yield store
    await store.close()


@pytest.fixture
async def make_store(database_url: str) -> AsyncIterator[Callable[[], Store]]:
    """Further stores of the same database: other processes of the service."""
    stores: list[Store] = []

    def make() -> Store:
        stores.append(Store(database_url))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()
