"""What only Fizzy Bubbly does: amounts in parts, campaigns of free spins, forced completion."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.acceptance.conformance.situations import closed
from tests.acceptance.conformance.wire import MISSING, Raw, unique

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def protocol():
    """The provider of this file."""
    return "fizzybubbly"


@pytest.mark.parametrize(
    ("amount", "cash", "jackpot", "exceptions"),
    [
        ("42.0", "42.0", "null", ()),
        ("42.0", "40", "2.00", ()),
        ("42", "0", "42", ()),
        ("0.3", "0.1", "0.2", ()),
        ("1e1", "10.00", "0", ()),
        ("42.0", "42.0", "42.0", ("amount_parts_mismatch",)),
        ("42.0", "0", "null", ("amount_parts_mismatch",)),
        ("42.0", "41.99999", "0.000009", ("amount_parts_mismatch",)),
        ("1", "1e50", "1e-50", ("amount_parts_mismatch",)),
    ],
)
async def test_the_amount_moves_and_parts_that_do_not_fit_are_listed(  # noqa: PLR0917
    service, wire, guest, amount, cash, jackpot, exceptions
):
    """The parts are the vendor's analytics; its own sample does not add up."""
    bet = wire.bet(guest).but(amount=Raw(amount), cashAmount=Raw(cash), jackpotAmount=Raw(jackpot))
    assert (await wire.ok(bet)).balance == 100 - Decimal(amount)
    *_, booked = await service.events(guest)
    assert booked.exceptions == exceptions


async def test_a_part_with_an_endless_exponent_is_kept_as_short_as_it_came(service, wire, guest):
    """Twelve signed bytes once became 5 MB of an event for ever; more of them stopped a service."""
    await wire.ok(wire.bet(guest).but(cashAmount=Raw("1e5000000"), jackpotAmount=Raw("1e5000000")))
    *_, booked = await service.events(guest)
    assert booked.tags == {"jackpot_amount": "1E+5000000"}
    assert booked.exceptions == ("amount_parts_mismatch",)


async def test_a_jackpot_amount_that_is_missing_counts_as_null(service, wire, guest):
    """It is not among the required fields."""
    bet = wire.bet(guest).but(jackpotAmount=MISSING)
    await wire.ok(bet)
    *_, booked = await service.events(guest)
    assert booked.exceptions == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"jackpotAmount": "1"},
        {"jackpotAmount": -1},
        {"jackpotAmount": Raw("-0.01")},
        {"jackpotAmount": True},
        {"jackpotAmount": []},
        {"cashAmount": -1},
        {"cashAmount": Raw("NaN")},
        {"isGameRoundFinished": "true"},
        {"isGameRoundFinished": None},
    ],
    ids=str,
)
async def test_a_part_or_a_flag_of_the_wrong_type_is_malformed(service, wire, guest, wrong):
    """Analytics, but still of their types, and not below nought."""
    async with service.untouched(guest):
        answer = await wire.send(wire.bet(guest).but(**wrong))
    assert answer.refusal == (400, "ERROR_BAD_REQUEST")


async def test_is_game_round_finished_closes_the_round_on_a_withdraw(service, wire, guest):
    """The last bet of a round may say so itself; a deposit in it is late then."""
    bet = wire.bet(guest, closes=True)
    await wire.ok(bet)
    async with service.untouched(guest):
        late = await wire.send(wire.bet(guest, round_id=bet.round_id))
        win = await wire.send(wire.win(guest, bet))
    assert late.refusal == win.refusal == (400, "ERROR_BAD_REQUEST")


async def test_free_spins_are_paid_in_one_deposit_without_a_withdraw(service, wire, guest):
    """With aggregation one deposit carries all wins of the campaign."""
    win = wire.win(guest, wire.bet(guest), "12.34").but(
        isFreeSpinsConsumed=True, freeSpinsCampaignId="campaign-1"
    )
    assert (await wire.ok(win)).balance == Decimal("112.34")
    *_, booked = await service.events(guest)
    assert booked.tags == {"free_spin": True, "campaign": "campaign-1"}


async def test_a_campaign_alone_pays_nothing_without_a_withdraw(service, wire, guest):
    """Only isFreeSpinsConsumed says that free spins are paid."""
    win = wire.win(guest, wire.bet(guest)).but(freeSpinsCampaignId="campaign-1")
    async with service.untouched(guest):
        answer = await wire.send(win)
    assert answer.refusal == (400, "ERROR_TRANSACTION_WITHDRAW_NOT_FOUND")


async def test_a_forced_completion_comes_outside_of_the_session(service, wire, guest):
    """The vendor ends a round for a player who left: its session is unknown to us."""
    bet = wire.bet(guest, "10")
    await wire.ok(bet)
    await closed(wire, guest)
    forced = wire.win(guest, bet, "4", closes=True).but(isForceComplete=True, sessionId="gone")
    assert (await wire.ok(forced)).balance == 94
    async with service.untouched(guest):
        same = wire.win(guest, bet).but(sessionId="gone")
        assert (await wire.send(same)).refusal == (400, "ERROR_INVALID_SESSION")


@pytest.mark.parametrize("flag", ["isForceComplete", "isFreeSpinsConsumed"])
async def test_an_optional_flag_must_be_a_boolean(service, wire, guest, flag):
    """The text "false" is not false."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    async with service.untouched(guest):
        answer = await wire.send(wire.win(guest, bet).but(**{flag: "false"}))
    assert answer.refusal == (400, "ERROR_BAD_REQUEST")


async def test_a_rollback_undoes_withdraws_only(service, wire, guest):
    """A deposit's id is no withdraw's."""
    bet = wire.bet(guest)
    win = wire.win(guest, bet, "5")
    await wire.ok(bet)
    await wire.ok(win)
    async with service.untouched(guest):
        answer = await wire.send(wire.refund(guest, win))
    assert answer.refusal == (400, "ERROR_ROLLBACK_TRANSACTION_NOT_FOUND")


async def test_a_transaction_id_is_one_over_all_operations(service, wire, guest):
    """A deposit under its withdraw's id is a duplicate with other content."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    for call in (wire.win(guest, bet, id=bet.id), wire.refund(guest, bet, id=bet.id)):
        async with service.untouched(guest):
            answer = await wire.send(call)
        assert answer.refusal == (400, "ERROR_TRANSACTION_DUPLICATE")


async def test_an_amount_is_the_same_in_any_notation(service, wire, guest):
    """42, 42.0 and 4.2e1 are one amount: a repetition may be printed otherwise."""
    bet = wire.bet(guest, "42")
    first = await wire.ok(bet)
    async with service.untouched(guest):
        for token in ("42.0", "4.2e1", "42.00000"):
            assert (await wire.ok(bet.but(amount=Raw(token)))).raw == first.raw


async def test_the_answer_has_no_resolve_timestamp(service, wire, guest):
    """The vendor's page advises against it."""
    answer = await wire.ok(wire.bet(guest))
    assert answer.body == {"balance": Decimal("99.00"), "currency": "EUR"}


async def test_the_query_is_part_of_the_signed_url(service, wire, guest):
    """Nothing may be added to a URL on its way."""
    bet = replace(wire.bet(guest), query={"a": unique("b")})
    async with service.untouched(guest):
        assert (await wire.send(bet)).refusal == (401, "ERROR_INVALID_SIGNATURE")
