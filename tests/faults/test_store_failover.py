"""A primary and a standby behind one URL: the store follows the one that takes writes."""

from __future__ import annotations

import asyncio

import pytest

from ledger.store import CommitUnknown, Store, StoreUnavailable
from tests.faults.ledgers import query
from tests.faults.pair import Pair
from tests.integration.store_rows import first_bet

FAILOVER_S = 20.0


async def test_the_store_follows_the_primary_through_a_fail_over(servers: Pair) -> None:
    """The standby stands first in the URL, and takes no writes until it is promoted."""
    store = Store(servers.url)
    for number in range(20):
        assert await store.append(first_bet(f"k{number}", f"p{number}"), 5) is None
    assert query(servers.standby.migrate_url, "SELECT pg_is_in_recovery()") == [(True,)]
    servers.kill_primary()
    with pytest.raises((CommitUnknown, StoreUnavailable)):
        await store.append(first_bet("between", "between"), 0.5)
    await asyncio.to_thread(servers.promote)
    async with asyncio.timeout(FAILOVER_S):
        while True:
            try:
                conflicts = await store.append(first_bet("after", "after"), 2)
            except (CommitUnknown, StoreUnavailable):
                continue
            break
    assert conflicts is None or [row.key for row in conflicts.transactions] == ["after"]
    keys = [("marbles", f"k{number}") for number in range(20)]
    assert sorted(await store.transactions(keys)) == sorted(keys)
    await store.close()


async def test_a_standby_alone_is_unavailable_and_never_written_to(servers: Pair) -> None:
    """A URL that points at a standby by mistake must be told as such, in time."""
    standby = servers.standby
    store = Store(standby.url())
    with pytest.raises(StoreUnavailable, match="session is read-only"):
        await store.append(first_bet(), 1)
    await store.close()
    careless = Store(standby.url() + "&target_session_attrs=any")
    with pytest.raises(StoreUnavailable):
        await careless.append(first_bet(), 1)
    assert await careless.heads(["player:ann"]) == {"player:ann": 0}
    await careless.close()
