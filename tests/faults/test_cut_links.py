"""The link to the database is cut around commits, again and again, under load (P3, P7)."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from ledger.embedded import SUPERUSER
from tests.acceptance.provider import visiting
from tests.acceptance.service import Service
from tests.conftest import Databases
from tests.faults.checker.run import Run, providers
from tests.faults.link import Cut, Link, linked

BETWEEN_CUTS = 5
"""Calls to be acknowledged after a cut, before the next."""
ARRIVES_AFTER_S = 0.3
"""What was cut while on its way comes to the server so much later."""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("cuts", [20, pytest.param(1_000, marks=pytest.mark.soak)])
async def test_nothing_is_lost_or_booked_twice_over_commits_whose_answer_never_came(
    databases: Databases, template_database: str, tmp_path: Path, workers: int, cuts: int
) -> None:
    """Whether a commit took place is looked up and never guessed; also where it comes late."""
    with databases.fresh(template_database) as name:
        url = databases.server.url(name, SUPERUSER)
        async with linked(databases.server.url(name)) as (through, link):
            service = Service(tmp_path, server={"workers": workers}, database={"url": through})
            try:
                await asyncio.to_thread(service.start)
                async with (
                    visiting(service.base_url) as site,
                    providers(site, tmp_path, lambda: url) as run,
                ):
                    await _cut(run, link, cuts, random.Random(cuts + workers))
                run.reckoning.clean({"acknowledged": cuts * BETWEEN_CUTS})
                assert await asyncio.to_thread(service.audit) == 0
                assert await asyncio.to_thread(service.stop) == 0
            finally:
                await asyncio.to_thread(service.close)


async def _cut(run: Run, link: Link, cuts: int, dice: random.Random) -> None:
    for number in range(1, cuts + 1):
        way = dice.choice(list(Cut))
        link.cut(way)
        while link.cuts_made < number:  # noqa: ASYNC110 - the link is the event
            await asyncio.sleep(0.01)
        if way is Cut.LATE:
            await asyncio.sleep(ARRIVES_AFTER_S)
            await link.arrive()
        await run.grows(BETWEEN_CUTS)
