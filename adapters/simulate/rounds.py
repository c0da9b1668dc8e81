"""What happens in a round: ordinary play, and every odd thing that a provider may do.

Each play is a generator of steps. Other rounds of the same player go on between its steps, except
where `Desk.alone` is raised because what comes next depends on the exact balance or on a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from adapters.simulate.calls import Session
from adapters.simulate.desk import Desk, Table
from adapters.simulate.steps import ProviderStep, Step


class Bet:
    """Yields an ordinary bet (after a deposit where needed) and keeps its id and amount."""

    def __init__(
        self, desk: Desk, table: Table, amount: int | None = None, *, closes: bool = False
    ) -> None:
        """Nothing happens before it is iterated."""
        self._steps = desk.stake(table, amount, closes=closes)
        self.id = ""
        self.amount = 0

    def __iter__(self) -> Iterator[Step]:
        for step in self._steps:
            if isinstance(step, ProviderStep):
                self.id, self.amount = step.call.transaction_id, step.call.amount
            yield step


# --- ordinary play -----------------------------------------------------------------------------


def lost(desk: Desk, table: Table) -> Iterator[Step]:
    """A bet and a win of nothing."""
    yield from (bet := Bet(desk, table))
    yield desk.win(table, 0, bet.id, situation="lost round", closes=desk.chance.random() < 0.9)


def won(desk: Desk, table: Table) -> Iterator[Step]:
    """A bet and what it won."""
    yield from (bet := Bet(desk, table))
    yield desk.win(table, desk.amount(table, 3), bet.id, closes=True)


def several_bets(desk: Desk, table: Table) -> Iterator[Step]:
    """Two to four bets in one round, each paid where wins name their bets, else all by one win."""
    bets = [Bet(desk, table) for _ in range(desk.chance.randrange(2, 5))]
    for bet in bets:
        yield from bet
    if table.wire.switches.wins_name_bets:
        for bet in bets[:-1]:
            amount = desk.chance.choice([0, desk.amount(table, 2)])
            yield desk.win(table, amount, bet.id)
    amount = desk.amount(table, 4)
    yield desk.win(table, amount, bets[-1].id, situation="round of several bets", closes=True)


def several_wins(desk: Desk, table: Table) -> Iterator[Step]:
    """One bet that wins two to four times."""
    yield from (bet := Bet(desk, table))
    for _ in range(desk.chance.randrange(1, 4)):
        yield desk.win(table, desk.amount(table), bet.id)
    yield desk.win(
        table, desk.amount(table), bet.id, situation="round of several wins", closes=True
    )


def free_spin(desk: Desk, table: Table) -> Iterator[Step]:
    """A bet of nothing that may win all the same."""
    bet = desk.bet(table, 0, situation="free spin", tag="free_spin")
    yield bet
    amount = desk.chance.choice([0, desk.amount(table)])
    yield desk.win(table, amount, bet.call.transaction_id, tag="free_spin", closes=True)


def tagged_win(desk: Desk, table: Table) -> Iterator[Step]:
    """A jackpot, promotion or tournament pays without any bet."""
    tag = desk.chance.choice(list(table.wire.betless_tags))
    yield desk.win(
        table,
        desk.amount(table, 5),
        desk.fresh_id(),
        situation="tagged win without a bet",
        tag=tag,
        closes=True,
    )


def win_by_round(desk: Desk, table: Table) -> Iterator[Step]:
    """The win names no bet, only the round."""
    yield from Bet(desk, table)
    amount = desk.amount(table, 2)
    yield desk.win(table, amount, situation="win that names only its round", closes=True)


def win_out_of_nothing(desk: Desk, table: Table) -> Iterator[Step]:
    """A win names neither bet nor round: it is booked, and somebody has to look into it."""
    nowhere = replace(table, round_id="")
    yield desk.win(nowhere, desk.amount(table), situation="win without bet and round")


def bet_that_closes(desk: Desk, table: Table) -> Iterator[Step]:
    """A losing bet closes its own round; if its answer got lost, a refund gives the stake back."""
    yield from (bet := Bet(desk, table, closes=True))
    if desk.chance.random() < 0.6:
        yield desk.undo(table, "refund", bet.id, bet.amount, situation="bet that closes its round")


# --- undoing -----------------------------------------------------------------------------------


def refund(desk: Desk, table: Table) -> Iterator[Step]:
    """A bet is given back, then again under another id."""
    yield from (bet := Bet(desk, table))
    yield desk.undo(table, "refund", bet.id, bet.amount, situation="refund")
    if desk.chance.random() < 0.5:
        situation = "refund again under another id"
        yield desk.undo(table, "refund", bet.id, bet.amount, situation=situation)


def refund_that_closes(desk: Desk, table: Table) -> Iterator[Step]:
    """The refund closes the round: nothing comes after it."""
    yield from (bet := Bet(desk, table))
    situation = "refund that closes its round"
    yield desk.undo(table, "refund", bet.id, bet.amount, situation=situation, closes=True)
    yield desk.bet(table, 0, situation="bet after the round closed")


def refund_of_a_lost_bet_that_closes(desk: Desk, table: Table) -> Iterator[Step]:
    """The second bet of a round never came; its refund closes the round of the first."""
    yield from (bet := Bet(desk, table))
    lost, situation = desk.fresh_id(), "refund of a lost bet that closes its round"
    yield desk.undo(table, "refund", lost, bet.amount, situation=situation, closes=True)
    yield desk.bet(table, 0, situation="bet after the round closed")


def refund_of_another_amount(desk: Desk, table: Table) -> Iterator[Step]:
    """The refund says a wrong amount: the stake comes back all the same."""
    yield from (bet := Bet(desk, table))
    amount = bet.amount + table.wire.smallest(table.currency)
    yield desk.undo(table, "refund", bet.id, amount, situation="refund of another amount")


def refund_of_one_of_two(desk: Desk, table: Table) -> Iterator[Step]:
    """One of two bets is given back; the other one wins."""
    first, second = Bet(desk, table), Bet(desk, table)
    yield from first
    yield from second
    yield desk.undo(table, "refund", first.id, first.amount, situation="refund of one of two bets")
    yield desk.win(table, desk.amount(table, 2), second.id, closes=True)


def refund_before_bet(desk: Desk, table: Table) -> Iterator[Step]:
    """The refund overtakes its bet, which is then refused however often it comes."""
    bet_id, amount = desk.fresh_id(), desk.amount(table)
    desk.alone += 1
    yield desk.undo(table, "refund", bet_id, amount, situation="refund before its bet")
    if desk.chance.random() < 0.3:
        yield desk.undo(table, "refund", bet_id, amount, situation="refund before its bet")
    yield desk.bet(table, amount, situation="bet after its refund", transaction_id=bet_id)
    desk.alone -= 1
    if table.wire.switches.late_bet == "refuse" and desk.chance.random() < 0.3:
        yield desk.bet(table, amount, situation="bet after its refund", transaction_id=bet_id)


def refund_after_win(desk: Desk, table: Table) -> Iterator[Step]:
    """A bet that was paid cannot be given back."""
    yield from (bet := Bet(desk, table))
    amount = desk.chance.choice([0, desk.amount(table)])
    yield desk.win(table, amount, bet.id, closes=desk.chance.random() < 0.5)
    yield desk.undo(table, "refund", bet.id, bet.amount, situation="refund after the win")


def win_on_refunded_bet(desk: Desk, table: Table) -> Iterator[Step]:
    """A bet that was given back wins nothing."""
    yield from (bet := Bet(desk, table))
    yield desk.undo(table, "refund", bet.id, bet.amount, situation="refund")
    yield desk.win(table, desk.amount(table), bet.id, situation="win on a refunded bet")


def reversed_win(desk: Desk, table: Table) -> Iterator[Step]:
    """A win is taken back, and again under another id."""
    yield from (bet := Bet(desk, table))
    win = desk.win(table, desk.amount(table), bet.id, closes=desk.chance.random() < 0.5)
    yield win
    win_id, amount = win.call.transaction_id, win.call.amount
    yield desk.undo(table, "reverse_win", win_id, amount, situation="win taken back")
    if desk.chance.random() < 0.4:
        situation = "win taken back again under another id"
        yield desk.undo(table, "reverse_win", win_id, amount, situation=situation)


def spent_win_taken_back(desk: Desk, table: Table) -> Iterator[Step]:
    """A win is taken back when the real money, or all of it, has been staked elsewhere."""
    yield from (bet := Bet(desk, table))
    win = desk.win(table, desk.amount(table, 5), bet.id)
    yield win
    other = desk.table(table.session)
    smallest = table.wire.smallest(table.currency)
    desk.alone += 1
    purse = desk.purse(table)
    stake = max(desk.chance.choice([purse.real, purse.total]), 0) // smallest * smallest
    spending = desk.bet(other, stake)
    yield spending
    win_id, amount = win.call.transaction_id, win.call.amount
    yield desk.undo(table, "reverse_win", win_id, amount, situation="spent win taken back")
    desk.alone -= 1
    yield desk.win(other, 0, spending.call.transaction_id, closes=True)


# --- what must be refused ----------------------------------------------------------------------


def win_after_close(desk: Desk, table: Table) -> Iterator[Step]:
    """The round is over: neither a win nor a bet may come."""
    yield from (bet := Bet(desk, table))
    yield desk.win(table, 0, bet.id, closes=True)
    yield desk.win(table, desk.amount(table), bet.id, situation="win after the round closed")
    yield desk.bet(table, 0, situation="bet after the round closed")


def win_without_bet(desk: Desk, table: Table) -> Iterator[Step]:
    """Nobody bet in this round."""
    yield desk.win(
        table, desk.amount(table), desk.fresh_id(), situation="win on a round without a bet"
    )


def short_of_funds(desk: Desk, table: Table) -> Iterator[Step]:
    """One unit more than there is, then exactly all of it."""
    smallest = table.wire.smallest(table.currency)
    yield from desk.fund(table.currency, smallest)
    desk.alone += 1
    exact = desk.purse(table).total // smallest * smallest
    yield desk.bet(table, exact + smallest, situation="one unit short of funds")
    whole = exact == desk.purse(table).total
    bet = desk.bet(table, exact, situation="exactly enough funds" if whole else "bet")
    yield bet
    desk.alone -= 1
    amount = desk.amount(table, 3)
    yield desk.win(table, amount, bet.call.transaction_id, closes=True)


def bad_signature(desk: Desk, table: Table) -> Iterator[Step]:
    """Somebody else sends a bet that would be fine."""
    call = desk.plain_call(table, desk.amount(table))
    yield desk.flawed("bad signature", table, call, "signature")


def malformed(desk: Desk, table: Table) -> Iterator[Step]:
    """A bet that is not what the protocol says, with a good signature."""
    call = desk.plain_call(table, desk.amount(table))
    yield desk.flawed("malformed body", table, call, "malformed")


def paid_free_bet(desk: Desk, table: Table) -> Iterator[Step]:
    """A free bet costs nothing, or it is an error."""
    call = replace(desk.plain_call(table, desk.amount(table)), tag="free_spin")
    yield desk.flawed("free bet with an amount", table, call, "paid free bet")


def unknown_player(desk: Desk, table: Table) -> Iterator[Step]:
    """Nobody has this id."""
    call = replace(desk.plain_call(table, 0), player_id=f"{desk.player_id}-nobody")
    yield desk.ask("unknown player", table, call)
    yield desk.ask("unknown player", table, replace(call, operation="balance"))


def unknown_session(desk: Desk, table: Table) -> Iterator[Step]:
    """Nobody was given this token."""
    session = Session(
        table.session.integration, table.game, table.currency, opened=False, token=desk.fresh_id()
    )
    nowhere = replace(table, session=session)
    yield desk.bet(nowhere, 0, situation="unknown session")
    yield desk.balance(session, situation="unknown session")


def wrong_currency(desk: Desk, table: Table) -> Iterator[Step]:
    """The bet is not in the session's currency."""
    currency = "USD" if table.currency == "EUR" else "EUR"
    call = replace(desk.plain_call(table, 0), currency=currency)
    yield desk.ask("wrong currency", table, call)


