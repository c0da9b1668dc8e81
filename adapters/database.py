"""The database that the configuration names, started first where it is the embedded one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from adapters.command_line import CommandError
from adapters.settings import Settings
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


_BESIDE_CONNECTIONS: Final = 8
"""Of a partition: one a view, the log's, the listener's, and the sealer's."""
_WORKERS_CONNECTIONS: Final = 3
"""Of a worker and a partition: one that appends, one that reads, one that watches."""
_OTHER_CONNECTIONS: Final = 60
"""Of commands, reports and people."""
_CONNECTIONS_MIN: Final = 200


@contextmanager
def database_in_use(settings: Settings) -> Iterator[Addresses]:
    """The configured database, or the embedded one, which runs as long as somebody uses it."""
    database = settings.database
    if database.url is not None:
        url = database.url.reveal()
        migrate_url = database.migrate_url.reveal() if database.migrate_url else url
        yield Addresses(url, migrate_url)
        return
    connections = max(_connections_needed(settings), _CONNECTIONS_MIN)
    embedded = EmbeddedPostgres(database.data_dir, settings={"max_connections": str(connections)})
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


def _connections_needed(settings: Settings) -> int:
    """How many connections the service may hold, with some to spare for commands."""
    workers = settings.server.workers
    of_a_partition = _BESIDE_CONNECTIONS + _WORKERS_CONNECTIONS * workers
    return settings.database.partitions * of_a_partition + workers + _OTHER_CONNECTIONS


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what is wrong with the database into one line for people. Raises `CommandError`."""
    try:
        yield
    except (SchemaError, EmbeddedError, StoreUnavailable, psycopg.Error) as error:
        raise CommandError(f"database: {' '.join(str(error).split())}") from error
