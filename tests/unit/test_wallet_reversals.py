"""Rules 7 to 10 and 12: refunds, reversals of wins, and rounds that are closed."""

from __future__ import annotations

import pytest

from ledger.commands import (
    CloseRound,
    ForfeitBonus,
    GrantBonus,
    RefundBet,
    RegisterPlayer,
    Stamp,
    Withdraw,
)
from ledger.decisions import Known
from ledger.money import UNITS_MAX
from ledger.player import Wallet, readmit
from ledger.refusals import Refusal, Refused
from ledger.wallet import decide
from tests.unit.rules.world import World, code, moved, only


def test_a_refund_restores_the_exact_split():
    """Whatever the call says, and whatever was won or spent since (rule 7)."""
    world = World().given(real=10, bonus=20)
    world.bet("b1", 15)
    event = only(world.refund("f1", "b1", amount=15))
    assert (event.real, event.bonus, event.wire_amount) == (10, 5, None)
    assert (event.exceptions, event.refers_to) == ((), "b1")
    assert world.wallet() == Wallet(10, 20)


def test_a_different_amount_on_the_wire_is_noted_and_not_used():
    """The original amount counts (rule 7)."""
    world = World().given()
    world.bet("b1", 15)
    event = only(world.refund("f1", "b1", amount=40, round_id="r9"))
    assert (event.real, event.wire_amount, event.round_id) == (15, 40, "r1")
    assert event.exceptions == ("round_mismatch", "amount_mismatch")


def test_a_second_refund_succeeds_and_moves_nothing():
    """Under another id, and for a rollback as well (rule 9)."""
    world = World().given()
    world.bet("b1", 15)
    world.refund("f1", "b1")
    assert moved(world.refund("f2", "b1")) == (0, 0)
    assert code(world.rollback("f3", "b1")) == "refund_repeated"
    assert code(world.refund("f2", "b1")) == "replayed"
    assert world.wallet() == Wallet(100)


def test_where_success_is_all_that_can_be_said_it_is_booked():
    """A win's id, or one that a tombstone holds: nothing moves, and nothing is kept out by it."""
    world = World().given()
    world.bet("b1", 15)
    world.win("w1", 5)
    assert code(world.refund("f1", "w1")) == "original_not_found"
    booked = only(world.refund("f1", "w1", acknowledged=True))
    assert (booked.NAME, booked.refers_to, booked.keeps_out) == (
        "refund_tombstoned.v1",
        "w1",
        False,
    )
    assert only(world.refund("f2", "b9", acknowledged=True)).keeps_out
    assert not only(world.refund("f3", "b9", acknowledged=True)).keeps_out
    assert code(world.refund("f1", "w1", acknowledged=True)) == "replayed"
    assert code(world.refund("f1", "b1")) == "duplicate_conflict"
    assert code(world.reverse("v1", "w1")) == "win_reversed"
    assert world.wallet() == Wallet(85)


def test_an_acknowledged_refund_of_a_bet_that_never_came_may_close_the_round():
    """The provider was told that the round is over; where it was refused, nothing is."""
    world = World().given()
    world.bet("b1", 1)
    assert not only(world.refund("f1", "b8", closes_round=True)).closes_round
    assert not only(world.refund("f2", "b9", acknowledged=True)).closes_round
    assert world.player().open_rounds == 1
    over = {"acknowledged": True, "closes_round": True}
    assert not only(world.refund("f3", "b7", round_id="r2", **over)).closes_round
    assert only(world.refund("f4", "b6", **over)).closes_round
    assert not only(world.refund("f5", "b5", **over)).closes_round
    assert world.player().open_rounds == 0
    assert code(world.bet("b2", 1)) == "round_closed"
    assert moved(world.refund("f6", "b1")) == (1, 0)


def test_of_a_round_in_another_currency_it_leaves_a_tombstone_and_no_more():
    """A round has one currency, and the call has that of its session."""
    world = World().given()
    world.execute(RegisterPlayer(player_id="p1", currency="USD"))
    world.open_session("s2", currency="USD")
    world.bet("b1", 1)
    over = {"acknowledged": True, "closes_round": True, "session": "s2", "currency": None}
    assert not only(world.refund("f1", "b9", **over)).closes_round
    assert world.player().open_rounds == 1


