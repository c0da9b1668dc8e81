"""Providers that keep betting while things break, and the reckoning afterwards.

Each bet is repeated under its own id until its answer is final, as providers do; nothing that was
answered may be missing from the log, and nothing may be in it twice.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.acceptance.provider import Answer, Site, bet

PLAYERS = ("ann", "bob", "cid")
CLIENTS = 6
MONEY = 1_000_000


class Load:
    """Bets of 1.00, and what was answered."""

    def __init__(self, site: Site, tokens: dict[str, str]) -> None:
        self._site = site
        self._tokens = tokens
        self._dice = random.Random(11)
        self._stopping = False
        self.answers: dict[str, tuple[str, Answer]] = {}
        self.answered_at: dict[str, float] = {}
        self.repeated = 0

    async def grows(self, bets: int, deadline_s: float = 120.0) -> None:
        """Wait until so many further bets were answered."""
        wanted = len(self.answers) + bets
        async with asyncio.timeout(deadline_s):
            while len(self.answers) < wanted:  # noqa: ASYNC110 - the clients are the event
                await asyncio.sleep(0.02)

    async def client(self, name: str) -> None:
        """One client: bet after bet, now and then an old one again or the same twice at once."""
        number = 0
        while not self._stopping:
            number += 1
            player_id = self._dice.choice(PLAYERS)
            transaction_id = f"{name}-{number}"
            body = bet(player_id, self._tokens[player_id], transaction_id)
            twins = 2 if self._dice.random() < 0.2 else 1
            answers = await asyncio.gather(*(self._site.insist(body) for _ in range(twins)))
            assert all(answer == answers[0] for answer in answers), answers
            assert answers[0].status == 200, answers[0]
            self.answered_at[transaction_id] = time.time()
            self.answers[transaction_id] = (player_id, answers[0])
            await self._repeat_an_old_one()

    async def _repeat_an_old_one(self) -> None:
        transaction_id, (player_id, first) = self._dice.choice(list(self.answers.items()))
        body = bet(player_id, self._tokens[player_id], transaction_id)
        try:
            again = await self._site.send(body)
        except (aiohttp.ClientError, TimeoutError):
            return
        if again.status < 500:
            self.repeated += 1
            assert again == first, (first, again)

    def stop(self) -> None:
        """Let the clients finish the bets they are at."""
        self._stopping = True

    async def reckon(self) -> None:
        """Compare the log with the answers, and repeat every bet once more."""
        for player_id in PLAYERS:
            mine = {key: told for key, (who, told) in self.answers.items() if who == player_id}
            booked = await self._site.bets(player_id)
            assert sorted(event["transaction_id"] for event in booked) == sorted(mine)
            for event in booked:
                answer = mine[event["transaction_id"]].json
                assert answer["transaction_id"] == event["movement_id"]
            assert await self._site.balance(player_id) == f"{MONEY - len(mine)}.00"
        for transaction_id, (player_id, first) in self.answers.items():
            body = bet(player_id, self._tokens[player_id], transaction_id)
            assert await self._site.insist(body) == first


@asynccontextmanager
async def betting(site: Site, clients: int = CLIENTS) -> AsyncIterator[Load]:
    """So many clients that bet until the block ends; then the reckoning."""
    load = Load(
        site, {player_id: await site.player(player_id, f"{MONEY}.00") for player_id in PLAYERS}
    )
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(load.client(f"client-{number}"))
        await load.grows(10)
        yield load
        load.stop()
    await load.reckon()
