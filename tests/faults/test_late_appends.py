"""An append that was given up arrives all the same: behind what was decided, it must do nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import pytest

from ledger.commands import Deposit
from ledger.refusals import Refusal
from ledger.store import AppendBatch, CommitUnknown, Store, StoreUnavailable
from tests.faults.ledgers import CENT, bet, booked, opened
from tests.faults.link import Cut, Link, linked
from tests.integration.store_rows import first_bet

APPEND_S = 20.0
ARRIVED_S = 0.5
"""Long enough for the server to book what has arrived; the control below waits for it."""


@asynccontextmanager
async def given_up(url: str, begin_by: float = inf) -> AsyncIterator[tuple[Store, Link]]:
    """A store whose append was cut off while it was on its way."""
    async with linked(url) as (linked_url, link):
        store = Store(linked_url)
        assert await store.append(AppendBatch(), APPEND_S) is None
        link.cut(Cut.LATE)
        with pytest.raises(CommitUnknown):
            await store.append(first_bet(), APPEND_S, begin_by=begin_by)
        try:
            yield store, link
        finally:
            await store.close()


async def test_what_arrives_in_time_is_booked(database_url: str) -> None:
    """The control: it does arrive, and nothing else than what is tested below stops it."""
    async with given_up(database_url) as (_, link):
        await link.arrive()
        async with asyncio.timeout(APPEND_S):
            while not booked(database_url):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)


async def test_what_arrives_after_its_callers_were_told_is_not_booked(database_url: str) -> None:
    """Also where another process decides meanwhile, which knows nothing of it."""
    begin_by = time.monotonic() + 1.0
    async with given_up(database_url, begin_by) as (_, link):
        await asyncio.sleep(begin_by - time.monotonic())
        await link.arrive()
        await asyncio.sleep(ARRIVED_S)
        assert booked(database_url) == 0


async def test_what_arrives_behind_the_next_connection_is_not_booked(database_url: str) -> None:
    """What is read and decided on that one would be wrong afterwards."""
    async with given_up(database_url) as (store, link):
        assert await store.append(AppendBatch(), APPEND_S) is None
        await link.arrive()
        await asyncio.sleep(ARRIVED_S)
        assert booked(database_url) == 0


async def test_a_repetition_that_was_refused_stays_refused(database_url: str) -> None:
    """A deposit and the bet that it pays for are given up; the bet comes again, alone."""
    async with linked(database_url) as (url, link), opened(url, answer_s=0.5) as one:
        session = await one.player(money=0)
        paid = Deposit(
            player_id="ann",
            operation="deposit",
            key="deposit:late",
            transaction_id="late",
            amount=100 * CENT,
            currency="EUR",
        )
        link.cut(Cut.LATE)
        link.down = True
        deposited, placed = await asyncio.gather(
            one.refused(paid), one.refused(bet(session, "b-1", 100))
        )
        assert (deposited, placed) == (Refusal.UNAVAILABLE, Refusal.UNAVAILABLE)
        link.down = False
        again = await one.insist(bet(session, "b-1", 100))
        assert again.refusal is Refusal.INSUFFICIENT_FUNDS  # type: ignore[union-attr]
        await link.arrive()
        await asyncio.sleep(ARRIVED_S)
        assert booked(database_url) == 0
        assert booked(database_url, "deposited.v1") == 0


async def test_a_server_whose_clock_was_set_costs_one_append(database_url: str) -> None:
    """It calls the next one late, and says what time it is."""
    store = Store(database_url)
    assert await store.append(AppendBatch(), APPEND_S) is None
    store._appender._clock_ahead_us -= 3_600_000_000
    with pytest.raises(StoreUnavailable, match="too late"):
        await store.append(first_bet(), APPEND_S)
    assert booked(database_url) == 0
    assert await store.append(first_bet(), APPEND_S) is None
    assert booked(database_url) == 1
    await store.close()
