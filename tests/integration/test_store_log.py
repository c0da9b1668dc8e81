"""Many writers and readers that tail the log: nothing is missed, and the order is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Thread

import psycopg

from ledger.recorder import Datastore, Recorder
from ledger.store import AppendBatch, Store
from tests.integration.store_rows import event

WRITERS = 12
BATCHES = 25
BATCH_EVENTS = 4
TOTAL = WRITERS * BATCHES * BATCH_EVENTS
DEADLINE_S = 20.0
TAILING_S = 60.0


async def write(store: Store, writer: int) -> None:
    """Append to two streams of one's own, and to one that all writers share."""
    shared = "player:shared"
    version = 0
    while version < BATCHES:
        own = [f"player:{writer}-{index}" for index in range(2)]
        rows = [event(version + 1, stream) for stream in own]
        rows += [event(version + 1, f"game:m:{writer}")]
        [head] = (await store.heads([shared])).values()
        rows.append(event(head + 1, shared))
        batch = AppendBatch([*own, shared], [version, version, head], events=rows)
        if await store.append(batch, DEADLINE_S) is None:
            version += 1
            await store.notify()


async def tail_by_polling(url: str) -> list[tuple[int, str, int]]:
    """What a reader sees that always asks for what is behind the last id it saw."""
    seen: list[tuple[int, str, int]] = []
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection, asyncio.timeout(TAILING_S):
        while len(seen) < TOTAL:
            cursor = await connection.execute(
                "SELECT notification_id, originator_id, originator_version FROM ledger_p00.events"
                " WHERE notification_id > %s ORDER BY notification_id LIMIT 50",
                (seen[-1][0] if seen else 0,),
            )
            seen += await cursor.fetchall()
            await asyncio.sleep(0)
    return seen


def tail_by_subscription(url: str, seen: list[tuple[int, str, int]]) -> None:
    """What the library's subscription sees: notified, with polling of its own behind it."""
    with Datastore(url) as datastore, Recorder(datastore).subscribe(gt=0) as subscription:
        for notification in subscription:
            stream, version = str(notification.originator_id), notification.originator_version
            seen.append((notification.id, stream, version))
            if len(seen) >= TOTAL:
                return


async def test_a_tailing_reader_misses_nothing_of_twelve_writers(
    make_store: Callable[[], Store], database_url: str
):
    """The library's own database function lost 13 of 14 520 events: it drew ids before its lock."""
    notified: list[tuple[int, str, int]] = []
    thread = Thread(target=tail_by_subscription, args=(database_url, notified), daemon=True)
    thread.start()
    polled, *_ = await asyncio.gather(
        tail_by_polling(database_url), *(write(make_store(), writer) for writer in range(WRITERS))
    )
    await asyncio.to_thread(thread.join, TAILING_S)
    with psycopg.connect(database_url) as connection:
        stored = connection.execute(
            "SELECT notification_id, originator_id, originator_version FROM ledger_p00.events"
            " ORDER BY notification_id"
        ).fetchall()
    assert len(stored) == TOTAL
    assert polled == stored
    assert notified == stored
    last: dict[str, int] = {}
    for _, stream, version in stored:
        assert version == last.get(stream, 0) + 1
        last[stream] = version
