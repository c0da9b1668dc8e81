"""Several worker processes under a supervisor, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.provider import bet, visiting
from tests.acceptance.service import Service, is_alive, running, until


@pytest.fixture
def service(tmp_path: Path, shared_database: dict[str, Any]) -> Iterator[Service]:
    """A service of two workers."""
    with running(tmp_path, database=shared_database, server={"workers": 2}) as service:
        yield service


def test_a_worker_that_dies_is_replaced_and_the_service_goes_on(service: Service) -> None:
    """Half of the service must not be missing until somebody looks."""
    first = set(service.workers())
    os.kill(min(first), signal.SIGKILL)
    until(lambda: len(service.workers()) == 2 and set(service.workers()) != first)
    service.wait_ready()
    asyncio.run(_bet(service))
    assert "worker_died" in service.log


def test_workers_end_when_their_supervisor_is_killed(service: Service) -> None:
    """Orphans would keep the port, and answer with an old configuration for ever."""
    workers = service.workers()
    service.signal(signal.SIGKILL)
    service.wait()
    until(lambda: not any(map(is_alive, workers)))
    service.start()
    asyncio.run(_bet(service))


def test_a_stop_ends_the_workers_and_leaves_none_behind(service: Service) -> None:
    """SIGTERM to the supervisor alone is what a service manager sends."""
    workers = service.workers()
    assert service.stop() == 0
    assert not any(map(is_alive, workers))
    assert "worker_died" not in service.log


def test_a_worker_that_is_told_to_stop_is_replaced(service: Service) -> None:
    """SIGTERM to one of them: it finishes, and the supervisor keeps the number."""
    first = set(service.workers())
    os.kill(min(first), signal.SIGTERM)
    until(lambda: len(service.workers()) == 2 and set(service.workers()) != first)


def test_a_worker_that_is_replaced_knows_the_configuration_of_the_others(service: Service) -> None:
    """An edited file counts from the next start: two meanings of an amount would move money."""
    with service.file.open("a") as file:
        file.write("[currencies.EUR]\nscale = 8\n")
    first = set(service.workers())
    os.kill(min(first), signal.SIGKILL)
    until(lambda: len(service.workers()) == 2 and set(service.workers()) != first)
    service.wait_ready()
    asyncio.run(_deposit_at_every_worker(service))


async def _deposit_at_every_worker(service: Service) -> None:
    async with visiting(service.base_url) as site:
        await site.player("bob", "1.00")
    for number in range(1, 21):  # a connection each: the kernel chooses the worker
        deposit = {"reference": f"more-{number}", "amount": "1.00", "currency": "EUR"}
        async with visiting(service.base_url) as site:
            done = await site.operate("POST", "/players/bob/deposits", deposit)
            assert done.json["wallet"]["real"] == f"{1 + number}.00"


async def _bet(service: Service) -> None:
    async with visiting(service.base_url) as site:
        token = await site.player("ann", "10.00")
        assert (await site.insist(bet("ann", token, f"b-{time.time_ns()}"))).status == 200
