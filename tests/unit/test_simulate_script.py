"""What the simulator plays: nothing is left out, and the same seed plays the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from adapters.settings_file import load
from adapters.simulate.checks import open_rounds
from adapters.simulate.desk import Desk
from adapters.simulate.script import steps
from adapters.simulate.situations import enabled
from adapters.simulate.steps import OperatorStep, ProviderStep, Step
from adapters.simulate.target import target
from adapters.simulate.wire.base import Wire

DEMO = load(Path(__file__).parents[2] / "deploy" / "demo.toml")

WIRES = target(DEMO, url=None, all_protocols=True).wires

REFUSED = {
    "balance of an expired session": "session_expired",
    "bad signature": "invalid_signature",
    "bet after its refund": "already_reversed",
    "bet after the round closed": "round_closed",
    "bet in an expired session": "session_expired",
    "bet of a blocked player": "player_blocked",
    "bet over the limit": "limit_exceeded",
    "closed session closed again": "session_expired",
    "disabled game": "game_disabled",
    "free bet with an amount": "bonus_error",
    "malformed body": "malformed_request",
    "one unit short of funds": "insufficient_funds",
    "refund after the win": "original_settled",
    "refund before its bet": "original_not_found",
    "refund of a lost bet that closes its round": "original_not_found",
    "same id with altered content": "duplicate_conflict",
    "unknown player": "unknown_player",
    "unknown session": "unknown_session",
    "win after the round closed": "round_closed",
    "win on a refunded bet": "original_reversed",
    "win on a round without a bet": "original_not_found",
    "withdrawal refused": "insufficient_funds",
    "wrong currency": "currency_mismatch",
}
"""What each odd situation must be refused as; all others are accepted."""


@dataclass
class Run:
    """Every step of some players, without a server."""

    steps: list[Step] = field(default_factory=list)
    desks: list[Desk] = field(default_factory=list)


def play(wires: tuple[Wire, ...], *, seed: int = 7, players: int = 20, rounds: int = 100) -> Run:
    """Play on the model alone."""
    run = Run()
    for number in range(players):
        desk = Desk(
            f"sim-{number}",
            prefix=f"run-{number}",
            number=number + 1,
            wires=wires,
            chance=Random(f"{seed}/{number}"),
        )
        desk.disable_game("off")
        run.desks.append(desk)
        run.steps += steps(desk, rounds=rounds, currencies=("EUR", "JPY"))
    return run


@pytest.mark.parametrize(
    "wires", [*((wire,) for wire in WIRES), WIRES], ids=lambda wires: wires[0].switches.name
)
def test_a_run_of_2000_rounds_meets_every_situation(wires: tuple[Wire, ...]) -> None:
    """A situation that never came up would make the run's green say nothing about it."""
    run = play(wires)
    met = {step.situation for step in run.steps}
    manners = {step.manner for step in run.steps if isinstance(step, ProviderStep)}
    assert manners == {"plain", "cut", "twins"}
    met |= {"retry after a lost answer", "the same call several times at once"}
    assert met == enabled(wires, is_admin=True)


def test_each_situation_has_its_own_outcome_every_time() -> None:
    """A play that goes astray, for want of money say, would test something else than its name."""
    outcomes: defaultdict[str, Counter[str | None]] = defaultdict(Counter)
    for step in play(WIRES).steps:
        refusal = step.outcome.refusal if isinstance(step, ProviderStep) else step.refusal
        outcomes[step.situation][refusal] += 1
    for situation, counted in outcomes.items():
        assert set(counted) == {REFUSED.get(situation)}, situation


def test_the_same_seed_plays_the_same() -> None:
    """A difference that was found can be looked for again."""

    def told(run: Run) -> list[str]:
        return [
            f"{step.situation} {step.call} {step.outcome} {step.manner}"
            if isinstance(step, ProviderStep)
            else f"{step.situation} {step.amount} {step.reference} {step.purse}"
            for step in run.steps
        ]

    first = told(play(WIRES, players=3))
    assert first == told(play(WIRES, players=3))
    assert first != told(play(WIRES, players=3, seed=8))


def test_several_rounds_are_open_at_once() -> None:
    """One player plays in several games and integrations at the same time."""
    desk = Desk("sim", prefix="run", number=1, wires=WIRES, chance=Random(1))
    most = 0
    integrations: set[str] = set()
    for _ in steps(desk, rounds=200, currencies=("EUR",)):
        live = desk.book.open_rounds()
        most = max(most, len(live))
        integrations |= {integration for integration, _ in live}
    assert most > 2
    assert integrations == {wire.switches.name for wire in WIRES}


def test_only_what_is_booked_is_cut_off() -> None:
    """A refused call whose copy arrives late could be accepted then, and nobody would know."""
    for step in play(WIRES).steps:
        if isinstance(step, ProviderStep) and step.manner == "cut":
            assert step.outcome.movement is not None


def test_ids_are_used_by_one_player_only() -> None:
    """An id that two players share would be refused, rightly, and the model knows one player."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for step in play(WIRES, players=5).steps:
        if isinstance(step, OperatorStep):
            continue
        owners[step.call.transaction_id].add(step.call.player_id.removesuffix("-nobody"))
    del owners[""]
    assert all(len(players) == 1 for players in owners.values())


def test_money_is_neither_made_nor_lost() -> None:
    """What the operator and the movements brought is what the purses hold."""
    for desk in play(WIRES, players=4).desks:
        for purse in desk.book.purses.values():
            assert isinstance(purse.real, int)
            assert isinstance(purse.bonus, int)
        assert sum(one.total for one in desk.book.purses.values()) >= 0


@pytest.mark.parametrize("value", [[], True, "3", None])
def test_open_rounds_are_a_count(value: object) -> None:
    """Anything else is a difference, and no crash of the simulation."""
    assert open_rounds(3) == 3
    with pytest.raises(TypeError):
        open_rounds(value)
