"""One partition's events, transactions, sessions and snapshots in PostgreSQL.

What it appends is committed whole or not at all, and when that is not known it says so: it never
guesses, and never repeats an append by itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from math import inf
from typing import Any, Final, TypeAlias

import msgspec
import psycopg
import structlog
from msgspec.structs import astuple

from ledger import arrays
from ledger.decisions import Key
from ledger.endpoints import (
    READ_S,
    Appender,
    CommitUnknown,
    MemoryOutdated,
    Reader,
    StoreRejected,
    StoreUnavailable,
)
from ledger.home import Home
from ledger.sql import schema_name, statement

__all__ = [
    "AppendBatch",
    "CommitUnknown",
    "Conflicts",
    "EventRow",
    "LoadedStream",
    "MemoryOutdated",
    "RoundName",
    "SessionRow",
    "SnapshotRow",
    "Store",
    "StoreRejected",
    "StoreUnavailable",
    "TransactionRow",
]

log = structlog.get_logger(__name__)

RoundName: TypeAlias = tuple[str, str, str]
"""Player, integration and round id."""


class EventRow(msgspec.Struct, frozen=True, gc=False):
    """An event as stored; ``state`` is its chain hash and its payload."""

    stream: str
    version: int
    topic: str
    state: bytes


class TransactionRow(msgspec.Struct, frozen=True, gc=False):
    """An idempotency key that was used, and the event of ``player_id`` that used it."""

    integration: str
    key: str
    player_id: str
    version: int
    kind: str
    fingerprint: bytes | None
    refers_to: str | None
    round_id: str | None
    closes_round: bool
    recorded_at: datetime


class SessionRow(msgspec.Struct, frozen=True, gc=False):
    """A session that was opened; of its token only the SHA-256 is known."""

    token_hash: bytes
    player_id: str
    integration: str
    game: str
    currency: str
    parent_hash: bytes | None
    opened_at: datetime


class SnapshotRow(msgspec.Struct, frozen=True, gc=False):
    """A stream's state at a version."""

    stream: str
    version: int
    state: bytes


class LoadedStream(msgspec.Struct, frozen=True):
    """A stream's snapshot, and its events from the snapshot's version on, that one included."""

    snapshot: SnapshotRow | None
    events: list[EventRow]


class AppendBatch(msgspec.Struct, frozen=True):
    """What to verify and to insert in one commit.

    ``streams`` must be at ``versions`` (0: no events); ``keys`` (those of ``transactions``, and any
    others) and ``rounds`` must not exist in the transactions.
    """

    streams: Sequence[str] = ()
    versions: Sequence[int] = ()
    keys: Sequence[Key] = ()
    rounds: Sequence[RoundName] = ()
    events: Sequence[EventRow] = ()
    transactions: Sequence[TransactionRow] = ()
    sessions: Sequence[SessionRow] = ()


class Conflicts(msgspec.Struct, frozen=True):
    """Why nothing was appended: streams that moved, keys and rounds that exist."""

    streams: set[str]
    transactions: list[TransactionRow]
    rounds: set[RoundName]


_decode_conflicts: Final = msgspec.json.Decoder(Conflicts).decode


