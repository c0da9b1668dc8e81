"""Whether what the providers were told and what the ledger holds can both be true.

I1 to I6 of what is promised: each acknowledgement has its event, and one; no key moved money
twice; no event without a call, nor for a refusal; every acknowledgement of a key is the same; the
log replayed on a wallet of its own gives every amount and balance; versions have no gap, and a
player's order is that of real time: what was answered before another call was sent stands before
it, and a refusal was right at some moment between its sending and its answer.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import Any

from tests.faults.checker.history import Attempt, Call, History
from tests.faults.checker.log import Booked
from tests.faults.checker.model import CENT, Wallet

BURIED = "refund_tombstoned.v1"
NEVER = 1 << 62
FINDINGS_MAX = 100


@dataclass
class Result:
    """What cannot be true, and which situations the history reached (I11)."""

    findings: list[str] = field(default_factory=list)
    situations: Counter[str] = field(default_factory=Counter)
    balances: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Real and bonus money of each player at the end, by the model; ledger units."""


def check(history: History, log: Sequence[Booked]) -> Result:
    """Compare both; findings stop at `FINDINGS_MAX`."""
    return _Check(history, log).result


class _Check:
    def __init__(self, history: History, log: Sequence[Booked]) -> None:
        self.result = Result()
        self._history = history
        self._calls: dict[str, list[Call]] = defaultdict(list)
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        for call in history.calls:
            self._calls[call.key].append(call)
        self._refused: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in history.attempts:
            self._attempts[attempt.call.key].append(attempt)
            if attempt.refused:
                self._refused[attempt.call.player_id].append(attempt)
        self._event: dict[str, Booked] = {}
        self._made_by: dict[str, Call] = {}
        players: dict[str, list[Booked]] = defaultdict(list)
        for booked in log:
            players[booked.player_id].append(booked)
            self._take(booked)
        self._check_answers()
        for player_id, events in players.items():
            self._check_player(player_id, events)
        self._check_settled()
        self._count()

    def _find(self, finding: str) -> None:
        if len(self.result.findings) < FINDINGS_MAX:
            self.result.findings.append(finding)

    # --- each event has its call, each key one event -------------------------------------------

    def _take(self, booked: Booked) -> None:
        if not booked.provider:
            return
        where = f"{booked.player_id} {booked.version} {booked.name} {booked.key}"
        if booked.key in self._event:
            self._find(f"I2 {where}: the key is there already")
            return
        self._event[booked.key] = booked
        made_by = [call for call in self._calls[booked.key] if _fits(call, booked)]
        may_have = [call for call in made_by if self._may_have_booked(call, booked)]
        if not may_have:
            why = "every call was refused" if made_by else "nobody sent such a call"
            self._find(f"I3 {where}: {why}")
            return
        self._made_by[booked.key] = may_have[0]

    def _may_have_booked(self, call: Call, booked: Booked) -> bool:
        if booked.name == BURIED:
            return True
        return any(
            attempt.call == call and not attempt.refused for attempt in self._attempts[call.key]
        )

    # --- every acknowledgement --------------------------------------------------------------

    def _check_answers(self) -> None:
        for key, attempts in self._attempts.items():
            booked, made_by = self._event.get(key), self._made_by.get(key)
            for attempt in attempts:
                if not attempt.ok:
                    continue
                where = f"{attempt.call.player_id} {key}"
                if booked is None:
                    self._find(f"I1 {where}: acknowledged, and not in the log")
                elif booked.name == BURIED:
                    self._find(f"I3 {where}: acknowledged, and the log has a tombstone")
                elif made_by is not None and attempt.call.content() != made_by.content():
                    self._find(f"I1 {where}: acknowledged with another content than is booked")
                elif json.loads(attempt.body) != _answer(booked):
                    self._find(f"I4 {where}: {attempt.body} is not the answer to what is booked")
            bodies = {attempt.body for attempt in attempts if attempt.ok}
            if len(bodies) > 1:
                self._find(f"I4 {key}: acknowledged in {len(bodies)} ways")

    def _check_settled(self) -> None:
        """P7: in the end nothing is unknown to a provider that goes on asking."""
        final = {attempt.call.number for attempt in self._history.attempts if not attempt.unknown}
        for call in self._history.calls:
            if call.number not in final:
                self._find(f"unknown {call.player_id} {call.key}: never answered for good")

    # --- a player's events in their order -------------------------------------------------------

    def _check_player(self, player_id: str, events: Sequence[Booked]) -> None:
        order = _Order(events, self._attempts)
        for earlier, later in order.inversions():
            self._find(
                f"I6 {player_id}: {earlier.key} was sent after {later.key} was answered, and is"
                f" version {earlier.version} before {later.version}"
            )
        wallet = Wallet()
        refused = self._refusals(player_id, order)
        pending: list[tuple[int, Attempt]] = []
        self._judge(wallet, 0, refused, pending)
        for place, booked in enumerate(events, 1):
            if booked.version != place:
                self._find(f"I6 {player_id}: version {booked.version} at place {place}")
                break
            self._replay(wallet, booked)
            self._judge(wallet, place, refused, pending)
        for _, attempt in pending:
            self._find(
                f"I5 {player_id} {attempt.call.key}: {attempt.status} was never right while it"
                " was under way"
            )
        self.result.balances[player_id] = (wallet.real, wallet.bonus)

    def _refusals(self, player_id: str, order: _Order) -> dict[int, list[tuple[int, Attempt]]]:
        """By the first state that each refusal may have seen: the last one, and the attempt."""
        found: dict[int, list[tuple[int, Attempt]]] = defaultdict(list)
        for attempt in self._refused[player_id]:
            first, last = order.window(attempt)
            found[first].append((last, attempt))
        return found

    def _judge(
        self,
        wallet: Wallet,
        state: int,
        refused: dict[int, list[tuple[int, Attempt]]],
        pending: list[tuple[int, Attempt]],
    ) -> None:
        """Of the refusals that may have seen this state, keep those that it does not explain."""
        pending += refused.pop(state, ())
        left = []
        for last, attempt in pending:
            verdict = wallet.judge(attempt.call)
            explained = verdict.status == attempt.status and verdict.event is None
            if explained:
                self._short(wallet, attempt)
            elif last > state:
                left.append((last, attempt))
            else:
                self._find(
                    f"I5 {attempt.call.player_id} {attempt.call.key}: refused with"
                    f" {attempt.status}, and {verdict.status} was right"
                )
        pending[:] = left

    def _short(self, wallet: Wallet, attempt: Attempt) -> None:
        lacking = attempt.call.amount * CENT - wallet.real - wallet.bonus
        if attempt.call.action == "bet" and lacking == CENT:
            self.result.situations["one cent short"] += 1

    def _replay(self, wallet: Wallet, booked: Booked) -> None:
        fields = booked.fields
        moved = int(fields.get("real", 0)), int(fields.get("bonus", 0))
        where = f"I5 {booked.player_id} {booked.version} {booked.name} {booked.key}"
        made_by = self._made_by.get(booked.key) if booked.provider else None
        if made_by is None:
            wallet.give(*moved)
        else:
            verdict = wallet.judge(made_by)
            if verdict.event != booked.name:
                self._find(f"{where}: should be {verdict}")
                wallet.give(*moved)
                return
            due = wallet.book(made_by)
            if due != moved:
                self._find(f"{where}: moved {moved}, and {due} is right")
        told = fields.get("balance_real"), fields.get("balance_bonus")
        if told not in ((None, None), (wallet.real, wallet.bonus)):
            self._find(f"{where}: tells {told}, and {(wallet.real, wallet.bonus)} is right")

    # --- what was reached (I11) -----------------------------------------------------------------

    def _count(self) -> None:
        count = self.result.situations
        count.update(booked.name for booked in self._event.values())
        for key, attempts in self._attempts.items():
            booked = self._event.get(key)
            count["acknowledged again"] += max(sum(a.ok for a in attempts) - 1, 0)
            count["repeated while under way"] += _overlaps(attempts)
            for attempt, behind in zip(attempts, [*attempts[1:], None], strict=True):
                if attempt.refused:
                    count[f"refused with {attempt.status}"] += 1
                elif attempt.unknown:
                    count["unknown"] += 1
                    if behind is not None and booked is not None:
                        had = _recorded(booked) <= behind.sent + self._history.wall_offset
                        count[f"unknown, and {'had' if had else 'had not'} been booked"] += 1
            count["acknowledged"] += any(a.ok for a in attempts)
            made_by = self._made_by.get(key)
            if made_by is not None:
                count["other content refused"] += sum(
                    a.refused and a.call.content() != made_by.content() for a in attempts
                )


