"""Who waits for a committer is answered in time, and nothing is booked behind his back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from ledger.commands import ReadPlayer, RegisterPlayer
from ledger.committer import Committer, CommitterLimits
from ledger.outage import Outage
from ledger.refusals import Refusal, Refused
from ledger.store import AppendBatch, Store


class SlowStore:
    """An empty partition whose answers take their time."""

    def __init__(self, *, load_s: float = 0.0, append_s: float = 0.0) -> None:
        self.generation = 0
        self.load_s = load_s
        self.append_s = append_s
        self.appended: list[AppendBatch] = []

    async def load(self, _streams: Iterable[str]) -> dict[str, Any]:
        """Nobody is there."""
        await asyncio.sleep(self.load_s)
        return {}

    async def append(
        self, batch: AppendBatch, _deadline_s: float, _generation: int, _begin_by: float
    ) -> None:
        """Nothing is ever in the way."""
        await asyncio.sleep(self.append_s)
        self.appended.append(batch)

    async def notify(self) -> None:
        """Nobody listens."""


class Unobserved:
    """Counts nothing."""

    def batch(self, size: int, seconds: float) -> None:
        """A batch."""

    def conflict(self) -> None:
        """A conflict."""

    def unknown(self) -> None:
        """A commit that nobody knows of."""

    def reconnected(self) -> None:
        """A new connection."""


class Observed(Unobserved):
    """Counts batches."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, float]] = []

    def batch(self, size: int, seconds: float) -> None:
        """A batch."""
        self.batches.append((size, seconds))


@asynccontextmanager
async def committing(
    store: SlowStore, observer: Unobserved | None = None, **limits: Any
) -> AsyncIterator[Committer]:
    """A committer at work on the store."""
    committer = Committer(
        cast("Store", store),
        observer or Unobserved(),
        Outage([0.0], 0),
        CommitterLimits(**limits),
    )
    running = asyncio.create_task(committer.run())
    yield committer
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def ask(committer: Committer, player_id: str, ago_s: float = 0.0) -> asyncio.Future[Any]:
    """Hand in a question that came so long ago."""
    return committer.submit(ReadPlayer(player_id=player_id), player_id, time.monotonic() - ago_s)


async def test_what_was_handed_in_so_far_is_waited_for_and_nothing_that_comes_after():
    """The other workers go on asking: a worker that stops would stay half alive for ever."""
    async with committing(SlowStore(append_s=0.002)) as committer:

        async def others() -> None:
            for number in range(1_000_000):
                _ = ask(committer, f"other-{number % 50}")
                await asyncio.sleep(0.001)

        asking = asyncio.create_task(others())
        await asyncio.sleep(0.05)
        mine = ask(committer, "mine")
        async with asyncio.timeout(10):
            await committer.drain()
        assert mine.done()
        assert not asking.done()
        asking.cancel()
    async with committing(SlowStore()) as committer:
        await committer.drain()


async def test_an_old_command_behind_newer_ones_is_answered_in_time_too():
    """One that another worker gave back is older than those that stand before it."""
    async with committing(SlowStore(append_s=60), answer_s=20.0, queue_wait_s=20.0) as committer:
        working = ask(committer, "working")
        await asyncio.sleep(0.05)
        newer = ask(committer, "newer")
        refused = await ask(committer, "older", ago_s=19.5)
        assert isinstance(refused, Refused)
        assert refused.refusal is Refusal.UNAVAILABLE
        assert committer.queue_length == 1, "who was answered takes no place of others"
        assert not newer.done()
        assert not working.done()


async def test_nothing_is_booked_for_who_was_told_unavailable_while_wallets_were_read():
    """His provider may have cancelled the call by then."""
    store = SlowStore(load_s=0.4)
    async with committing(store, answer_s=0.2) as committer:
        register = RegisterPlayer(player_id="ann", currency="EUR")
        refused = await committer.submit(register, "m1", time.monotonic())
        assert isinstance(refused, Refused)
        assert refused.refusal is Refusal.UNAVAILABLE
        store.load_s = 0.0
        while (found := await ask(committer, "ann")).refusal is Refusal.UNAVAILABLE:
            pass  # a slow machine
        assert found.refusal is Refusal.UNKNOWN_PLAYER
    assert not any(batch.events for batch in store.appended)


async def test_a_batch_is_told_of_with_its_size_and_the_time_that_it_took():
    """Whoever looks for what is slow sees first whether batches are few and large."""
    observer = Observed()
    async with committing(SlowStore(append_s=0.1), observer) as committer:
        first = ask(committer, "first")
        await asyncio.sleep(0.05)
        await asyncio.gather(first, *(ask(committer, f"p{number}") for number in range(3)))
    assert [size for size, _ in observer.batches] == [1, 3]
    assert all(0.1 <= seconds < 10 for _, seconds in observer.batches)
