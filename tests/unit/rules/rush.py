"""Several committers on one partition, and clients in a rush: a run of arbitrary commands.

What happens is decided by the seed, up to the order of Python's sets (PYTHONHASHSEED=0).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count, islice
from typing import Final

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from ledger import batch as batch_module
from ledger import player as player_module
from ledger.batch import _EVENTS_MAX as EVENTS_MAX
from ledger.batch import Accepted, Outcome
from ledger.commands import Command, Deposit, GameCommand, OpenSession, SetGame
from ledger.committer import Committer, CommitterLimits
from ledger.outage import Outage
from ledger.player import PAST_ROUNDS_MAX
from tests.faults.ledgers import Counts
from tests.unit.rules.commands import GAMES, SEATS, Maker, T, opening
from tests.unit.rules.memory_store import Memory, MemoryStore

COMMANDS: Final = 120
"""So many in a run."""

CIRCLES_S: Final = 20.0
"""A command that takes longer goes in circles: nothing here waits for anything."""

TABLE: Final = (SEATS[0], SEATS[-1])
"""Two players of one provider."""


@dataclass(frozen=True)
class Bounds:
    """How little the wallets in memory hold, and how often the store fails, from 0 to 1."""

    open_rounds: int
    past_rounds: int
    last_rounds: int
    sessions: int
    faults: float

    def apply(self, patch: pytest.MonkeyPatch) -> None:
        """Make them so small, and with them what the code derives from them."""
        patch.setattr(player_module, "OPEN_ROUNDS_MAX", self.open_rounds)
        patch.setattr(player_module, "PAST_ROUNDS_MAX", self.past_rounds)
        patch.setattr(player_module, "LAST_ROUNDS_MAX", self.last_rounds)
        patch.setattr(player_module, "SESSIONS_MAX", self.sessions)
        events = self.past_rounds * EVENTS_MAX // PAST_ROUNDS_MAX
        patch.setattr(batch_module, "_EVENTS_MAX", events)


BOUNDS: Final = (
    Bounds(200, 100, 16, 32, faults=0.0),
    Bounds(200, 100, 16, 32, faults=0.2),
    Bounds(1, 1, 0, 32, faults=0.1),
    Bounds(2, 2, 1, 32, faults=0.0),
    Bounds(4, 3, 1, 32, faults=0.1),
    # Whoever opens a session and loses the answer must find it in memory: no faults with these.
    Bounds(3, 2, 1, 4, faults=0.0),
)


@dataclass
class Call:
    """A command, and when by the run's own count it was sent and answered."""

    command: Command | SetGame
    movement_id: str
    sent: int
    answered: int = 0
    outcome: Outcome | None = None

    def __str__(self) -> str:
        answer: object = self.outcome
        if isinstance(answer, Accepted):
            answer = ("replayed" if answer.replayed else "accepted", answer.version, answer.event)
        return f"{self.movement_id} [{self.sent} to {self.answered}] {self.command}: {answer}"