class _Order:
    """When each of a player's events was first asked for, and when first acknowledged."""

    def __init__(self, events: Sequence[Booked], attempts: dict[str, list[Attempt]]) -> None:
        self._events = events
        self._asked = []
        self._told = []
        for booked in events:
            mine = attempts.get(booked.key, ()) if booked.provider else ()
            told = [a for a in mine if a.ok or (a.refused and booked.name == BURIED)]
            asked = [a.sent for a in mine if a.unknown] + [a.sent for a in told]
            self._asked.append(min(asked, default=-1))
            self._told.append(min((a.returned or NEVER for a in told), default=NEVER))
        by_telling = sorted(zip(self._told, range(1, len(events) + 1), strict=True))
        self._telling = [at for at, _ in by_telling]
        self._told_up_to = list(accumulate((place for _, place in by_telling), max))
        by_asking = sorted(zip(self._asked, range(1, len(events) + 1), strict=True))
        self._asking = [at for at, _ in by_asking]
        self._asked_from = list(accumulate((place for _, place in reversed(by_asking)), min))[::-1]

    def inversions(self) -> Iterator[tuple[Booked, Booked]]:
        """Pairs of events in the wrong order: asked for after the other had been acknowledged."""
        soonest, which = NEVER, 0
        for place in reversed(range(len(self._events))):
            if self._asked[place] > soonest:
                yield self._events[place], self._events[which]
            if self._told[place] < soonest:
                soonest, which = self._told[place], place

    def window(self, attempt: Attempt) -> tuple[int, int]:
        """The first and the last state that an attempt may have seen: after so many events."""
        told = bisect_left(self._telling, attempt.sent)
        first = self._told_up_to[told - 1] if told else 0
        returned = attempt.returned
        assert returned is not None
        asked = bisect_right(self._asking, returned)
        last = self._asked_from[asked] - 1 if asked < len(self._asking) else len(self._events)
        return first, max(first, last)


