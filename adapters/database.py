"""The database that the configuration names, started first where it is the embedded one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from adapters.command_line import CommandError
from adapters.settings import Database
from ledger.embedded import EmbeddedError, EmbeddedPostgres
from ledger.schema import SchemaError
from ledger.store import StoreUnavailable


@dataclass(frozen=True, slots=True, repr=False)
class Addresses:
    """Where the database is; a URL may hold a password, so none is ever printed."""

    url: str
    """For the service's own role."""
    migrate_url: str
    """For a role that may create and upgrade the schema."""
    embedded: EmbeddedPostgres | None = None
    """The embedded server, None where the database is somebody else's."""


@contextmanager
def database_in_use(database: Database) -> Iterator[Addresses]:
    """The configured database, or the embedded one, which runs as long as somebody uses it."""
    if database.url is not None:
        url = database.url.reveal()
        migrate_url = database.migrate_url.reveal() if database.migrate_url else url
        yield Addresses(url, migrate_url)
        return
    embedded = EmbeddedPostgres(database.data_dir)
    try:
        embedded.start()
    except OSError as error:
        raise CommandError(
            f"database: cannot use {database.data_dir}: {error.strerror} ({error.filename})"
        ) from error
    try:
        yield Addresses(embedded.url(), embedded.migrate_url, embedded)
    finally:
        embedded.stop()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what is wrong with the database into one line for people. Raises `CommandError`."""
    try:
        yield
    except (SchemaError, EmbeddedError, StoreUnavailable, psycopg.Error) as error:
        raise CommandError(f"database: {' '.join(str(error).split())}") from error
