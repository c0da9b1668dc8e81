"""What only GPAS does: wallet sessions, an unsigned query, credits without a bet, any rollback."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ledger.commands import BlockPlayer, CloseSession
from ledger.service import token_hash
from tests.acceptance.conformance.situations import closed, settled
from tests.acceptance.conformance.wire import MISSING, Raw, unique

pytestmark = pytest.mark.asyncio(loop_scope="session")

MALFORMED = (400, (1010, "VALIDATION_ERROR"))
BAD_SESSION = (400, (1004, "INVALID_WALLET_SESSION"))
BAD_WALLET = (400, (1005, "INVALID_WALLET_ID"))
NO_SUCH_MOVEMENT = (400, (1002, "INVALID_TX_ID"))


@pytest.fixture
def protocol():
    """The provider of this file."""
    return "gpas"


# --- sessions --------------------------------------------------------------------------------


async def test_a_launch_token_opens_a_wallet_session(service, wire, guest):
    """Its id is a secret of our own making, its wallet the player."""
    answer = await wire.ok(wire.opening(guest))
    assert answer.body["walletId"] == guest.player_id
    assert answer.body["status"] == "OPEN"
    assert len(answer.body["id"]) >= 40
    created = datetime.fromisoformat(answer.body["created"])
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)


async def test_the_same_launch_token_opens_another_session(service, wire, guest):
    """A retry of a call whose answer was lost; both sessions play."""
    again = replace(guest, session=await wire.enter(guest))
    assert again.session != guest.session
    assert (await wire.ok(wire.bet(guest))).balance == 99
    assert (await wire.ok(wire.bet(again))).balance == 98


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer invented", "Basic abc", "abc"]
)
async def test_a_bad_launch_token_is_1004(service, wire, guest, authorization):
    """Missing, invented or in another scheme."""
    async with service.untouched(guest):
        answer = await wire.send(wire.opening(guest), Authorization=authorization)
    assert answer.refusal == BAD_SESSION
    ghost = wire.opening(guest).asking(walletId=unique("nobody"))
    answer = await wire.send(ghost, Authorization=authorization)
    assert answer.refusal == BAD_WALLET  # it comes first in the table


async def test_another_players_wallet_is_1005(service, wire, guest):
    """A launch token is one player's."""
    other = await service.guest(wire)
    for wallet in (other.player_id, unique("nobody")):
        async with service.untouched(guest), service.untouched(other):
            answer = await wire.send(wire.opening(guest).asking(walletId=wallet))
        assert answer.refusal == BAD_WALLET


async def test_a_wallet_id_that_is_missing_or_empty_is_malformed(service, wire, guest):
    """The query is read as strictly as a body."""
    opening = replace(wire.opening(guest), query={})
    assert (await wire.send(opening)).refusal == MALFORMED
    assert (await wire.send(opening.asking(wallet=guest.player_id))).refusal == MALFORMED
    for wallet in ("", "a\0b"):
        assert (await wire.send(opening.asking(walletId=wallet))).refusal == MALFORMED


async def test_a_launch_token_is_no_wallet_session_nor_the_other_way_round(service, wire, guest):
    """The player's browser saw the launch token: it must move no money."""
    async with service.untouched(guest):
        bet = await wire.send(wire.bet(replace(guest, session=guest.launch)))
        opened = await wire.send(wire.opening(replace(guest, launch=guest.session)))
    assert bet.refusal == opened.refusal == BAD_SESSION


async def test_a_closed_launch_session_opens_no_wallet_session(service, wire, guest):
    """The operator ended it."""
    await closed(wire, guest)
    async with service.untouched(guest):
        assert (await wire.send(wire.opening(guest))).refusal == BAD_SESSION


async def test_closing_a_session_answers_200_without_a_body_once(service, wire, guest):
    """The second time the session is closed already: an error, as the vendor's page has it."""
    answer = await wire.ok(wire.closing(guest))
    assert (answer.status, answer.raw) == (200, b"")
    async with service.untouched(guest):
        assert (await wire.send(wire.closing(guest))).refusal == BAD_SESSION
        assert (await wire.send(wire.bet(guest))).refusal == BAD_SESSION
        assert (await wire.send(wire.balance(guest))).refusal == BAD_SESSION


@pytest.mark.parametrize("which", ["invented", "launch", "missing"])
async def test_closing_what_is_no_wallet_session_is_an_error(service, wire, guest, which):
    """The vendor cannot end the operator's own session either."""
    closing = wire.closing(guest)
    if which == "missing":
        closing = replace(closing, query={})
    else:
        closing = closing.asking(id="invented" if which == "invented" else guest.launch)
    async with service.untouched(guest):
        answer = await wire.send(closing)
    assert answer.refusal == (MALFORMED if which == "missing" else BAD_SESSION)


