"""kill -9 of the database, of a worker and of the whole service, under load.

A kill tests what a process keeps in memory, not what a disk keeps: it cannot prove fsync.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from ledger.embedded import DATABASE, SUPERUSER, EmbeddedPostgres
from tests.acceptance.provider import visiting
from tests.acceptance.service import Service, copied_seals, sealed
from tests.faults.checker.run import JOURNAL_MAY_MISS_S, check_the_journal, providers

Kill = Callable[[Service, Path], Awaitable[None]]
AFTER_A_KILL = 50
"""Calls to be acknowledged after each kill, before the next."""
REACHED = {
    "acknowledged": 200,
    "acknowledged again": 50,
    "repeated while under way": 20,
    "unknown": 3,
    "other content refused": 5,
    "one cent short": 5,
    "refund_tombstoned.v1": 5,
    "bet_refunded.v1": 10,
    "win_reversed.v1": 3,
    "refused with 402": 5,
    "refused with 406": 10,
    "refused with 408": 10,
}
"""How often at least; else the run shows nothing."""


def server_processes(data_dir: Path) -> list[int]:
    """All processes of the database server, the postmaster first."""
    postmaster = int((data_dir / "postmaster.pid").read_text().splitlines()[0])
    working_here = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == data_dir:
                working_here.append(int(entry.name))
        except OSError:
            continue
    return [postmaster, *(pid for pid in working_here if pid != postmaster)]


def kill(*pids: int) -> None:
    """End processes by SIGKILL, in one go."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


async def kill_the_postmaster(service: Service, data_dir: Path) -> None:
    """The backends live on as orphans for a moment."""
    kill(server_processes(data_dir)[0])


async def kill_the_database(service: Service, data_dir: Path) -> None:
    """All of it at once, as a machine that dies."""
    kill(*server_processes(data_dir))


async def kill_a_worker(service: Service, data_dir: Path) -> None:
    """The supervisor starts another."""
    kill(service.workers()[0])


async def kill_the_service(service: Service, data_dir: Path) -> None:
    """Started again by whoever watches over it; the embedded database went on without it."""
    await asyncio.to_thread(service.kill)
    await asyncio.to_thread(service.start)


async def kill_everything(service: Service, data_dir: Path) -> None:
    """Service and database, as a machine that dies."""
    kill(*server_processes(data_dir))
    await kill_the_service(service, data_dir)


KILLS = {
    1: [kill_the_postmaster, kill_the_service, kill_the_database],
    2: [kill_a_worker, kill_everything, kill_the_postmaster],
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("turn", range(5))
async def test_nothing_acknowledged_is_lost_and_nothing_booked_twice_over_kills(
    embedded_service: Callable[..., Service], directory: Path, workers: int, turn: int
) -> None:
    """The promise: what a provider was told happened, happened once, whatever died meanwhile.

    Thirty kills in every run (P1), so that a loss at every tenth would be seen (95 %).
    """
    partitions = 1 + turn % 2
    service = embedded_service(
        server={"workers": workers},
        database={"partitions": partitions},
        seals=sealed(directory / "seals"),
    )
    await _survive(service, directory, partitions, KILLS[workers])


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 2])
async def test_nothing_acknowledged_is_lost_over_many_kills(
    embedded_service: Callable[..., Service], directory: Path, workers: int
) -> None:
    """The same for longer: 150 kills bound the chance of a loss at 2 % a kill (95 %)."""
    service = embedded_service(
        server={"workers": workers},
        database={"partitions": 2},
        seals=sealed(directory / "seals"),
    )
    await _survive(service, directory, 2, KILLS[workers] * 25)


async def _survive(
    service: Service, directory: Path, partitions: int, kills: Sequence[Kill]
) -> None:
    """No answer was a lie, all of them are in the journal, and every seal outside still holds."""
    data_dir = directory / "pg"
    url = EmbeddedPostgres(data_dir).url(DATABASE, SUPERUSER)
    strikes: list[float] = []
    await asyncio.to_thread(service.start)
    async with (
        visiting(service.base_url, timeout_s=5) as site,
        providers(site, directory, lambda: url, partitions=partitions) as run,
    ):
        for strike in kills:
            await asyncio.sleep(1.5 * JOURNAL_MAY_MISS_S)
            strikes.append(time.time())
            await strike(service, data_dir)
            await run.grows(AFTER_A_KILL)
            await run.is_seen()
    print(f"{len(kills)} kills, {run.snapshots} snapshots that sum to zero")
    run.reckoning.clean(REACHED)
    assert await asyncio.to_thread(service.audit) == 0
    assert copied_seals(service, directory / "seals") > len(kills)
    checked = check_the_journal(run.reckoning.history, strikes, url)
    assert checked > AFTER_A_KILL, "the kills came too close to each other to show anything"
    assert service.stop() == 0
