"""How a call comes to be refused: every row of the table of refusals, set up over HTTP.

A situation brings the world into the state it needs and answers the call that must be refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ledger.commands import BlockPlayer, CloseSession, SetGame, SetLimits
from ledger.service import token_hash
from tests.acceptance.conformance.configuration import PROTOCOLS
from tests.acceptance.conformance.service import UNITS, Guest
from tests.acceptance.conformance.wire import MISSING, Request, Wire, unique
from tests.acceptance.conformance.wires import WIRES

SetUp = Callable[[Wire, Guest], Awaitable[Request]]


@dataclass(frozen=True)
class Situation:
    """A row: the refusal, the call that gets it, and the protocols that can say so."""

    refusal: str
    call: str
    set_up: SetUp
    protocols: tuple[str, ...] = PROTOCOLS
    events: int = 0
    """Events that the refused call leaves all the same: a tombstone."""


SITUATIONS: list[Situation] = []

WITH_CURRENCY = tuple(name for name, wire in WIRES.items() if "currency" in wire.names)
"""The protocols that name player and currency in every call."""
THAT_REFUSE = tuple(name for name in PROTOCOLS if name != "marbles")
"""The protocols that have a refusal for a refund of what is not there."""
WITH_WIN_REVERSAL = tuple(
    name for name, wire in WIRES.items() if wire.reverse_win is not Wire.reverse_win
)


def situation(
    refusal: str, call: str, protocols: tuple[str, ...] = PROTOCOLS, events: int = 0
) -> Callable[[SetUp], SetUp]:
    """Enter a row into `SITUATIONS`."""

    def enter(set_up: SetUp) -> SetUp:
        SITUATIONS.append(Situation(refusal, call, set_up, protocols, events))
        return set_up

    return enter


async def closed(wire: Wire, guest: Guest) -> None:
    """The operator ends the guest's session."""
    await wire.service.do(CloseSession(player_id=guest.player_id, session=token_hash(guest.launch)))


async def settled(wire: Wire, guest: Guest, **fields: object) -> tuple[Request, Request]:
    """A bet and its win, both booked."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    win = wire.win(guest, bet, "2", **fields)
    await wire.ok(win)
    return bet, win


# --- malformed -----------------------------------------------------------------------------


@situation("malformed_request", "bet")
async def bet_without_id(wire: Wire, guest: Guest) -> Request:
    """A bet without the transaction id."""
    return wire.altered(wire.bet(guest), id=MISSING)


@situation("malformed_request", "win")
async def win_with_a_negative_amount(wire: Wire, guest: Guest) -> Request:
    """A win that would take money."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    return wire.win(guest, bet, "-1")


@situation("malformed_request", "refund")
async def refund_of_nothing(wire: Wire, guest: Guest) -> Request:
    """A reversal that does not say of what."""
    return wire.without_original(wire.refund(guest, wire.bet(guest)))


@situation("malformed_request", "balance")
async def balance_of_an_empty_session(wire: Wire, guest: Guest) -> Request:
    """A session id that is there and empty."""
    return wire.in_session(wire.balance(guest), "")


# --- replays with other content --------------------------------------------------------------


@situation("duplicate_conflict", "bet")
async def bet_again_with_another_stake(wire: Wire, guest: Guest) -> Request:
    """The id of a booked bet with another amount."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    return wire.altered(bet, amount=wire.amount("2", guest.currency))


@situation("duplicate_conflict", "win")
async def win_again_with_another_amount(wire: Wire, guest: Guest) -> Request:
    """The id of a booked win with another amount."""
    _, win = await settled(wire, guest)
    return wire.altered(win, amount=wire.amount("3", guest.currency))


@situation("duplicate_conflict", "refund")
async def refund_again_of_another_bet(wire: Wire, guest: Guest) -> Request:
    """The id of a booked refund that now names another bet."""
    first, second = wire.bet(guest), wire.bet(guest)
    refund = wire.refund(guest, first)
    for request in (first, second, refund):
        await wire.ok(request)
    return wire.refund(guest, second, id=refund.id, round_id=refund.round_id)


@situation("duplicate_conflict", "bet-of-another-player")
async def bet_under_another_players_id(wire: Wire, guest: Guest) -> Request:
    """An id is an id, whoever plays."""
    other = await wire.service.guest(wire)
    bet = wire.bet(other)
    await wire.ok(bet)
    return wire.bet(guest, id=bet.id, round_id=bet.round_id, game=other.game)


@situation("already_reversed", "bet")
async def bet_after_its_refund(wire: Wire, guest: Guest) -> Request:
    """The refund overtook the bet."""
    bet = wire.bet(guest)
    await wire.send(wire.refund(guest, bet))
    return bet


# --- player and session ---------------------------------------------------------------------


@situation("unknown_player", "bet", WITH_CURRENCY)
async def bet_of_nobody(wire: Wire, guest: Guest) -> Request:
    """A player whom the operator never registered."""
    return wire.altered(wire.bet(guest), player=unique("nobody"))


@situation("unknown_player", "win", WITH_CURRENCY)
async def win_of_nobody(wire: Wire, guest: Guest) -> Request:
    """A win for a player whom the operator never registered."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    return wire.altered(wire.win(guest, bet), player=unique("nobody"))