def disabled_game(desk: Desk, table: Table) -> Iterator[Step]:
    """The operator has switched this game off."""
    call = replace(desk.plain_call(table, 0), game=desk.disabled_game)
    yield desk.ask("disabled game", table, call)


# --- sessions and blocks -----------------------------------------------------------------------


def expired_session(desk: Desk, table: Table) -> Iterator[Step]:
    """After its session ended a player bets no more, but is paid and gets refunds."""
    session, opening = desk.open_session(table.wire, table.currency)
    yield opening
    here, there = replace(table, session=session), replace(desk.table(session), session=session)
    first, second = Bet(desk, here), Bet(desk, there)
    yield from first
    yield from second
    yield desk.close_session(session)
    yield desk.bet(here, 0, situation="bet in an expired session")
    yield desk.balance(session, situation="balance of an expired session")
    amount = desk.amount(table)
    yield desk.win(here, amount, first.id, situation="win in an expired session", closes=True)
    yield desk.undo(
        there, "refund", second.id, second.amount, situation="refund in an expired session"
    )


def session_closed_by_provider(desk: Desk, table: Table) -> Iterator[Step]:
    """The provider ends its session itself; what was bet is still paid."""
    session, opening = desk.open_session(table.wire, table.currency)
    yield opening
    here = replace(table, session=session)
    yield from (bet := Bet(desk, here))
    yield desk.close(session, situation="session closed by the provider")
    yield desk.bet(here, 0, situation="bet in an expired session")
    amount = desk.amount(table)
    yield desk.win(here, amount, bet.id, situation="win in an expired session", closes=True)
    yield desk.close(session, situation="closed session closed again")


