"""The notification log under many writers: a reader that follows it misses nothing."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict

import pytest
from eventsourcing.persistence import Notification

from ledger.recorder import Datastore, Recorder
from tests.faults.ledgers import bet, opened

WRITERS = 12
BETS = 25
RUNS = 20


class Tail(threading.Thread):
    """Reads the log behind its last position, over and over, as a projection does."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(daemon=True)
        self._recorder = recorder
        self.seen: list[Notification] = []
        self.wanted = 0

    def run(self) -> None:
        """Follow until everything that is wanted was seen."""
        position: int | None = None
        while not self.wanted or len(self.seen) < self.wanted:
            start = None if position is None else position + 1
            found = self._recorder.select_notifications(start=start, limit=7)
            self.seen += found
            if found:
                position = int(found[-1].id)


@pytest.mark.parametrize("run", range(RUNS))
async def test_a_reader_that_tails_the_log_misses_nothing_of_twelve_writers(
    database_url: str, run: int
) -> None:
    """Ids are drawn under the log's lock: whoever reads up to one has seen all before it.

    Two processes of the service, so that appends of different connections meet.
    """
    datastore = Datastore(database_url, connections=2)
    try:
        async with (
            opened(database_url, batch_max=5) as one,
            opened(database_url, batch_max=5) as two,
        ):
            names = [f"writer-{number}" for number in range(WRITERS)]
            sessions = {name: await one.player(name, money=100_000) for name in names}
            tail = Tail(Recorder(datastore))
            tail.start()

            async def write(place: int, name: str) -> None:
                process = (one, two)[(place + run) % 2]
                for number in range(BETS):
                    key = f"{name}-{number}"
                    await process.accepted(bet(sessions[name], key, 1, player_id=name))

            await asyncio.gather(*(write(place, name) for place, name in enumerate(names)))
            tail.wanted = WRITERS * (4 + BETS)
            await asyncio.to_thread(tail.join, 30)
            assert not tail.is_alive(), f"{len(tail.seen)} of {tail.wanted} events were seen"
    finally:
        datastore.close()
    ids = [int(notification.id) for notification in tail.seen]
    assert ids == sorted(set(ids)), "in order, none twice"
    versions = defaultdict(list)
    for notification in tail.seen:
        versions[notification.originator_id].append(notification.originator_version)
    assert len(versions) == WRITERS
    for seen in versions.values():
        assert seen == list(range(1, 4 + BETS + 1))
