"""Appends events in a process of its own until its standard input ends: `... URL SEED RATE`.

Tables of play, several at a time: each is a random history by the rules, played to its end under
new players' names and then begun again. Says `ready` at its first append, and how many events it
has appended when it ends.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Sequence

from ledger.store import AppendBatch, Store
from tests.integration.projection_history import DEADLINE_S, Booked, History, Log

HISTORIES = 4
TABLES = 6
EVENTS = 500
BATCH_MAX = 60


class Table:
    """One history on its way, time and again, each time under other names."""

    def __init__(self, number: int, history: Sequence[Booked]) -> None:
        self._name = f"table{number}"
        self._history = history
        self._at = 0
        self._games = 0

    def next(self, events: int) -> list[Booked]:
        """The next events, fewer at the end of a game."""
        if self._at == len(self._history):
            self._at, self._games = 0, self._games + 1
        found = self._history[self._at : self._at + events]
        self._at += len(found)
        return [
            Booked(each.player_id and f"{each.player_id}-{self._name}-{self._games}", each.event)
            for each in found
        ]


async def load(url: str, seed: int, rate: float, ended: threading.Event) -> int:
    """Append at that rate (events a second) or as near as the machine comes; how many in all."""
    chance = random.Random(seed)
    played = [_played(seed * HISTORIES + number) for number in range(HISTORIES)]
    tables = [Table(number, played[number % HISTORIES]) for number in range(TABLES)]
    log, store = Log(), Store(url)
    due = time.monotonic()
    while not ended.is_set():
        booked = chance.choice(tables).next(chance.randint(1, BATCH_MAX))
        assert await store.append(AppendBatch(events=log.rows(booked)), DEADLINE_S) is None
        await store.notify()
        if log.length == len(booked):
            print("ready", flush=True)
        due = max(due + len(booked) / rate, time.monotonic() - 1.0)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await store.close()
    return log.length


def _played(seed: int) -> Sequence[Booked]:
    history = History(seed)
    history.play(EVENTS)
    return history.booked


def _watch(ended: threading.Event) -> None:
    sys.stdin.read()  # until whoever started us ends, in whatever way
    ended.set()


if __name__ == "__main__":
    over = threading.Event()
    threading.Thread(target=_watch, args=(over,), daemon=True).start()
    print("appended", asyncio.run(load(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), over)))
