"""Rules 5, 6 and 7: which wins are paid, and into which money."""

from __future__ import annotations

import pytest

from ledger.commands import CloseRound, Deposit, GrantBonus, RegisterPlayer, Withdraw
from ledger.money import UNITS_MAX
from ledger.player import Wallet
from tests.unit.rules.world import World, code, moved, only


@pytest.mark.parametrize(
    ("stakes", "amount", "split"),
    [
        ([4], 8, (8, 0)),
        ([10, 5], 9, (6, 3)),
        ([10, 5], 10, (7, 3)),
        ([10, 20], 1, (1, 0)),
        ([10, 20], 2, (1, 1)),
        ([0], 7, (7, 0)),
        ([10, 5], 0, (0, 0)),
    ],
)
def test_a_win_is_split_as_the_stakes_were(stakes, amount, split):
    """Bonus money wins bonus money; the remainder is real (rule 7)."""
    world = World().given(real=10, bonus=50)
    for number, stake in enumerate(stakes):
        world.bet(f"b{number}", stake)
    assert moved(world.win("w", amount)) == split


def test_only_bonus_stakes_win_bonus_money_only():
    """A round played with bonus alone pays nothing that could be withdrawn."""
    world = World().given(real=0, bonus=50)
    world.bet("b", 3)
    assert moved(world.win("w", 10)) == (0, 10)


def test_refunded_stakes_do_not_count_in_the_split():
    """What was given back was not played."""
    world = World().given(real=10, bonus=50)
    world.bet("b1", 10)
    world.bet("b2", 10)
    world.refund("f", "b1")
    assert moved(world.win("w", 10)) == (0, 10)


def test_a_win_needs_a_bet_in_its_round_or_the_bet_it_names():
    """Money for nothing is refused (rule 5)."""
    world = World().given()
    world.bet("b1", 1)
    assert code(world.win("w1", 5, round_id="r2")) == "original_not_found"
    assert code(world.win("w1", 5, bet_key="b2")) == "original_not_found"
    assert code(world.win("w1", 5, round_id=None, bet_key="b2")) == "original_not_found"
    world.win("w0", 5)
    assert code(world.win("w1", 5, bet_key="w0")) == "original_not_found"
    assert code(world.win("w1", 5, bet_key="b1", round_id=None)) == "win_credited"
    assert code(world.win("w2", 5)) == "win_credited"


def test_another_players_bet_is_no_bet_of_this_player():
    """Nobody wins on somebody else's stake (rule 5)."""
    world = World().given()
    world.execute(RegisterPlayer(player_id="p2", currency="EUR"))
    world.open_session("s2", player_id="p2")
    world.bet("b1", 1)
    other = {"player_id": "p2", "session": "s2"}
    assert code(world.win("w1", 5, **other)) == "original_not_found"
    assert code(world.win("w1", 5, bet_key="b1", **other)) == "original_not_found"
    assert code(world.refund("f1", "b1", **other)) == "original_not_found"
    assert code(world.rollback("f2", "b1", **other)) == "original_not_found"
    assert world.wallet("p2") == Wallet()
    assert moved(world.win("w1", 5, bet_key="b1")) == (5, 0)


def test_a_bet_of_another_round_is_followed_and_noted():
    """The bet counts, not the round id beside it; staff should see the difference."""
    world = World().given()
    world.bet("b1", 1)
    event = only(world.win("w1", 5, bet_key="b1", round_id="r9", closes_round=True))
    assert (event.round_id, event.exceptions) == ("r1", ("round_mismatch",))
    assert world.player().open_rounds == 0


@pytest.mark.parametrize("tag", ["promo", "free_spin", "tournament", "jackpot"])
def test_a_tagged_win_needs_no_bet(tag):
    """Prizes come without a stake (rule 5); they open a round of their own."""
    world = World().given()
    event = only(world.win("w1", 5, round_id="r5", tags={tag: {"id": "1"}}))
    assert (event.real, event.opens_round, event.closes_round) == (5, True, False)
    assert code(world.win("w2", 5, round_id="r5")) == "original_not_found"
    assert moved(world.bet("b1", 1, round_id="r5")) == (-1, 0)
    assert moved(world.win("w2", 5, round_id="r5", closes_round=True)) == (5, 0)
    assert world.player().open_rounds == 0


