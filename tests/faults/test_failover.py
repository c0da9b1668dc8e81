"""Fail-over of the whole service to a synchronous standby, under load.

What a provider was told is on the standby, and what only the dead primary held was told to nobody:
neither as a first answer nor as a repetition's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ledger.embedded import EmbeddedPostgres
from tests.acceptance.provider import visiting
from tests.acceptance.service import Service, copied_seals, sealed
from tests.faults.checker.run import providers
from tests.faults.ledgers import query
from tests.faults.pair import Pair

Events: TypeAlias = set[tuple[Any, ...]]
Loss: TypeAlias = Callable[[Pair], Awaitable[Events]]
AFTER_A_FAIL_OVER = 30
"""Calls to be acknowledged by the new primary, and again once it has a standby."""
LIMITS = {"command_age_max_s": 0.5, "answer_timeout_s": 1.0}
CLIENTS = 8
"""So many that among the calls which wait some book an event."""
RESTARTS = 3
"""After so many nothing is left to do but to repeat what shows as booked."""
CUT_S = 1.5
"""Longer than anybody waits for an answer: then only calls are left that providers insist on."""
REACHED = {
    "acknowledged": 60,
    "acknowledged again": 30,
    "unknown": 2,
    "refused with 402": 2,
    "refused with 406": 5,
    "refused with 408": 2,
}
"""How often at least; else the run shows nothing."""


def events(server: EmbeddedPostgres) -> Events:
    """Every event that a server shows: stream, version, fingerprint of its bytes."""
    statement = "SELECT originator_id, originator_version, md5(state) FROM ledger_p00.events"
    return set(query(server.migrate_url, statement))


async def the_primary_dies(servers: Pair) -> Events:
    """With bets under way."""
    servers.kill_primary()
    return set()


async def the_primary_holds_what_nobody_else_has(servers: Pair) -> Events:
    """Cut off from its standby it crashes, comes back with all it wrote, and is lost for good.

    In between, providers repeat bets that it shows as booked. Returns what it showed.
    """
    await asyncio.to_thread(servers.cut_standby_off)
    for _ in range(RESTARTS):  # each books further calls that wait
        await asyncio.sleep(CUT_S)
        servers.kill_primary()
        await asyncio.to_thread(servers.restart_primary)
    await asyncio.sleep(CUT_S)
    shown = await asyncio.to_thread(events, servers.primary)
    servers.kill_primary()
    return shown


LOSSES = [the_primary_dies, the_primary_holds_what_nobody_else_has]


async def test_a_fail_over_loses_nothing_that_was_acknowledged(
    servers: Pair, directory: Path
) -> None:
    """The promise (P2), duplicates included."""
    await _survive(servers, directory, LOSSES, workers=1)


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 2])
async def test_many_fail_overs_lose_nothing_that_was_acknowledged(
    servers: Pair, directory: Path, workers: int
) -> None:
    """The same for longer: 100 fail-overs bound the chance of a loss at 3 % each (95 %)."""
    await _survive(servers, directory, LOSSES * 25, workers)


async def _survive(servers: Pair, directory: Path, losses: Sequence[Loss], workers: int) -> None:
    service = Service(
        directory,
        server={"workers": workers},
        database={"url": servers.url},
        limits=LIMITS,
        seals=sealed(directory / "seals"),
    )
    try:
        await asyncio.to_thread(service.start)
        await _fail_over_and_over(servers, service, directory, losses)
        assert await asyncio.to_thread(service.audit) == 0
        assert copied_seals(service, directory / "seals") > len(losses)
        assert service.stop() == 0
    finally:
        service.close()


async def _fail_over_and_over(
    servers: Pair, service: Service, directory: Path, losses: Sequence[Loss]
) -> None:
    seconds = []
    gone = []
    async with (
        visiting(service.base_url, timeout_s=5) as site,
        providers(site, directory, lambda: servers.primary.migrate_url, clients=CLIENTS) as run,
    ):
        for lose_the_primary in losses:
            shown = await lose_the_primary(servers)
            await asyncio.to_thread(servers.promote)
            promoted = time.monotonic()
            await run.grows(1)
            seconds.append(time.monotonic() - promoted)
            gone.append(len(shown - await asyncio.to_thread(events, servers.primary)))
            await run.grows(AFTER_A_FAIL_OVER)
            await asyncio.to_thread(servers.replace_standby)
            await run.grows(AFTER_A_FAIL_OVER)
    print(
        f"{len(losses)} fail-overs, first answer {max(seconds):.1f} s after a promotion at most; "
        f"{sum(gone)} events that one primary alone had are gone"
    )
    run.reckoning.clean(REACHED)
    at_stake = [bool(lost) for lost in gone[1::2]]
    assert sum(at_stake) >= len(at_stake) * 0.8, "too seldom was anything at stake"
