"""Loading a player: from a snapshot and the events behind it, or from nothing, or not at all."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from ledger.commands import ReadPlayer
from ledger.refusals import Refusal
from ledger.store import StoreUnavailable
from tests.faults.ledgers import Process, bet, cents, opened, query

EVENTS = 1_000
EVERY = 200


async def _play(process: Process, bets: int = EVENTS - 4) -> str:
    session = await process.player(money=1_000_000)
    for start in range(0, bets, 100):
        numbers = range(start, min(start + 100, bets))
        await asyncio.gather(*(process.accepted(bet(session, f"b-{n}", 1)) for n in numbers))
    return session


async def _saved(url: str, version: int) -> int:
    """The version of the snapshot, once it is at least ``version``."""
    async with asyncio.timeout(10):
        while True:
            rows = query(url, "SELECT version FROM ledger_p00.snapshots")
            if rows and rows[0][0] >= version:
                return int(rows[0][0])
            await asyncio.sleep(0.02)


async def test_the_first_call_of_a_player_with_many_events_reads_few_of_them(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start-up time must not grow with a player's history."""
    async with opened(database_url, snapshot_every=EVERY) as one:
        session = await _play(one)
        await _saved(database_url, EVENTS - EVERY - 100)
    async with opened(database_url) as two:
        store = two.ledger.stores[0]
        load = store.load
        read: list[int] = []

        async def counting(streams):
            loaded = await load(streams)
            read.extend(len(stream.events) for stream in loaded.values())
            return loaded

        monkeypatch.setattr(store, "load", counting)
        accepted = await two.accepted(bet(session, "next", 1))
        assert accepted.version == EVENTS + 1
        assert cents(accepted) == 1_000_000 - (EVENTS - 4) - 1
        assert sum(read) <= EVERY + 101


