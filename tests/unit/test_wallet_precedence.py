"""Rule 2: where several refusals hold, the first of the table is the answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from ledger.commands import BlockPlayer, CloseRound, CloseSession, RegisterPlayer, SetLimits
from ledger.refusals import Refusal
from tests.unit.rules.world import World, code

Break = tuple[Refusal, Callable[[World], object], dict[str, Any]]


def _as_it_is(world: World) -> None:
    """The call alone is the cause."""


BET: list[Break] = [
    (Refusal.DUPLICATE_CONFLICT, lambda w: w.bet("used", 1, round_id="r2"), {"key": "used"}),
    (Refusal.ALREADY_REVERSED, lambda w: w.refund("f", "gone", round_id=None), {"key": "gone"}),
    (Refusal.UNKNOWN_PLAYER, _as_it_is, {"player_id": "nobody"}),
    (Refusal.UNKNOWN_SESSION, _as_it_is, {"session": "none"}),
    (
        Refusal.SESSION_EXPIRED,
        lambda w: w.execute(CloseSession(player_id="p1", session="s2")),
        {"session": "s2"},
    ),
    (Refusal.CURRENCY_MISMATCH, _as_it_is, {"currency": "USD"}),
    (
        Refusal.PLAYER_BLOCKED,
        lambda w: w.execute(BlockPlayer(player_id="p1")),
        {},
    ),
    (Refusal.GAME_DISABLED, lambda w: w.disabled_games.add(("a", "slot")), {}),
    (
        Refusal.LIMIT_EXCEEDED,
        lambda w: w.execute(SetLimits(player_id="p1", currency="EUR", max_bet=5)),
        {"amount": 6},
    ),
    (
        Refusal.REALITY_CHECK_DUE,
        lambda w: w.execute(SetLimits(player_id="p1", reality_check_min=10)),
        {},
    ),
    (
        Refusal.ROUND_CLOSED,
        lambda w: w.game(CloseRound, "c", round_id="played"),
        {"round_id": "played"},
    ),
    (Refusal.INSUFFICIENT_FUNDS, _as_it_is, {"amount": 10_000}),
]
"""What makes a bet be refused: how the world must be, and what the call must say."""

IMPOSSIBLE_TOGETHER = {
    ("duplicate_conflict", "already_reversed"),
    ("already_reversed", "unknown_player"),
    ("unknown_session", "session_expired"),
}


def _pairs(breaks: list[Break]) -> list[Any]:
    return [
        pytest.param(one, other, id=f"{one[0].value} before {other[0].value}")
        for one, other in combinations(breaks, 2)
        if (one[0].value, other[0].value) not in IMPOSSIBLE_TOGETHER
    ]


@pytest.fixture(params=[True, False], ids=["remembered", "asked for"])
def world(request: pytest.FixtureRequest) -> World:
    """A player who may bet in session s1, and who first bet eleven minutes ago."""
    world = World(remembers=request.param).given()
    world.execute(RegisterPlayer(player_id="p1", currency="USD"))
    world.open_session("s2")
    world.bet("first", 1, round_id="played", session="s1")
    world.bet("second", 1, round_id="played", session="s2")
    return world.after(minutes=11)


def _bet(world: World, *breaks: Break) -> str:
    changes: dict[str, Any] = {"key": "new", "amount": 1}
    for _, prepare, change in breaks:
        prepare(world)
        changes |= change
    return code(world.bet(**changes))


def test_the_table_of_refusals_is_in_order():
    """The list above follows the declared order, or the pairs below prove nothing."""
    order = list(Refusal)
    positions = [order.index(refusal) for refusal, _, _ in BET]
    assert positions == sorted(positions)


def test_a_bet_without_any_hindrance_is_placed(world: World):
    """Each refusal below is due to its own cause and not to the scene."""
    assert _bet(world) == "bet_placed"


@pytest.mark.parametrize("cause", BET, ids=[refusal.value for refusal, _, _ in BET])
def test_a_bet_is_refused_for_each_cause(world: World, cause: Break):
    """Every refusal that a bet can meet, alone; and it moves nothing."""
    before = world.wallet()
    assert _bet(world, cause) == cause[0].value
    assert world.wallet() == before or cause[0] is Refusal.DUPLICATE_CONFLICT


@pytest.mark.parametrize(("one", "other"), _pairs(BET))
def test_of_two_causes_the_first_of_the_table_is_the_answer(world: World, one: Break, other: Break):
    """A provider acts on the code: the wrong one makes it retry for ever, or not at all."""
    assert _bet(world, one, other) == one[0].value


WIN: list[Break] = [
    (Refusal.DUPLICATE_CONFLICT, lambda w: w.bet("used", 1, round_id="r2"), {"key": "used"}),
    (Refusal.ALREADY_REVERSED, lambda w: w.refund("f", "gone", round_id=None), {"key": "gone"}),
    (Refusal.UNKNOWN_PLAYER, _as_it_is, {"player_id": "nobody"}),
    (Refusal.UNKNOWN_SESSION, _as_it_is, {"session": "none"}),
    (Refusal.CURRENCY_MISMATCH, _as_it_is, {"currency": "USD"}),
    (
        Refusal.ROUND_CLOSED,
        lambda w: w.game(CloseRound, "c", round_id="played"),
        {"round_id": "played"},
    ),
    (Refusal.ORIGINAL_NOT_FOUND, _as_it_is, {"bet_key": "none"}),
]


def _win(world: World, *breaks: Break) -> str:
    changes: dict[str, Any] = {"key": "new", "amount": 1, "round_id": "played"}
    for _, prepare, change in breaks:
        prepare(world)
        changes |= change
    return code(world.win(**changes))


@pytest.mark.parametrize("cause", WIN, ids=[refusal.value for refusal, _, _ in WIN])
def test_a_win_is_refused_for_each_cause(world: World, cause: Break):
    """Every refusal that a win can meet, alone."""
    assert _win(world, cause) == cause[0].value


def test_a_win_without_any_hindrance_is_booked(world: World):
    """Each refusal above is due to its own cause and not to the scene."""
    assert _win(world) == "win_credited"


@pytest.mark.parametrize(("one", "other"), _pairs(WIN))
def test_of_two_causes_to_refuse_a_win_the_first_is_the_answer(
    world: World, one: Break, other: Break
):
    """As for bets."""
    assert _win(world, one, other) == one[0].value


def test_a_closed_round_comes_before_its_refunded_bet(world: World):
    """round_closed stands before original_reversed in the table."""
    world.refund("f1", "first")
    world.refund("f2", "second")
    assert code(world.win("w1", 1, round_id="played")) == "original_reversed"
    world.game(CloseRound, "c", round_id="played")
    assert code(world.win("w2", 1, round_id="played")) == "round_closed"


REFUND: list[Break] = [
    (Refusal.DUPLICATE_CONFLICT, lambda w: w.bet("used", 1, round_id="r2"), {"key": "used"}),
    (Refusal.UNKNOWN_PLAYER, _as_it_is, {"player_id": "nobody"}),
    (Refusal.UNKNOWN_SESSION, _as_it_is, {"session": "none"}),
    (Refusal.CURRENCY_MISMATCH, _as_it_is, {"currency": "USD"}),
    (Refusal.ORIGINAL_SETTLED, lambda w: w.win("w", 1, round_id="played"), {}),
]


def _refund(world: World, *breaks: Break) -> str:
    changes: dict[str, Any] = {"key": "new", "original": "first", "round_id": "played"}
    for _, prepare, change in breaks:
        prepare(world)
        changes |= change
    return code(world.refund(**changes))


@pytest.mark.parametrize("cause", REFUND, ids=[refusal.value for refusal, _, _ in REFUND])
def test_a_refund_is_refused_for_each_cause(world: World, cause: Break):
    """Every refusal that a refund of a bet that is there can meet."""
    assert _refund(world, cause) == cause[0].value


@pytest.mark.parametrize(("one", "other"), _pairs(REFUND))
def test_of_two_causes_to_refuse_a_refund_the_first_is_the_answer(
    world: World, one: Break, other: Break
):
    """As for bets."""
    assert _refund(world, one, other) == one[0].value


@pytest.mark.parametrize("original", ["second-win", "never", "gone"])
def test_another_currency_comes_before_an_original_that_is_not_there(world: World, original: str):
    """currency_mismatch stands before original_not_found, also where a tombstone is there."""
    world.refund("f", "gone", round_id=None)
    history = len(world.history["p1"])
    assert code(world.refund("new", original, currency="USD")) == "currency_mismatch"
    assert len(world.history["p1"]) == history
