"""The simulator's own wallet: each rule as a short story with figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.simulate.calls import Call, Operation, Outcome, Session, Switches
from adapters.simulate.model import Book, Purse

EURO = 100_000


class Story:
    """One player with 10 euros real and 5 euros bonus, in an integration whose wins name no bet."""

    def __init__(self, **switches: Any) -> None:
        self.switches = Switches(name="p", **switches)
        self.book = Book("ann", {"p": self.switches})
        self.book.purses["EUR"] = Purse(real=10 * EURO, bonus=5 * EURO)
        self.session = Session("p", "game", "EUR")

    def call(self, operation: Operation, an_id: str, amount: int = 0, **more: Any) -> Call:
        """A call that was not judged yet."""
        return Call(
            integration="p",
            operation=operation,
            player_id="ann",
            session=self.session,
            currency="EUR",
            game="game",
            transaction_id=an_id,
            amount=amount,
            **{"round_id": "r", **more},
        )

    def __call__(self, operation: Operation, an_id: str, amount: int = 0, **more: Any) -> Outcome:
        """Let the model judge a call."""
        return self.book.apply(self.call(operation, an_id, amount, **more))

    @property
    def money(self) -> tuple[int, int]:
        """Real and bonus money now."""
        return self.book.purses["EUR"].real, self.book.purses["EUR"].bonus


def test_a_stake_takes_real_money_first() -> None:
    """Rule 7: bonus money is touched only when the real money is gone."""
    story = Story()
    assert story("bet", "b1", 12 * EURO).refusal is None
    assert story.money == (0, 3 * EURO)


def test_a_stake_takes_bonus_money_first_where_configured() -> None:
    """Rule 7's switch."""
    story = Story(stake_order="bonus_first")
    story("bet", "b1", 6 * EURO)
    assert story.money == (9 * EURO, 0)


def test_a_win_is_split_as_the_stakes_were_and_the_remainder_is_real() -> None:
    """Rule 7: 12 euros were staked as 10 real and 2 bonus, so a sixth of the win is bonus."""
    story = Story()
    story("bet", "b1", 12 * EURO)
    outcome = story("win", "w1", 10)
    assert (outcome.real, outcome.bonus) == (9, 3 * EURO + 1)


def test_a_refund_restores_the_split_and_ignores_the_amount_on_the_wire() -> None:
    """Rule 7: what came from bonus goes back to bonus."""
    story = Story()
    story("bet", "b1", 12 * EURO)
    assert story("refund", "f1", 99, refers_to="b1").refusal is None
    assert story.money == (10 * EURO, 5 * EURO)


def test_a_repetition_is_answered_with_the_first_balance() -> None:
    """Rule 1: same id, same content, same answer, whatever happened since."""
    story = Story()
    first = story("bet", "b1", EURO)
    story("bet", "b2", EURO)
    again = story("bet", "b1", EURO)
    assert again == replace(first, replayed=True)
    assert story.money == (8 * EURO, 5 * EURO)


def test_a_repetition_is_answered_with_todays_balance_where_configured() -> None:
    """The switch replay_balance."""
    story = Story(replay_balance="current")
    story("bet", "b1", EURO)
    story("bet", "b2", EURO)
    assert story("bet", "b1", EURO).real == 8 * EURO


@pytest.mark.parametrize(
    "change", [{"amount": 2 * EURO}, {"round_id": "other"}, {"game": "other"}, {"refers_to": "x"}]
)
def test_the_same_id_with_another_content_is_a_conflict(change: dict[str, Any]) -> None:
    """Rule 1: all that matters to money and identity is compared."""
    story = Story()
    story("bet", "b1", EURO)
    changed = replace(story.call("bet", "b1", EURO), **change)
    assert story.book.apply(changed).refusal == "duplicate_conflict"


def test_flags_and_sessions_are_no_content() -> None:
    """Rule 1: a repetition may say otherwise whether the round closed, and use another session."""
    story = Story()
    story("bet", "b1", EURO)
    story.session = Session("p", "game", "EUR", live=False)
    assert story("bet", "b1", EURO, closes_round=True).replayed


