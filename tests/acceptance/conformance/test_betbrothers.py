"""What only The Bet Brothers do: one id for a bet and its refund, marks with flags, a flat body."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.conformance.wire import MISSING, Raw, unique

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRANSFER = "payload__provider_transfer_data__"


@pytest.fixture
def protocol():
    """The provider of this file."""
    return "betbrothers"


async def test_a_refund_bears_the_id_of_its_bet(service, wire, guest):
    """The vendor's own samples do: the id alone is no key."""
    bet = wire.bet(guest, "5")
    first = await wire.ok(bet)
    refund = wire.refund(guest, bet, amount="5")
    assert refund.id == bet.id
    answer = await wire.ok(refund)
    assert answer.balance == 100
    assert answer.body["transaction_id"] != first.body["transaction_id"]
    assert (await wire.ok(bet)).raw == first.raw
    assert (await wire.ok(refund)).raw == answer.raw


async def test_one_id_serves_all_four_actions(service, wire, guest):
    """A bet, its win, the win's reversal and then the bet's refund: four movements, one id."""
    bet = wire.bet(guest, "5")
    win = wire.win(guest, bet, "8", id=bet.id)
    balances = [
        (await wire.ok(call)).balance
        for call in (bet, win, wire.reverse_win(guest, win, amount="8"))
    ]
    assert balances == [95, 103, 95]
    assert (await wire.ok(wire.refund(guest, bet, amount="5"))).balance == 100


async def test_a_reversed_win_leaves_the_round_ready_for_the_right_one(service, wire, guest):
    """The provider corrects a wrong win: takes it back, and pays another."""
    bet = wire.bet(guest, "5")
    wrong = wire.win(guest, bet, "50")
    for call in (bet, wrong, wire.reverse_win(guest, wrong, amount="50")):
        await wire.ok(call)
    assert (await wire.ok(wire.win(guest, bet, "10"))).balance == 105


async def test_a_second_reversal_of_a_win_under_a_new_id_moves_nothing(service, wire, guest):
    """As a second refund."""
    bet = wire.bet(guest)
    win = wire.win(guest, bet, "5")
    for call in (bet, win, wire.reverse_win(guest, win)):
        await wire.ok(call)
    async with service.untouched(guest, events=1):
        await wire.ok(wire.reverse_win(guest, win, id=unique("rollback")))


async def test_the_transaction_id_of_an_answer_is_our_own_movement(service, wire, guest):
    """Disputes are settled by it, so it has to lead to the event."""
    answer = await wire.ok(wire.bet(guest))
    *_, booked = await service.events(guest)
    assert answer.body == {
        "transaction_id": booked.movement_id,
        "balance": 9900,
        "currency_code": "EUR",
    }


async def test_the_balance_body_is_flat(service, wire, guest):
    """And so is its answer."""
    answer = await wire.ok(wire.balance(guest))
    assert answer.body == {
        "player_id": guest.player_id,
        "balance": 10000,
        "currency_code": "EUR",
    }


async def test_a_player_id_that_is_an_integer_is_the_same_player(service, wire, guest):
    """Seen on the vendor's page both ways."""
    number = str(10**9 + int(unique("n")[2:]))
    named = await service.guest(wire, player_id=number)
    bet = wire.altered(wire.bet(named), player=int(number))
    assert (await wire.ok(bet)).balance == 99
    answer = await wire.ok(wire.altered(wire.balance(named), player=int(number)))
    assert answer.body["player_id"] == number


@pytest.mark.parametrize("action", [MISSING, None, "", "Bet", "withdraw", 1, ["bet"], {}])
async def test_an_unknown_action_is_malformed(service, wire, guest, action):
    """Nothing is guessed from the rest of the body."""
    async with service.untouched(guest):
        answer = await wire.send(wire.bet(guest).but(action=action))
    assert answer.refusal == (400, 400)