class Store:
    """A partition of the database behind ``url``. Connects when it is used; `close` when done.

    ``reconnected`` is told when a connection was made anew.
    """

    def __init__(
        self, url: str, partition: int = 0, reconnected: Callable[[], None] = lambda: None
    ) -> None:
        self.partition = partition
        self.schema = schema_name(partition)
        append = statement("append", self.schema)
        self._home = Home()
        self._appender = Appender(url, f"append {self.schema}", append, self._home, reconnected)
        self._reader = Reader(url, f"read {self.schema}", self._home, reconnected)

    @property
    def generation(self) -> int:
        """Grows when what was read before is not to be trusted.

        The connection that appends was lost since, or one reached another server.
        """
        return self._home.generation

    async def close(self) -> None:
        """Close both connections."""
        await self._appender.close()
        await self._reader.close()

    async def append(
        self,
        batch: AppendBatch,
        deadline_s: float,
        generation: int | None = None,
        begin_by: float = inf,
    ) -> Conflicts | None:
        """Verify and insert a batch, all or nothing; None: committed, and durable.

        An empty batch makes a durable commit, too. ``generation``: as it was before the first
        read that the batch rests on; None where it rests on nothing. ``begin_by`` (monotonic
        seconds): what the server gets later than that is not booked. Raises `CommitUnknown`,
        `StoreUnavailable`, `MemoryOutdated`, `StoreRejected`.
        """
        try:
            parameters = _append_parameters(batch)
        except (ValueError, struct.error) as error:
            raise StoreRejected(f"a value that the database cannot hold: {error}") from error
        try:
            answer = await self._appender.append(parameters, deadline_s, generation, begin_by)
        except psycopg.errors.UniqueViolation as error:
            # It got past every check, so nothing in the caller's memory can be trusted.
            log.warning("append_unique_violation", schema=self.schema, error=str(error))
            return await self._everything(batch)
        return None if answer is None else _decode_conflicts(answer)

    async def load(self, streams: Iterable[str]) -> dict[str, LoadedStream]:
        """Each stream's snapshot and its events from there on; streams without events are left out.

        All as they stood at one instant.
        """
        wanted = list(dict.fromkeys(streams))
        snapshots: dict[str, SnapshotRow] = {}
        events: dict[str, list[EventRow]] = {}
        for stream, version, topic, state in await self._fetch("load", wanted, wanted):
            if topic is None:
                snapshots[stream] = SnapshotRow(stream, version, state)
            else:
                events.setdefault(stream, []).append(EventRow(stream, version, topic, state))
        return {
            stream: LoadedStream(snapshots.get(stream), events.get(stream, []))
            for stream in snapshots.keys() | events.keys()
        }

    async def transactions(
        self, keys: Iterable[Key], within_s: float = READ_S
    ) -> dict[Key, tuple[TransactionRow, EventRow]]:
        """The transactions that used these keys, each with its event."""
        rows = await self._fetch("transactions", *_columns(keys, 2), within_s=within_s)
        found = map(_transaction, rows)
        return {(entry[0].integration, entry[0].key): entry for entry in found}

    async def referring(self, keys: Iterable[Key]) -> list[tuple[TransactionRow, EventRow]]:
        """The transactions that refer to these keys, in the log's order."""
        return [_transaction(row) for row in await self._fetch("referring", *_columns(keys, 2))]

    async def rounds(
        self, names: Iterable[RoundName]
    ) -> dict[RoundName, list[tuple[TransactionRow, EventRow]]]:
        """The transactions of each round in order of version; unknown rounds are left out."""
        found: dict[RoundName, list[tuple[TransactionRow, EventRow]]] = {}
        for row in await self._fetch("rounds", *_columns(names, 3)):
            entry = _transaction(row)
            used = entry[0]
            assert used.round_id is not None
            name = (used.player_id, used.integration, used.round_id)
            found.setdefault(name, []).append(entry)
        return found

    async def sessions(
        self, token_hashes: Iterable[bytes], within_s: float = READ_S
    ) -> list[SessionRow]:
        """The sessions of tokens, in no order; unknown ones are left out."""
        rows = await self._fetch("sessions", list(token_hashes), within_s=within_s)
        return [SessionRow(*row) for row in rows]

    async def events(self, stream: str, after: int, limit: int) -> list[EventRow]:
        """Events of a stream behind version ``after``, at most ``limit``."""
        rows = await self._fetch("events", stream, after, limit)
        return [EventRow(*row) for row in rows]

    async def heads(self, streams: Iterable[str]) -> dict[str, int]:
        """The version of each stream, 0 for one without events."""
        return dict(await self._fetch("heads", list(streams)))

    async def save_snapshots(
        self, rows: Sequence[SnapshotRow], generation: int | None = None
    ) -> None:
        """Replace older snapshots; a newer one stays. May be lost in a crash, as a snapshot may.

        ``generation``: that of the memory they were taken from. Raises `StoreUnavailable`, and
        `MemoryOutdated`: a snapshot of events that are not in the log would stop its player.
        """
        newest = {row.stream: row for row in sorted(rows, key=lambda row: row.version)}
        if newest:
            # In one order whoever saves: two processes with the same players would lock each other.
            columns = _columns((astuple(newest[stream]) for stream in sorted(newest)), 3)
            save = statement("save_snapshots", self.schema)
            await self._reader.fetch(save, columns, generation=generation)

    async def notify(self) -> None:
        """Wake those who listen to this partition's log (channel `{schema}_events`)."""
        await self._fetch("notify")

    async def ping(self, within_s: float) -> None:
        """Raises `StoreUnavailable` unless the database answers in time."""
        await self._reader.fetch(statement("ping", self.schema), within_s=within_s)

    async def _fetch(self, name: str, *parameters: object, within_s: float = READ_S) -> list[Any]:
        named = statement(name, self.schema)
        return await self._reader.fetch(named, parameters, within_s=within_s)

    async def _everything(self, batch: AppendBatch) -> Conflicts:
        keys = {*batch.keys, *((row.integration, row.key) for row in batch.transactions)}
        streams = {*batch.streams, *(row.stream for row in batch.events)}
        used = [row for row, _ in (await self.transactions(keys)).values()]
        return Conflicts(streams, used, set(await self.rounds(batch.rounds)))


