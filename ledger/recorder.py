"""The eventsourcing library's recorder and mapper on the ledger's tables: read the log, replay.

For whoever follows the log with that library; the service itself does not need it. It never
writes: the log has one way in, `ledger.store`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Never

import msgspec
from eventsourcing.persistence import JSONTranscoder, Mapper, ProgrammingError, StoredEvent
from eventsourcing.postgres import (
    ConnectionPool,
    PostgresApplicationRecorder,
    PostgresDatastore,
)
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from ledger.codec import encode, open_state
from ledger.connections import ROLE
from ledger.events import Event
from ledger.sql import schema_name

# The import above sets these to ERROR, for the whole process.
for _name in ("psycopg", "psycopg.pool"):
    logging.getLogger(_name).setLevel(logging.NOTSET)


class Datastore(PostgresDatastore):
    """Pooled connections to a partition, in ``role``. A URL of several hosts works."""

    def __init__(
        self, url: str, partition: int = 0, *, connections: int = 5, role: str = ROLE
    ) -> None:
        super().__init__(
            dbname="",
            host="",
            port="",
            user="",
            password="",
            schema=schema_name(partition),
            originator_id_type="text",
        )
        self.pool = ConnectionPool(
            url,
            connection_class=Connection[DictRow],
            kwargs={"row_factory": dict_row, "application_name": "wallet-ledger recorder"},
            min_size=1,
            max_size=connections,
            open=False,
            configure=_configure(role),
        )


class Recorder(PostgresApplicationRecorder):
    """Events and notifications of a partition, as the library reads them."""

    def __init__(self, datastore: Datastore) -> None:
        super().__init__(datastore, events_table_name="events")
        self.channel_name = f"{datastore.schema}_events"

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Never:
        """Refused: an event comes with its transaction key, through `ledger.store.Store.append`."""
        raise ProgrammingError(f"{len(stored_events)} event(s): the ledger is written by its store")

    def create_table(self) -> None:
        """Nothing: `ledger.schema` has made the tables."""


class Recorded(msgspec.Struct, frozen=True):
    """An event with its place in the log, under the names that the library gives them."""

    originator_id: str
    originator_version: int
    event: Event
    hash: bytes
    """Of the chain; taken as it is, and not verified."""


class LedgerMapper(Mapper[str]):
    """Between `Recorded` and the library's `StoredEvent`: its own cannot take slotted classes."""

    def __init__(self) -> None:
        super().__init__(JSONTranscoder())

    def to_stored_event(self, domain_event: Recorded) -> StoredEvent:  # type: ignore[override]
        """The stored form."""
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=domain_event.event.NAME,
            state=domain_event.hash + encode(domain_event.event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Recorded:
        """The event with its place and hash. Raises `ledger.codec.UnreadableEvent`."""
        digest, event = open_state(stored_event.topic, stored_event.state)
        stream = str(stored_event.originator_id)
        return Recorded(stream, stored_event.originator_version, event, digest)


def _configure(role: str) -> Callable[[Connection[Any]], None]:
    def configure(connection: Connection[Any]) -> None:
        connection.autocommit = True
        connection.execute("SELECT pg_catalog.set_config('role', %s, false)", (role,))

    return configure