async def test_the_operators_end_of_the_launch_ends_the_wallet_session(service, wire, guest):
    """With its children, as the operator's call closes it."""
    await service.do(CloseSession(player_id=guest.player_id, session=token_hash(guest.launch)))
    assert (await wire.send(wire.bet(guest))).refusal == BAD_SESSION


async def test_a_credit_comes_after_the_session_closed_and_a_debit_does_not(service, wire, guest):
    """A bet's outcome is owed; a new bet is not."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    await wire.ok(wire.closing(guest))
    assert (await wire.ok(wire.win(guest, bet, "5"))).balance == 104
    assert (await wire.send(wire.bet(guest))).refusal == BAD_SESSION


# --- the query is not signed -------------------------------------------------------------------


async def test_another_players_session_never_moves_this_players_booked_bet(service, wire, guest):
    """Whoever changes the query of a signed call gets a conflict, not a second player's money."""
    other = await service.guest(wire)
    bet = wire.bet(guest)
    await wire.ok(bet)
    async with service.untouched(guest), service.untouched(other):
        answer = await wire.send(wire.in_session(bet, other.session))
    assert answer.refusal == (400, (1003, "DUPLICATE_TX_ID"))


async def test_a_rollback_that_names_another_players_movement_moves_nothing(service, wire, guest):
    """Neither that player's money nor this one's, and it leaves no tombstone."""
    other = await service.guest(wire)
    bet, win = await settled(wire, other)
    for movement in (bet, win):
        async with service.untouched(guest), service.untouched(other):
            answer = await wire.send(wire.refund(guest, movement))
        assert answer.refusal == NO_SUCH_MOVEMENT
    assert (await wire.ok(bet)).balance == 99


async def test_a_credit_in_another_players_session_needs_that_players_bet(service, wire, guest):
    """The signed body names the bet: it is no bet of the session's player."""
    other = await service.guest(wire)
    bet = wire.bet(guest)
    await wire.ok(bet)
    win = wire.in_session(wire.win(guest, bet, "50"), other.session)
    async with service.untouched(guest), service.untouched(other):
        assert (await wire.send(win)).refusal == NO_SUCH_MOVEMENT


async def test_a_changed_target_of_a_signed_rollback_is_a_conflict(service, wire, guest):
    """The target is content, signed or not."""
    first, second = wire.bet(guest), wire.bet(guest)
    rollback = wire.refund(guest, first)
    for call in (first, second, rollback):
        await wire.ok(call)
    async with service.untouched(guest):
        answer = await wire.send(rollback.asking(externalMovementId=second.id))
    assert answer.refusal == (400, (1003, "DUPLICATE_TX_ID"))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "walletSessionId=",
        "walletSessionId",
        "walletSessionId={0}&walletSessionId={0}",
        "walletSessionId={0}&a=%ff",
        "walletSessionId=%00",
        "&".join(f"a{n}=1" for n in range(40)) + "&walletSessionId={0}",
    ],
    ids=["none", "empty", "bare", "twice", "no-utf-8", "nul", "many"],
)
async def test_a_query_that_reads_in_two_ways_is_malformed(service, wire, guest, query):
    """On a call whose query is signed, and on one whose is not."""
    for call in (wire.bet(guest), wire.balance(guest)):
        odd = replace(call, query=query.format(guest.session))
        async with service.untouched(guest):
            assert (await wire.send(odd)).refusal == MALFORMED


# --- movements ------------------------------------------------------------------------------


async def test_a_movement_shows_real_and_bonus_and_their_sum(service, wire):
    """REAL, then BONUS, always; amountBonus is the bonus part of this movement."""
    guest = await service.guest(wire, real="3", bonus="51")
    debit = await wire.ok(wire.bet(guest, "4"))
    assert debit.body["amountBonus"] == 1
    parts = [part["leftBalance"] for part in debit.body["subWalletsSummary"]]
    assert (debit.balance, parts) == (50, [0, 50])
    balance = await wire.ok(wire.balance(guest))
    assert balance.body["subWalletsSummary"] == debit.body["subWalletsSummary"]


async def test_the_balance_has_two_paths(service, wire, guest):
    """The vendor's pages name both."""
    balance = wire.balance(guest)
    answers = [
        await wire.ok(balance),
        await wire.ok(replace(balance, path="/wallets/my/balance")),
    ]
    assert answers[0].raw == answers[1].raw


async def test_parts_that_are_rounded_down_still_add_up(service, wire):
    """0.009 real and 0.009 bonus are 0.01 together: the sum is shown, and its parts fit it."""
    guest = await service.guest(wire, real="0.009", bonus="0.009")
    answer = await wire.ok(wire.balance(guest))
    assert answer.balance == Decimal("0.01")


