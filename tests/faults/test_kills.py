"""kill -9 of the database, of a worker and of the whole service, under load.

A kill tests what a process keeps in memory, not what a disk keeps: it cannot prove fsync.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from ledger.embedded import DATABASE, SUPERUSER, EmbeddedPostgres
from tests.acceptance.provider import visiting
from tests.acceptance.service import Service, copied_seals, sealed
from tests.faults.ledgers import query
from tests.faults.load import Load, betting

Kill = Callable[[Service, Path], Awaitable[None]]
AFTER_A_KILL = 30
"""Bets to be answered after each kill, before the next."""
JOURNAL_MAY_MISS_S = 1.0
"""So much of the call journal a crash may cost, counted back from the crash."""
SEEN_LATE_S = 0.1
"""So long after it was sent a client may see an answer."""


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
    await _survive(service, directory, KILLS[workers])


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
    await _survive(service, directory, KILLS[workers] * 25)


async def _survive(service: Service, directory: Path, kills: Sequence[Kill]) -> None:
    """Acknowledged calls are booked once and in the journal, and every seal outside still holds."""
    data_dir = directory / "pg"
    strikes: list[float] = []
    await asyncio.to_thread(service.start)
    async with visiting(service.base_url, timeout_s=5) as site, betting(site) as load:
        for strike in kills:
            await asyncio.sleep(1.5 * JOURNAL_MAY_MISS_S)
            strikes.append(time.time())
            await strike(service, data_dir)
            await load.grows(AFTER_A_KILL)
    assert await asyncio.to_thread(service.audit) == 0
    copied = copied_seals(service, directory / "seals")
    assert copied > len(kills)
    checked = _check_the_journal(load, strikes, data_dir)
    print(
        f"{len(kills)} kills, {len(load.answers)} bets, {load.repeated} repeated, "
        f"{checked} that the journal had to hold, {copied} seals outside"
    )
    assert service.stop() == 0


def _check_the_journal(load: Load, strikes: Sequence[float], data_dir: Path) -> int:
    """Every call that was answered well before the next kill is there; how many those were."""
    url = EmbeddedPostgres(data_dir).url(DATABASE, SUPERUSER)
    rows = query(
        url,
        "SELECT transaction_id, min(extract(epoch FROM received_at)) FROM ledger.calls"
        " WHERE status = 200 GROUP BY 1",
    )
    first_answer = {transaction_id: float(at) for transaction_id, at in rows}
    owed = [
        transaction_id
        for transaction_id, answered_at in load.answered_at.items()
        if not any(-SEEN_LATE_S <= strike - answered_at <= JOURNAL_MAY_MISS_S for strike in strikes)
    ]
    missing = [
        transaction_id
        for transaction_id in owed
        if first_answer.get(transaction_id, math.inf) > load.answered_at[transaction_id]
    ]
    assert not missing, missing
    assert len(owed) > AFTER_A_KILL, "the kills came too close to each other to show anything"
    return len(owed)