def _append_parameters(batch: AppendBatch) -> list[bytes | None]:
    """The parameters of `append`, in its order."""
    integrations, keys = _columns(batch.keys, 2)
    round_players, round_integrations, round_ids = _columns(batch.rounds, 3)
    return [
        arrays.texts(batch.streams),
        arrays.bigints(batch.versions),
        arrays.texts(integrations),
        arrays.texts(keys),
        arrays.texts(round_players),
        arrays.texts(round_integrations),
        arrays.texts(round_ids),
        *_event_parameters(batch.events),
        *_transaction_parameters(batch.transactions),
        *_session_parameters(batch.sessions),
    ]


def _event_parameters(rows: Sequence[EventRow]) -> tuple[bytes | None, ...]:
    streams, versions, topics, states = _columns(map(astuple, rows), 4)
    return (
        arrays.texts(streams),
        arrays.bigints(versions),
        arrays.texts(topics),
        arrays.byte_strings(states),
    )


def _transaction_parameters(rows: Sequence[TransactionRow]) -> tuple[bytes | None, ...]:
    (
        integrations,
        keys,
        player_ids,
        versions,
        kinds,
        fingerprints,
        refers_to,
        round_ids,
        closes_rounds,
        recorded_ats,
    ) = _columns(map(astuple, rows), 10)
    return (
        arrays.texts(integrations),
        arrays.texts(keys),
        arrays.texts(player_ids),
        arrays.bigints(versions),
        arrays.texts(kinds),
        arrays.optional_byte_strings(fingerprints),
        arrays.optional_texts(refers_to),
        arrays.optional_texts(round_ids),
        arrays.booleans(closes_rounds),
        arrays.timestamps(recorded_ats),
    )


def _session_parameters(rows: Sequence[SessionRow]) -> tuple[bytes | None, ...]:
    if not rows:  # as in nearly every batch
        return (None,) * 7
    token_hashes, player_ids, integrations, games, currencies, parents, opened_ats = _columns(
        map(astuple, rows), 7
    )
    return (
        arrays.byte_strings(token_hashes),
        arrays.texts(player_ids),
        arrays.texts(integrations),
        arrays.texts(games),
        arrays.texts(currencies),
        arrays.optional_byte_strings(parents),
        arrays.timestamps(opened_ats),
    )


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows turned into ``width`` columns."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _transaction(row: Sequence[Any]) -> tuple[TransactionRow, EventRow]:
    return TransactionRow(*row[:10]), EventRow(*row[10:])