def test_a_refund_before_its_bet_refuses_the_bet_for_ever() -> None:
    """Rule 8: the tombstone outlives every repetition."""
    story = Story()
    assert story("refund", "f1", EURO, refers_to="b1").refusal == "original_not_found"
    assert story("refund", "f1", EURO, refers_to="b1").refusal == "original_not_found"
    assert story("bet", "b1", EURO).refusal == "already_reversed"
    assert story("bet", "b1", EURO).refusal == "already_reversed"
    assert story.money == (10 * EURO, 5 * EURO)


def test_a_late_bet_can_be_answered_without_moving_money() -> None:
    """Rule 8's switch."""
    story = Story(late_bet="accept")
    story("refund", "f1", EURO, refers_to="b1")
    assert story("bet", "b1", EURO).refusal is None
    assert story.money == (10 * EURO, 5 * EURO)


def test_a_second_refund_moves_nothing_and_succeeds() -> None:
    """Rule 9."""
    story = Story()
    story("bet", "b1", EURO)
    story("refund", "f1", EURO, refers_to="b1")
    assert story("refund", "f2", EURO, refers_to="b1").refusal is None
    assert story.money == (10 * EURO, 5 * EURO)


def test_a_refund_after_the_win_is_refused() -> None:
    """Rule 9: a win on the round settles its bets where the protocol names none."""
    story = Story()
    story("bet", "b1", EURO)
    story("win", "w1", 0)
    assert story("refund", "f1", EURO, refers_to="b1").refusal == "original_settled"


def test_a_win_that_names_its_bet_settles_no_other() -> None:
    """Rule 9: refunding one bet leaves the others alive, and paying one too."""
    story = Story()
    story("bet", "b1", EURO)
    story("bet", "b2", EURO)
    story("win", "w1", EURO, refers_to="b1")
    assert story("refund", "f2", EURO, refers_to="b2").refusal is None
    assert story("refund", "f1", EURO, refers_to="b1").refusal == "original_settled"


def test_a_win_that_closes_the_round_settles_all_its_bets() -> None:
    """Rule 9."""
    story = Story()
    story("bet", "b1", EURO)
    story("bet", "b2", EURO)
    story("win", "w1", EURO, refers_to="b1", closes_round=True)
    assert story("refund", "f2", EURO, refers_to="b2").refusal == "original_settled"


def test_a_lost_bet_that_closed_its_round_can_be_given_back() -> None:
    """Rule 9: its answer was lost on the way, and its stake must not be."""
    story = Story()
    story("bet", "b1", EURO, closes_round=True)
    assert story("refund", "f1", EURO, refers_to="b1").refusal is None
    assert story.money == (10 * EURO, 5 * EURO)


def test_a_win_on_a_refunded_bet_is_refused() -> None:
    """Rule 5."""
    story = Story()
    story("bet", "b1", EURO)
    story("refund", "f1", EURO, refers_to="b1")
    assert story("win", "w1", EURO).refusal == "original_reversed"
    assert story("win", "w2", EURO, refers_to="b1").refusal == "original_reversed"


def test_a_win_needs_a_bet_or_a_tag() -> None:
    """Rule 5: a jackpot pays without a bet."""
    story = Story()
    assert story("win", "w1", EURO).refusal == "original_not_found"
    assert story("win", "w1", EURO, tag="jackpot").refusal is None
    assert story.money == (11 * EURO, 5 * EURO)


def test_nothing_new_comes_to_a_closed_round() -> None:
    """Rule 5: a bet and a win are refused alike."""
    story = Story()
    story("bet", "b1", EURO)
    story("win", "w1", 0, closes_round=True)
    assert story("win", "w2", EURO).refusal == "round_closed"
    assert story("bet", "b2", EURO).refusal == "round_closed"
    assert not story.book.open_rounds()


def test_a_late_win_is_booked_where_configured() -> None:
    """Rule 5's switch."""
    story = Story(late_win="accept")
    story("bet", "b1", EURO)
    story("win", "w1", 0, closes_round=True)
    assert story("win", "w2", EURO).refusal is None


