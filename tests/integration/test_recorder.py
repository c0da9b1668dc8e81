"""The library's recorder on our tables, read side only."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import cast

import pytest
from eventsourcing.persistence import EventStore, ProgrammingError, StoredEvent

from ledger.recorder import Datastore, LedgerMapper, Recorded, Recorder
from ledger.store import AppendBatch, Store
from tests.faults.ledgers import bet, opened
from tests.integration.store_rows import ANN, event


@pytest.fixture
def recorder(database_url: str) -> Iterator[Recorder]:
    """A recorder of the only partition."""
    with Datastore(database_url) as datastore:
        yield Recorder(datastore)


async def test_the_recorder_reads_what_the_store_appended(store: Store, recorder: Recorder):
    """Audits replay through the library: it must see the same bytes."""
    rows = [event(version) for version in range(1, 6)]
    assert await store.append(AppendBatch([ANN], [0], events=rows), 5) is None
    found = recorder.select_events(ANN, gt=1, lte=4)
    assert [(row.originator_version, row.topic, row.state) for row in found] == [
        (row.version, row.topic, row.state) for row in rows[1:4]
    ]
    first_id = recorder.select_notifications(None, 1)[0].id
    notifications = recorder.select_notifications(first_id, 10, inclusive_of_start=False)
    assert [row.originator_version for row in notifications] == [2, 3, 4, 5]
    assert recorder.max_notification_id() == notifications[-1].id
    assert recorder.select_notifications(None, 10, topics=["other.v1"]) == []


async def test_the_librarys_event_store_replays_the_ledgers_events(
    database_url: str, recorder: Recorder
):
    """Whoever knows the library can check us with it, and none of our reading."""
    async with opened(database_url) as process:
        session = await process.player(money=1000)
        await process.accepted(bet(session, "b-1", 300))
        told = await process.ledger.events("ann", 0, 100)
    store = EventStore(LedgerMapper(), recorder)
    found = [cast("Recorded", each) for each in store.get("player:ann")]
    assert [(each.originator_version, each.event, each.hash.hex()) for each in found] == told
    mapper = LedgerMapper()
    stored = recorder.select_events("player:ann")
    assert [mapper.to_stored_event(each) for each in found] == stored


def test_the_recorder_never_writes(recorder: Recorder):
    """An event without its transaction key would break idempotency for ever."""
    with pytest.raises(ProgrammingError, match="written by its store"):
        recorder.insert_events([StoredEvent(ANN, 1, "bet_placed.v1", bytes(40))])
    recorder.create_table()
    assert recorder.max_notification_id() is None


def test_importing_it_leaves_the_drivers_log_levels_alone():
    """The library silences psycopg for the whole process; warnings of the pool must be heard."""
    program = (
        "import logging, ledger.recorder as r;"
        "print([logging.getLogger(n).level for n in ('psycopg', 'psycopg.pool')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str([logging.NOTSET, logging.NOTSET])
