"""Reading back: streams with their snapshots, transactions, rounds, sessions."""

from __future__ import annotations

import os

import psycopg
import pytest

from ledger.store import AppendBatch, LoadedStream, SnapshotRow, Store
from tests.integration.store_rows import ANN, ROUND, bet, event, session

DEADLINE_S = 5.0
BOB = "player:bob"


def snapshot(version: int, stream: str = ANN) -> SnapshotRow:
    """A snapshot with a random hash."""
    return SnapshotRow(stream, version, os.urandom(32) + b"{}")


async def test_a_stream_loads_whole_while_it_has_no_snapshot(store: Store):
    """Start-up reads nothing per player: a stream is loaded when it is first needed."""
    rows = [event(version) for version in range(1, 6)]
    assert await store.append(AppendBatch([ANN], [0], events=rows), DEADLINE_S) is None
    assert await store.load([ANN, BOB]) == {ANN: LoadedStream(None, rows)}
    assert await store.load([]) == {}


async def test_many_streams_load_at_once_each_from_its_snapshot_on(store: Store):
    """The event at the snapshot's version comes along, so that the chain can be compared."""
    rows = {
        stream: [event(version, stream) for version in range(1, 13)]
        for stream in (ANN, BOB, "game:m:book")
    }
    everything = [row for stream in rows.values() for row in stream]
    batch = AppendBatch(list(rows), [0, 0, 0], events=everything)
    assert await store.append(batch, DEADLINE_S) is None
    taken = [snapshot(10), snapshot(12, BOB)]
    await store.save_snapshots(taken)
    assert await store.load(rows) == {
        ANN: LoadedStream(taken[0], rows[ANN][9:]),
        BOB: LoadedStream(taken[1], rows[BOB][11:]),
        "game:m:book": LoadedStream(None, rows["game:m:book"]),
    }


async def test_a_stream_that_is_asked_for_twice_is_loaded_once(store: Store):
    """Two rounds of one player may be missed in one batch; each event is still there once."""
    rows = [event(version) for version in range(1, 6)]
    assert await store.append(AppendBatch([ANN], [0], events=rows), DEADLINE_S) is None
    await store.save_snapshots([snapshot(3)])
    assert await store.load([ANN, BOB, ANN]) == await store.load([ANN])


async def test_a_snapshot_without_its_events_is_still_shown(store: Store):
    """A lost tail must be seen by whoever compares the chain, not hidden by the read."""
    lonely = snapshot(3)
    await store.save_snapshots([lonely])
    assert await store.load([ANN]) == {ANN: LoadedStream(lonely, [])}


async def test_a_snapshot_replaces_older_ones_only(store: Store):
    """Two processes save at their own pace; the later state must stay."""
    old, new, again = snapshot(10), snapshot(20), snapshot(20)
    await store.save_snapshots([new, old])
    await store.save_snapshots([old])
    assert (await store.load([ANN]))[ANN].snapshot == new
    await store.save_snapshots([again])  # as where the first could not be read
    assert (await store.load([ANN]))[ANN].snapshot == again
    await store.save_snapshots([])


async def test_an_entry_comes_with_the_event_that_used_it(store: Store):
    """The first answer is made again from that event, a tombstone's too."""
    refund = bet("refund:9", kind="refund_tombstoned.v1", refers_to="bet:9", round_id=None)
    tombstone = bet("bet:9", kind="tombstone", fingerprint=None, refers_to="refund:9")
    row = event()
    batch = AppendBatch([ANN], [0], events=[row], transactions=[refund, tombstone])
    assert await store.append(batch, DEADLINE_S) is None
    keys = [("marbles", "bet:9"), ("marbles", "refund:9"), ("marbles", "bet:8"), ("gpas", "bet:9")]
    assert await store.transactions(keys) == {keys[0]: (tombstone, row), keys[1]: (refund, row)}
    assert await store.referring([("marbles", "bet:9")]) == [(refund, row)]
    assert await store.referring([("gpas", "bet:9")]) == []


