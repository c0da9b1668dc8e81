"""Views that are ahead of their log: cut or swapped beneath them, or their position altered."""

from __future__ import annotations

import asyncio
from functools import partial

import psycopg

from ledger.store import AppendBatch, Store
from projections.rebuild import rebuild
from projections.registry import VIEW_NAMES
from tests.integration.projection_history import History
from tests.integration.test_projection_runner import (
    LEAP,
    OPENED,
    all_at,
    check_views,
    running,
    statuses,
    until,
)


def displace(admin_url: str, view: str, position: int) -> None:
    """Put a view where its log has not come to yet."""
    with psycopg.connect(admin_url) as connection:
        query = "UPDATE ledger_p00.projections SET position = %s WHERE view = %s"
        connection.execute(query, (position, view))


def ahead(view: str, position: int, head: int) -> str:
    """What is said of such a view."""
    return (
        f"ahead of the log: {view} stands at event {position}, the log ends at {head};"
        f" `wallet-ledger rebuild {view}` makes the view anew"
    )


async def followed(store: Store, url: str) -> tuple[History, int]:
    """A history whose end every view has come to, and where that is."""
    history = History(4)
    history.play(30)
    await history.append(store)
    head = len(history.booked)
    async with running(url):
        await until(lambda: all_at(url, head))
    return history, head


async def test_a_view_ahead_of_the_log_is_stopped_whoever_looks(
    store: Store, database_url: str, admin_url: str
):
    """No lag was shown of it, and it was called well; the next events never came into it."""
    _, head = await followed(store, database_url)
    displace(admin_url, "totals", head + 5)
    found = await statuses(database_url)
    assert found["totals"].error == ahead("totals", head + 5, head)
    assert [name for name, status in found.items() if status.error] == ["totals"]


async def test_a_view_ahead_of_the_log_passes_over_no_event_and_goes_on_when_made_anew(
    store: Store, database_url: str, admin_url: str
):
    """The log grows past its position, however often the runner is started: still it stands."""
    history, head = await followed(store, database_url)
    displace(admin_url, "rounds", head + 5)
    said = ahead("rounds", head + 5, head)
    for _ in range(2):
        async with running(database_url) as runner:
            await until(lambda: any(writer.stopped for writer in runner.writers))
            history.play(30)
            await history.append(store)
            await until(partial(all_at, database_url, len(history.booked), rounds=head + 5))
            assert (await statuses(database_url))["rounds"].error == said
    async with running(database_url):
        await asyncio.sleep(0.2)
        assert await rebuild(database_url, 0, "rounds") == len(history.booked)
        history.play(30)
        await history.append(store)
        await until(lambda: all_at(database_url, len(history.booked)))
    await check_views(database_url, len(history.booked))
    assert not any(status.error for status in (await statuses(database_url)).values())


async def test_a_log_cut_under_running_views_stops_them_all(
    store: Store, database_url: str, admin_url: str
):
    """A restored copy may lack the last events: the ones booked next bear their numbers."""
    history = History(4)
    history.play(30)
    await history.append(store)
    head = len(history.booked)
    async with running(database_url) as runner:
        await until(lambda: all_at(database_url, head))
        with psycopg.connect(admin_url) as connection:
            connection.execute("ALTER TABLE ledger_p00.events DISABLE TRIGGER ALL")
            connection.execute(
                "DELETE FROM ledger_p00.events WHERE notification_id > %s", (head - 3,)
            )
        await until(lambda: all(writer.stopped for writer in runner.writers))
        for name, status in (await statuses(database_url)).items():
            assert status.error == ahead(name, head, head - 3)
            assert status.stopped_at is not None
        for name in VIEW_NAMES:
            assert await rebuild(database_url, 0, name) == head - 3
        await until(lambda: all(writer.ready for writer in runner.writers))
    await check_views(database_url, head - 3)


async def test_a_stopped_view_that_was_made_anew_goes_on_without_a_restart(
    store: Store, database_url: str, admin_url: str
):
    """The service that runs the views is not restarted to mend one of them."""
    await store.append(AppendBatch(events=[OPENED, LEAP]), 5.0)
    async with running(database_url) as runner:
        await until(lambda: any(writer.stopped for writer in runner.writers))
        with psycopg.connect(admin_url) as connection:
            connection.execute("ALTER TABLE ledger_p00.events DISABLE TRIGGER ALL")
            connection.execute("DELETE FROM ledger_p00.events WHERE notification_id = 2")
        await rebuild(database_url, 0, "balances")
        await until(lambda: all(w.ready for w in runner.writers if w.view.name == "balances"))
