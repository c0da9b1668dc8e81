"""Rules 3, 6 and 7: what a bet needs, and whose money it takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ledger.commands import (
    AcknowledgeRealityCheck,
    BlockPlayer,
    CloseSession,
    Deposit,
    GrantBonus,
    RegisterPlayer,
    SetLimits,
    UnblockPlayer,
    Withdraw,
)
from ledger.player import Wallet
from ledger.refusals import Refusal, Refused
from tests.unit.rules.world import World, code, moved, only


@pytest.mark.parametrize(
    ("order", "real", "bonus", "amount", "taken"),
    [
        ("real_first", 10, 10, 4, (-4, 0)),
        ("real_first", 10, 10, 14, (-10, -4)),
        ("real_first", 0, 10, 4, (0, -4)),
        ("real_first", 10, 10, 20, (-10, -10)),
        ("bonus_first", 10, 10, 4, (0, -4)),
        ("bonus_first", 10, 10, 14, (-4, -10)),
        ("bonus_first", 10, 0, 4, (-4, 0)),
        ("real_first", 10, 10, 0, (0, 0)),
        ("real_first", 10, 10, 21, None),
        ("bonus_first", 10, 10, 21, None),
    ],
)
def test_a_stake_is_taken_from_real_and_bonus_money(order, real, bonus, amount, taken):
    """Real money first, or bonus first; never more than there is (rule 7)."""
    world = World().with_policy(stake_order=order).given(real, bonus)
    outcome = world.bet("b", amount)
    if taken is None:
        assert code(outcome) == "insufficient_funds"
        assert world.wallet() == Wallet(real, bonus)
    else:
        assert moved(outcome) == taken


@pytest.mark.parametrize("order", ["real_first", "bonus_first"])
def test_a_debt_leaves_only_what_is_above_it(order):
    """Bonus money behind a negative balance can be played with, less the debt (rule 11)."""
    world = World().with_policy(stake_order=order).given(real=5, bonus=0)
    world.bet("b", 5)
    world.win("w", 20)
    world.money(Withdraw, "out", 20)
    world.reverse("v", "w")
    assert world.wallet() == Wallet(-20, 0)
    assert code(world.bet("b1", 1, round_id="r2")) == "insufficient_funds"
    assert moved(world.bet("free", 0, round_id="r2")) == (0, 0)
    world.money(Deposit, "in", 15)
    assert code(world.bet("b2", 1, round_id="r2")) == "insufficient_funds"
    world.win("w2", 30, round_id="r2")
    assert world.wallet() == Wallet(25, 0)


def test_with_a_debt_bonus_money_pays_the_whole_stake():
    """A stake never makes a debt larger."""
    for order in ("real_first", "bonus_first"):
        world = World().with_policy(stake_order=order).given(real=0, bonus=0)
        world.bet("b", 0)
        world.win("w", 20)
        world.money(Withdraw, "out", 20)
        world.reverse("v", "w")
        world.money(GrantBonus, "x", 50)
        assert world.wallet() == Wallet(-20, 50)
        assert code(world.bet("b1", 31, round_id="r2")) == "insufficient_funds"
        assert moved(world.bet("b2", 30, round_id="r2")) == (0, -30)


def test_a_round_holds_several_bets():
    """Only the first opens the round; a bet may close it at once."""
    world = World().given()
    assert only(world.bet("b1", 1)).opens_round
    assert not only(world.bet("b2", 2)).opens_round
    assert world.player().open_rounds == 1
    assert only(world.bet("b3", 3, closes_round=True)).closes_round
    assert world.player().open_rounds == 0
    assert code(world.bet("b4", 1)) == "round_closed"
    both = only(world.bet("b5", 1, round_id="r2", closes_round=True))
    assert (both.opens_round, both.closes_round) == (True, True)
    assert world.player().open_rounds == 0


def test_what_a_call_says_beside_its_money_is_kept():
    """Its tags, and what the adapter found odd, beside what the rules add: reports show both."""
    said = {"tags": {"campaign": "spring"}, "exceptions": ("odd",)}
    world = World().given()
    placed = only(world.bet("b1", 1, **said))
    won = only(world.win("w1", 5, bet_key="b1", round_id="r9", **said))
    world.money(Withdraw, "out", 104)
    taken_back = only(world.reverse("v1", "w1", **said))
    assert {tuple(event.tags) for event in (placed, won, taken_back)} == {("campaign",)}
    assert placed.exceptions == ("odd",)
    assert won.exceptions == ("odd", "round_mismatch")
    assert taken_back.exceptions == ("odd", "reversal_shortfall")


def test_rounds_of_several_games_and_providers_are_open_at_once():
    """The same round id of another provider is another round (survival rule 6)."""
    world = World().given()
    world.open_session("sb", integration="b")
    world.bet("b1", 1)
    assert only(world.bet("b1", 1, integration="b", session="sb")).opens_round
    assert world.player().open_rounds == 2


def test_a_session_plays_in_its_own_currency_only():
    """The session fixes the currency; so does the round."""
    world = World().given()
    world.execute(RegisterPlayer(player_id="p1", currency="USD"))
    world.open_session("s2", currency="USD")
    world.money(Deposit, "usd", 50, currency="USD")
    assert code(world.bet("b1", 1)) == "bet_placed"
    assert code(world.bet("b2", 1, session="s2")) == "currency_mismatch"
    other_round = world.bet("b2", 1, session="s2", currency="USD")
    assert other_round == Refused(Refusal.CURRENCY_MISMATCH, "round r1 is not in USD")
    assert code(world.bet("b2", 1, session="s2", currency="USD", round_id="r2")) == "bet_placed"
    assert code(world.bet("b3", 1, currency="JPY")) == "currency_mismatch"
    assert (world.wallet(), world.wallet(currency="USD")) == (Wallet(99), Wallet(49))


# --- sessions ---------------------------------------------------------------


def test_a_session_lives_its_time_from_opening_or_from_its_last_bet():
    """Wins and refused bets do not keep it alive (rule 3)."""
    world = World().with_policy(session_ttl_s=60).given()
    assert code(world.after(seconds=60).bet("b1", 1)) == "bet_placed"
    assert code(world.after(seconds=60).bet("b2", 1)) == "bet_placed"
    world.after(seconds=30).win("w1", 1)
    assert code(world.bet("b3", 10_000)) == "insufficient_funds"
    assert code(world.after(seconds=31).bet("b4", 1)) == "session_expired"
    assert code(world.bet("b5", 1, session="")) == "unknown_session"
    assert code(world.bet("b5", 1, session=None)) == "unknown_session"


def test_a_session_of_another_player_or_provider_is_unknown():
    """A token must be worth nothing outside of its own game (rule 3)."""
    world = World().given()
    world.execute(RegisterPlayer(player_id="p2", currency="EUR"))
    world.open_session("s2", player_id="p2")
    world.open_session("sb", integration="b")
    for session in ("s2", "sb", "never"):
        for outcome in (
            world.bet("b", 1, session=session),
            world.win("w", 1, session=session),
            world.refund("f", "b", session=session),
        ):
            assert code(outcome) == "unknown_session"


def test_wins_and_refunds_come_after_the_session_and_for_blocked_players():
    """The money is owed whatever became of the player (rule 4)."""
    world = World().given()
    world.bet("b1", 5)
    world.bet("b2", 5, round_id="r2")
    world.execute(CloseSession(player_id="p1", session="s1"))
    world.execute(BlockPlayer(player_id="p1"))
    world.disabled_games.add(("a", "slot"))
    world.after(days=9)
    assert code(world.bet("b3", 1)) == "session_expired"
    assert moved(world.win("w1", 7)) == (7, 0)
    assert moved(world.refund("f1", "b2")) == (5, 0)
    assert moved(world.reverse("v1", "w1")) == (-7, 0)
    assert moved(world.refund("f2", "b1", session=None)) == (5, 0)
    assert moved(world.win("w2", 1, session=None, tags={"jackpot": True}, round_id="r9")) == (1, 0)


def test_blocking_and_disabling_can_be_undone():
    """Both hold for new bets from the next one on."""
    world = World().given()
    world.execute(BlockPlayer(player_id="p1"))
    assert code(world.bet("b1", 1)) == "player_blocked"
    world.execute(UnblockPlayer(player_id="p1"))
    world.disabled_games.add(("b", "slot"))
    assert code(world.bet("b1", 1)) == "bet_placed"
    world.disabled_games.add(("a", "slot"))
    assert code(world.bet("b2", 1)) == "game_disabled"
    assert code(world.bet("b2", 1, game="dice")) == "bet_placed"


# --- limits ---------------------------------------------------------------


def _limited(**limits: Any) -> World:
    world = World().given(real=1000)
    world.execute(SetLimits(player_id="p1", currency="EUR", **limits))
    return world


def test_a_single_stake_is_limited():
    """A stake equal to the limit is within it; a free one always is."""
    world = _limited(max_bet=10)
    assert code(world.bet("b1", 11)) == "limit_exceeded"
    assert code(world.bet("b1", 10)) == "bet_placed"
    world.execute(SetLimits(player_id="p1", currency="EUR", max_bet=0))
    assert code(world.bet("b2", 1)) == "limit_exceeded"
    assert code(world.bet("b2", 0)) == "bet_placed"


@pytest.mark.parametrize(
    ("period", "still", "over"),
    [
        ("day", timedelta(hours=11, minutes=59), timedelta(hours=12)),
        ("week", timedelta(days=4, hours=11), timedelta(days=4, hours=12)),
        ("month", timedelta(days=27, hours=11), timedelta(days=27, hours=12)),
    ],
)
def test_losses_are_limited_by_period(period, still, over):
    """Stakes - refunds - wins, this stake included, until the period ends (rule 3)."""
    for wait, expected in ((still, "limit_exceeded"), (over, "bet_placed")):
        world = _limited(**{f"loss_limit_{period}": 100}).with_policy(session_ttl_s=10**7)
        world.bet("b1", 80)
        refused = world.bet("b2", 21)
        assert isinstance(refused, Refused)
        assert refused.refusal is Refusal.LIMIT_EXCEEDED
        assert f"loss limit of the {period}" in refused.detail
        world.win("w1", 30)
        world.bet("b3", 40, round_id="r2")
        world.refund("f3", "b3")
        assert code(world.bet("b4", 51)) == "limit_exceeded"
        assert code(world.bet("b4", 50)) == "bet_placed"
        world.reverse("v1", "w1")
        assert code(world.bet("b5", 0)) == "bet_placed"
        world.now += wait
        assert code(world.bet("b6", 1)) == expected


def test_bonus_money_is_lost_too():
    """A player whose stakes come from a bonus reaches the limit all the same."""
    world = World().given(real=10, bonus=50)
    world.execute(SetLimits(player_id="p1", currency="EUR", loss_limit_day=20))
    assert moved(world.bet("b1", 20)) == (-10, -10)
    assert code(world.bet("b2", 1)) == "limit_exceeded"


def test_losses_count_by_currency():
    """A limit in one currency says nothing about another."""
    world = _limited(loss_limit_day=10)
    world.execute(RegisterPlayer(player_id="p1", currency="USD"))
    world.open_session("s2", currency="USD")
    world.money(Deposit, "usd", 50, currency="USD")
    bet = world.bet("b1", 50, currency="USD", session="s2")
    assert code(bet) == "bet_placed"
    assert code(world.bet("b2", 10, round_id="r2")) == "bet_placed"
    assert code(world.bet("b3", 1, round_id="r2")) == "limit_exceeded"


def test_a_removed_limit_limits_nothing():
    """None removes a limit, what is not named stays."""
    world = _limited(max_bet=10, loss_limit_day=20)
    world.execute(SetLimits(player_id="p1", currency="EUR", max_bet=None))
    assert code(world.bet("b1", 15)) == "bet_placed"
    assert code(world.bet("b2", 6)) == "limit_exceeded"


def test_a_reality_check_is_due_some_time_after_the_first_bet():
    """The clock starts with the session's first bet, later ones do not move it (rule 3)."""
    world = _limited(reality_check_min=30)
    assert code(world.after(hours=2).bet("b1", 1)) == "bet_placed"
    assert code(world.after(minutes=29).bet("b2", 1)) == "bet_placed"
    assert code(world.after(minutes=1).bet("b3", 1)) == "reality_check_due"
    assert code(world.bet("b3", 0)) == "reality_check_due"
    assert code(world.win("w1", 1)) == "win_credited"
    world.execute(SetLimits(player_id="p1", reality_check_min=None))
    assert code(world.bet("b3", 1)) == "bet_placed"


