"""Several committers on one partition: whatever slips in between, the log keeps to the rules."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, permutations
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.batch import Accepted
from ledger.chain import GENESIS
from ledger.codec import player_stream, seal
from ledger.commands import MoneyCommand, PlaceBet, SetGame
from ledger.events import EVENT_TYPES, Event, Movement, RefundTombstoned
from ledger.player import PlayerEvent
from ledger.refusals import Refusal, Refused
from ledger.store import EventRow
from tests.unit.rules.audit import Audit
from tests.unit.rules.rush import Call, Run, play
from tests.unit.rules.world import World

SEED = int(os.environ.get("RULES_SEED", "20260304"))
"""Set RULES_SEED to repeat or vary the seeded runs; with PYTHONHASHSEED=0 they repeat exactly."""

RUNS = 400

NEVER = {Refusal.UNAVAILABLE, Refusal.INTERNAL, Refusal.INVALID_SIGNATURE}
"""Answers that no fault of the store may lead to: it comes back at once."""


def _commit(events: Iterable[PlayerEvent]) -> list[EventRow]:
    """The events as one commit of a player's stream, sealed as the ledger would."""
    rows, digest, stream = [], GENESIS, player_stream("p1")
    for version, event in enumerate(events, start=1):
        digest, state = seal(digest, stream, version, event)
        rows.append(EventRow(stream, version, event.NAME, state))
    return rows


def _tampered(*names: str, **changes: Any) -> list[PlayerEvent]:
    """A player's history with further events at its end: those of these names, changed."""
    world = World().given(real=100, bonus=0)
    world.bet("b1", 10)
    world.win("w1", 5, bet_key="b1", closes_round=True)
    world.bet("b2", 10, round_id="r2")
    world.refund("f2", "b2", round_id="r2")
    history = world.history["p1"]
    further = [event for event in history if event.NAME in names]
    return history + [replace(event, **changes) for event in further]


@pytest.mark.parametrize(
    ("history", "found"),
    [
        (_tampered(), set()),
        (_tampered("bet_refunded.v1", key="f3"), {"a bet refunded twice"}),
        (_tampered("bet_refunded.v1", key="f3", refers_to="b1"), {"such bet in the round"}),
        (_tampered("bet_refunded.v1", refers_to="b1", round_id="r1"), {"of a settled bet"}),
        (_tampered("deposited.v1"), {"a key used twice", "balances do not chain"}),
        (_tampered("win_credited.v1", key="w2"), {"a late win", "a round closed twice"}),
        (_tampered("bet_placed.v1", key="b3"), {"a bet in a closed round", "opens_round is wrong"}),
        (_tampered()[1:], {"nobody registered"}),
    ],
)
def test_the_audit_finds_what_must_never_be(history: list[PlayerEvent], found: set[str]) -> None:
    """An audit that never complains proves nothing."""
    wrong = "\n".join(Audit([_commit(history)]).wrong)
    assert all(words in wrong for words in found)
    assert bool(wrong) is bool(found)


def _judge(run: Run) -> tuple[list[str], Counter[str]]:
    """What is wrong with the log and the answers, and what has come up."""
    audit = Audit(run.memory.commits)
    wrong = [*audit.wrong, *_wrong_answers(run, audit), *_wrong_repetitions(run.calls)]
    wrong += run.errors
    if run.memory.unique_violations:
        wrong.append("an append that only a unique index could stop")
    seen = audit.seen
    for call in run.calls:
        if isinstance(call.outcome, Refused):
            seen[call.outcome.refusal.value] += 1
        elif isinstance(call.outcome, Accepted):
            seen["replayed"] += call.outcome.replayed
    seen["conflict"] += run.counts.conflicts
    seen["unknown"] += run.counts.unknowns
    return wrong, seen