def blocked_player(desk: Desk, table: Table) -> Iterator[Step]:
    """A blocked player bets no more, but sees the balance, is paid and gets refunds."""
    other = desk.table(table.session)
    first, second = Bet(desk, table), Bet(desk, other)
    yield from first
    yield from second
    desk.alone += 1
    yield desk.block()
    yield desk.bet(table, 0, situation="bet of a blocked player")
    yield desk.balance(table.session, situation="balance of a blocked player")
    amount = desk.amount(table)
    yield desk.win(table, amount, first.id, situation="win of a blocked player", closes=True)
    yield desk.undo(
        other, "refund", second.id, second.amount, situation="refund of a blocked player"
    )
    yield desk.unblock()
    desk.alone -= 1


def over_the_limit(desk: Desk, table: Table) -> Iterator[Step]:
    """A limit on bets: one unit over it is refused, the limit itself is not."""
    smallest = table.wire.smallest(table.currency)
    most = max(desk.amount(table) // smallest * smallest, smallest)
    yield from desk.fund(table.currency, most)
    desk.alone += 1
    yield desk.limit(table.currency, most)
    yield desk.bet(table, most + smallest, situation="bet over the limit")
    yield from (bet := Bet(desk, table, most))
    yield desk.limit(table.currency, None)
    desk.alone -= 1
    yield desk.win(table, 0, bet.id, closes=True)
