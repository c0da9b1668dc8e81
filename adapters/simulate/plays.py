"""How often each kind of round comes up, and what its protocol must be able to say for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from adapters.simulate import rounds
from adapters.simulate.desk import Desk, Table
from adapters.simulate.steps import Step

Play = Callable[[Desk, Table], Iterator[Step]]


@dataclass(frozen=True, slots=True)
class Entry:
    """How often a play comes up, and the ability its wire must have."""

    play: Play
    weight: int
    needs: str = ""


PLAYS = (
    Entry(rounds.lost, 240),
    Entry(rounds.won, 120),
    Entry(rounds.several_bets, 60),
    Entry(rounds.several_wins, 60),
    Entry(rounds.free_spin, 40),
    Entry(rounds.tagged_win, 20, "tagged win without a bet"),
    Entry(rounds.bet_that_closes, 30, "bet that closes its round"),
    Entry(rounds.refund, 60),
    Entry(rounds.win_by_round, 30, "win that names only its round"),
    Entry(rounds.win_out_of_nothing, 20, "win without bet and round"),
    Entry(rounds.refund_that_closes, 25, "refund that closes its round"),
    Entry(
        rounds.refund_of_a_lost_bet_that_closes, 15, "refund of a lost bet that closes its round"
    ),
    Entry(rounds.paid_free_bet, 20, "free bet with an amount"),
    Entry(rounds.session_closed_by_provider, 20, "session closed by the provider"),
    Entry(rounds.refund_of_another_amount, 20, "refund of another amount"),
    Entry(rounds.refund_of_one_of_two, 25),
    Entry(rounds.refund_before_bet, 40),
    Entry(rounds.refund_after_win, 25),
    Entry(rounds.win_on_refunded_bet, 25),
    Entry(rounds.reversed_win, 40, "win taken back"),
    Entry(rounds.spent_win_taken_back, 20, "win taken back"),
    Entry(rounds.win_after_close, 25),
    Entry(rounds.win_without_bet, 20),
    Entry(rounds.short_of_funds, 25),
    Entry(rounds.bad_signature, 20),
    Entry(rounds.malformed, 40),
    Entry(rounds.unknown_player, 20, "unknown player"),
    Entry(rounds.unknown_session, 20),
    Entry(rounds.wrong_currency, 20, "wrong currency"),
    Entry(rounds.disabled_game, 20, "disabled game"),
    Entry(rounds.expired_session, 20),
    Entry(rounds.blocked_player, 15),
    Entry(rounds.over_the_limit, 20, "limits"),
)
"""Every play. Weights are parts of a thousand and a bit."""
