"""Plays all players against the server, several at once, then compares every balance."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from random import Random

from adapters.simulate.checks import check_events, check_player
from adapters.simulate.client import Client, Unplayable, Unsettled, open_session
from adapters.simulate.desk import Desk
from adapters.simulate.operator_api import Operator
from adapters.simulate.playing import Playing
from adapters.simulate.script import steps
from adapters.simulate.tally import Tally
from adapters.simulate.target import Target

EVENTS_CHECKED_PLAYERS_MAX = 500
"""With more players than these, the events of this many are read."""

CURRENCIES = ("EUR", "EUR", "EUR", "EUR", "EUR", "JPY", "JPY", "KWD", "KWD", "KWD")
"""By the last digit of the player's number."""

SECOND_CURRENCY_EVERY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is played; ``seed`` decides everything but the run's ids."""

    players: int
    rounds: int
    seed: int
    concurrency: int


class Simulation:
    """One run against one server."""

    def __init__(
        self, target: Target, plan: Plan, *, progress: Callable[[str, int, int], None]
    ) -> None:
        """``progress`` is told the phase, how many players are through, and of how many."""
        self.run_id = secrets.token_hex(4)
        self.tally = Tally()
        self._target = target
        self._plan = plan
        self._progress = progress
        self._disabled_game = f"sim::disabled-{self.run_id}" if target.is_admin else ""

    async def run(self) -> Tally:
        """Play and check; an answer that never comes is a difference. Raises `Unplayable`."""
        started = time.perf_counter()
        async with open_session(self._plan.concurrency) as http:
            client = Client(self._target.url, http)
            operator = Operator(client, self._target.token)
            desks = [self._desk(number) for number in range(self._plan.players)]
            await operator.greet()
            await self._disable_games(operator)
            await self._each("playing", desks, lambda desk: self._play(desk, client, operator))
            await self._each("checking", desks, lambda desk: self._check(desk, operator))
        self.tally.requests, self.tally.repeated = client.requests, client.repeated
        self.tally.duration_s = time.perf_counter() - started
        return self.tally

    async def _each(
        self, phase: str, desks: list[Desk], work: Callable[[Desk], Awaitable[None]]
    ) -> None:
        """Do the work for every player, ``concurrency`` at once."""
        waiting: Iterator[Desk] = iter(desks)
        done = 0

        async def worker() -> None:
            nonlocal done
            for desk in waiting:
                try:
                    await work(desk)
                except Unsettled as error:
                    self.tally.differ(desk.player_id, phase, "a final answer", error)
                done += 1
                self._progress(phase, done, len(desks))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._plan.concurrency, len(desks))):
                group.create_task(worker())

    async def _play(self, desk: Desk, client: Client, operator: Operator) -> None:
        playing = Playing(desk.player_id, client, operator, self.tally)
        number = self._number(desk)
        rounds = self._plan.rounds // self._plan.players
        rounds += number < self._plan.rounds % self._plan.players
        for step in steps(desk, rounds=rounds, currencies=currencies(number)):
            await playing.perform(step)

    async def _check(self, desk: Desk, operator: Operator) -> None:
        await check_player(operator, desk.book, self.tally)
        if self._number(desk) < EVENTS_CHECKED_PLAYERS_MAX:
            await check_events(operator, desk.book, self.tally)

    @staticmethod
    def _number(desk: Desk) -> int:
        return int(desk.player_id.rpartition("-")[2])

    def _desk(self, number: int) -> Desk:
        run_number = 1_000_000 + int(self.run_id, 16) % 9_000_000
        desk = Desk(
            f"sim-{self._plan.seed}-{self.run_id}-{number}",
            prefix=f"{self.run_id}-{number}",
            number=run_number * 100_000 + number,
            wires=self._target.wires,
            chance=Random(f"{self._plan.seed}/{number}"),  # noqa: S311  (no secret)
        )
        if self._disabled_game:
            desk.disable_game(self._disabled_game)
        return desk

    async def _disable_games(self, operator: Operator) -> None:
        """Switch one game of every integration off, for bets that must be refused."""
        if not self._disabled_game:
            return
        for wire in self._target.wires:
            name = wire.switches.name
            try:
                wrong = await operator.disable_game(name, self._disabled_game)
            except Unsettled as error:
                raise Unplayable(f"a game of {name} cannot be disabled: {error}") from error
            if wrong is not None:
                self.tally.differ("-", f"disable a game of {name}", *wrong)


def currencies(number: int) -> tuple[str, ...]:
    """The currencies of the player with this number: one, and for some a second."""
    first = CURRENCIES[number % 10]
    return (first, "USD") if number % SECOND_CURRENCY_EVERY == 0 else (first,)