class Run:
    """Some committers, and as many clients as call them at any one time."""

    def __init__(self, seed: int, memory: Memory | None = None) -> None:
        self.bounds = BOUNDS[seed % len(BOUNDS)]
        self.memory = memory or Memory()
        self.counts = Counts()
        self.calls: list[Call] = []
        self.errors: list[str] = []
        """Lines of the log that tell of an error."""
        self._random = random.Random(seed)
        self._ticks = count(1)

    async def play(self, waiting: Iterator[Command | SetGame]) -> None:
        """Send every command to one committer or another, and wait for the last answer."""
        committers = [self._committer() for _ in range(self._random.choice((2, 2, 3)))]
        working = [asyncio.create_task(committer.run()) for committer in committers]
        await self._client(committers, islice(waiting, len(opening())))
        clients = self._random.choice((2, 4, 12, 40))
        await asyncio.gather(*(self._client(committers, waiting) for _ in range(clients)))
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        for batch in list(self.memory.under_way):
            self.memory.land(batch)

    def _committer(self) -> Committer:
        choose = self._random.choice
        limits = CommitterLimits(
            batch_max=choose((1, 3, 256)),
            queue_wait_s=CIRCLES_S,
            answer_s=CIRCLES_S,
            wallets_max=choose((1, 2, 100)),
            keys_max=choose((1, 3, 1000)),
            snapshot_every=choose((2, 50)),
            notify_pause_s=0,
            retry_pause_s=0,
        )
        store = MemoryStore(self.memory, self._random, self.bounds.faults)
        return Committer(store, self.counts, Outage([0.0], 0), limits)

    async def _client(
        self, committers: Sequence[Committer], waiting: Iterator[Command | SetGame]
    ) -> None:
        for command in waiting:
            await self._call(committers, command)

    async def _call(self, committers: Sequence[Committer], command: Command | SetGame) -> None:
        call = Call(command, f"m{len(self.calls)}", sent=next(self._ticks))
        self.calls.append(call)
        committer = self._random.choice(committers)
        call.outcome = await committer.submit(command, call.movement_id, time.monotonic())
        call.answered = next(self._ticks)


def play(seed: int, memory: Memory | None = None) -> Run:
    """A run with this seed, from the first command to the last answer."""
    run = Run(seed, memory)
    with pytest.MonkeyPatch.context() as patch, capture_logs() as lines:
        run.bounds.apply(patch)
        asyncio.run(run.play(_commands(seed)))
    run.errors += [str(line) for line in lines if line["log_level"] == "error"]
    return run


def _commands(seed: int) -> Iterator[Command | SetGame]:
    """Arbitrary commands; the same ones come again, often while the first are still under way."""
    generator = random.Random(seed)

    def choose(options: Sequence[T], /) -> T:
        return generator.choice(options)

    crowded = choose((True, True, False))
    maker, sent = Maker(choose), [*opening(), *(_riches() if crowded else ())]
    minted = {command.session for command in sent if isinstance(command, OpenSession)}
    yield from map(_hashed, sent)
    while len(sent) < COMMANDS:
        if not crowded and generator.random() < 0.02:
            yield SetGame(integration="a", game=choose(GAMES), enabled=choose((True, True, False)))
        command = maker.command()
        if crowded:
            if not isinstance(command, GameCommand):
                continue
            command = _at_one_table(command, closes=choose((True, False, False)))
        if generator.random() < 0.15:
            command = choose(sent[-10:])
        if isinstance(command, OpenSession):
            if command.session in minted:
                continue  # a token is minted once
            minted.add(command.session)
        sent.append(command)
        yield _hashed(command)


def _riches() -> Iterator[Command]:
    for player, _, currency, session in TABLE:
        key = f"riches-{session}"
        yield Deposit(
            player_id=player,
            operation="deposit",
            key=key,
            transaction_id=key,
            amount=1_000_000,
            currency=currency,
        )


def _at_one_table(command: GameCommand, *, closes: bool) -> GameCommand:
    """The same where everybody is: two players with each other's keys, a few rounds at a time."""
    elsewhere = (command.player_id, command.integration) != ("p1", "a")
    player, integration, currency, session = TABLE[elsewhere]
    round_id = command.round_id
    if round_id is not None and round_id.startswith("r"):
        round_id = f"r{int(round_id[1:]) // 3}"
    return replace(
        command,
        player_id=player,
        integration=integration,
        currency=command.currency and currency,
        session=command.session and session,
        game="slot",
        round_id=round_id,
        closes_round=closes and command.closes_round,
    )


def _hashed(command: Command) -> Command:
    """The same command with its sessions named as the database names them."""
    names = {
        name: sha256(token.encode()).hexdigest()
        for name in ("session", "parent")
        if (token := getattr(command, name, None)) is not None
    }
    return replace(command, **names)