def _fits(call: Call, booked: Booked) -> bool:
    """Whether an event is what a call asks for; how much it moves is for the model to say."""
    fields = booked.fields
    asked = fields.get("wire_amount")
    if booked.name in ("bet_placed.v1", "win_credited.v1"):
        asked = abs(int(fields.get("real", 0)) + int(fields.get("bonus", 0)))
    original = {"refund": "bet", "rollback-win": "win"}.get(call.action)
    return (
        call.player_id == booked.player_id
        and call.action == fields.get("operation")
        and call.round_id == fields.get("round_id")
        and asked in (None, call.amount * CENT)
        and (original is None or fields.get("refers_to") == f"{original}:{call.original}")
    )


def _answer(booked: Booked) -> dict[str, Any]:
    """What The Bet Brothers must be told of an event: cents, rounded down."""
    fields = booked.fields
    return {
        "transaction_id": fields["movement_id"],
        "balance": (fields["balance_real"] + fields["balance_bonus"]) // CENT,
        "currency_code": fields["currency"],
    }


def _recorded(booked: Booked) -> int:
    return int(datetime.fromisoformat(booked.fields["recorded_at"]).timestamp() * 1e9)


def _overlaps(attempts: Iterable[Attempt]) -> int:
    """How many attempts of a key were sent while an earlier one was under way."""
    found, until = 0, -1
    for attempt in attempts:
        found += attempt.sent < until
        until = max(until, attempt.returned or NEVER)
    return found