async def test_a_snapshot_is_due_once_in_so_many_events(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One a batch from the first on would write the whole player with every bet."""
    async with opened(database_url, snapshot_every=20) as one:
        store = one.ledger.stores[0]
        save = store.save_snapshots
        saved: list[int] = []

        async def noting(rows, generation):
            saved.extend(row.version for row in rows)
            await save(rows, generation)

        monkeypatch.setattr(store, "save_snapshots", noting)
        session = await one.player(money=1_000_000)
        for number in range(60):
            await one.accepted(bet(session, f"b-{number}", 1))
        newest = await _saved(database_url, 60)
    assert newest == saved[-1]
    assert saved == sorted(saved)
    assert all(after - before >= 20 for before, after in pairwise([0, *saved]))


async def test_a_snapshot_that_could_not_be_saved_is_saved_with_the_next_append(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the player's next load would read twice as many events as it may."""
    async with opened(database_url, snapshot_every=20) as one:
        store = one.ledger.stores[0]
        save = store.save_snapshots
        failed = asyncio.Event()

        async def failing_once(rows, generation):
            if failed.is_set():
                return await save(rows, generation)
            failed.set()
            raise StoreUnavailable("away")

        monkeypatch.setattr(store, "save_snapshots", failing_once)
        session = await one.player(money=1_000_000)
        for number in range(20):
            await one.accepted(bet(session, f"b-{number}", 1))
        async with asyncio.timeout(10):
            await failed.wait()
        await one.accepted(bet(session, "next", 1))
        assert 20 <= await _saved(database_url, 20) < 40


async def test_a_snapshot_and_the_events_alone_give_the_same_player(
    database_url: str, admin_url: str
) -> None:
    """A shortcut that leads elsewhere would be a second truth."""
    async with opened(database_url, snapshot_every=50) as one:
        await _play(one, 250)
        await _saved(database_url, 100)
    async with opened(database_url) as two:
        short = (await two.accepted(ReadPlayer(player_id="ann"))).player
    _change(admin_url, "DELETE FROM ledger_p00.snapshots")
    async with opened(database_url) as three:
        whole = (await three.accepted(ReadPlayer(player_id="ann"))).player
    assert short == whole


_LAST = "(SELECT version FROM ledger_p00.snapshots)"
_TAMPERING = {
    "a snapshot with another hash": """
        UPDATE ledger_p00.snapshots
        SET state = decode(repeat('00', 32), 'hex') || substring(state FROM 33)
    """,
    "a snapshot of another version": "UPDATE ledger_p00.snapshots SET version = version - 1",
    "a snapshot beyond the last event": "UPDATE ledger_p00.snapshots SET version = 100000",
    "a tail of events that is gone": f"""
        DELETE FROM ledger_p00.events WHERE originator_version >= {_LAST}
    """,
    "an event in the middle that is gone": f"""
        DELETE FROM ledger_p00.events WHERE originator_version = {_LAST} + 1
    """,
    "the snapshot's event replaced by another": f"""
        UPDATE ledger_p00.events
        SET state = (SELECT state FROM ledger_p00.events WHERE originator_version = 5)
        WHERE originator_version = {_LAST}
    """,
}


@pytest.mark.parametrize("what", _TAMPERING)
async def test_what_does_not_belong_together_is_noticed_and_the_player_stops(
    database_url: str, admin_url: str, what: str
) -> None:
    """Money is not moved on a state that somebody has changed; other players go on."""
    async with opened(database_url, snapshot_every=20) as one:
        session = await _play(one, 50)
        await _saved(database_url, 20)
        for number in range(3):
            await one.accepted(bet(session, f"behind-{number}", 1))
    _change(admin_url, _TAMPERING[what])
    async with opened(database_url) as two:
        assert await two.refused(bet(session, "next")) is Refusal.INTERNAL
        other = await two.player("bob")
        await two.accepted(bet(other, "other", player_id="bob"))


_HASH, _STATE = "substring(state FROM 1 FOR 32)", "substring(state FROM 33)"
_UNREADABLE = {
    "cut off": "substring(state FROM 1 FOR 60)",
    "of another release": f"{_HASH} || '\\x02' || {_STATE}",
    "a letter that is none": f"""
        {_HASH}
        || decode(replace(encode({_STATE}, 'hex'), encode('EUR', 'hex'), 'e45552'), 'hex')
    """,
    "of another version": f"""
        {_HASH} || convert_to(
            replace(convert_from({_STATE}, 'UTF8'), '"version":', '"version":1'), 'UTF8'
        )
    """,
}


@pytest.mark.parametrize("what", _UNREADABLE)
async def test_a_snapshot_that_cannot_be_read_is_not_needed(
    database_url: str, admin_url: str, what: str
) -> None:
    """The events hold all of it; the next snapshot takes its place."""
    async with opened(database_url, snapshot_every=20) as one:
        session = await _play(one, 50)
        await _saved(database_url, 20)
        whole = (await one.accepted(ReadPlayer(player_id="ann"))).player
    _change(admin_url, f"UPDATE ledger_p00.snapshots SET state = {_UNREADABLE[what]}")
    bad = query(admin_url, _SNAPSHOTS)
    with capture_logs() as lines:
        async with opened(database_url, snapshot_every=20) as two:
            assert (await two.accepted(ReadPlayer(player_id="ann"))).player == whole
            last = (await two.accepted(bet(session, "next"))).player
            await _replaced(admin_url, bad)
        async with opened(database_url) as three:
            assert (await three.accepted(bet(session, "next"))).player == last
    assert [line["event"] for line in lines].count("snapshot_unreadable") == 1


_SNAPSHOTS = "SELECT state FROM ledger_p00.snapshots"


async def _replaced(url: str, bad: list[Any]) -> None:
    """Wait until there is another snapshot."""
    async with asyncio.timeout(10):
        while True:
            if query(url, _SNAPSHOTS) != bad:
                return
            await asyncio.sleep(0.02)


def _change(url: str, statement: str) -> None:
    """Change what the service's own role cannot, as a superuser would have to."""
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE ledger_p00.events DISABLE TRIGGER ALL")
        done = connection.execute(statement.encode())
        assert done.rowcount > 0
        connection.execute("ALTER TABLE ledger_p00.events ENABLE ALWAYS TRIGGER forbid_change")