@pytest.mark.parametrize(
    ("mark", "tag"),
    [
        (
            {"promo": {"type": "cashback", "id": "p-1"}},
            {"promo": {"type": "cashback", "id": "p-1"}},
        ),
        ({"promo": {}}, {"promo": {}}),
        (
            {"jackpot": {"is_jackpot": True, "jackpot_id": "j", "jackpot_details": None}},
            {"jackpot": {"jackpot_id": "j"}},
        ),
        ({"tournament": {"is_tournament": True, "place": "1"}}, {"tournament": {"place": "1"}}),
        ({"free_spin": {"is_free_spin": True}}, {"free_spin": {}}),
    ],
    ids=["promo", "empty-promo", "jackpot", "tournament", "free_spin"],
)
async def test_a_marked_win_needs_no_bet(service, wire, guest, mark, tag):
    """Prizes come from nowhere: a jackpot, a tournament, a promotion, free spins."""
    win = wire.win(guest, wire.bet(guest), "7")
    win = win.but(**{f"{TRANSFER}{name}": value for name, value in mark.items()})
    assert (await wire.ok(win)).balance == 107
    *_, booked = await service.events(guest)
    assert booked.tags == tag


@pytest.mark.parametrize(
    "mark",
    [
        {"jackpot": {"is_jackpot": False, "jackpot_id": "j"}},
        {"jackpot": {"jackpot_id": "j"}},
        {"tournament": {"is_tournament": False}},
        {"free_spin": {"is_free_spin": None}},
        {"promo": None},
    ],
    ids=["jackpot-off", "jackpot-no-flag", "tournament-off", "free_spin-null", "promo-null"],
)
async def test_a_mark_whose_flag_is_off_counts_for_nothing(service, wire, guest, mark):
    """Else every win of a game with a jackpot would need no bet."""
    win = wire.win(guest, wire.bet(guest), "7")
    win = win.but(**{f"{TRANSFER}{name}": value for name, value in mark.items()})
    async with service.untouched(guest):
        assert (await wire.send(win)).refusal == (406, 406)


@pytest.mark.parametrize(
    "wrong",
    [
        {"round_close": "true"},
        {"round_close": 1},
        {"promo": "cashback"},
        {"promo": []},
        {"jackpot": True},
        {"jackpot": {"is_jackpot": "true"}},
        {"tournament": {"is_tournament": 1}},
        {"free_spin": "yes"},
    ],
    ids=str,
)
async def test_an_optional_field_of_the_wrong_type_is_malformed(service, wire, guest, wrong):
    """Optional means that it may be missing, not that it may be anything."""
    bet = wire.bet(guest)
    bet = bet.but(**{f"{TRANSFER}{name}": value for name, value in wrong.items()})
    async with service.untouched(guest):
        assert (await wire.send(bet)).refusal == (400, 400)


async def test_numbers_among_the_details_of_a_mark_lose_no_win(service, wire, guest):
    """No money hangs on them: they become the texts that the vendor's page promises."""
    details: dict[str, Any] = {
        "is_jackpot": True,
        "jackpot_id": 17,
        "jackpot_contribution": Raw("0.25"),
        "jackpot_details": None,
    }
    win = wire.win(guest, wire.bet(guest), "7").but(**{f"{TRANSFER}jackpot": details})
    assert (await wire.ok(win)).balance == 107
    *_, booked = await service.events(guest)
    assert booked.tags == {"jackpot": {"jackpot_id": "17", "jackpot_contribution": "0.25"}}


async def test_a_win_of_nothing_closes_a_lost_round(service, wire, guest):
    """Amount 0 on a win is the round's loss."""
    bet = wire.bet(guest, "5")
    await wire.ok(bet)
    assert (await wire.ok(wire.win(guest, bet, "0", closes=True))).balance == 95
    assert not (await service.player(guest)).rounds


async def test_a_refund_names_its_bet_and_not_a_win(service, wire, guest):
    """The operation is in the key: a win's id is no bet's."""
    bet = wire.bet(guest)
    win = wire.win(guest, bet, "5")
    await wire.ok(bet)
    await wire.ok(win)
    refund = wire.refund(guest, bet, id=unique("refund"), original=win.id)
    assert (await wire.send(refund)).refusal == (406, 406)
    assert (await wire.ok(wire.balance(guest))).balance == 104
