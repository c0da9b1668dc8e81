"""Many clients on a few hot players: linear per player, at most once, to the cent (P3, P5, P6)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ledger.embedded import SUPERUSER
from tests.acceptance.provider import visiting
from tests.acceptance.service import running
from tests.conftest import Databases
from tests.faults.checker.run import play

CLIENTS = 64
PLAYERS = 10
MANY = 530_000
"""Calls that come to a million attempts."""


@pytest.mark.parametrize(("workers", "partitions"), [(1, 1), (2, 2)])
@pytest.mark.parametrize("calls", [3_000, pytest.param(MANY, marks=pytest.mark.soak)])
async def test_what_is_answered_first_is_booked_first(
    databases: Databases, tmp_path: Path, workers: int, partitions: int, calls: int
) -> None:
    """Every answer is that of one order, and this is the order in which they were asked for."""
    template = await asyncio.to_thread(databases.template, partitions)
    with databases.fresh(template) as name:
        url = databases.server.url(name, SUPERUSER)
        database = {"url": databases.server.url(name), "partitions": partitions}
        with running(tmp_path, server={"workers": workers}, database=database) as service:
            async with visiting(service.base_url) as site:
                reckoning = await play(
                    site,
                    tmp_path,
                    url,
                    partitions=partitions,
                    clients=CLIENTS,
                    players=PLAYERS,
                    calls=calls,
                )
            print(f"{len(reckoning.history.attempts)} attempts")
            reckoning.clean(
                {
                    "acknowledged": calls // 3,
                    "acknowledged again": calls // 8,
                    "repeated while under way": calls // 60,
                    "other content refused": calls // 100,
                    "one cent short": calls // 100,
                    "refused with 402": calls // 60,
                }
            )
            assert await asyncio.to_thread(service.audit) == 0