async def test_a_reference_is_one_over_all_operations(service, wire, guest):
    """A credit or a rollback under the debit's reference is a duplicate."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    for call in (wire.win(guest, bet, id=bet.id), wire.refund(guest, bet, id=bet.id)):
        async with service.untouched(guest):
            assert (await wire.send(call)).refusal == (400, (1003, "DUPLICATE_TX_ID"))


async def test_a_replayed_value_may_be_printed_otherwise(service, wire, guest):
    """1, "1" and 1.00 are one amount."""
    bet = wire.bet(guest)
    first = await wire.ok(bet)
    async with service.untouched(guest):
        for value in (Raw("1.00"), "1", "1.0", Raw("1e0")):
            assert (await wire.ok(bet.but(value=value))).raw == first.raw


async def test_a_rollback_reverses_a_credit_too(service, wire, guest):
    """Any movement: the bet is then as it was before its win, and can be rolled back as well."""
    bet, win = await settled(wire, guest)
    assert (await wire.ok(wire.refund(guest, win))).balance == 99
    assert (await wire.ok(wire.refund(guest, bet))).balance == 100


async def test_a_rollback_of_a_rollback_is_refused(service, wire, guest):
    """Its reference is no debit's and no credit's."""
    bet = wire.bet(guest)
    rollback = wire.refund(guest, bet)
    await wire.ok(bet)
    await wire.ok(rollback)
    async with service.untouched(guest):
        assert (await wire.send(wire.refund(guest, rollback))).refusal == NO_SUCH_MOVEMENT


async def test_a_credit_without_bet_and_round_is_booked_and_listed(service, wire, guest):
    """A prize: nothing can be checked, so that a person should look at it."""
    credit = wire.win(guest, wire.bet(guest), "7").but(tags=MISSING)
    assert (await wire.ok(credit)).balance == 107
    *_, booked = await service.events(guest)
    assert booked.exceptions == ("unbound_win",)


@pytest.mark.parametrize("known", ["bet", "round", "neither"])
async def test_a_credit_needs_its_bet_or_where_it_names_none_its_round(service, wire, guest, known):
    """An unknown bet, or an unknown round alone, is 1002."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    win = wire.win(guest, bet, "5")
    if known == "bet":
        win = win.but(tags__roundid=MISSING)
    elif known == "round":
        win = win.but(tags__externalReferenceBet=MISSING)
    else:
        win = win.but(tags__externalReferenceBet=MISSING, tags__roundid=unique("round"))
    answer = await wire.send(win)
    assert answer.refusal == (NO_SUCH_MOVEMENT if known == "neither" else (200, None))


@pytest.mark.parametrize(("flag", "closes"), [("true", True), (True, True), ("false", False)])
async def test_close_round_is_a_string_or_a_boolean(service, wire, guest, flag, closes):
    """The page prints a string; booleans are accepted."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    await wire.ok(wire.win(guest, bet).but(tags__closeRound=flag))
    assert bool((await service.player(guest)).rounds) is not closes


@pytest.mark.parametrize("type_code", ["GAME_CREDIT", "game_debit", "", 1, ["GAME_DEBIT"], {}])
async def test_a_type_code_that_does_not_fit_the_call_is_malformed(service, wire, guest, type_code):
    """A credit sent to the path of debits is somebody's mistake."""
    async with service.untouched(guest):
        assert (await wire.send(wire.bet(guest).but(typeCode=type_code))).refusal == MALFORMED


@pytest.mark.parametrize("field", ["typeCode", "tags", "description"])
async def test_a_field_that_is_optional_may_be_missing_or_null(service, wire, guest, field):
    """Reference and value are all that a debit needs."""
    assert (await wire.ok(wire.bet(guest).but(**{field: MISSING}))).balance == 99
    assert (await wire.ok(wire.bet(guest).but(**{field: None}))).balance == 98


@pytest.mark.parametrize("tags", ["text", [], 1, True, {"roundid": []}, {"gameid": {}}], ids=str)
async def test_tags_of_the_wrong_type_are_malformed(service, wire, guest, tags):
    """They carry the round, so they have to be readable."""
    async with service.untouched(guest):
        assert (await wire.send(wire.bet(guest).but(tags=tags))).refusal == MALFORMED


async def test_unknown_tags_are_the_vendors_own_business(service, wire, guest):
    """The page calls the dictionary dynamic."""
    bet = wire.bet(guest).but(tags__anything={"at": ["all"]}, tags__more=None)
    assert (await wire.ok(bet)).balance == 99


async def test_a_blocked_player_still_sees_the_balance(service, wire, guest):
    """A balance needs a live session, not an unblocked player."""
    await service.do(BlockPlayer(player_id=guest.player_id))
    assert (await wire.ok(wire.balance(guest))).balance == 100