def _wrong_answers(run: Run, audit: Audit) -> Iterator[str]:
    """Accepted is what is in the log, refused what is not, and each answer has its own event."""
    booked = {event.movement_id: event for event in audit.keys.values()}
    for call in run.calls:
        outcome, own = call.outcome, booked.get(call.movement_id)
        if outcome is None:
            yield f"no answer: {call}"
        elif isinstance(outcome, Refused):
            if outcome.refusal in NEVER:
                yield f"an answer that nothing excuses: {call}"
            unknown = outcome.refusal is Refusal.ORIGINAL_NOT_FOUND
            if own is not None and not (unknown and isinstance(own, RefundTombstoned)):
                yield f"refused, and booked: {call}"
        elif not isinstance(call.command, SetGame):
            stream, event = player_stream(call.command.player_id), outcome.event
            if event is not None and _told(call, audit, stream, outcome) != event:
                yield f"accepted, and not in the log: {call}"
            if (own is None) is (isinstance(event, Movement) and not outcome.replayed):
                yield f"a first answer that is not its own, or a replay that is: {call}"
            wallets = {name: (w.real, w.bonus) for name, w in outcome.player.wallets.items()}
            if wallets != audit.wallets.get((stream, outcome.player.version), {}):
                yield f"an answer with a balance that never was: {call}"


def _told(call: Call, audit: Audit, stream: str, outcome: Accepted) -> Event | None:
    """The event in the log; to a late bet its tombstone, with the balance that it is told."""
    booked = audit.events.get((stream, outcome.version))
    if isinstance(booked, RefundTombstoned) and isinstance(call.command, PlaceBet):
        currency = call.command.currency or ""
        real, bonus = audit.wallets[stream, outcome.player.version][currency]
        return replace(booked, currency=currency, balance_real=real, balance_bonus=bonus)
    return booked


def _wrong_repetitions(calls: Iterable[Call]) -> Iterator[str]:
    """Who repeats gets the first answer; who comes with other content for the key, a refusal."""
    keyed = [call for call in calls if isinstance(call.command, MoneyCommand)]
    for _, same in groupby(sorted(keyed, key=_key), _key):
        for first, second in permutations(same, 2):
            booked = first.outcome
            if not isinstance(booked, Accepted) or not isinstance(booked.event, Movement):
                continue
            if booked.event.key != _key(first)[1]:
                continue  # a bet that a tombstone keeps out, told that all is well
            answer = second.outcome
            if _content(first) != _content(second):
                expected = first.answered > second.sent or (
                    isinstance(answer, Refused) and answer.refusal is Refusal.DUPLICATE_CONFLICT
                )
            elif isinstance(answer, Accepted):
                expected = (answer.event, answer.version) == (booked.event, booked.version)
            else:
                # Refused before it was booked: only who called first may be told so.
                expected = first.answered > second.sent
            if not expected:
                yield f"{second} after {first}"


def _key(call: Call) -> tuple[str, str]:
    command: Any = call.command
    return command.integration, command.key


def _content(call: Call) -> str:
    assert isinstance(call.command, MoneyCommand)
    return call.command.fingerprint()


def _run_seed(seed: int) -> Counter[str]:
    run = play(seed)
    wrong, seen = _judge(run)
    if wrong:
        print(f"RULES_SEED={seed} failed with {run.bounds}:", *run.calls, sep="\n")
    assert not wrong
    return seen


def test_committers_that_overtake_each_other_at_every_step_keep_to_the_rules() -> None:
    """A pause between two reads is where a bet is refunded twice; here every pause is tried."""
    print(f"RULES_SEED={SEED}")
    seen: Counter[str] = Counter()
    for seed in range(SEED, SEED + RUNS):
        seen += _run_seed(seed)
    _not_vacuous(seen)


@pytest.mark.soak
def test_thousands_of_runs_of_committers_that_overtake_each_other_keep_to_the_rules() -> None:
    """The same for long: the rarest orders are the ones that nobody thought of."""
    seed = int(os.environ.get("RULES_SEED", str(random.SystemRandom().randrange(2**32))))
    print(f"RULES_SEED={seed}")
    seen: Counter[str] = Counter()
    for number in range(int(os.environ.get("RULES_RUNS", "10000"))):
        seen += _run_seed(seed + number)
    print(sorted(seen.items()))
    _not_vacuous(seen)


def _not_vacuous(seen: Counter[str]) -> None:
    """A run that never met a situation proves nothing about it."""
    # No time passes, so no reality check becomes due.
    wanted = {refusal.value for refusal in set(Refusal) - NEVER - {Refusal.REALITY_CHECK_DUE}}
    wanted |= {*EVENT_TYPES, "replayed", "conflict", "unknown"}
    assert not {name for name in wanted if not seen[name]}