def test_any_other_tag_needs_a_bet():
    """A campaign's name is no prize."""
    assert code(World().given().win("w1", 5, tags={"campaign": "x"})) == "original_not_found"


@pytest.mark.parametrize("remembers", [True, False])
def test_a_tagged_win_that_names_a_win_belongs_to_its_own_round(remembers):
    """It must not claim to open a round that is there: the append could never succeed."""
    world = World(remembers=remembers).given()
    world.bet("b1", 1)
    world.win("w1", 1)
    event = only(world.win("w2", 5, bet_key="w1", tags={"jackpot": True}))
    assert (event.round_id, event.opens_round) == ("r1", False)
    assert world.player().open_rounds == 1


def test_a_win_that_names_nothing_is_a_round_of_its_own():
    """A gpas credit without bet and round is accepted (the adapter lists it)."""
    world = World().given()
    event = only(world.win("w1", 5, round_id=None))
    assert (event.round_id, event.opens_round, event.closes_round) == ("movement:w1", True, True)
    assert world.player().open_rounds == 0


def test_a_movement_that_names_no_round_is_none_of_a_round_called_like_its_key():
    """Providers count both: the win 5 has nothing to do with round 5, its bet can be refunded."""
    world = World().given()
    world.bet("b1", 1, round_id="5")
    world.bet("b2", 1, round_id="6", closes_round=True)
    assert code(world.win("5", 5, round_id=None)) == "win_credited"
    assert code(world.win("6", 5, round_id=None)) == "win_credited"
    assert code(world.refund("f1", "b1", round_id="5")) == "bet_refunded"
    event = only(world.bet("7", 1, round_id=None))
    assert (event.round_id, event.opens_round) == ("movement:7", True)
    assert code(world.bet("b3", 1, round_id="7")) == "bet_placed"
    assert code(world.win("w1", 5, bet_key="7", round_id=None)) == "win_credited"


def test_a_win_on_a_refunded_bet_is_refused():
    """Also a prize, and also where only the round is named (rule 5)."""
    world = World().given()
    world.bet("b1", 1)
    world.bet("b2", 1)
    world.refund("f1", "b1")
    assert code(world.win("w1", 5, bet_key="b1")) == "original_reversed"
    assert code(world.win("w1", 5, bet_key="b1", tags={"jackpot": True})) == "original_reversed"
    assert code(world.win("w1", 5)) == "win_credited"
    world.bet("b3", 1, round_id="r3")
    world.refund("f3", "b3")
    assert code(world.win("w3", 5, round_id="r3")) == "original_reversed"
    assert code(world.win("w3", 5, round_id="r3", tags={"promo": {}})) == "original_reversed"
    unknown = {"round_id": "r3", "bet_key": "never-came"}
    assert code(world.win("w3", 5, **unknown, tags={"promo": {}})) == "original_reversed"
    assert code(world.win("w3", 5, **unknown)) == "original_not_found"


@pytest.mark.parametrize("remembers", [True, False])
def test_a_prize_for_a_bet_that_was_refunded_before_it_came_is_refused(remembers):
    """The bet will never be taken, so nothing can be won with it."""
    world = World(remembers=remembers).given()
    world.refund("f1", "late")
    assert code(world.win("w1", 5, bet_key="late")) == "original_not_found"
    prize = world.win("w1", 5, bet_key="late", tags={"free_spin": True})
    assert code(prize) == "original_reversed"


def test_a_late_win_is_refused():
    """After the round closed nothing more is expected (rule 5, default)."""
    world = World().given()
    world.bet("b1", 1, closes_round=True)
    for amount in (0, 5):
        assert code(world.win("w1", amount)) == "round_closed"
        assert code(world.win("w1", amount, bet_key="b1")) == "round_closed"
        assert code(world.win("w1", amount, tags={"jackpot": True})) == "round_closed"


