"""Plays rounds in the ledger and tells them as a provider's statement, with faults planted in it.

The statement is told from what was sent, never from what the ledger says.
"""

from __future__ import annotations

import asyncio
import csv
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger import commands as c
from ledger.codec import partition_of
from ledger.committer import CommitterLimits
from ledger.money import currency, to_decimal_string
from ledger.service import Accepted, Ledger, token_hash
from tests.bench.load_history import Silent

EUR: Final = currency("EUR", 2)
COLUMNS: Final = (
    "transaction_id",
    "operation",
    "amount",
    "currency",
    "player_id",
    "round_id",
    "reference",
)
_LONG: Final = c.Policy(session_ttl_s=10_000_000)
_CONTROL: Final = {"bet": c.PlaceBet, "win": c.CreditWin}
_UNDOES: Final = {"refund": c.RefundBet, "rollback-win": c.ReverseWin}


class Line(msgspec.Struct):
    """A row as the provider writes it; ``amount`` in ledger units."""

    transaction_id: str
    operation: str
    amount: int
    currency: str
    player_id: str
    round_id: str
    reference: str = ""

    def cells(self) -> list[str]:
        """What stands in the file."""
        texts = msgspec.structs.asdict(self)
        texts["amount"] = to_decimal_string(self.amount, EUR)
        return [str(texts[name]) for name in COLUMNS]


def write_csv(file: Path, lines: Iterable[Line]) -> Path:
    """The statement as CSV."""
    with file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(line.cells() for line in lines)
    return file


def write_jsonl(file: Path, lines: Iterable[Line]) -> Path:
    """The statement as JSON Lines."""
    told = (json.dumps(dict(zip(COLUMNS, line.cells(), strict=True))) for line in lines)
    file.write_text("".join(line + "\n" for line in told), encoding="utf-8")
    return file


def betbrothers_key(operation: str, transaction_id: str) -> str:
    """The key of a provider who gives a refund the id of its bet."""
    return f"{operation}:{transaction_id}"


class Player:
    """One player's rounds at `slots`, in their order."""

    def __init__(self, ledger: Ledger, player_id: str, chance: random.Random) -> None:
        self.player_id = player_id
        self.lines: list[Line] = []
        self._ledger = ledger
        self._chance = chance

    async def seat(self) -> None:
        """Registers, brings money, opens a session."""
        money: dict[str, Any] = {"operation": "deposit", "currency": "EUR"}
        for command in (
            c.RegisterPlayer(player_id=self.player_id, currency="EUR"),
            c.Deposit(
                player_id=self.player_id,
                key=f"deposit:{self.player_id}",
                transaction_id=self.player_id,
                amount=10**15,
                **money,
            ),
            c.OpenSession(
                player_id=self.player_id,
                session=token_hash(self.player_id),
                integration="slots",
                game="g1",
                currency="EUR",
                policy=_LONG,
            ),
        ):
            await self._execute(command)

    async def play(self, rows: int) -> None:
        """So many rows of the statement, and what moves nothing between them."""
        wanted = len(self.lines) + rows
        while len(self.lines) < wanted:
            await self._round()

    async def book(self, operation: str, transaction_id: str, round_id: str, **more: Any) -> Line:
        """One call that moves money, and its row."""
        command = self.command(operation, transaction_id, round_id, **more)
        await self._execute(command)
        reference = transaction_id if "original" in more else ""
        amount = more["amount"]
        return Line(transaction_id, operation, amount, "EUR", self.player_id, round_id, reference)

    def command(
        self, operation: str, transaction_id: str, round_id: str, **more: Any
    ) -> c.GameCommand:
        """One call; ``original``: the key of what it undoes."""
        amount = more.pop("amount", None)
        original = more.pop("original", None)
        kind: Any = _CONTROL.get(operation) or _UNDOES[operation]
        fields: dict[str, Any] = {
            "player_id": self.player_id,
            "integration": "slots",
            "operation": operation,
            "key": betbrothers_key(operation, transaction_id),
            "transaction_id": transaction_id,
            "policy": _LONG,
            "session": token_hash(self.player_id),
            "game": "g1",
            "round_id": round_id,
            "currency": "EUR",
            "amount": amount,
            **more,
        }
        if original is not None:
            fields["original_key"] = original
        command: c.GameCommand = kind(**fields)
        return command

    async def _round(self) -> None:
        round_id = self._identifier()
        identifier = self._identifier()
        stake = self._chance.randrange(1, 10**7)
        free = self._chance.random() < 0.05
        bet = await self.book("bet", identifier, round_id, amount=0 if free else stake)
        if not free:  # what moves nothing is not in this provider's statement
            self.lines.append(bet)
        end = self._chance.random()
        if end < 0.15 and not free:
            refund = await self.book(
                "refund", identifier, round_id, amount=stake, original=f"bet:{identifier}"
            )
            self.lines.append(refund)
        elif end < 0.7:
            won = self._identifier()
            prize = self._chance.randrange(1, 10**7)
            self.lines.append(await self.book("win", won, round_id, amount=prize))
            if self._chance.random() < 0.1:
                reversal = await self.book(
                    "rollback-win", won, round_id, amount=prize, original=f"win:{won}"
                )
                self.lines.append(reversal)
        else:
            await self.book("win", self._identifier(), round_id, amount=0, closes_round=True)

    def _identifier(self) -> str:
        return f"{self._chance.getrandbits(96):024x}"

    async def _execute(self, command: c.Command) -> None:
        outcome = await self._ledger.execute(command)
        assert isinstance(outcome, Accepted), outcome


