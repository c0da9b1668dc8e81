"""What providers do that a wallet must survive: every numbered rule, for every provider."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

import pytest

from ledger.commands import BlockPlayer
from tests.acceptance.conformance.configuration import PROTOCOLS
from tests.acceptance.conformance.expected import expected
from tests.acceptance.conformance.situations import WITH_WIN_REVERSAL, closed
from tests.acceptance.conformance.wire import unique

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("protocol", PROTOCOLS),
]


async def test_rule_1_repetitions_at_the_same_time_are_booked_once(service, wire, guest):
    """A provider that hears nothing in time asks again while the first try still runs."""
    bet = wire.bet(guest)
    async with service.untouched(await service.guest(wire)):
        answers = await asyncio.gather(*(wire.send(bet) for _ in range(8)))
    assert {answer.raw for answer in answers} == {answers[0].raw}
    assert answers[0].balance == 99
    assert [event.operation for event in await service.events(guest)].count(bet.operation) == 1


async def test_rule_1_a_timed_out_bet_that_is_cancelled_costs_nothing(service, wire, guest):
    """The cancellation is sent at once: it may overtake the bet, or fall between its tries."""
    before = (await service.player(guest)).wallets
    bet = wire.bet(guest)
    refund = wire.refund(guest, bet)
    await asyncio.gather(*(wire.send(call) for call in (bet, refund, bet, refund)))
    assert (await service.player(guest)).wallets == before


async def test_rule_2_a_replay_is_a_success_with_the_first_answer(service, wire, guest):
    """Byte for byte, whatever came since: the provider compares, or pays from it."""
    bet = wire.bet(guest)
    first_bet = await wire.ok(bet)
    win = wire.win(guest, bet, "5")
    first_win = await wire.ok(win)
    lost = wire.bet(guest)
    await wire.ok(lost)
    refund = wire.refund(guest, lost, id=unique("refund"))
    first_refund = await wire.ok(refund)
    await wire.ok(wire.bet(guest, "20"))
    async with service.untouched(guest):
        assert (await wire.ok(bet)).raw == first_bet.raw
        assert (await wire.ok(win)).raw == first_win.raw
        assert (await wire.ok(refund)).raw == first_refund.raw


async def test_rule_2_the_replay_comes_before_every_other_check(service, wire, guest):
    """A booked bet is acknowledged though its player is blocked and its session over by now."""
    bet = wire.bet(guest)
    first = await wire.ok(bet)
    await closed(wire, guest)
    await service.do(BlockPlayer(player_id=guest.player_id))
    async with service.untouched(guest):
        assert (await wire.ok(bet)).raw == first.raw


async def test_rule_3_a_bet_that_its_rollback_overtook_is_refused_for_ever(service, wire, guest):
    """The provider gave the round up; a bet taken now would never be settled."""
    bet = wire.bet(guest)
    await wire.send(wire.refund(guest, bet))
    async with service.untouched(guest):
        answers = [await wire.send(bet) for _ in range(3)]
    said = expected(wire.protocol, "already_reversed", bet.operation)
    assert [answer.refusal for answer in answers] == [said] * 3


async def test_rule_3_the_tombstone_comes_before_the_rest(service, wire, guest):
    """Else a late bet would be told of its session, and tried again in a new one."""
    bet = wire.bet(guest, "1000")
    await wire.send(wire.refund(guest, bet, amount="1000"))
    await closed(wire, guest)
    await service.do(BlockPlayer(player_id=guest.player_id))
    answer = await wire.send(bet)
    assert answer.refusal == expected(wire.protocol, "already_reversed", bet.operation)


async def test_rule_3_a_refund_under_the_very_id_of_its_bet_keeps_the_bet_out(service, wire, guest):
    """The id should be a new one; but who was told of the refund must not find the bet taken."""
    before = (await service.player(guest)).wallets
    bet = wire.bet(guest)
    refund = wire.refund(guest, bet, id=bet.id)
    first = await wire.send(refund)
    late, again = await wire.send(bet), await wire.send(refund)
    assert late.refusal is not None
    assert (again.refusal, again.balance) == (first.refusal, first.balance)
    assert (await service.player(guest)).wallets == before


async def test_rule_4_an_unknown_original_gets_the_same_final_answer_every_time(
    service, wire, guest
):
    """A generic error would be tried again for ever."""
    refund = wire.refund(guest, wire.bet(guest))
    first = await wire.send(refund)
    async with service.untouched(guest):
        again = [await wire.send(refund) for _ in range(3)]
    said = expected(wire.protocol, "original_not_found", refund.operation)
    assert [answer.refusal for answer in (first, *again)] == [said] * 4
    assert {answer.balance for answer in again} == {first.balance}


@pytest.mark.parametrize("trouble", ["expired", "blocked"])
async def test_rule_5_wins_and_rollbacks_are_booked_whatever_became_of_the_player(
    service, wire, guest, trouble
):
    """The bet was taken: its outcome is owed."""
    won, lost = wire.bet(guest), wire.bet(guest)
    await wire.ok(won)
    await wire.ok(lost)
    if trouble == "expired":
        await closed(wire, guest)
    else:
        await service.do(BlockPlayer(player_id=guest.player_id))
    assert (await wire.ok(wire.win(guest, won, "3"))).balance == 101
    assert (await wire.ok(wire.refund(guest, lost, id=unique("refund")))).balance == 102


async def test_rule_6_a_round_holds_several_bets_and_refunding_one_leaves_the_others(
    service, wire, guest
):
    """Two bets on one wheel: taking one back does not undo the other."""
    first = wire.bet(guest, "10")
    second = wire.bet(guest, "20", round_id=first.round_id)
    for bet in (first, second):
        await wire.ok(bet)
    refunded = await wire.ok(wire.refund(guest, first, id=unique("refund"), amount="10"))
    assert refunded.balance == 80
    assert (await wire.ok(wire.win(guest, second, "5"))).balance == 85
    assert (await wire.ok(wire.win(guest, second, "6", closes=True))).balance == 91
    third = wire.bet(guest, round_id=first.round_id)
    said = expected(wire.protocol, "round_closed", third.operation)
    assert (await wire.send(third)).refusal == said


async def test_rule_6_rounds_are_open_in_several_games_at_once(service, wire, guest):
    """A player has several windows; what one game does is nothing to the other's round."""
    other = await service.launch(wire, guest.player_id)
    bets = [wire.bet(guest, "10"), wire.bet(other, "20")]
    for bet in bets:
        await wire.ok(bet)
    assert len((await service.player(guest)).rounds) == 2
    await wire.ok(wire.win(guest, bets[0], "0", closes=True))
    won = await wire.ok(wire.win(other, bets[1], "40", closes=True))
    assert won.balance == 110
    assert not (await service.player(guest)).rounds


