"""A wallet of The Bet Brothers' four calls, written from the rules and not from the code.

It takes the calls one by one and keeps what it needs, so that a million of them take seconds.
Money is in ledger units; the calls' amounts are cents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.faults.checker.history import Call

CENT: Final = 1_000
"""Ledger units of a cent."""
OK: Final = 200
NO_MONEY: Final = 402
NOT_FOUND: Final = 406
"""The original is not there, is refunded or is settled; any conflict but a bet's."""
REJECTED: Final = 408
"""A bet: in conflict, in a closed round, or refunded before it came."""


@dataclass(frozen=True)
class Verdict:
    """The status that a call must get, and the type of the event that it leaves, if any."""

    status: int
    event: str | None = None


@dataclass
class Stake:
    """A bet that was booked."""

    round_id: str
    place: int
    real: int
    bonus: int
    refunded: bool = False


@dataclass
class Win:
    """A win that was booked."""

    round_id: str
    place: int
    real: int
    bonus: int
    reversed: bool = False


@dataclass
class Round:
    """What was booked in a round, in order."""

    closed: bool = False
    bets: list[Stake] = field(default_factory=list)
    wins: list[Win] = field(default_factory=list)


@dataclass
class Wallet:
    """One player, after so many events."""

    real: int = 0
    bonus: int = 0
    booked: dict[str, Call] = field(default_factory=dict)
    bets: dict[str, Stake] = field(default_factory=dict)
    wins: dict[str, Win] = field(default_factory=dict)
    rounds: dict[str, Round] = field(default_factory=dict)
    tombstones: dict[str, str] = field(default_factory=dict)
    """By the bet that is not to come: the refund that came before it."""
    events: int = 0

    def judge(self, call: Call) -> Verdict:
        """What the call must get now. A replay: its first status, without an event (rule 1)."""
        first = self.booked.get(call.key)
        if first is not None:
            buried = call.action == "refund" and self._buries(call)
            if first.content() == call.content() and not buried:
                return Verdict(OK)
            return Verdict(REJECTED if call.action == "bet" else NOT_FOUND)
        match call.action:
            case "bet":
                return self._bet(call)
            case "win":
                return self._win(call)
            case "refund":
                return self._refund(call)
            case "rollback-win":
                return self._rollback(call)

    def _bet(self, call: Call) -> Verdict:
        played = self.rounds.get(call.round_id)
        if call.transaction_id in self.tombstones or (played is not None and played.closed):
            return Verdict(REJECTED)
        if call.amount and call.amount * CENT > self.real + self.bonus:
            return Verdict(NO_MONEY)
        return Verdict(OK, "bet_placed.v1")

    def _win(self, call: Call) -> Verdict:
        played = self.rounds.get(call.round_id, Round())
        refunded = played.bets and all(bet.refunded for bet in played.bets)
        if played.closed or refunded or not (played.bets or call.promo):
            return Verdict(NOT_FOUND)
        return Verdict(OK, "win_credited.v1")

    def _refund(self, call: Call) -> Verdict:
        bet = self.bets.get(call.original or "")
        if bet is None:
            heard_of = call.original in self.tombstones
            return Verdict(NOT_FOUND, None if heard_of else "refund_tombstoned.v1")
        if bet.refunded:
            return Verdict(OK, "refund_repeated.v1")
        wins = self.rounds[bet.round_id].wins
        if any(win.place > bet.place and not win.reversed for win in wins):
            return Verdict(NOT_FOUND)
        return Verdict(OK, "bet_refunded.v1")

    def _rollback(self, call: Call) -> Verdict:
        win = self.wins.get(call.original or "")
        if win is None:
            return Verdict(NOT_FOUND)
        return Verdict(OK, "win_reversal_repeated.v1" if win.reversed else "win_reversed.v1")

    def _buries(self, call: Call) -> bool:
        return self.tombstones.get(call.original or "") == call.transaction_id

    def give(self, real: int, bonus: int) -> None:
        """Money that the operator gave."""
        self.real += real
        self.bonus += bonus
        self.events += 1

    def pass_over(self) -> None:
        """An event that is none of the four calls and moves nothing."""
        self.events += 1

    def book(self, call: Call) -> tuple[int, int]:
        """What a call that must be booked now moves: real and bonus money, signed."""
        verdict = self.judge(call)
        assert verdict.event is not None
        self.booked[call.key] = call
        self.events += 1
        real, bonus = self._effect(call, verdict.event)
        self.real += real
        self.bonus += bonus
        return real, bonus

    def _effect(self, call: Call, event: str) -> tuple[int, int]:
        match event:
            case "bet_placed.v1":
                return self._stake(call)
            case "win_credited.v1":
                return self._credit(call)
            case "bet_refunded.v1":
                bet = self.bets[call.original or ""]
                bet.refunded = True
                return bet.real, bet.bonus
            case "win_reversed.v1":
                return self._take_back(self.wins[call.original or ""])
            case "refund_tombstoned.v1":
                self.tombstones[call.original or ""] = call.transaction_id
            case _:
                pass  # repeated: moves nothing
        return 0, 0

    def _stake(self, call: Call) -> tuple[int, int]:
        """Rule 7: real money first."""
        amount = call.amount * CENT
        real = min(max(self.real, 0), amount)
        bet = Stake(call.round_id, self.events, real, amount - real)
        self.bets[call.transaction_id] = bet
        played = self.rounds.setdefault(call.round_id, Round())
        played.bets.append(bet)
        played.closed = played.closed or call.closes
        return -bet.real, -bet.bonus

    def _credit(self, call: Call) -> tuple[int, int]:
        """Rule 7: split as the stakes were that still stand; what cannot be split is real."""
        played = self.rounds.setdefault(call.round_id, Round())
        standing = [bet for bet in played.bets if not bet.refunded]
        staked = sum(bet.real + bet.bonus for bet in standing)
        amount = call.amount * CENT
        bonus = amount * sum(bet.bonus for bet in standing) // staked if staked else 0
        win = Win(call.round_id, self.events, amount - bonus, bonus)
        self.wins[call.transaction_id] = win
        played.wins.append(win)
        played.closed = played.closed or call.closes
        return win.real, win.bonus

    def _take_back(self, win: Win) -> tuple[int, int]:
        """Rule 10, "negative": each kind pays its own share, then the other helps out."""
        win.reversed = True
        due = win.real + win.bonus
        bonus = min(self.bonus, max(win.bonus, due - max(self.real, 0)))
        return -(due - bonus), -bonus
