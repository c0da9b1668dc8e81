"""What an hour of play leaves behind in the service's processes: nothing (P17)."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import TypeAlias

import aiohttp
import psutil  # type: ignore[import-untyped]
import pytest

from ledger.embedded import DATABASE, SUPERUSER, EmbeddedPostgres
from tests.acceptance.provider import Site, bet, movement, visiting
from tests.acceptance.service import Service, sealed
from tests.faults.ledgers import query

SECONDS = float(os.environ.get("LEAK_SOAK_S", "3600"))
"""How long it is played."""
WARM_UP = 1 / 3
"""The share of that in which memories fill that are bounded, and nothing is judged."""
LOOKS = 360
GROWTH_MAX = 5 * 2**20
"""Bytes an hour, of all processes together."""
PLAYERS = 100
CLIENTS = 8
PAUSE_S = 0.004
"""Between two calls of a client: what is remembered of calls has to be full soon."""
CONNECTIONS = """SELECT count(*) FROM pg_stat_activity
    WHERE application_name LIKE 'wallet-ledger%'"""


Call: TypeAlias = tuple[bytes, dict[str, str] | None]
"""A body, and headers in place of the right ones."""


@dataclass(frozen=True)
class Look:
    """What the service's processes, without the database's, hold at a moment; bytes, seconds.

    ``memory``: by process, what is resident. What one has to itself says less: the process from
    which those of reports are forked has tens of MiB more of that whenever none of them runs.
    """

    at_s: float
    memory: dict[int, int]
    files: int
    threads: int
    connections: int


def look(service: Service, url: str, started: float) -> Look:
    """Of all of them at once."""
    memory: dict[int, int] = {}
    files = threads = 0
    supervisor = psutil.Process(service.pid)
    for process in (supervisor, *supervisor.children(recursive=True)):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if process.name() != "postgres":
                memory[process.pid] = process.memory_info().rss
                files += process.num_fds()
                threads += process.num_threads()
    ((connections,),) = query(url, CONNECTIONS)
    return Look(time.monotonic() - started, memory, files, threads, connections)


class Play:
    """Everything that comes in a day: rounds, repetitions, refusals, forgeries, questions."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._dice = random.Random(17)
        self._tokens: dict[str, str] = {}
        self.answered = 0

    async def seat(self) -> None:
        """Players with money for longer than this takes."""
        for number in range(PLAYERS):
            player_id = f"player-{number}"
            self._tokens[player_id] = await self._site.player(player_id, "1000000.00")

    async def client(self, name: str, until: float) -> None:
        """Round after round, with a look from outside in between."""
        number = 0
        while time.monotonic() < until:
            number += 1
            for body, headers in self._round(f"{name}-{number}"):
                with suppress(aiohttp.ClientError):
                    await self._site.send(body, headers=headers)
                    self.answered += 1
                await asyncio.sleep(PAUSE_S)
            if number % 20 == 0:
                await self._ask()
            if number % 1_000 == 0:  # rarely: 50,000 sessions are remembered, a kilobyte each
                player_id = self._dice.choice(list(self._tokens))
                self._tokens[player_id] = await self._site.session(player_id)

    def _round(self, name: str) -> list[Call]:
        player_id = self._dice.choice(list(self._tokens))
        who = player_id, self._tokens[player_id]
        stake = bet(*who, f"bet-{name}", round_id=name)
        closing = {"round_close": True}
        won = movement("win", *who, f"win-{name}", round_id=name, amount=90, transfer=closing)
        odd: list[Call] = [
            (bet(*who, f"dear-{name}", round_id=name, amount=10**12), None),
            (stake, {"X-REQUEST-SIGN": "00" * 32}),
            (b'{"action":', None),
            (bet("nobody", who[1], f"nobody-{name}"), None),
        ]
        return [(stake, None), (stake, None), self._dice.choice(odd), (won, None), (won, None)]

    async def _ask(self) -> None:
        player_id = self._dice.choice(list(self._tokens))
        for path in (
            f"/players/{player_id}",
            f"/players/{player_id}/events?limit=50",
            "/reports/totals?by=day",
            "/rounds?limit=10",
            f"/players/{player_id}/evidence?round_id=none",
        ):
            await self._site.operate("GET", path)
        async with (
            aiohttp.ClientSession() as stranger,  # a connection of its own
            stranger.get(f"{self._site.base_url}/metrics") as answer,
        ):
            await answer.read()


@pytest.mark.soak
async def test_memory_files_threads_and_connections_stay_what_they_are(
    embedded_service: Callable[..., Service], directory: Path
) -> None:
    """A leak of a kilobyte a call ends a service at the weekend."""
    service = embedded_service(seals=sealed(directory / "seals"))
    await asyncio.to_thread(service.start)
    url = EmbeddedPostgres(directory / "pg").url(DATABASE, SUPERUSER)
    looks: list[Look] = []
    async with visiting(service.base_url) as site:
        play = Play(site)
        await play.seat()
        started = time.monotonic()
        until = started + SECONDS
        async with asyncio.TaskGroup() as clients:
            for number in range(CLIENTS):
                clients.create_task(play.client(f"c{number}", until))
            while time.monotonic() < until:
                await asyncio.sleep(SECONDS / LOOKS)
                looks.append(await asyncio.to_thread(look, service, url, started))
    assert play.answered > SECONDS
    judge([each for each in looks if each.at_s > SECONDS * WARM_UP])
    assert service.audit() == 0


def judge(looks: Sequence[Look]) -> None:
    """Figures for people, and what must be true of them."""
    hours = [each.at_s / 3600 for each in looks]
    lasting = set.intersection(*(set(each.memory) for each in looks))  # not those of reports
    memory = [sum(each.memory[pid] for pid in lasting) for each in looks]
    growth, _ = linear_regression(hours, memory)
    half = len(looks) // 2
    before, after = looks[:half], looks[half:]
    print(f"memory {memory[-1] / 2**20:.1f} MiB, {growth / 2**20:+.2f} MiB an hour")
    for name in ("files", "threads", "connections"):
        first = median(getattr(each, name) for each in before)
        last = median(getattr(each, name) for each in after)
        print(f"{name}: {first:g}, then {last:g}")
        assert last <= first + 1, name
    assert growth < GROWTH_MAX