def test_a_repeated_refund_may_close_the_round():
    """The event says that it did, so the state must say so too."""
    world = World().given()
    world.bet("b1", 1)
    world.bet("b2", 1)
    world.refund("f1", "b1")
    assert only(world.refund("f2", "b1", closes_round=True)).closes_round
    assert world.player().open_rounds == 0
    assert code(world.bet("b3", 1)) == "round_closed"
    world.bet("b4", 1, round_id="r2")
    world.win("w4", 1, round_id="r2")
    world.reverse("v4", "w4", round_id="r2")
    assert only(world.reverse("v5", "w4", round_id="r2", closes_round=True)).closes_round
    assert world.player().open_rounds == 0


def test_refunding_one_bet_leaves_the_others_alive():
    """Rounds hold several bets (survival rule 6)."""
    world = World().given()
    world.bet("b1", 10)
    world.bet("b2", 20)
    assert moved(world.refund("f1", "b1")) == (10, 0)
    assert moved(world.win("w", 30)) == (30, 0)
    assert code(world.refund("f2", "b2")) == "original_settled"


def test_a_bet_that_closed_its_round_gets_its_stake_back():
    """It timed out and was cancelled: the round is closed, the money is the player's (rule 9)."""
    world = World().given()
    world.bet("b1", 10, closes_round=True)
    assert moved(world.refund("f1", "b1", closes_round=True)) == (10, 0)
    assert world.player().open_rounds == 0


@pytest.mark.parametrize(
    ("win", "settles_first", "settles_second"),
    [
        ({}, True, True),
        ({"amount": 0}, True, True),
        ({"bet_key": "b1"}, True, False),
        ({"bet_key": "b2"}, False, True),
        ({"bet_key": "b1", "closes_round": True}, True, True),
        ({"tags": {"jackpot": True}}, True, True),
    ],
)
def test_a_settled_bet_is_not_refunded(win, settles_first, settles_second):
    """A win settles what it names, the round where it names nothing or closes it (rule 9)."""
    for bet, settled in (("b1", settles_first), ("b2", settles_second)):
        world = World().given()
        world.bet("b1", 10)
        world.bet("b2", 10)
        world.win("w", **{"amount": 5} | win)
        expected = "original_settled" if settled else "bet_refunded"
        assert code(world.refund("f", bet)) == expected


def test_a_win_settles_no_bet_that_comes_after_it():
    """A later stake in the same round is still open."""
    world = World().given()
    world.bet("b1", 10)
    world.win("w", 5)
    world.bet("b2", 10)
    assert code(world.refund("f1", "b1")) == "original_settled"
    assert code(world.refund("f2", "b2")) == "bet_refunded"


def test_a_reversed_win_leaves_the_others_standing():
    """They can be reversed themselves, and the bet that they settled is settled still."""
    world = World().given()
    world.bet("b1", 10)
    world.win("w1", 5)
    world.win("w2", 7)
    world.reverse("v1", "w1")
    assert code(world.refund("f1", "b1")) == "original_settled"
    assert moved(world.reverse("v2", "w2")) == (-7, 0)


def test_a_bet_can_be_refunded_once_its_win_was_reversed():
    """No win that stands settles it any more."""
    world = World().given()
    world.bet("b1", 10)
    world.win("w1", 5, closes_round=True)
    world.win("w2", 5)
    world.reverse("v1", "w1")
    assert moved(world.refund("f1", "b1")) == (10, 0)
    assert world.wallet() == Wallet(100)


@pytest.mark.parametrize("remembers", [True, False])
def test_a_refund_names_a_bet_and_a_reversal_a_win(remembers):
    """A rollback names either."""
    world = World(remembers=remembers).given()
    world.bet("b1", 10)
    world.bet("b2", 10, round_id="r2")
    world.win("w1", 5)
    assert code(world.refund("x", "w1")) == "original_not_found"
    assert code(world.reverse("x", "b1")) == "original_not_found"
    assert code(world.reverse("x", "never")) == "original_not_found"
    assert code(world.rollback("x", "w1")) == "win_reversed"
    assert code(world.rollback("y", "b2")) == "bet_refunded"
    assert code(world.refund("z", "y")) == "original_not_found"