async def test_rule_7_a_refund_restores_the_split_of_its_bet(service, wire):
    """Whatever amount the call carries: bonus money must not become real on its way back."""
    guest = await service.guest(wire, real="1", bonus="10")
    before = (await service.player(guest)).wallets
    bet = wire.bet(guest, "5")
    assert (await wire.ok(bet)).balance == 6
    refund = wire.refund(guest, bet, amount="3")
    assert (await wire.ok(refund)).balance == 11
    assert (await service.player(guest)).wallets == before
    *_, booked = await service.events(guest)
    noted = ("amount_mismatch",) if wire.protocol == "betbrothers" else ()
    assert booked.exceptions == noted


async def test_rule_8_a_second_refund_under_a_new_id_succeeds_and_moves_nothing(
    service, wire, guest
):
    """Two of the provider's systems clean up after the same bet."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    assert (await wire.ok(wire.refund(guest, bet))).balance == 100
    async with service.untouched(guest, events=1):
        assert (await wire.ok(wire.refund(guest, bet, id=unique("refund")))).balance == 100


async def test_rule_8_a_bet_is_either_won_or_refunded(service, wire, guest):
    """Both would pay twice, and either may come first."""
    won, refunded = wire.bet(guest), wire.bet(guest)
    for call in (won, refunded, wire.win(guest, won), wire.refund(guest, refunded)):
        await wire.ok(call)
    late_refund, late_win = wire.refund(guest, won), wire.win(guest, refunded)
    async with service.untouched(guest):
        answers = [await wire.send(late_refund), await wire.send(late_win)]
    assert [answer.refusal for answer in answers] == [
        expected(wire.protocol, "original_settled", late_refund.operation),
        expected(wire.protocol, "original_reversed", late_win.operation),
    ]


async def test_rule_9_reversing_a_win_that_is_spent_goes_below_zero_at_first_hand(
    service, wire, guest
):
    """The default of the switch. Where a protocol reverses bets only, a win stays as it is."""
    bet = wire.bet(guest, "100")
    win = wire.win(guest, bet, "50")
    for call in (bet, win, wire.bet(guest, "50")):
        await wire.ok(call)
    if wire.protocol in WITH_WIN_REVERSAL:
        assert (await wire.ok(wire.reverse_win(guest, win))).balance == -50
        assert (await wire.ok(wire.balance(guest))).balance == -50
        return
    refund = wire.refund(guest, win)
    async with service.untouched(guest, events=int(wire.protocol == "marbles")):
        answer = await wire.send(refund)
    assert answer.refusal == expected(wire.protocol, "original_not_found", refund.operation)


async def test_rule_10_a_bet_and_a_win_of_nothing_are_normal(service, wire, guest):
    """A free round, and a lost one."""
    bet = wire.bet(guest, "0")
    assert (await wire.ok(bet)).balance == 100
    assert (await wire.ok(wire.win(guest, bet, "0", closes=True))).balance == 100
    kinds = Counter(event.operation for event in await service.events(guest))
    assert kinds[bet.operation] == 1


@pytest.mark.parametrize("call", ["bet", "win"])
async def test_rule_10_a_negative_amount_is_never_booked(service, wire, guest, call):
    """A negative win would take money, a negative bet give some."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    request = wire.bet(guest, "-1") if call == "bet" else wire.win(guest, bet, "-1")
    async with service.untouched(guest):
        answer = await wire.send(request)
    assert answer.refusal == expected(wire.protocol, "malformed_request", request.operation)


async def test_rule_10_an_amount_finer_than_the_ledgers_scale_is_refused(service, wire, guest):
    """Rounding would make or lose money; integers on the wire may have no fraction at all."""
    finer = Decimal("100.5") if wire.counts_integers else Decimal("0.000001")
    bet = wire.altered(wire.bet(guest), amount=finer)
    async with service.untouched(guest):
        answer = await wire.send(bet)
    assert answer.refusal == expected(wire.protocol, "malformed_request", bet.operation)


async def test_rule_11_the_stake_of_a_bet_that_closed_its_own_round_comes_back(
    service, wire, guest
):
    """The answer to the only bet of a round was lost: the provider rolls it back."""
    bet = wire.bet(guest, "10", closes=True)
    await wire.ok(bet)
    closing = {"closes": True} if wire.protocol == "marbles" else {}
    refund = wire.refund(guest, bet, amount="10", **closing)
    assert (await wire.ok(refund)).balance == 100
    again = wire.bet(guest, round_id=bet.round_id)
    said = expected(wire.protocol, "round_closed", again.operation)
    assert (await wire.send(again)).refusal == said