@situation("unknown_player", "refund", WITH_CURRENCY)
async def refund_of_nobody(wire: Wire, guest: Guest) -> Request:
    """A refund for a player whom the operator never registered."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    return wire.altered(wire.refund(guest, bet), player=unique("nobody"))


@situation("unknown_player", "balance", WITH_CURRENCY)
async def balance_of_nobody(wire: Wire, guest: Guest) -> Request:
    """The balance of a player whom the operator never registered."""
    return wire.altered(wire.balance(guest), player=unique("nobody"))


@situation("unknown_session", "bet")
async def bet_in_no_session(wire: Wire, guest: Guest) -> Request:
    """A token that nobody minted."""
    return wire.in_session(wire.bet(guest), wire.service.ledger.mint_token(guest.player_id))


@situation("unknown_session", "win")
async def win_in_no_session(wire: Wire, guest: Guest) -> Request:
    """Wins outlive their session, but there has to have been one."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    return wire.in_session(wire.win(guest, bet), "invented")


@situation("unknown_session", "refund")
async def refund_in_no_session(wire: Wire, guest: Guest) -> Request:
    """Refunds likewise."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    return wire.in_session(wire.refund(guest, bet), "invented")


@situation("unknown_session", "balance")
async def balance_in_no_session(wire: Wire, guest: Guest) -> Request:
    """A balance is shown to a session only."""
    return wire.in_session(wire.balance(guest), "invented")


@situation("unknown_session", "bet-of-another-player", WITH_CURRENCY)
async def bet_in_another_players_session(wire: Wire, guest: Guest) -> Request:
    """A token fixes its player."""
    other = await wire.service.guest(wire)
    return wire.in_session(wire.bet(guest), other.session)


@situation("unknown_session", "bet-of-another-integration")
async def bet_in_another_integrations_session(wire: Wire, guest: Guest) -> Request:
    """A token fixes its integration too, even of the same protocol."""
    elsewhere = type(wire)(wire.service, f"{wire.protocol}-today")
    other = await wire.service.launch(elsewhere, guest.player_id)
    return wire.in_session(wire.bet(guest), other.session)


@situation("session_expired", "bet")
async def bet_after_the_session(wire: Wire, guest: Guest) -> Request:
    """The operator ended the session."""
    await closed(wire, guest)
    return wire.bet(guest)


@situation("session_expired", "balance")
async def balance_after_the_session(wire: Wire, guest: Guest) -> Request:
    """A balance needs a live session."""
    await closed(wire, guest)
    return wire.balance(guest)


@situation("currency_mismatch", "bet", WITH_CURRENCY)
async def bet_in_another_currency(wire: Wire, guest: Guest) -> Request:
    """A session has one currency."""
    return wire.altered(wire.bet(guest), currency="USD")


@situation("currency_mismatch", "win", WITH_CURRENCY)
async def win_in_another_currency(wire: Wire, guest: Guest) -> Request:
    """A win is paid in its bet's currency."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    return wire.altered(wire.win(guest, bet), currency="USD")


@situation("currency_mismatch", "refund", ("betbrothers", "fizzybubbly"))
async def refund_in_another_currency(wire: Wire, guest: Guest) -> Request:
    """A refund gives back the bet's own currency."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    return wire.altered(wire.refund(guest, bet), currency="USD")


@situation("currency_mismatch", "balance", ("betbrothers", "fizzybubbly"))
async def balance_in_another_currency(wire: Wire, guest: Guest) -> Request:
    """Where the call names a currency, it has to be the session's."""
    return wire.altered(wire.balance(guest), currency="USD")