def test_a_refund_in_another_currency_is_refused():
    """Where the currency is on the wire; else it is the bet's own."""
    world = World().given()
    world.bet("b1", 10)
    assert code(world.refund("f1", "b1", currency="USD")) == "currency_mismatch"
    assert moved(world.refund("f1", "b1", currency=None, game=None)) == (10, 0)


def test_a_reversal_without_a_game_carries_its_rounds():
    """Reports by game need it on every movement; gpas sends none."""
    world = World().given()
    world.bet("b1", 10, game="dice")
    assert only(world.refund("f1", "b1", game=None)).game == "dice"
    assert only(world.game(CloseRound, "c", game=None)).game == "dice"


def test_a_refund_never_outgrows_a_bigint():
    """The stake was paid from a full wallet that has been filled again."""
    world = World().given(real=10)
    world.bet("b1", 10)
    world.money(GrantBonus, "g", UNITS_MAX - 5)
    assert code(world.refund("f1", "b1")) == "malformed_request"


# --- reversed wins ---------------------------------------------------------------


def _won(policy: str, *, real: int, bonus: int) -> World:
    """A win of 6 real and 6 bonus money; ``real`` and ``bonus`` are what is left of all money."""
    world = World().with_policy(reversal_shortfall=policy).given(real=10, bonus=10)
    world.bet("b1", 20)
    assert moved(world.win("w1", 12)) == (6, 6)
    world.money(Withdraw, "spend", 6 - real) if real < 6 else None
    world.money(ForfeitBonus, "lose", 6 - bonus) if bonus < 6 else None
    if bonus > 6:
        world.money(GrantBonus, "more", bonus - 6)
    assert world.wallet() == Wallet(real, bonus)
    return world


@pytest.mark.parametrize(
    ("policy", "real", "bonus", "taken", "shortfall"),
    [
        ("negative", 6, 6, (-6, -6), 0),
        ("clamp", 6, 6, (-6, -6), 0),
        ("refuse", 6, 6, (-6, -6), 0),
        ("negative", 2, 6, (-6, -6), 4),
        ("clamp", 2, 6, (-2, -6), 4),
        ("refuse", 2, 6, None, 0),
        ("negative", 6, 1, (-11, -1), 5),
        ("clamp", 6, 1, (-6, -1), 5),
        ("negative", 0, 0, (-12, 0), 12),
        ("clamp", 0, 0, (0, 0), 12),
        ("refuse", 0, 0, None, 0),
        ("refuse", 2, 10, (-2, -10), 0),
        ("negative", 0, 12, (0, -12), 0),
    ],
)
def test_a_reversed_win_takes_each_purse_then_the_other(policy, real, bonus, taken, shortfall):
    """What was spent is the shortfall, and the policy says who bears it (rule 10)."""
    world = _won(policy, real=real, bonus=bonus)
    outcome = world.reverse("v1", "w1")
    if taken is None:
        assert code(outcome) == "insufficient_funds"
        assert world.wallet() == Wallet(real, bonus)
        return
    event = only(outcome)
    assert ((event.real, event.bonus), event.shortfall) == (taken, shortfall)
    assert event.exceptions == (("reversal_shortfall",) if shortfall else ())
    assert world.wallet().bonus >= 0


def test_an_amount_that_is_the_wins_of_both_purses_is_nothing_to_note():
    """A provider knows the sum only."""
    event = only(_won("negative", real=6, bonus=6).reverse("v1", "w1", amount=12))
    assert (event.wire_amount, event.exceptions) == (None, ())


def test_a_reversal_finds_a_debt_already_there():
    """The second reversal digs deeper, and is clamped to nothing where so configured."""
    world = World().given(real=0)
    for number in (1, 2, 3):
        world.bet(f"b{number}", 0, round_id=f"r{number}")
        world.win(f"w{number}", 10, round_id=f"r{number}")
    world.money(Withdraw, "out", 30)
    world.reverse("v1", "w1")
    assert moved(world.reverse("v2", "w2")) == (-10, 0)
    assert world.wallet() == Wallet(-20)
    world.with_policy(reversal_shortfall="refuse")
    assert code(world.reverse("v3", "w3")) == "insufficient_funds"
    world.with_policy(reversal_shortfall="clamp")
    assert moved(world.reverse("v3", "w3")) == (0, 0)


