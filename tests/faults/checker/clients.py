"""Providers that play in a process of their own, so that no fault that is made starves them.

Standard input: what `Orders` says, as JSON. They play until SIGTERM, or until they have sent as
many calls as wanted; then they settle what was left open, repeat a part of everything, and end.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tests.acceptance.provider import PATH, signature
from tests.faults.checker.history import (
    FINAL_BELOW,
    Action,
    Began,
    Call,
    Intent,
    Recorder,
    Returned,
    Sent,
)
from tests.faults.checker.model import NO_MONEY

TIMEOUT_S = 5.0
PAUSE_S = 0.1
TWINS = 0.05
"""Part of the calls that are sent twice at once."""
AGAIN = 0.2
"""Part of them after which an old one is repeated."""
ALTERED = 0.05
"""Part of them that another content is sent with, under the same id."""
GIVEN_UP = 0.3
"""Part of the bets without an answer that are cancelled in place of being repeated."""
STAKE_MAX = 1_000
HELP = 5_000
HELPED = 0.5
"""Part of the bets without money that a promotion of `HELP` follows."""
REPEATED_AT_THE_END = 200


class Orders(msgspec.Struct):
    """What to play. ``players`` and ``own`` by id: the token of a live session.

    All clients play with ``players``; each has one of ``own`` for itself, so that it knows what
    this one has. ``money``: cents that each player has, real and bonus. ``calls``: an end; 0 =
    none but SIGTERM.
    """

    base_url: str
    history: str
    players: dict[str, str]
    own: dict[str, str]
    money: int
    seed: int = 0
    calls: int = 0


class Playing:
    """All clients: what they share."""

    def __init__(self, orders: Orders, recorder: Recorder, http: aiohttp.ClientSession) -> None:
        self.orders = orders
        self.stopping = False
        self._tokens = orders.players | orders.own
        self._recorder = recorder
        self._http = http
        self._attempts = 0
        self.calls: list[Call] = []
        self.final: set[int] = set()

    def call(self, **fields: Any) -> Call:
        """A new call, written down before it is sent."""
        call = Call(number=len(self.calls), **fields)
        self.calls.append(call)
        self._recorder.write(Intent(call))
        if self.orders.calls and len(self.calls) >= self.orders.calls:
            self.stopping = True
        return call

    async def attempt(self, call: Call) -> int | None:
        """Send a call once; the status, or None where nothing came back."""
        self._attempts += 1
        number = self._attempts
        body = call.body(self._tokens[call.player_id])
        self._recorder.write(Sent(number, call.number, time.monotonic_ns()))
        try:
            async with self._http.post(
                self.orders.base_url + PATH,
                data=body,
                headers={"X-REQUEST-SIGN": signature(body)},
            ) as answer:
                text = (await answer.read()).decode()
        except (aiohttp.ClientError, TimeoutError):
            self._recorder.write(Returned(number, time.monotonic_ns()))
            return None
        self._recorder.write(Returned(number, time.monotonic_ns(), answer.status, text))
        if answer.status < FINAL_BELOW:
            self.final.add(call.number)
        return answer.status

    async def insist(self, call: Call) -> int:
        """Send a call until its answer is final, as providers do for hours."""
        while True:
            status = await self.attempt(call)
            if status is not None and status < FINAL_BELOW:
                return status
            await asyncio.sleep(PAUSE_S)

    async def settle(self) -> None:
        """Nothing stays unknown; and a part of everything is asked once more."""
        for call in self.calls:
            if call.number not in self.final:
                await self.insist(call)
        dice = random.Random(self.orders.seed)
        for call in dice.sample(self.calls, min(len(self.calls), REPEATED_AT_THE_END)):
            await self.insist(call)


class Client:
    """One provider's thread: play after play."""

    def __init__(self, name: str, own: str, playing: Playing) -> None:
        self._name = name
        self._own = own
        self._playing = playing
        self._dice = random.Random(f"{name}-{playing.orders.seed}")
        self._mine: list[Call] = []
        self._numbers = 0
        self._has = playing.orders.money
        self._plays = [
            self._round,
            self._round,
            self._round,
            self._refunded,
            self._refund_first,
            self._refund_after_the_win,
            self._win_taken_back,
            self._closed_by_its_bet,
            self._bet_and_refund_at_once,
            self._win_of_nothing,
            self._one_cent_short,
        ]

    async def play(self) -> None:
        """Play until told to stop."""
        while not self._playing.stopping:
            await self._dice.choice(self._plays)()

    # --- plays ---------------------------------------------------------------

    async def _round(self) -> None:
        """One to three bets, and one win that closes the round; half of the time a loss."""
        who, played = self._player(), self._id("round")
        for _ in range(self._dice.choice((1, 1, 1, 2, 3))):
            await self._bet(who, played)
        amount = self._dice.choice((0, 1)) * self._dice.randrange(2 * STAKE_MAX)
        await self._do(self._new("win", who, played, amount, closes=True))

    async def _refunded(self) -> None:
        """A second refund moves nothing; a win comes too late."""
        who, played = self._player(), self._id("round")
        bet = await self._bet(who, played)
        for _ in range(2):
            await self._do(self._new("refund", who, played, bet.amount, bet.transaction_id))
        await self._do(self._new("win", who, played, STAKE_MAX))

    async def _refund_first(self) -> None:
        """The refund overtakes its bet."""
        who, played = self._player(), self._id("round")
        bet = self._new("bet", who, played, self._stake())
        await self._do(self._new("refund", who, played, bet.amount, bet.transaction_id))
        await self._do(bet)

    async def _refund_after_the_win(self) -> None:
        """Refused: the bet is settled."""
        who, played = self._player(), self._id("round")
        bet = await self._bet(who, played)
        await self._do(self._new("win", who, played, self._stake()))
        await self._do(self._new("refund", who, played, bet.amount, bet.transaction_id))

    async def _win_taken_back(self) -> None:
        """Twice, under two ids; the second moves nothing."""
        who, played = self._player(), self._id("round")
        await self._bet(who, played)
        win = self._new("win", who, played, self._stake())
        await self._do(win)
        for _ in range(2):
            await self._do(self._new("rollback-win", who, played, win.amount, win.transaction_id))

    async def _closed_by_its_bet(self) -> None:
        """No further bet; but the stake goes back."""
        who, played = self._player(), self._id("round")
        bet = await self._bet(who, played, closes=True)
        await self._bet(who, played)
        await self._do(self._new("refund", who, played, bet.amount, bet.transaction_id))

    async def _bet_and_refund_at_once(self) -> None:
        who, played = self._player(), self._id("round")
        bet = self._new("bet", who, played, self._stake())
        refund = self._new("refund", who, played, bet.amount, bet.transaction_id)
        await asyncio.gather(self._playing.insist(bet), self._playing.insist(refund))

    async def _win_of_nothing(self) -> None:
        await self._do(self._new("win", self._player(), self._id("round"), STAKE_MAX))

    async def _one_cent_short(self) -> None:
        """This player plays nowhere else: what it has is known."""
        played = self._id("round")
        for amount in (self._has + 1, self._has):
            await self._playing.insist(self._new("bet", self._own, played, amount))
        win = self._new("win", self._own, played, self._has, closes=True)
        await self._playing.insist(win)

    # --- calls ---------------------------------------------------------------

    async def _bet(self, who: str, played: str, *, closes: bool = False) -> Call:
        """A bet; one that is not answered may be cancelled, and what became of it is open."""
        bet = self._new("bet", who, played, self._stake(), closes=closes)
        status = await self._playing.attempt(bet)
        if status is not None and status < FINAL_BELOW:
            self._mine.append(bet)
            await self._pester(bet)
            if status == NO_MONEY and self._dice.random() < HELPED:
                await self._do(self._promo(who))
        elif self._dice.random() < GIVEN_UP:
            await self._do(self._new("refund", who, played, bet.amount, bet.transaction_id))
        else:
            await self._do(bet)
        return bet

    async def _do(self, call: Call) -> None:
        copies = 2 if self._dice.random() < TWINS else 1
        await asyncio.gather(*(self._playing.insist(call) for _ in range(copies)))
        self._mine.append(call)
        await self._pester(call)

    async def _pester(self, call: Call) -> None:
        """What a provider does wrong: old calls again, and new content under an old id."""
        if self._dice.random() < ALTERED:
            fields = msgspec.structs.asdict(call) | {"amount": call.amount + 1}
            del fields["number"]
            altered = self._playing.call(**fields)
            await asyncio.gather(self._playing.insist(altered), self._playing.insist(call))
        if self._dice.random() < AGAIN:
            await self._playing.insist(self._dice.choice(self._mine))

    def _new(
        self,
        action: Action,
        who: str,
        played: str,
        amount: int,
        original: str | None = None,
        *,
        closes: bool = False,
    ) -> Call:
        return self._playing.call(
            player_id=who,
            action=action,
            transaction_id=self._id(action),
            round_id=played,
            amount=amount,
            original=original,
            closes=closes,
        )

    def _promo(self, who: str) -> Call:
        """A win without a bet: else long runs would be those of players without money."""
        return self._playing.call(
            player_id=who,
            action="win",
            transaction_id=self._id("promo"),
            round_id=self._id("round"),
            amount=HELP,
            closes=True,
            promo=True,
        )

    def _id(self, what: str) -> str:
        self._numbers += 1
        return f"{self._name}-{what}-{self._numbers}"

    def _player(self) -> str:
        return self._dice.choice(list(self._playing.orders.players))

    def _stake(self) -> int:
        return self._dice.randrange(STAKE_MAX)


async def _play(orders: Orders, recorder: Recorder) -> None:
    loop = asyncio.get_running_loop()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        playing = Playing(orders, recorder, http)
        loop.add_signal_handler(signal.SIGTERM, setattr, playing, "stopping", True)
        clients = [Client(f"c{number}", own, playing) for number, own in enumerate(orders.own)]
        await asyncio.gather(*(client.play() for client in clients))
        await playing.settle()


def main() -> None:
    """Play as standard input says."""
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    with Path(orders.history).open("w", buffering=1, encoding="utf-8") as file:
        recorder = Recorder(file)
        recorder.write(Began(time.monotonic_ns(), time.time_ns()))
        asyncio.run(_play(orders, recorder))


if __name__ == "__main__":
    main()
