"""Verifies a partition's log and what is kept beside it, from the stored bytes alone.

Every event: its place in its stream, its hash, the balance it tells, and that it can be folded.
Then every idempotency key, session and snapshot against its event, and what was reversed against
the original. One instant is read, while the service may go on; nothing is written.

What a chain cannot show: that the last events of a stream are gone together with their keys, that
events with theirs were added behind them, or that every hash behind a change was computed anew, if
the amounts still add up; and which of two players' events came first. Seals do (`audit_seals`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from ledger.audit_entries import entries_of, unlike
from ledger.audit_instant import one_instant
from ledger.audit_reversals import ReversalEvent, wrong
from ledger.audit_snapshot import misplaced, rounds_apart, unequal
from ledger.audit_stream import LogRow, StreamAudit
from ledger.codec import (
    PLAYER_STREAM,
    UnreadableEvent,
    decode_snapshot,
    open_state,
    partition_of,
    player_stream,
)
from ledger.connections import Connection
from ledger.currencies import Currencies
from ledger.events import GameMovement, SessionOpened
from ledger.findings import EVENTS, Findings, told_error
from ledger.player import Player, PlayerEvent, Round, fold_round
from ledger.rows import session_row
from ledger.sql import schema_name, statement
from ledger.store import RoundName, SessionRow, SnapshotRow, TransactionRow

TRANSACTIONS: Final = "transactions"
SESSIONS: Final = "sessions"
SNAPSHOTS: Final = "snapshots"

_FETCH: Final = 2_000
_FETCH_STATES: Final = 20
"""A player's state is 100 KB and more, if much is open."""


class Verified(msgspec.Struct):
    """What was found so far, and in how many events of how many streams."""

    findings: Findings
    events: int = 0
    streams: int = 0

    def join(self, other: Verified) -> None:
        """What somebody else has verified of the same partition."""
        self.findings.join(other.findings)
        self.events += other.events
        self.streams += other.streams


class Share(msgspec.Struct, frozen=True):
    """Streams to verify: of a partition every ``shares``-th by the hash of its name."""

    partition: int
    partitions: int
    number: int = 0
    shares: int = 1