def opened(url: str, partitions: int) -> Ledger:
    """A ledger that takes its time."""
    limits = CommitterLimits(batch_max=1_000, queue_wait_s=60.0, answer_s=60.0)
    return Ledger(url, partitions, Silent(), limits)


async def played(
    ledger: Ledger, rows: int, seed: int, players: int = 100
) -> tuple[list[Player], list[Line]]:
    """Players of both partitions, and the rows of all, mixed."""
    seats = [
        Player(ledger, f"p{number}", random.Random(f"{seed}:{number}")) for number in range(players)
    ]
    await asyncio.gather(*(seat.seat() for seat in seats))
    await asyncio.gather(*(seat.play(-(-rows // players)) for seat in seats))
    lines = [line for seat in seats for line in seat.lines]
    random.Random(seed).shuffle(lines)
    return seats, lines


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


class Faults:
    """Plants so many faults of each kind into a statement, each into rows of its own."""

    def __init__(self, lines: Sequence[Line], each: int, seed: int) -> None:
        self.lines: list[Line] = list(lines)
        self.planted: dict[str, set[str]] = {}
        self._each = each
        self._chance = random.Random(seed)
        # A refund shares its bet's id: only ids that stand once can be told by the id alone.
        counts: dict[str, int] = {}
        for line in lines:
            counts[line.transaction_id] = counts.get(line.transaction_id, 0) + 1
        alone = [place for place, line in enumerate(lines) if counts[line.transaction_id] == 1]
        self._chance.shuffle(alone)
        shared = [place for place, line in enumerate(lines) if line.reference]
        self._chance.shuffle(shared)
        self._alone, self._shared = iter(alone), iter(shared)

    def plant(self) -> None:
        """Every kind that a statement can have."""
        self._change("amount_mismatch", lambda line: {"amount": line.amount + self._some()})
        self._change("currency_mismatch", lambda _: {"currency": "USD"})
        self._change("player_mismatch", lambda line: {"player_id": line.player_id + "x"})
        self._change("round_mismatch", lambda line: {"round_id": line.round_id[::-1] + "0"})
        other = {"bet": "win", "win": "bet"}
        self._change("operation_mismatch", lambda line: {"operation": other[line.operation]})
        self._change("reference_mismatch", lambda _: {"reference": "another"}, self._shared)
        dropped = list(self._take("missing_in_statement", self._alone))
        repeated = list(self._take("repeated_in_statement", self._alone))
        strangers = [
            msgspec.structs.replace(self.lines[place], transaction_id=f"unheard-of-{number}")
            for number, place in enumerate(self._chance.sample(range(len(self.lines)), self._each))
        ]
        self.planted["missing_in_ledger"] = {line.transaction_id for line in strangers}
        added = strangers + [self.lines[place] for place in repeated]
        for place in sorted(dropped, reverse=True):
            del self.lines[place]
        for line in added:
            self.lines.insert(self._chance.randrange(len(self.lines) + 1), line)

    async def book_twice(self, seats: Sequence[Player], partitions: int) -> None:
        """Use keys of bets again, by a player of another partition: no commit spans two."""
        by_place = {partition_of(seat.player_id, partitions): seat for seat in seats}
        for place in self._take("two_in_ledger", self._bets()):
            line = self.lines[place]
            mine = partition_of(line.player_id, partitions)
            other = next(seat for where, seat in by_place.items() if where != mine)
            await other.book("bet", line.transaction_id, line.round_id, amount=line.amount)

    def _bets(self) -> Iterator[int]:
        return (place for place in self._alone if self.lines[place].operation == "bet")

    def _change(
        self,
        kind: str,
        change: Callable[[Line], dict[str, Any]],
        places: Iterator[int] | None = None,
    ) -> None:
        for place in self._take(kind, places or self._alone):
            line = self.lines[place]
            self.lines[place] = msgspec.structs.replace(line, **change(line))

    def _take(self, kind: str, places: Iterator[int]) -> Iterator[int]:
        named = self.planted.setdefault(kind, set())
        for _ in range(self._each):
            place = next(places)
            named.add(self.lines[place].transaction_id)
            yield place

    def _some(self) -> int:
        """A ledger unit, a cent, or more."""
        return self._chance.choice((1, 1_000, 12_345_678))
