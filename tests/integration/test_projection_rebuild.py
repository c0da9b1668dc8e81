"""Rebuilding: beside the live view, under traffic, and the same to the last byte."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from ledger.store import AppendBatch, Store
from projections.rebuild import RebuildBusy, compare, rebuild
from projections.registry import VIEW_NAMES, VIEWS
from tests.integration import projection_model as model
from tests.integration.projection_history import (
    TABLES,
    History,
    contents,
    images,
    positions,
)
from tests.integration.test_projection_runner import (
    FUTURE,
    OPENED,
    all_at,
    check_views,
    running,
    until,
)


def structure(url: str) -> list[Any]:
    """Tables, indexes, constraints, rights and settings of the partition, by name."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            """
            SELECT relation.relname, relation.relkind, relation.reloptions, relation.relacl::text,
                (SELECT array_agg(conname || pg_get_constraintdef(oid) ORDER BY conname)
                 FROM pg_constraint WHERE conrelid = relation.oid),
                (SELECT array_agg(tgname || pg_get_triggerdef(oid) ORDER BY tgname)
                 FROM pg_trigger WHERE tgrelid = relation.oid),
                (SELECT pg_get_indexdef(relation.oid) WHERE relation.relkind = 'i')
            FROM pg_class AS relation
            WHERE relnamespace = 'ledger_p00'::regnamespace ORDER BY 1
            """
        ).fetchall()


async def test_a_rebuilt_view_is_the_live_one_byte_for_byte(
    store: Store, database_url: str, admin_url: str
):
    """The views are the truth: whoever builds them anew gets the same (P11)."""
    history = History(1)
    history.play(400)
    await history.append(store)
    async with running(database_url):
        await until(lambda: all_at(database_url, len(history.booked)))
    before, shape = contents(database_url), structure(admin_url)
    told: list[tuple[int, int]] = []
    for name in VIEW_NAMES:
        at = await rebuild(database_url, 0, name, lambda done, head: told.append((done, head)))
        assert at == len(history.booked)
    assert told[-1] == (len(history.booked), len(history.booked))
    assert contents(database_url) == before
    assert structure(admin_url) == shape
    await check_views(database_url, len(history.booked))


async def test_rebuilding_under_traffic_neither_stops_nor_bends_the_view(
    store: Store, database_url: str
):
    """Operators rebuild while players play; readers see the old view or the new one."""
    history = History(2)
    history.play(300)
    await history.append(store)
    done = asyncio.Event()

    async def traffic() -> None:
        while not done.is_set():
            history.play(10)
            await history.append(store)
            await asyncio.sleep(0.01)

    async with running(database_url) as runner:
        await until(lambda: all_at(database_url, len(history.booked)))
        playing = asyncio.create_task(traffic())
        try:
            for name in VIEW_NAMES * 2:
                await rebuild(database_url, 0, name)
        finally:
            done.set()
            await playing
        await until(lambda: all_at(database_url, len(history.booked)))
        assert [writer.error for writer in runner.writers] == [None] * 5
    await check_views(database_url, len(history.booked))
    found = contents(database_url)
    assert {row[:2]: row[2:5] for row in found["balances"]} == model.balances(history.booked)


async def test_a_view_is_compared_while_it_moves(store: Store, database_url: str):
    """The audit must not need a quiet hour."""
    history = History(3)
    async with running(database_url):
        for _ in range(4):
            history.play(80)
            await history.append(store)
            for name in VIEW_NAMES:
                assert await compare(database_url, 0, name) == []


CHANGED = {
    "text": "coalesce({0}, '') || 'x'",
    "bigint": "coalesce({0}, 0) + 1",
    "numeric": "{0} + 1",
    "smallint": "{0} + 100",
    "timestamp with time zone": "coalesce({0}, 'epoch') - interval '1 microsecond'",
}
"""Another value of each type, as little another as may be."""


def ways_to_alter_a_row(url: str) -> list[tuple[str, str, str]]:
    """For every column of every view's tables: the view, the table, and what to set."""
    with psycopg.connect(url) as connection:
        # so that only the comparison can find it
        connection.execute(
            """DO $$ DECLARE checked record; BEGIN
            FOR checked IN SELECT conrelid::regclass AS relation, conname FROM pg_constraint
                WHERE contype = 'c' AND connamespace = 'ledger_p00'::regnamespace
            LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', checked.relation,
                checked.conname); END LOOP; END $$"""
        )
        columns = connection.execute(
            """SELECT view, table_name, column_name, data_type
            FROM ledger_p00.projections, information_schema.columns
            WHERE table_schema = 'ledger_p00' AND table_name = ANY (tables)
                AND is_generated = 'NEVER'"""
        ).fetchall()
    return [
        (view, table, f"{column} = {CHANGED[kind].format(column)}")
        for view, table, column, kind in columns
    ]