async def verify(
    url: str,
    share: Share,
    currencies: Currencies,
    verified: Verified,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Verify a share of a partition. Raises `psycopg.Error`.

    What is found goes to ``verified`` at once; ``progress`` is called whenever that has grown. The
    login needs the right to read (`ledger_reader`), and no other. Amounts are told in main units of
    ``currencies``.
    """
    schema = schema_name(share.partition)
    async with one_instant(url, f"audit {schema}") as connection:
        await _Audit(connection, share, currencies, verified).run(progress)


async def size(url: str, partitions: int) -> int:
    """About how many events there are. Raises `psycopg.Error`."""
    total = 0
    async with one_instant(url, "audit") as connection:
        for partition in range(partitions):
            query = statement("last_event", schema_name(partition))
            total += (await (await connection.execute(query)).fetchone() or (0,))[0]
    return total


_Key = TypeVar("_Key", str, tuple[str, int])
_Row = TypeVar("_Row", bound=msgspec.Struct)


class _Beside(Generic[_Row, _Key]):
    """A table's rows in the order of the events they belong to, read as far as those have come."""

    def __init__(
        self,
        rows: AsyncIterator[Sequence[Any]],
        kind: Callable[..., _Row],
        key: Callable[[_Row], _Key],
    ) -> None:
        self._rows = rows
        self._kind: Callable[..., _Row] = kind
        self._key: Callable[[_Row], _Key] = key
        self._next: _Row | None = None

    async def until(self, last: _Key | None) -> list[_Row]:
        """The rows up to and with ``last``; None: all that are left."""
        taken: list[_Row] = []
        while True:
            if self._next is None:
                row = await anext(self._rows, None)
                if row is None:
                    return taken
                self._next = self._kind(*row)
            if last is not None and self._key(self._next) > last:
                return taken
            taken.append(self._next)
            self._next = None


class _Audit:
    """One stream after the other, and what is kept beside each."""

    def __init__(
        self, connection: Connection, share: Share, currencies: Currencies, verified: Verified
    ) -> None:
        self._connection = connection
        self._share = share
        self._verified = verified
        self._schema = schema_name(share.partition)
        self._currencies = currencies
        self._findings = verified.findings
        self._stream: StreamAudit | None = None
        self._entries: dict[tuple[str, int], list[TransactionRow]] = {}
        self._sessions: dict[str, dict[bytes, SessionRow]] = {}
        self._snapshots: dict[str, SnapshotRow] = {}
        self._rounds: list[tuple[SnapshotRow, str, Round]] = []
        self._reversals: list[tuple[LogRow, ReversalEvent]] = []

    async def run(self, progress: Callable[[], None]) -> None:
        """Everything, chunk by chunk of the log in the order of its streams."""
        entries = _Beside(
            self._rows("transactions"), TransactionRow, lambda row: (row.player_id, row.version)
        )
        sessions = _Beside(self._rows("sessions"), SessionRow, lambda row: row.player_id)
        snapshots = _Beside(self._rows("snapshots"), SnapshotRow, lambda row: row.stream)
        async for chunk in self._chunks():
            last_player = next(
                (row for row in reversed(chunk) if row.stream.startswith(PLAYER_STREAM)), None
            )
            if last_player is not None:
                player_id = last_player.stream.removeprefix(PLAYER_STREAM)
                self._put_entries(await entries.until((player_id, last_player.version)))
                self._put_sessions(await sessions.until(player_id))
            for row in chunk:
                if self._stream is None or self._stream.stream != row.stream:
                    self._finish()
                    self._put_snapshots(await snapshots.until(row.stream))  # large: one at a time
                    self._stream = self._begin(row.stream)
                    self._verified.streams += 1
                self._take(self._stream, row)
            self._left_over()
            await self._look_up_rounds()
            await self._look_up_originals()
            self._verified.events += len(chunk)
            progress()
        self._finish()
        self._put_entries(await entries.until(None))
        self._put_sessions(await sessions.until(None))
        self._put_snapshots(await snapshots.until(None))
        self._left_over()

    async def _rows(self, table: str) -> AsyncIterator[Sequence[Any]]:
        """All rows of a table that belong to these streams, in their order."""
        async with self._connection.cursor(table, binary=True) as cursor:
            cursor.itersize = _FETCH_STATES if table == "snapshots" else _FETCH
            shares = {"number": self._share.number, "shares": self._share.shares}
            await cursor.execute(statement(f"audit_{table}", self._schema), shares)
            async for row in cursor:
                yield row

    async def _chunks(self) -> AsyncIterator[list[LogRow]]:
        chunk: list[LogRow] = []
        async for row in self._rows("events"):
            chunk.append(LogRow(*row))
            if len(chunk) == _FETCH:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _put_entries(self, rows: list[TransactionRow]) -> None:
        for row in rows:
            self._entries.setdefault((row.player_id, row.version), []).append(row)

    def _put_sessions(self, rows: list[SessionRow]) -> None:
        for row in rows:
            self._sessions.setdefault(row.player_id, {})[row.token_hash] = row

    def _put_snapshots(self, rows: list[SnapshotRow]) -> None:
        self._snapshots.update((row.stream, row) for row in rows)

    def _begin(self, stream: str) -> StreamAudit:
        begun = StreamAudit(stream, self._findings, self._currencies)
        if begun.player_id is not None:
            home = partition_of(begun.player_id, self._share.partitions)
            if home != self._share.partition:
                self._find(EVENTS, f"{stream} belongs in partition {home}")
        return begun

    def _take(self, stream: StreamAudit, row: LogRow) -> None:
        try:
            self._judge(stream, row)
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest is audited all the same
            stream.state, stream.is_read = None, False
            self._find(EVENTS, f"{row} holds what it cannot hold: {told_error(error)}")
        snapshot = self._snapshots.get(row.stream)
        if snapshot is not None and snapshot.version == row.version:
            del self._snapshots[row.stream]
            try:
                self._check_snapshot(stream, snapshot)
            except Exception as error:  # noqa: BLE001 - it may hold anything, too
                name = f"{row.stream} at version {row.version}"
                self._find(SNAPSHOTS, f"{name} cannot be read: {told_error(error)}")

    def _judge(self, stream: StreamAudit, row: LogRow) -> None:
        """An event, and its keys and session."""
        player_id = stream.player_id
        entries = [] if player_id is None else self._entries.pop((player_id, row.version), [])
        event = stream.take(row)
        if player_id is not None and event is not None:
            self._check_entries(row, entries, entries_of(player_id, row.version, event))
            if isinstance(event, SessionOpened):
                self._check_session(row, session_row(player_id, event))
            elif isinstance(event, ReversalEvent):
                self._reversals.append((row, event))

    def _check_entries(
        self, row: LogRow, kept: Iterable[TransactionRow], said: Iterable[TransactionRow]
    ) -> None:
        by_key = {(entry.integration, entry.key): entry for entry in kept}
        for entry in said:
            found = by_key.pop((entry.integration, entry.key), None)
            if found is None:
                self._find(TRANSACTIONS, f"{_name(entry)}: free, although {row} used it")
            elif found != entry:
                self._find(TRANSACTIONS, f"{_name(entry)}: {unlike(entry, found)}; see {row}")
        for entry in by_key.values():
            self._find(TRANSACTIONS, f"{_name(entry)}: said to be used by {row}: it is not")

    def _check_session(self, row: LogRow, said: SessionRow) -> None:
        found = self._sessions.get(said.player_id, {}).pop(said.token_hash, None)
        name = said.token_hash.hex()
        if found is None:
            self._find(SESSIONS, f"{name}: opened by {row}, but missing")
        elif found != said:
            self._find(SESSIONS, f"{name}: {unlike(said, found)}; see {row}")

    def _check_snapshot(self, stream: StreamAudit, row: SnapshotRow) -> None:
        name = f"{row.stream} at version {row.version}"
        digest, state = decode_snapshot(row.stream, row.state)
        if digest != stream.hash:
            self._find(SNAPSHOTS, f"{name}: its hash is not that of the event")
        if stream.state is None:
            return
        for field in unequal(state, stream.state):
            self._find(SNAPSHOTS, f"{name}: {field} is not what the events make of it")
        if isinstance(state, Player) and isinstance(stream.state, Player):
            for key in misplaced(state):
                self._find(SNAPSHOTS, f"{name}: the round {key} is in a place that is not its own")
            self._rounds += [(row, key, found) for key, found in rounds_apart(state, stream.state)]

    async def _look_up_rounds(self) -> None:
        """Fold rounds that a snapshot holds and the folded state does not, from the log."""
        waiting, self._rounds = self._rounds, []
        if not waiting:
            return
        names = {_round_name(snapshot, key) for snapshot, key, _ in waiting}
        columns = [list(column) for column in zip(*names, strict=True)]
        query = statement("audit_rounds", self._schema)
        cursor = await self._connection.execute(query, columns, binary=True)
        events: dict[RoundName, list[LogRow]] = {}
        for player_id, integration, round_id, *row in await cursor.fetchall():
            events.setdefault((player_id, integration, round_id), []).append(LogRow(*row))
        for snapshot, key, found in waiting:
            name = _round_name(snapshot, key)
            until = [row for row in events.get(name, []) if row.version <= snapshot.version]
            if _folded(name[0], until) != found:
                where = f"{snapshot.stream} at version {snapshot.version}"
                self._find(SNAPSHOTS, f"{where}: the round {key} is not what the events make of it")

    async def _look_up_originals(self) -> None:
        """Hold what was reversed against the bet or win that it names."""
        waiting, self._reversals = self._reversals, []
        if not waiting:
            return
        keys = {(event.integration, event.refers_to) for _, event in waiting}
        columns = [list(column) for column in zip(*keys, strict=True)]
        query = statement("audit_originals", self._schema)
        cursor = await self._connection.execute(query, columns, binary=True)
        found = {row[:2]: row[2:] for row in await cursor.fetchall()}
        for row, event in waiting:
            key = (event.integration, event.refers_to)
            stream, version, topic, state, reversals = found.get(key, ("", 0, "", b"", 0))
            try:
                is_before = stream == row.stream and version < row.version
                original = open_state(topic, state)[1] if is_before else None
            except UnreadableEvent:
                continue  # which is a finding of its own
            reason = wrong(event, original, reversals, self._currencies)
            if reason is not None:
                self._find(EVENTS, f"{row} reverses {' '.join(key)}: {reason}")

    def _finish(self) -> None:
        """The stream is read; what an unread event opened cannot be told from what none did."""
        stream, self._stream = self._stream, None
        if stream is not None and stream.player_id is not None and not stream.is_read:
            self._sessions.pop(stream.player_id, None)

    def _left_over(self) -> None:
        """What no event took, of the streams that are done."""
        for (player_id, version), entries in self._entries.items():
            where = f"{player_stream(player_id)} version {version}"
            for entry in entries:
                self._find(TRANSACTIONS, f"{_name(entry)}: said to be used by {where}: not there")
        self._entries.clear()
        stream = self._stream.stream if self._stream else ""
        for player_id in [each for each in self._sessions if player_stream(each) != stream]:
            for session in self._sessions.pop(player_id):
                self._find(SESSIONS, f"{session.hex()}: of player {player_id}, opened by no event")
        for name in [each for each in self._snapshots if each != stream]:
            version = self._snapshots.pop(name).version
            self._find(SNAPSHOTS, f"{name} at version {version}: there is no such event")

    def _find(self, about: str, what: str) -> None:
        self._findings.add(about, what)


def _round_name(snapshot: SnapshotRow, key: str) -> RoundName:
    integration, _, round_id = key.partition("/")
    return snapshot.stream.removeprefix(PLAYER_STREAM), integration, round_id


def _folded(player_id: str, rows: Sequence[LogRow]) -> Round | None:
    """The round that these events leave behind; the stream was folded with them before."""
    events = [open_state(row.topic, row.state)[1] for row in rows]
    game = [cast("PlayerEvent", event) for event in events if isinstance(event, GameMovement)]
    return fold_round(player_id, game)


def _name(entry: TransactionRow) -> str:
    return f"{entry.integration} {entry.key}"
