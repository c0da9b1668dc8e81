"""Appending: everything or nothing, and what stands in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from ledger.store import (
    AppendBatch,
    Conflicts,
    EventRow,
    SessionRow,
    Store,
    StoreRejected,
    TransactionRow,
)
from tests.integration.store_rows import ANN, NOW, ROUND, bet, event, first_bet, session

DEADLINE_S = 5.0
TABLES = ("events", "transactions", "sessions")


def count_rows(url: str) -> dict[str, int]:
    """How many rows each table holds."""
    with psycopg.connect(url) as connection:
        rows = {}
        for table in TABLES:
            query = f"SELECT count(*) FROM ledger_p00.{table}".encode()
            found = connection.execute(query).fetchone()
            rows[table] = found[0] if found else -1
        return rows


def full_batch() -> AppendBatch:
    """Something of everything."""
    return AppendBatch(
        streams=[ANN, "game:marbles:book"],
        versions=[0, 0],
        keys=[("marbles", "b1")],
        rounds=[ROUND],
        events=[event()],
        transactions=[bet()],
        sessions=[session()],
    )


async def test_a_batch_comes_back_as_it_was_given(store: Store):
    """To the byte and the microsecond: hashes cover what is stored."""
    batch = full_batch()
    assert await store.append(batch, DEADLINE_S) is None
    entry = (batch.transactions[0], batch.events[0])
    assert await store.transactions([("marbles", "b1")]) == {("marbles", "b1"): entry}
    assert await store.rounds([ROUND]) == {ROUND: [entry]}
    assert await store.sessions([bytes(32)]) == batch.sessions
    assert await store.events(ANN, 0, 10) == batch.events


async def test_every_kind_of_conflict_is_named_in_one_answer(store: Store):
    """A second try costs a round trip: the first must tell all that has to be read again."""
    batch = full_batch()
    assert await store.append(batch, DEADLINE_S) is None
    conflicts = await store.append(batch, DEADLINE_S)
    assert conflicts == Conflicts({ANN}, [*batch.transactions], {ROUND})


MOVED = AppendBatch(streams=[ANN], versions=[0])
AHEAD = AppendBatch(streams=[ANN], versions=[2])
ABSENT = AppendBatch(streams=["player:bob"], versions=[1])
USED_KEY = AppendBatch(keys=[("marbles", "b1")])
USED_ROUND = AppendBatch(rounds=[ROUND])


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        pytest.param(MOVED, Conflicts({ANN}, [], set()), id="stream moved on"),
        pytest.param(AHEAD, Conflicts({ANN}, [], set()), id="stream is not so far"),
        pytest.param(ABSENT, Conflicts({"player:bob"}, [], set()), id="stream has no events"),
        pytest.param(USED_KEY, Conflicts(set(), [bet()], set()), id="key was used"),
        pytest.param(USED_ROUND, Conflicts(set(), [], {ROUND}), id="round exists"),
    ],
)
async def test_a_conflict_stops_the_whole_batch(
    store: Store, database_url: str, batch: AppendBatch, expected: Conflicts
):
    """One stale assumption may have shaped any decision of the batch."""
    assert await store.append(full_batch(), DEADLINE_S) is None
    before = count_rows(database_url)
    fresh = first_bet("other", "carl")
    mixed = AppendBatch(
        streams=[*fresh.streams, *batch.streams],
        versions=[*fresh.versions, *batch.versions],
        keys=[*fresh.keys, *batch.keys],
        rounds=[*fresh.rounds, *batch.rounds],
        events=fresh.events,
        transactions=fresh.transactions,
    )
    assert await store.append(mixed, DEADLINE_S) == expected
    assert count_rows(database_url) == before


async def test_a_conflict_reports_rows_as_they_are_stored(store: Store):
    """The committer compares fingerprints: nulls, times and bytes must survive the answer."""
    tombstone = bet(
        "b7",
        fingerprint=None,
        refers_to='refund "7" \\ é',
        round_id=None,
        closes_round=True,
        recorded_at=NOW + timedelta(microseconds=1),
    )
    batch = AppendBatch([ANN], [0], events=[event()], transactions=[tombstone])
    assert await store.append(batch, DEADLINE_S) is None
    conflicts = await store.append(AppendBatch(keys=[("marbles", "b7")]), DEADLINE_S)
    assert conflicts == Conflicts(set(), [tombstone], set())


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(
            AppendBatch([ANN], [1], events=[event(2)], transactions=[bet("b1", 2)]),
            id="a key that nobody asked to verify",
        ),
        pytest.param(
            AppendBatch(streams=[ANN], versions=[1], events=[event(1)]), id="a version again"
        ),
        pytest.param(
            AppendBatch([ANN], [1], sessions=[session()], events=[event(2)]), id="a session again"
        ),
        pytest.param(
            AppendBatch([ANN], [1], events=[event(2)], transactions=[bet("x", 2), bet("x", 2)]),
            id="a key twice in the batch",
        ),
    ],
)
async def test_what_slips_through_the_checks_is_a_conflict_of_everything(
    store: Store, database_url: str, again: AppendBatch
):
    """A unique violation must never pass for success, nor for a batch that cannot be saved."""
    assert await store.append(full_batch(), DEADLINE_S) is None
    before = count_rows(database_url)
    conflicts = await store.append(again, DEADLINE_S)
    assert conflicts is not None
    assert conflicts.streams == {ANN}
    assert count_rows(database_url) == before
    assert await store.append(first_bet("next", "dora"), DEADLINE_S) is None


async def test_an_empty_batch_makes_a_real_commit(store: Store, admin_url: str):
    """A batch of duplicates alone must wait for what its answers rest on."""
    query = b"SELECT pg_current_wal_flush_lsn() - '0/0'"
    with psycopg.connect(admin_url, autocommit=True) as connection:
        before = connection.execute(query).fetchone()
        assert await store.append(AppendBatch(), DEADLINE_S) is None
        after = connection.execute(query).fetchone()
    assert before is not None
    assert after is not None
    assert after[0] > before[0]


LONG = "x" * 4000


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(first_bet("nul\0"), id="NUL in a text"),
        pytest.param(first_bet("half \ud83d"), id="half a surrogate pair"),
        pytest.param(AppendBatch([ANN], [2**63]), id="a version beyond 64 bits"),
        pytest.param(first_bet("fp", fingerprint=b"short"), id="a fingerprint of 5 bytes"),
        pytest.param(first_bet(""), id="an empty key"),
        pytest.param(
            AppendBatch(events=[EventRow(ANN, 0, "bet_placed.v1", bytes(33))]), id="version 0"
        ),
        pytest.param(
            AppendBatch(events=[EventRow(ANN, 1, "bet_placed.v1", bytes(32))]), id="no payload"
        ),
        pytest.param(
            AppendBatch(sessions=[SessionRow(b"x", "ann", "m", "g", "EUR", None, NOW)]),
            id="a token hash of 1 byte",
        ),
        pytest.param(
            AppendBatch(
                events=[event()],
                transactions=[bet("".join(chr(0x4E00 + i * 37 % 20000) for i in range(3000)))],
            ),
            id="a key too long for an index",
        ),
    ],
)
async def test_rows_that_break_a_rule_are_rejected_for_good(
    store: Store, database_url: str, batch: AppendBatch
):
    """To try again would never end; the connection stays as it is for the others."""
    before = count_rows(database_url)
    with pytest.raises(StoreRejected):
        await store.append(batch, DEADLINE_S)
    assert count_rows(database_url) == before
    assert await store.append(first_bet("next", "dora"), DEADLINE_S) is None


async def test_a_batch_larger_than_the_sockets_buffers_goes_through(store: Store):
    """Writing and reading must take turns, or both sides wait for ever."""
    rows = [event(version, payload=b"x" * 60_000) for version in range(1, 101)]
    assert await store.append(AppendBatch([ANN], [0], events=rows), DEADLINE_S) is None
    assert await store.events(ANN, 98, 10) == rows[98:]


async def test_the_log_keeps_the_order_of_the_batch(store: Store, database_url: str):
    """A player's version 2 must not come before version 1 in the log."""
    players = [f"player:{number % 7}" for number in range(210)]
    rows = [event(number // 7 + 1, stream) for number, stream in enumerate(players)]
    batch = AppendBatch(sorted(set(players)), [0] * 7, events=rows)
    assert await store.append(batch, DEADLINE_S) is None
    with psycopg.connect(database_url) as connection:
        logged = connection.execute(
            "SELECT originator_id, originator_version FROM ledger_p00.events"
            " ORDER BY notification_id"
        ).fetchall()
    assert logged == [(row.stream, row.version) for row in rows]


async def test_of_two_writers_with_the_same_view_one_wins(make_store: Callable[[], Store]):
    """Two processes that both read version 0 must not both append version 1."""
    first, second = make_store(), make_store()
    for number in range(20):
        batch = first_bet(f"key-{number}", f"player-{number}")
        other = first_bet(f"key-{number}", f"player-{number}")
        results = await asyncio.gather(
            first.append(batch, DEADLINE_S), second.append(other, DEADLINE_S)
        )
        won = [result for result in results if result is None]
        lost = [result for result in results if result is not None]
        assert len(won) == 1
        assert lost[0].streams == {f"player:player-{number}"}
        assert [row.key for row in lost[0].transactions] == [f"key-{number}"]


async def test_a_key_is_used_once_whoever_races_for_it(make_store: Callable[[], Store]):
    """Idempotency is a promise over all players of a partition, not within one stream."""
    stores = [make_store() for _ in range(4)]
    for number in range(20):
        batches = [first_bet(f"key-{number}", f"p{number}-{index}") for index in range(4)]
        results = await asyncio.gather(
            *(store.append(batch, DEADLINE_S) for store, batch in zip(stores, batches, strict=True))
        )
        assert results.count(None) == 1
        used = await stores[0].transactions([("marbles", f"key-{number}")])
        winner: TransactionRow = used["marbles", f"key-{number}"][0]
        assert winner.player_id == f"p{number}-{results.index(None)}"


async def test_appends_of_one_store_take_turns(store: Store):
    """The connection carries one statement at a time, however many ask."""
    batches = [first_bet(f"key-{number}", f"player-{number}") for number in range(50)]
    results = await asyncio.gather(*(store.append(batch, DEADLINE_S) for batch in batches))
    assert results == [None] * 50


@pytest.mark.parametrize("table", ["events", "transactions", "sessions"])
async def test_a_vacuum_holds_up_no_append(store: Store, admin_url: str, table: str):
    """It would stop all bookings for as long as it takes, and they in turn would end it."""
    with psycopg.connect(admin_url) as vacuuming:
        # what VACUUM and ANALYZE hold to their end
        vacuuming.execute(f"LOCK TABLE ledger_p00.{table} IN SHARE UPDATE EXCLUSIVE MODE".encode())
        assert await store.append(first_bet(), DEADLINE_S) is None