async def test_one_value_of_one_row_is_enough_for_a_difference(
    store: Store, database_url: str, admin_url: str
):
    """A comparison that passes over a column, a table or the last row would prove nothing."""
    history = History(8)
    history.play(150)
    await history.append(store)
    async with running(database_url):
        await until(lambda: all_at(database_url, len(history.booked)))
    before = images(database_url)
    ways = ways_to_alter_a_row(admin_url)
    assert {(view, table) for view, table, _ in ways} == {
        (view.name, table) for view in VIEWS for table in view.tables
    }
    for view, table, change in ways:
        with psycopg.connect(admin_url, autocommit=True) as connection:
            key = TABLES[table].replace(",", " DESC,")
            last = f"SELECT ctid FROM ledger_p00.{table} ORDER BY {key} DESC LIMIT 1"
            connection.execute(
                f"UPDATE ledger_p00.{table} SET {change} WHERE ctid = ({last})".encode()
            )
            altered = images(database_url)
            assert [name for name in before if altered[name] != before[name]] == [table], change
            found = await compare(database_url, 0, view)
            assert {each.table for each in found} == {table}, change
            assert len(found) == (2 if change.partition(" ")[0] in found[0].key else 1), change
            assert await rebuild(database_url, 0, view) == len(history.booked)
    assert images(database_url) == before


async def test_a_rebuild_mends_a_view_that_was_altered(
    store: Store, database_url: str, admin_url: str
):
    """What a person did to a view by hand is gone afterwards."""
    history = History(4)
    history.play(100)
    await history.append(store)
    async with running(database_url):
        await until(lambda: all_at(database_url, len(history.booked)))
        before = contents(database_url)
        with psycopg.connect(admin_url) as connection:
            connection.execute("DELETE FROM ledger_p00.rounds")
            connection.execute(
                "UPDATE ledger_p00.projections SET position = 3, error = 'x', "
                "stopped_at = now() WHERE view = 'rounds'"
            )
        await rebuild(database_url, 0, "rounds")
        assert contents(database_url) == before
        assert set(positions(database_url).values()) == {len(history.booked)}


async def test_a_rebuild_that_meets_poison_leaves_the_live_view_alone(
    store: Store, database_url: str
):
    """A view that is right up to the poison beats none."""
    history = History(4)
    history.play(50)
    await history.append(store)
    await store.append(AppendBatch(events=[OPENED, FUTURE]), 5.0)
    async with running(database_url):
        await until(lambda: all_at(database_url, len(history.booked) + 1))
    before = contents(database_url)
    with pytest.raises(Exception, match=r"bet_placed\.v2"):
        await rebuild(database_url, 0, "journal")
    assert contents(database_url) == before


async def test_the_live_view_stands_still_while_its_successor_takes_over(
    store: Store, database_url: str, admin_url: str
):
    """A batch written between the last look and the swap would vanish with the old tables."""
    history = History(7)
    history.play(60)
    await history.append(store)
    held: list[bool] = []

    def look(done: int, head: int) -> None:
        with psycopg.connect(admin_url) as connection:
            if not held:  # so that there is something left to do during the swap
                connection.execute(
                    """INSERT INTO ledger_p00.events
                        (originator_id, originator_version, topic, state)
                    SELECT 'player:p9', 1, topic, state FROM ledger_p00.events
                    WHERE topic = 'wallet_opened.v1' LIMIT 1"""
                )
            connection.commit()
            try:
                connection.execute(
                    "SELECT FROM ledger_p00.projections WHERE view = 'totals' FOR UPDATE NOWAIT"
                )
            except psycopg.errors.LockNotAvailable:
                held.append(True)
            else:
                held.append(False)

    assert await rebuild(database_url, 0, "totals", look) == len(history.booked) + 1
    assert held == [False, True]


async def test_one_rebuild_of_a_view_at_a_time(store: Store, database_url: str):
    """Two of them would write into the same twin."""
    history = History(5)
    history.play(60)
    await history.append(store)
    inside = []

    def interrupt(done: int, head: int) -> None:
        inside.append(asyncio.create_task(rebuild(database_url, 0, "totals")))

    await rebuild(database_url, 0, "totals", interrupt)
    results = await asyncio.gather(*inside, return_exceptions=True)
    assert results
    assert all(
        isinstance(result, RebuildBusy) or result == len(history.booked) for result in results
    )


async def test_a_long_reader_delays_the_swap_and_nobody_else(
    store: Store, database_url: str, admin_url: str
):
    """A report that runs for minutes must not make every other reader wait behind the swap."""
    history = History(6)
    history.play(60)
    await history.append(store)
    async with running(database_url):
        await until(lambda: all_at(database_url, len(history.booked)))
        with psycopg.connect(admin_url) as reader:
            reader.execute("SELECT count(*) FROM ledger_p00.balances")
            task = asyncio.create_task(rebuild(database_url, 0, "balances"))
            await asyncio.sleep(2.5)
            assert not task.done()
            history.play(20)
            await history.append(store)
            await until(lambda: all_at(database_url, len(history.booked)))
        assert await task == len(history.booked)
    await check_views(database_url, len(history.booked))


async def test_a_view_is_not_rebuilt_from_another_servers_log(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a URL with several hosts two connections may reach two servers."""

    async def elsewhere(_connection: object) -> str:
        return "another"

    monkeypatch.setattr("projections.rebuild.server_of", elsewhere)
    with pytest.raises(psycopg.OperationalError, match="another server"):
        await rebuild(database_url, store.partition, "balances")
