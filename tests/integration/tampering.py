"""Changes of a ledger that only a superuser can make, past every trigger and right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg

from ledger.chain import GENESIS, HASH_SIZE, link

Said: TypeAlias = dict[str, Any]
"""What an event says, as its JSON has it."""

TABLES = ("events", "transactions", "sessions", "snapshots", "seals")


class Superuser:
    """A connection that nothing stops."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        for table in TABLES:
            self.execute(f"ALTER TABLE ledger_p00.{table} DISABLE TRIGGER ALL")

    def execute(self, statement: str, *parameters: Any) -> None:
        """Any statement; it must change something."""
        cursor = self._connection.execute(statement.encode(), parameters or None)
        assert cursor.rowcount, f"nothing was changed: {statement}"

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What is there."""
        return self._connection.execute(query.encode(), parameters).fetchall()

    def events(self, stream: str) -> list[tuple[int, str, bytes]]:
        """Version, topic and state of each event of a stream."""
        return self.rows(
            "SELECT originator_version, topic, state FROM ledger_p00.events"
            " WHERE originator_id = %s ORDER BY originator_version",
            stream,
        )

    def version(self, stream: str, topic: str) -> int:
        """The version of the stream's first event of that name."""
        return next(version for version, name, _ in self.events(stream) if name == topic)

    def alter(self, stream: str, version: int, change: Callable[[Said], None]) -> None:
        """Another content under the same hash."""
        state = next(state for found, _, state in self.events(stream) if found == version)
        self.store(stream, version, state[:HASH_SIZE] + _changed(state, change))

    def bend(self, stream: str, version: int, part: bytes, other: bytes) -> None:
        """Other bytes in place of the first such in what an event says."""
        state = next(state for found, _, state in self.events(stream) if found == version)
        assert part in state[HASH_SIZE:]
        bent = state[HASH_SIZE:].replace(part, other, 1)
        self.store(stream, version, state[:HASH_SIZE] + bent)

    def forge(
        self, stream: str, version: int, change: Callable[[Said], None], *, alone: bool = False
    ) -> None:
        """Another content, its hash computed anew, and unless ``alone`` all hashes behind it."""
        digest = GENESIS
        for found, topic, state in self.events(stream):
            payload = _changed(state, change) if found == version else state[HASH_SIZE:]
            digest = link(digest, stream, found, topic, payload)
            if found == version or (found > version and not alone):
                self.store(stream, found, digest + payload)

    def store(self, stream: str, version: int, state: bytes) -> None:
        """These bytes in place of an event's."""
        self.execute(
            "UPDATE ledger_p00.events SET state = %s"
            " WHERE originator_id = %s AND originator_version = %s",
            state,
            stream,
            version,
        )


@contextmanager
def superuser(url: str) -> Iterator[Superuser]:
    """Changes for the length of a block, committed at its end."""
    with psycopg.connect(url) as connection:
        yield Superuser(connection)


def _changed(state: bytes, change: Callable[[Said], None]) -> bytes:
    said = json.loads(state[HASH_SIZE:])
    change(said)
    return json.dumps(said, separators=(",", ":")).encode()
