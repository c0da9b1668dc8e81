"""Every switch of an integration, in both positions, for every provider."""

from __future__ import annotations

import asyncio

import pytest

from ledger.player import Wallet
from tests.acceptance.conformance.configuration import PROTOCOLS
from tests.acceptance.conformance.expected import expected
from tests.acceptance.conformance.service import UNITS
from tests.acceptance.conformance.situations import WITH_WIN_REVERSAL, settled

pytestmark = pytest.mark.asyncio(loop_scope="session")

every_provider = pytest.mark.parametrize("protocol", PROTOCOLS)
with_win_reversal = pytest.mark.parametrize("protocol", WITH_WIN_REVERSAL)


@every_provider
@pytest.mark.parametrize(
    ("ending", "balance"), [("", 99), ("-today", 97)], ids=["original", "current"]
)
async def test_replay_balance_says_whose_balance_a_replay_shows(
    service, make_wire, protocol, ending, balance
):
    """Providers differ: some check the first answer, some show the figure to the player."""
    wire = make_wire(protocol, ending)
    guest = await service.guest(wire)
    bet = wire.bet(guest)
    await wire.ok(bet)
    await wire.ok(wire.bet(guest, "2"))
    async with service.untouched(guest):
        assert (await wire.ok(bet)).balance == balance


@every_provider
@pytest.mark.parametrize("ending", ["", "-lenient"], ids=["refuse", "accept"])
async def test_late_bet_refuses_or_answers_without_moving_money(
    service, make_wire, protocol, ending
):
    """Accepting spares the provider an error for a bet that it gave up already."""
    wire = make_wire(protocol, ending)
    guest = await service.guest(wire)
    bet = wire.bet(guest)
    await wire.send(wire.refund(guest, bet))
    await wire.ok(wire.bet(guest, "2"))
    async with service.untouched(guest):
        answer = await wire.send(bet)
    if ending:
        assert (answer.error, answer.balance) == (None, 98)
    else:
        assert answer.refusal == expected(protocol, "already_reversed", bet.operation)


@every_provider
@pytest.mark.parametrize("ending", ["", "-lenient"], ids=["refuse", "accept"])
async def test_late_win_refuses_or_books_with_an_exception(service, make_wire, protocol, ending):
    """A win after the round was closed is the provider's mistake, or its correction."""
    wire = make_wire(protocol, ending)
    guest = await service.guest(wire)
    bet, _ = await settled(wire, guest, closes=True)
    late = wire.win(guest, bet, "5")
    if not ending:
        async with service.untouched(guest):
            answer = await wire.send(late)
        assert answer.refusal == expected(protocol, "round_closed", late.operation)
        return
    assert (await wire.ok(late)).balance == 106
    *_, booked = await service.events(guest)
    assert "late_win" in booked.exceptions


@with_win_reversal
@pytest.mark.parametrize(
    ("ending", "balance"),
    [("", -30), ("-lenient", 0), ("-strict", None)],
    ids=["negative", "clamp", "refuse"],
)
async def test_reversal_shortfall_goes_below_zero_clamps_or_refuses(
    service, make_wire, protocol, ending, balance
):
    """The win of 50 is to go back, and 20 are left."""
    wire = make_wire(protocol, ending)
    guest = await service.guest(wire)
    bet = wire.bet(guest, "100")
    win = wire.win(guest, bet, "50")
    for call in (bet, win, wire.bet(guest, "30")):
        await wire.ok(call)
    reversal = wire.reverse_win(guest, win)
    if balance is not None:
        assert (await wire.ok(reversal)).balance == balance
        *_, booked = await service.events(guest)
        assert (booked.shortfall, booked.exceptions[0]) == (30 * UNITS, "reversal_shortfall")
        return
    async with service.untouched(guest):
        answer = await wire.send(reversal)
    assert answer.refusal == expected(protocol, "insufficient_funds", reversal.operation)


@every_provider
@pytest.mark.parametrize(
    ("ending", "left"),
    [("", Wallet(0, 5 * UNITS)), ("-lenient", Wallet(5 * UNITS, 0))],
    ids=["real_first", "bonus_first"],
)
async def test_stake_order_says_which_money_is_played_first(
    service, make_wire, protocol, ending, left
):
    """The operator's bonus rules, whatever the provider."""
    wire = make_wire(protocol, ending)
    guest = await service.guest(wire, real="10", bonus="10")
    assert (await wire.ok(wire.bet(guest, "15"))).balance == 5
    assert (await service.player(guest)).wallets["EUR"] == left


async def test_session_ttl_s_ends_an_idle_session(service, make_wire):
    """Three seconds without a bet end this one, at every provider; a bet had prolonged it."""
    wires = [make_wire(protocol, "-strict") for protocol in PROTOCOLS]
    guests = [await service.guest(wire) for wire in wires]
    await asyncio.sleep(1.8)
    for wire, guest in zip(wires, guests, strict=True):
        await wire.ok(wire.bet(guest))
    await asyncio.sleep(1.8)
    for wire, guest in zip(wires, guests, strict=True):
        await wire.ok(wire.balance(guest))
    await asyncio.sleep(1.8)
    for wire, guest in zip(wires, guests, strict=True):
        async with service.untouched(guest):
            answers = [await wire.send(wire.balance(guest)), await wire.send(wire.bet(guest))]
        operations = ("balance", wire.bet(guest).operation)
        assert [answer.refusal for answer in answers] == [
            expected(wire.protocol, "session_expired", operation) for operation in operations
        ]


@pytest.mark.parametrize("ending", ["", "-errors"], ids=["gpas-success", "gpas-error"])
async def test_replay_says_whether_gpas_hears_of_a_success_or_of_error_1003(
    service, make_wire, ending
):
    """The vendor's page asks for both; booked is booked either way."""
    wire = make_wire("gpas", ending)
    guest = await service.guest(wire)
    bet = wire.bet(guest)
    first = await wire.ok(bet)
    async with service.untouched(guest):
        again = await wire.send(bet)
    if ending:
        assert again.refusal == (400, (1003, "DUPLICATE_TX_ID"))
    else:
        assert again.raw == first.raw