def test_an_acknowledgement_clears_the_reality_check():
    """And starts the clock anew with the next bet."""
    world = _limited(reality_check_min=30)
    world.bet("b1", 1)
    world.after(minutes=30).execute(AcknowledgeRealityCheck(player_id="p1"))
    assert code(world.after(minutes=40).bet("b2", 1)) == "bet_placed"
    assert code(world.after(minutes=30).bet("b3", 1)) == "reality_check_due"


def test_a_new_session_clears_the_reality_check():
    """For the old session too: the player came through the lobby."""
    world = _limited(reality_check_min=30)
    world.bet("b1", 1)
    assert code(world.after(minutes=30).bet("b2", 1)) == "reality_check_due"
    world.open_session("s2")
    assert code(world.bet("b2", 1, session="s2")) == "bet_placed"
    assert code(world.after(minutes=30).bet("b3", 1)) == "bet_placed"
    assert code(world.bet("b4", 1, session="s2")) == "reality_check_due"


def test_a_clock_that_goes_back_writes_no_earlier_time():
    """Recorded time never goes back within a player."""
    world = World().given()
    for number in range(3):
        world.after(hours=10)
        played = number == 0
        latest = only(world.bet("b1", 1) if played else world.money(Deposit, f"d{number}", 1))
        assert latest.recorded_at == world.now
        world.after(hours=-5)
        assert only(world.bet(f"late{number}", 1)).recorded_at == latest.recorded_at