async def test_a_round_lists_its_entries_in_the_order_they_happened(store: Store):
    """A round that fell out of memory is folded again from exactly these."""
    rows = [event(version) for version in range(1, 12)]
    used = [bet(f"k{version}", version) for version in range(11, 0, -1)]
    elsewhere = bet("other", 3, round_id="r2")
    batch = AppendBatch([ANN], [0], events=rows, transactions=[*used, elsewhere])
    assert await store.append(batch, DEADLINE_S) is None
    found = await store.rounds([ROUND, ("bob", "marbles", "r1"), ("ann", "gpas", "r1")])
    assert list(found) == [ROUND]
    assert [(entry.version, row.version) for entry, row in found[ROUND]] == [
        (version, version) for version in range(1, 12)
    ]


async def test_sessions_are_found_by_the_hash_of_their_token_only(store: Store):
    """A token that leaks from the database would let its reader play."""
    opened = [session(bytes([number]) * 32) for number in range(3)]
    assert await store.append(AppendBatch(sessions=opened), DEADLINE_S) is None
    assert await store.sessions([bytes([9]) * 32]) == []
    found = await store.sessions([row.token_hash for row in opened[:2]] + [bytes([9]) * 32])
    assert sorted(found, key=lambda row: row.token_hash) == opened[:2]


async def test_events_come_in_pages(store: Store):
    """A long history must never be read whole into a service's memory."""
    rows = [event(version) for version in range(1, 8)]
    assert await store.append(AppendBatch([ANN], [0], events=rows), DEADLINE_S) is None
    assert await store.events(ANN, 0, 3) == rows[:3]
    assert await store.events(ANN, 3, 3) == rows[3:6]
    assert await store.events(ANN, 7, 3) == []
    assert await store.heads([ANN, BOB]) == {ANN: 7, BOB: 0}


async def test_listeners_hear_of_an_append(store: Store, database_url: str):
    """A projection that only polled would be late by its interval."""
    listener = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
    async with listener:
        await listener.execute("LISTEN ledger_p00_events")
        await store.notify()
        heard = [notice.channel async for notice in listener.notifies(timeout=5, stop_after=1)]
    assert heard == ["ledger_p00_events"]


async def test_a_person_can_read_the_events_in_psql(store: Store, database_url: str):
    """In a dispute somebody looks without our software."""
    row = event(payload=b'{"amount": -5, "game": "book"}')
    assert await store.append(AppendBatch([ANN], [0], events=[row]), DEADLINE_S) is None
    with psycopg.connect(database_url) as connection:
        shown = connection.execute(
            "SELECT stream, version, name, payload, hash FROM ledger_p00.events_readable"
        ).fetchone()
    assert shown == (ANN, 1, row.topic, {"amount": -5, "game": "book"}, row.state[:32].hex())


@pytest.mark.parametrize("name", ["load", "transactions", "rounds", "referring", "sessions"])
async def test_lookups_use_an_index_once_the_tables_are_large(
    store: Store, admin_url: str, name: str
):
    """A lookup by scan is invisible in a small test and stops a casino in a large table."""
    from ledger.sql import statement

    batch = AppendBatch([ANN], [0], events=[event()], transactions=[bet()])
    assert await store.append(batch, DEADLINE_S) is None
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO ledger_p00.events SELECT 'player:p' || n, 1, 'x.v1', decode(repeat('00',"
            " 40), 'hex') FROM generate_series(1, 20000) n"
        )
        connection.execute(
            "INSERT INTO ledger_p00.transactions SELECT 'marbles', 'k' || n, 'p' || n, 1, 'x.v1',"
            " NULL, 'b' || n, 'r' || n, false, now() FROM generate_series(1, 20000) n"
        )
        connection.execute(
            "INSERT INTO ledger_p00.sessions SELECT sha256(n::text::bytea), 'p' || n, 'm', 'g',"
            " 'EUR', NULL, now() FROM generate_series(1, 20000) n"
        )
        connection.execute("ANALYZE")
        query = statement(name, "ledger_p00")
        wanted: list[object] = [["player:p1"]] * query.count(b"%s")
        if name == "sessions":
            wanted = [[bytes(32)]]
        plan = connection.execute(b"EXPLAIN " + query, wanted).fetchall()
    assert "Seq Scan on" not in str(plan).replace("Seq Scan on snapshots", "")