def test_a_late_win_can_be_accepted_as_an_exception():
    """late_win = "accept": booked, listed, and the round stays closed."""
    world = World().with_policy(late_win="accept").given()
    world.bet("b1", 1, closes_round=True)
    event = only(world.win("w1", 5, closes_round=True, exceptions=("odd",)))
    assert (event.real, event.closes_round) == (5, False)
    assert event.exceptions == ("odd", "late_win")
    assert world.player().open_rounds == 0
    assert code(world.win("w2", 5, bet_key="none")) == "original_not_found"


def test_several_wins_come_to_one_round():
    """Free games pay one by one (survival rule 6)."""
    world = World().given(real=10)
    world.bet("b1", 1)
    for number in range(3):
        assert moved(world.win(f"w{number}", 2)) == (2, 0)
    world.game(CloseRound, "c")
    assert code(world.win("w9", 2)) == "round_closed"


def test_a_win_in_another_currency_is_refused():
    """The round's, the session's and the win's currency are one."""
    world = World().given()
    world.execute(RegisterPlayer(player_id="p1", currency="USD"))
    world.open_session("s2", currency="USD")
    world.bet("b1", 1)
    assert code(world.win("w1", 5, currency="USD")) == "currency_mismatch"
    assert code(world.win("w1", 5, currency="USD", session="s2")) == "currency_mismatch"
    assert code(world.win("w1", 5, session="s2")) == "currency_mismatch"
    assert code(world.win("w1", 5, currency="JPY", session=None)) == "currency_mismatch"
    assert code(world.win("w1", 5, session=None)) == "win_credited"


def test_a_win_without_a_game_carries_its_rounds():
    """Reports by game need it on every movement."""
    world = World().given()
    world.bet("b1", 1, game="dice")
    assert only(world.win("w1", 1, game=None)).game == "dice"
    assert only(world.win("w2", 1, game="wheel")).game == "wheel"


def test_a_win_without_game_bet_and_round_is_of_its_sessions_game():
    """Its stakes are counted there: apart, both games' revenue would be wrong."""
    world = World().given()
    world.open_session("s2", game="dice")
    assert only(world.win("w1", 1, game=None, round_id=None, session="s2")).game == "dice"
    assert only(world.win("w2", 1, game=None, round_id=None, session=None)).game is None


def test_no_balance_outgrows_a_bigint():
    """Real, bonus and held money together stay within what the database holds."""
    world = World().given(real=UNITS_MAX - 10, bonus=0)
    world.bet("b1", 4)
    assert code(world.win("w1", 15)) == "malformed_request"
    assert code(world.money(GrantBonus, "g", 15)) == "malformed_request"
    assert code(world.money(Deposit, "d", 15)) == "malformed_request"
    assert code(world.win("w1", 14)) == "win_credited"
    assert world.wallet().real == UNITS_MAX
    assert code(world.money(Deposit, "d0", 0)) == "deposited"
    world.money(Withdraw, "h", 1, hold=True)
    assert code(world.money(Deposit, "d1", 1)) == "malformed_request"


def test_no_rounds_sums_outgrow_a_bigint():
    """What is staked and won again and again in one round adds up beyond every balance."""
    world = World().given(real=UNITS_MAX, bonus=0)
    world.bet("b1", UNITS_MAX)
    world.win("w1", UNITS_MAX)
    assert code(world.bet("b2", 1)) == "malformed_request"
    assert code(world.bet("b3", 0)) == "bet_placed"
    world.money(Withdraw, "out", UNITS_MAX)
    assert code(world.win("w2", 1)) == "malformed_request"
    assert code(world.win("w3", 0)) == "win_credited"
    world = World().given(real=0, bonus=UNITS_MAX)
    world.bet("b1", UNITS_MAX)
    world.money(GrantBonus, "more", 1)
    assert code(world.bet("b2", 1)) == "malformed_request"
