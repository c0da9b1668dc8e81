"""A partition without a database: what `ledger.store` promises, and every bad moment it allows.

Several stores share one `Memory`, as processes share a database. Each call gives way to the others
a few times before and after it looks, so that they slip in between any two calls of a committer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable, Sequence
from math import inf
from typing import Final, TypeVar

import psycopg

from ledger.decisions import Key
from ledger.home import Home
from ledger.store import (
    AppendBatch,
    CommitUnknown,
    Conflicts,
    EventRow,
    LoadedStream,
    RoundName,
    SessionRow,
    SnapshotRow,
    Store,
    StoreUnavailable,
    TransactionRow,
)

T = TypeVar("T")

_WAYS_GIVEN: Final = (0, 0, 1, 1, 2, 3, 8)
_TROUBLES: Final = ("away", "lost before", "lost after", "under way")


class Memory:
    """What is committed, and the appends under way whose callers have given up."""

    def __init__(self) -> None:
        self.commits: list[Sequence[EventRow]] = []
        self.streams: dict[str, list[EventRow]] = {}
        self.used: dict[Key, TransactionRow] = {}
        self.rounds: dict[RoundName, list[TransactionRow]] = {}
        self.sessions: dict[bytes, SessionRow] = {}
        self.snapshots: dict[str, SnapshotRow] = {}
        self.under_way: list[AppendBatch] = []
        self.unique_violations = 0

    def append(self, batch: AppendBatch) -> Conflicts | None:
        """Verify and insert, all or nothing. Raises `psycopg.errors.UniqueViolation`."""
        conflicts = self._conflicts(batch)
        if conflicts is not None:
            return conflicts
        keys = [(row.integration, row.key) for row in batch.transactions]
        tokens = [row.token_hash for row in batch.sessions]
        if _taken(keys, self.used) or _taken(tokens, self.sessions):
            self.unique_violations += 1
            raise psycopg.errors.UniqueViolation("a key or a session exists")
        for event in batch.events:
            stream = self.streams.setdefault(event.stream, [])
            assert event.version == len(stream) + 1
            stream.append(event)
        self.commits.append(batch.events)
        for row in batch.transactions:
            self._enter(row)
        self.sessions |= {session.token_hash: session for session in batch.sessions}
        return None

    def land(self, batch: AppendBatch) -> None:
        """An append that nobody waits for any more comes to its end, whatever that is."""
        self.under_way.remove(batch)
        try:
            self.append(batch)
        except psycopg.errors.UniqueViolation:
            return

    def with_event(self, row: TransactionRow) -> tuple[TransactionRow, EventRow]:
        """A transaction and the event that it stands for."""
        return row, self.streams[f"player:{row.player_id}"][row.version - 1]

    def _conflicts(self, batch: AppendBatch) -> Conflicts | None:
        moved = {
            stream
            for stream, version in zip(batch.streams, batch.versions, strict=True)
            if len(self.streams.get(stream, ())) != version
        }
        used = [self.used[key] for key in dict.fromkeys(batch.keys) if key in self.used]
        rounds = {name for name in batch.rounds if name in self.rounds}
        return Conflicts(moved, used, rounds) if moved or used or rounds else None

    def _enter(self, row: TransactionRow) -> None:
        self.used[row.integration, row.key] = row
        if row.round_id is not None:
            name = (row.player_id, row.integration, row.round_id)
            self.rounds.setdefault(name, []).append(row)


class MemoryStore(Store):
    """One process's store on a shared `Memory`.

    ``faults``: how often, from 0 to 1, a call fails as one over a network may.
    """

    def __init__(self, memory: Memory, generator: random.Random, faults: float) -> None:
        self._home = Home()
        self._memory = memory
        self._random = generator
        self._faults = faults

    async def append(
        self,
        batch: AppendBatch,
        deadline_s: float,
        generation: int | None = None,
        begin_by: float = inf,
    ) -> Conflicts | None:
        """As promised: committed whole, or not at all, or it is not known."""
        await self._give_way()
        trouble = self._random.choice(_TROUBLES) if self._random.random() < self._faults else None
        if trouble == "away":
            raise StoreUnavailable("the database is away")
        if trouble == "under way":
            self._memory.under_way.append(batch)
        if trouble in ("under way", "lost before"):
            raise CommitUnknown(f"the connection was {trouble}")
        try:
            conflicts = self._memory.append(batch)
        except psycopg.errors.UniqueViolation:
            return await self._everything(batch)
        await self._give_way()
        if trouble == "lost after":
            raise CommitUnknown("the answer was lost")
        return conflicts

    async def load(self, streams: Iterable[str]) -> dict[str, LoadedStream]:
        """Snapshots and the events from there on, all of one instant."""
        await self._reach()
        found = {}
        for stream in streams:
            snapshot = self._memory.snapshots.get(stream)
            events = self._memory.streams.get(stream, [])
            if events:
                after = snapshot.version - 1 if snapshot else 0
                found[stream] = LoadedStream(snapshot, events[after:])
        return await self._answered(found)

    async def transactions(
        self, keys: Iterable[Key], within_s: float = 0.0
    ) -> dict[Key, tuple[TransactionRow, EventRow]]:
        """The transactions that used these keys."""
        await self._reach()
        used = self._memory.used
        return await self._answered(
            {key: self._memory.with_event(used[key]) for key in keys if key in used}
        )

    async def rounds(
        self, names: Iterable[RoundName]
    ) -> dict[RoundName, list[tuple[TransactionRow, EventRow]]]:
        """The transactions of each round in order of version."""
        await self._reach()
        rounds = self._memory.rounds
        return await self._answered(
            {
                name: [*map(self._memory.with_event, rounds[name])]
                for name in names
                if name in rounds
            }
        )

    async def sessions(
        self, token_hashes: Iterable[bytes], within_s: float = 0.0
    ) -> list[SessionRow]:
        """The sessions of tokens."""
        await self._reach()
        opened = self._memory.sessions
        return await self._answered([opened[token] for token in token_hashes if token in opened])

    async def save_snapshots(
        self, rows: Sequence[SnapshotRow], generation: int | None = None
    ) -> None:
        """Replace older snapshots; a newer one stays."""
        await self._reach()
        for row in rows:
            kept = self._memory.snapshots.get(row.stream)
            if kept is None or kept.version < row.version:
                self._memory.snapshots[row.stream] = row

    async def notify(self) -> None:
        """Nobody listens."""
        await self._reach()

    async def _reach(self) -> None:
        await self._give_way()
        if self._random.random() < self._faults / 4:
            raise StoreUnavailable("the database is away")

    async def _answered(self, found: T) -> T:
        """What was seen may be of the past by the time it arrives."""
        await self._give_way()
        return found

    async def _give_way(self) -> None:
        for _ in range(self._random.choice(_WAYS_GIVEN)):
            await asyncio.sleep(0)
        if self._memory.under_way and self._random.random() < 0.3:
            self._memory.land(self._random.choice(self._memory.under_way))


_Name = TypeVar("_Name")


def _taken(names: Sequence[_Name], kept: Collection[_Name]) -> bool:
    return len(set(names)) < len(names) or any(name in kept for name in names)
