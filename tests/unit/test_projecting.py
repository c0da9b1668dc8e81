"""What runs the views, and what looks at them: it goes on, or ends so that it is started again."""

import asyncio
from typing import cast

import pytest

from adapters import projecting, watching
from adapters.ledgers import watch_queue
from adapters.metrics import Metrics
from adapters.projecting import keep_views
from adapters.settings import Settings
from adapters.watching import Watch
from ledger.seal_status import SealStatus
from ledger.service import Ledger
from projections.status import ViewStatus

URL = "postgresql://nobody@nowhere/nothing"
STATUS = ViewStatus(
    view="balances", partition=0, position=7, head=10, lag_events=3, lag_s=1.0, error=None
)


async def test_views_that_end_for_good_end_their_process(monkeypatch):
    """It would be kept as a living one, and its views stand still for ever."""

    async def broken(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(projecting, "_keep", broken)
    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(10):
            await keep_views(URL, 2, asyncio.Event())


async def test_views_are_run_until_the_stop(monkeypatch):
    """A stop waits for nobody."""
    begun = []

    async def running(_, partition):
        begun.append(partition)
        await asyncio.Event().wait()

    monkeypatch.setattr(projecting, "_keep", running)
    stopped = asyncio.Event()
    keeping = asyncio.create_task(keep_views(URL, 2, stopped))
    await asyncio.sleep(0)
    stopped.set()
    async with asyncio.timeout(10):
        await keeping
    assert begun == [0, 1]


async def test_a_look_that_cannot_be_counted_does_not_end_the_looking(monkeypatch):
    """The directory of the metrics is full: readiness must not keep its last word for ever."""

    async def views(*_):
        return [STATUS]

    async def seals(*_):
        return SealStatus(0, 3, 7, None, 3, 1.0)

    class Full(Metrics):
        def projection(self, *_, **__):
            looked.set()
            raise OSError("no space left on device")

    monkeypatch.setattr(watching, "read_statuses", views)
    monkeypatch.setattr(watching, "read_seal_status", seals)
    monkeypatch.setattr(watching, "_WATCH_S", 0.0)
    looked = asyncio.Event()
    watch = Watch(URL, Settings(), Full())
    looking = asyncio.create_task(watch.run())
    for _ in range(2):
        async with asyncio.timeout(10):
            await looked.wait()
        looked.clear()
    looking.cancel()
    assert watch.summary()["views"][0]["position"] == 7
    assert watch.summary()["newest_seals"][0]["number"] == 3


async def test_a_worker_shows_its_queue_though_nobody_asks_it():
    """`/metrics` of several workers adds up what each showed last."""

    class Busy:
        queue_length = 5

    metrics = Metrics()
    looking = asyncio.create_task(watch_queue(cast("Ledger", Busy()), metrics))
    await asyncio.sleep(0)
    looking.cancel()
    assert "wallet_ledger_queue_commands 5.0" in metrics.render().decode()