def test_one_unit_too_much_is_refused_and_all_of_it_is_not() -> None:
    """Rule 3: real and bonus money together can be staked."""
    story = Story()
    assert story("bet", "b1", 15 * EURO + 1).refusal == "insufficient_funds"
    assert story("bet", "b1", 15 * EURO).refusal is None
    assert story.money == (0, 0)


def test_an_expired_session_stops_bets_only() -> None:
    """Rule 4."""
    story = Story()
    story("bet", "b1", EURO)
    story("bet", "b2", EURO, round_id="r2")
    story.session.live = False
    assert story("bet", "b3", EURO).refusal == "session_expired"
    assert story("balance", "").refusal == "session_expired"
    assert story("win", "w1", EURO).refusal is None
    assert story("refund", "f1", EURO, refers_to="b2", round_id="r2").refusal is None


def test_a_block_stops_bets_only() -> None:
    """Rule 4."""
    story = Story()
    story("bet", "b1", EURO)
    story.book.blocked = True
    assert story("bet", "b2", EURO).refusal == "player_blocked"
    assert story("balance", "").refusal is None
    assert story("win", "w1", EURO).refusal is None


@pytest.mark.parametrize(
    ("switch", "refusal", "money"),
    [
        ("negative", None, (-3, 0)),
        ("clamp", None, (0, 0)),
        ("refuse", "insufficient_funds", (4, 0)),
    ],
)
def test_a_win_that_was_spent_is_taken_back_as_configured(
    switch: str, refusal: str | None, money: tuple[int, int]
) -> None:
    """Rule 10: a win of 7, of which 4 are left."""
    story = Story(reversal_shortfall=switch)
    story.book.purses["EUR"] = Purse(real=1)
    story("bet", "b1", 1)
    story("win", "w1", 7)
    story("bet", "b2", 3)
    assert story("reverse_win", "x1", 7, refers_to="w1").refusal == refusal
    assert story.money == money


@pytest.mark.parametrize(
    ("left", "money"),
    [((9, 3), (3, 1)), ((9, 1), (2, 0)), ((2, 9), (0, 3)), ((2, 3), (-3, 0))],
)
def test_what_one_pot_lacks_is_taken_from_the_other(
    left: tuple[int, int], money: tuple[int, int]
) -> None:
    """Rule 10: 6 real and 2 bonus go back, and only real money may end below zero."""
    story = Story()
    story.book.purses["EUR"] = Purse(real=6, bonus=2)
    story("bet", "b1", 8)
    story("win", "w1", 8)
    story.book.purses["EUR"] = Purse(real=left[0], bonus=left[1])
    story("reverse_win", "x1", 8, refers_to="w1")
    assert story.money == money


def test_a_stake_of_nothing_needs_no_money() -> None:
    """A free spin can be played below zero."""
    story = Story()
    story.book.purses["EUR"] = Purse(real=-5)
    assert story("bet", "b1", 0).refusal is None
    assert story("bet", "b2", 1).refusal == "insufficient_funds"


def test_ids_may_be_shared_between_operations_where_the_provider_does_so() -> None:
    """The Bet Brothers send a refund under the id of its bet."""
    story = Story(ids_per_operation=True)
    story("bet", "same", EURO)
    assert story("refund", "same", EURO, refers_to="same").refusal is None
    assert story.money == (10 * EURO, 5 * EURO)


def test_held_money_cannot_be_played_or_withdrawn() -> None:
    """It is neither real nor bonus until the withdrawal is cancelled."""
    story = Story()
    assert story.book.withdraw("EUR", 10 * EURO, hold=True) is None
    assert story.book.withdraw("EUR", 1, hold=False) == "insufficient_funds"
    assert story("bet", "b1", 5 * EURO + 1).refusal == "insufficient_funds"
    story.book.cancel("EUR", 10 * EURO)
    assert story.book.purses["EUR"] == Purse(real=10 * EURO, bonus=5 * EURO, held=0)