@situation("currency_mismatch", "bet-in-a-round-of-another-currency")
async def bet_in_a_round_of_another_currency(wire: Wire, guest: Guest) -> Request:
    """A round has one currency, and no protocol but this check keeps it so."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    dollars = await wire.service.another_currency(wire, guest, "USD")
    return wire.bet(dollars, round_id=bet.round_id)


# --- what forbids a bet -----------------------------------------------------------------------


@situation("player_blocked", "bet")
async def bet_of_a_blocked_player(wire: Wire, guest: Guest) -> Request:
    """Blocked means: no more bets."""
    await wire.service.do(BlockPlayer(player_id=guest.player_id))
    return wire.bet(guest)


@situation("game_disabled", "bet")
async def bet_on_a_disabled_game(wire: Wire, guest: Guest) -> Request:
    """The operator took the game off."""
    await wire.service.ledger.set_game(
        SetGame(integration=wire.integration, game=guest.game, enabled=False)
    )
    return wire.bet(guest)


@situation("limit_exceeded", "bet")
async def bet_over_the_largest_stake(wire: Wire, guest: Guest) -> Request:
    """The player set a largest stake."""
    await wire.service.do(SetLimits(player_id=guest.player_id, max_bet=UNITS // 2))
    return wire.bet(guest)


@situation("limit_exceeded", "bet-over-the-loss-limit")
async def bet_over_the_loss_limit(wire: Wire, guest: Guest) -> Request:
    """Stakes less wins of the day, this stake included."""
    await wire.service.do(SetLimits(player_id=guest.player_id, loss_limit_day=3 * UNITS))
    await wire.ok(wire.bet(guest, "2"))
    return wire.bet(guest, "2")


@situation("reality_check_due", "bet")
async def bet_while_a_reality_check_is_due(wire: Wire, guest: Guest) -> Request:
    """Due at once, as the time is nought minutes."""
    await wire.ok(wire.bet(guest))
    await wire.service.do(SetLimits(player_id=guest.player_id, reality_check_min=0))
    return wire.bet(guest)


# --- rounds and originals ----------------------------------------------------------------------


@situation("round_closed", "bet")
async def bet_on_a_closed_round(wire: Wire, guest: Guest) -> Request:
    """The provider said that no more would come."""
    bet, _ = await settled(wire, guest, closes=True)
    return wire.bet(guest, round_id=bet.round_id)


@situation("round_closed", "win")
async def win_on_a_closed_round(wire: Wire, guest: Guest) -> Request:
    """A late win, where the switch is not set."""
    bet, _ = await settled(wire, guest, closes=True)
    return wire.win(guest, bet)


@situation("original_not_found", "win")
async def win_without_a_bet(wire: Wire, guest: Guest) -> Request:
    """Nobody played in that round."""
    return wire.win(guest, wire.bet(guest))


@situation("original_not_found", "win-on-another-players-bet")
async def win_on_another_players_bet(wire: Wire, guest: Guest) -> Request:
    """Another player's bet is no bet of this player."""
    bet = wire.bet(await wire.service.guest(wire))
    await wire.ok(bet)
    return wire.win(guest, bet)


@situation("original_not_found", "refund", events=1)
async def refund_of_an_unknown_bet(wire: Wire, guest: Guest) -> Request:
    """The bet was lost on its way; its tombstone is the one event."""
    return wire.refund(guest, wire.bet(guest))


@situation("original_not_found", "refund-of-another-players-bet", THAT_REFUSE)
async def refund_of_another_players_bet(wire: Wire, guest: Guest) -> Request:
    """Another player's bet cannot be taken back, and gets no tombstone either."""
    bet = wire.bet(await wire.service.guest(wire))
    await wire.ok(bet)
    return wire.refund(guest, bet, id=unique("refund"))


@situation("original_not_found", "reverse-win", ("betbrothers",))
async def reversal_of_an_unknown_win(wire: Wire, guest: Guest) -> Request:
    """A win that never came needs no tombstone: the operation is part of the key."""
    return wire.reverse_win(guest, wire.win(guest, wire.bet(guest)))


@situation("original_reversed", "win")
async def win_on_a_refunded_bet(wire: Wire, guest: Guest) -> Request:
    """The stake went back already."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    await wire.ok(wire.refund(guest, bet))
    return wire.win(guest, bet)


@situation("original_settled", "refund")
async def refund_after_the_win(wire: Wire, guest: Guest) -> Request:
    """The bet was settled."""
    bet, _ = await settled(wire, guest)
    return wire.refund(guest, bet)


@situation("insufficient_funds", "bet")
async def bet_of_more_than_there_is(wire: Wire, guest: Guest) -> Request:
    """A cent too much."""
    return wire.bet(guest, "100.01")


def rows() -> list[tuple[str, Situation]]:
    """Every protocol with every situation that it can say."""
    return [
        (protocol, row) for protocol in PROTOCOLS for row in SITUATIONS if protocol in row.protocols
    ]