def test_a_second_reversal_of_a_win_succeeds_and_moves_nothing():
    """Under another id (rule 9); another amount on the wire is noted."""
    world = World().given()
    world.bet("b1", 1)
    world.win("w1", 5)
    event = only(world.reverse("v1", "w1", amount=7))
    assert (event.real, event.wire_amount, event.exceptions) == (-5, 7, ("amount_mismatch",))
    assert code(world.reverse("v2", "w1")) == "win_reversal_repeated"
    assert code(world.rollback("v3", "w1")) == "win_reversal_repeated"
    assert world.wallet() == Wallet(99)


def test_a_reversed_win_of_nothing_is_a_fact_too():
    """Also where a shortfall would be refused (rule 6)."""
    world = World().with_policy(reversal_shortfall="refuse").given(real=1)
    world.bet("b1", 1)
    world.win("w1", 0)
    assert moved(world.reverse("v1", "w1")) == (0, 0)


def test_no_debt_outgrows_a_bigint():
    """Otherwise a provider's two calls could stop every view of the ledger."""
    world = World().given(real=0)
    for number in (1, 2):
        world.bet(f"b{number}", 0, round_id=f"r{number}")
        world.win(f"w{number}", UNITS_MAX, round_id=f"r{number}")
        world.money(Withdraw, f"out{number}", UNITS_MAX)
    assert code(world.reverse("v1", "w1")) == "win_reversed"
    assert code(world.reverse("v2", "w2")) == "malformed_request"
    assert world.wallet() == Wallet(-UNITS_MAX)


# --- closing rounds ---------------------------------------------------------------


@pytest.mark.parametrize("remembers", [True, False])
def test_an_open_round_is_closed_without_money(remembers):
    """Staff, or the expiry of rule 12; the reason is on the event."""
    world = World(remembers=remembers).given()
    world.bet("b1", 5)
    event = only(world.game(CloseRound, "c", session=None, reason="expired"))
    assert (event.real, event.reason, event.closes_round) == (0, "expired", True)
    assert world.player().open_rounds == 0
    assert code(world.game(CloseRound, "c2")) == "nothing"
    assert code(world.game(CloseRound, "c3", round_id="none")) == "original_not_found"
    assert moved(world.refund("f1", "b1")) == (5, 0)


def test_a_round_that_was_played_on_since_is_left_open():
    """Who counted its movements wanted to close what nobody plays any more (rule 12)."""
    world = World().given()
    world.bet("b1", 5)
    world.bet("b2", 5)
    world.win("w1", 5)
    for movements in (1, 2, 4):
        assert code(world.game(CloseRound, f"c{movements}", movements=movements)) == "nothing"
    assert code(world.game(CloseRound, "c3", movements=3)) == "round_closed"


def test_a_round_that_a_reversal_closes_is_closed():
    """A marbles rollback carries roundClosed."""
    world = World().given()
    world.bet("b1", 5)
    assert only(world.refund("f1", "b1", closes_round=True)).closes_round
    assert code(world.bet("b2", 5)) == "round_closed"


def test_a_round_of_a_wallet_that_memory_does_not_know_is_refused_and_no_error():
    """Another process opened the wallet and played: the append will tell, an exception must not."""
    other = World().given(currency="USD")
    other.bet("b1", 5, currency="USD")
    played = other.player().round("a", "r1")
    assert played is not None
    world = World().given()
    stale = readmit(world.player(), played)
    for command in (
        world.command(CloseRound, "c1"),
        world.command(RefundBet, "f1", original_key="b1", currency=None),
    ):
        decision = decide(stale, command, Stamp(world.now, "m1"), Known({}))
        assert isinstance(decision, Refused)
        assert decision.refusal is Refusal.CURRENCY_MISMATCH


def test_what_is_done_about_a_bet_counts_in_the_bets_own_game():
    """A round may be played in several; else revenue moves from one studio to another."""
    world = World().given()
    world.bet("b1", 5, game="slot")
    world.bet("b2", 5, game="dice")
    world.bet("b3", 5, game="dice")
    assert only(world.refund("f2", "b2", game=None)).game == "dice"
    assert only(world.refund("f1", "b1", game="roulette")).game == "slot"
    assert only(world.win("w3", 9, bet_key="b3", game=None)).game == "dice"
    assert only(world.reverse("v3", "w3", game=None)).game == "dice"
    assert only(world.win("w", 9, game="slot")).game == "slot"
    assert only(world.reverse("v", "w", game=None)).game == "slot"
