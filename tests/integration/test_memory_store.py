"""The store without a database says what the real one says."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from msgspec.structs import astuple

from ledger.store import AppendBatch, Conflicts, Store
from tests.unit.rules.memory_store import Memory, MemoryStore
from tests.unit.rules.rush import play

SEED = 20260305
"""A run in which committers get in each other's way, and answers are lost."""


class Recording(Memory):
    """Keeps every append in the order in which they took effect, with its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[tuple[AppendBatch, Conflicts | None]] = []

    def append(self, batch: AppendBatch) -> Conflicts | None:
        """As it is, and kept."""
        answer = super().append(batch)
        self.appends.append((batch, answer))
        return answer


def _plain(answer: Conflicts | None) -> Any:
    if answer is None:
        return None
    used = sorted(answer.transactions, key=lambda row: (row.integration, row.key))
    return answer.streams, [astuple(row) for row in used], answer.rounds


async def test_the_memory_store_answers_as_the_database_does(store: Store) -> None:
    """What is tried on it a thousand times a minute must be worth as much as on PostgreSQL."""
    memory = Recording()
    await asyncio.to_thread(play, SEED, memory)
    assert any(answer is not None for _, answer in memory.appends)
    for batch, answer in memory.appends:
        assert _plain(await store.append(batch, 5.0)) == _plain(answer)
    await store.save_snapshots(list(memory.snapshots.values()))
    stand_in = MemoryStore(memory, random.Random(SEED), faults=0)
    absent = ("p1", "a", "absent")
    for read, names in (
        ("load", [*memory.streams, "player:absent"]),
        ("transactions", [*memory.used, absent[1:]]),
        ("rounds", [*memory.rounds, absent]),
    ):
        assert await getattr(stand_in, read)(names) == await getattr(store, read)(names)
    tokens = [*memory.sessions, b"absent"]
    sessions = {row.token_hash: row for row in await store.sessions(tokens)}
    assert {row.token_hash: row for row in await stand_in.sessions(tokens)} == sessions


async def test_the_memory_store_stops_what_only_a_unique_index_stops(store: Store) -> None:
    """A committer that forgets to name a key must be found out by both, in the same words."""
    memory = Recording()
    await asyncio.to_thread(play, SEED, memory)
    batch = next(batch for batch, answer in memory.appends if not answer and batch.transactions)
    for committed, _ in memory.appends:
        await store.append(committed, 5.0)
    forgetful = AppendBatch(transactions=batch.transactions)
    expected = await MemoryStore(memory, random.Random(SEED), faults=0).append(forgetful, 5.0)
    assert expected is not None
    assert _plain(await store.append(forgetful, 5.0)) == _plain(expected)
    assert memory.unique_violations == 1
