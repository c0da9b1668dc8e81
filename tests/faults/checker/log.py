"""What the database holds in the end: every player's events, read past the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg

HASH_SIZE = 32
_decode = msgspec.json.Decoder().decode


@dataclass
class Booked:
    """One event of a player; amounts in ledger units."""

    player_id: str
    version: int
    name: str
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The idempotency key; "" where the event has none."""
        return str(self.fields.get("key", ""))

    @property
    def provider(self) -> bool:
        """Whether a provider's call made it."""
        return self.fields.get("integration", "operator") != "operator" and bool(self.key)


def dump(url: str, partitions: int) -> list[Booked]:
    """All players' events of all partitions, by player and version."""
    found = []
    with psycopg.connect(url, autocommit=True) as connection:
        for partition in range(partitions):
            statement = (
                "SELECT originator_id, originator_version, topic, state"
                f" FROM ledger_p{partition:02}.events WHERE originator_id LIKE 'player:%'"
                ' ORDER BY originator_id COLLATE "C", originator_version'
            )
            found += [
                Booked(stream.removeprefix("player:"), version, name, _decode(state[HASH_SIZE:]))
                for stream, version, name, state in connection.execute(statement.encode())
            ]
    return found
