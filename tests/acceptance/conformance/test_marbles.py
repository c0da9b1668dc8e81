"""What only 155.io does: signed answers, free bets, rollbacks that always succeed."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.acceptance.conformance.situations import closed
from tests.acceptance.conformance.wire import MISSING, Raw, unique
from tests.acceptance.conformance.wire_marbles import _public

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def protocol():
    """The provider of this file."""
    return "marbles"


async def test_an_error_is_signed_as_a_success_is(service, wire, guest, configuration_directory):
    """Of the very bytes: with one more the signature is none. Every answer here is verified."""
    answers = [
        await wire.send(wire.bet(guest)),
        await wire.send(wire.bet(guest, "1000")),
        await wire.send(wire.bet(guest), **{"X-Marbles-Signature": None}),
        await wire.send(replace(wire.bet(guest), body=b"{")),
    ]
    key = _public(configuration_directory / "ours-public.pem")
    for answer in answers:
        signature = b64decode(answer.headers["X-Marbles-Signature"])
        with pytest.raises(InvalidSignature):
            key.verify(signature, answer.raw + b" ", padding.PKCS1v15(), hashes.SHA256())


async def test_a_replay_echoes_the_request_id_of_this_request(service, wire, guest):
    """Request id and time differ from try to try: they are no content."""
    bet = wire.bet(guest).but(timestamp=1)
    first = await wire.ok(bet)
    again = bet.but(requestId=unique("request"), timestamp=2)
    async with service.untouched(guest):
        answer = await wire.ok(again)
    assert answer.body == first.body | {"requestId": again.but().body["requestId"]}
    assert answer.body["requestId"] != first.body["requestId"]


@pytest.mark.parametrize("flag", ["roundClosed", "clientSessionId"])
async def test_round_flags_and_sessions_are_no_content_either(service, wire, guest, flag):
    """A repetition may come from a new session, or know by now that the round is over."""
    bet = wire.bet(guest)
    win = wire.win(guest, bet)
    await wire.ok(bet)
    first = await wire.ok(win)
    other = await service.launch(wire, guest.player_id)
    again = win.but(**{flag: {"roundClosed": True, "clientSessionId": other.session}[flag]})
    async with service.untouched(guest):
        assert (await wire.ok(again)).raw == first.raw


async def test_a_transaction_id_is_one_over_all_operations(service, wire, guest):
    """A win under its bet's id is another content of the same id."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    for call in (wire.win(guest, bet, id=bet.id), wire.refund(guest, bet, id=bet.id)):
        async with service.untouched(guest):
            answer = await wire.send(call)
        assert answer.refusal == (200, "DUPLICATE_TRANSACTION_ERROR")


async def test_a_rollback_of_an_unknown_bet_succeeds_and_the_bet_never_comes(service, wire, guest):
    """There is no status for it, and the bet may have been lost on its way."""
    bet = wire.bet(guest, "5")
    rollback = wire.refund(guest, bet)
    async with service.untouched(guest, events=1):
        first = await wire.ok(rollback)
    assert first.body == {
        "status": "SUCCESS",
        "requestId": rollback.but().body["requestId"],
        "clientPlayerId": guest.player_id,
        "currency": "EUR",
        "balance": 10_000_000,
    }
    async with service.untouched(guest):
        assert (await wire.send(bet)).refusal == (200, "UNKNOWN_ERROR")
        assert (await wire.ok(rollback)).raw == first.raw


async def test_a_rollback_of_an_unknown_bet_is_replayed_with_its_first_balance(
    service, make_wire, wire, guest
):
    """Or with today's, as the switch says."""
    rollback = wire.refund(guest, wire.bet(guest))
    await wire.ok(rollback)
    await wire.ok(wire.bet(guest, "30"))
    assert (await wire.ok(rollback)).balance == 100

    today = make_wire("marbles", "-today")
    other = await service.guest(today)
    rollback = today.refund(other, today.bet(other))
    await today.ok(rollback)
    await today.ok(today.bet(other, "30"))
    assert (await today.ok(rollback)).balance == 70


async def another_players_bet(service, wire, guest):
    """A bet that is there, and is none of the guest's."""
    bet = wire.bet(await service.guest(wire))
    await wire.ok(bet)
    return bet


async def a_win(service, wire, guest):
    """An id that is no bet's: of a win that stays paid."""
    bet = wire.bet(guest)
    win = wire.win(guest, bet, "1")
    await wire.ok(bet)
    await wire.ok(win)
    return win


async def a_bet_that_never_comes(service, wire, guest):
    """Rolled back once already, under another id."""
    bet = wire.bet(guest)
    await wire.ok(wire.refund(guest, bet))
    return bet


@pytest.mark.parametrize("original", [another_players_bet, a_win, a_bet_that_never_comes])
async def test_whatever_a_rollback_names_its_success_is_in_the_log(service, wire, guest, original):
    """It moves nothing; but what was acknowledged is booked, and its id is used for ever."""
    named = await original(service, wire, guest)
    rollback = wire.refund(guest, named, id=unique("rollback"))
    async with service.untouched(guest, events=1):
        first = await wire.ok(rollback)
    await wire.ok(wire.bet(guest, "1"))
    async with service.untouched(guest):
        assert (await wire.ok(rollback)).raw == first.raw
        for other in (wire.bet(guest, id=rollback.id), rollback.but(roundId="another")):
            answer = await wire.send(other)
            assert answer.refusal == (200, "DUPLICATE_TRANSACTION_ERROR")


async def test_a_rollback_after_the_session_still_succeeds(service, wire, guest):
    """Known or not: an error would come back for ever."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    await closed(wire, guest)
    assert (await wire.ok(wire.refund(guest, bet))).balance == 100
    assert (await wire.ok(wire.refund(guest, wire.bet(guest)))).balance == 100


async def test_a_free_bet_moves_nothing_and_its_reward_is_kept(service, wire, guest):
    """The bet still opens the round, so that its win has one."""
    bet = wire.bet(guest, "0").but(isFree=True, rewardUuid="reward-1")
    assert (await wire.ok(bet)).balance == 100
    *_, booked = await service.events(guest)
    assert booked.tags == {"free_spin": True, "reward": "reward-1"}
    assert (await wire.ok(wire.win(guest, bet, "3"))).balance == 103


async def test_a_free_bet_with_a_stake_is_a_bonus_error(service, wire, guest):
    """Free and paid at once is a contradiction, and it has a status of its own."""
    async with service.untouched(guest):
        answer = await wire.send(wire.bet(guest, "1").but(isFree=True))
    assert answer.refusal == (200, "BONUS_ERROR")


async def test_a_free_win_needs_no_bet(service, wire, guest):
    """Free spins are settled in one win."""
    win = wire.win(guest, wire.bet(guest), "3").but(isFree=True)
    assert (await wire.ok(win)).balance == 103


@pytest.mark.parametrize(
    "wrong", [{"isFree": "true"}, {"isFree": 1}, {"meta": MISSING}, {"meta": []}], ids=str
)
async def test_flags_and_objects_of_the_wrong_type_are_malformed(service, wire, guest, wrong):
    """A free bet that is none would be charged, or the other way round."""
    async with service.untouched(guest):
        answer = await wire.send(wire.bet(guest).but(**wrong))
    assert answer.refusal == (200, "UNKNOWN_ERROR")


async def test_an_error_to_an_unreadable_body_carries_null_ids(service, wire, guest):
    """Every field is there all the same."""
    for body in (b"{", b"[]", b"", wire.bet(guest).but(a=Raw("NaN")).raw):
        answer = await wire.send(replace(wire.bet(guest), body=body))
        assert answer.body == {
            "status": "UNKNOWN_ERROR",
            "requestId": None,
            "clientPlayerId": None,
        }


async def test_an_error_to_an_unsigned_body_echoes_what_can_be_read(service, wire, guest):
    """The caller may be the provider with an old key: it finds its request again."""
    bet = wire.bet(guest)
    answer = await wire.send(bet, **{"X-Marbles-Signature": None})
    assert answer.body == {
        "status": "INVALID_SIGNATURE",
        "requestId": bet.but().body["requestId"],
        "clientPlayerId": guest.player_id,
    }


async def test_a_game_may_change_within_a_session(service, wire, guest):
    """155's lobby is inside its client."""
    bet = wire.bet(guest, game="another-game")
    assert (await wire.ok(bet)).balance == 99


async def test_the_balance_comes_in_the_sessions_currency(service, wire):
    """The call names none; a timestamp may stand in it."""
    guest = await service.guest(wire, currency="KWD")
    answer = await wire.ok(wire.balance(guest).but(timestamp=1_700_000_000))
    assert (answer.body["currency"], answer.body["balance"]) == ("KWD", 10_000_000)


async def test_a_balance_beyond_2_to_the_53_is_exact(service, wire, guest):
    """As an integer of JSON, with every digit; the caller's parser is the caller's."""
    bet = wire.bet(guest, "100")
    await wire.ok(bet)
    win = wire.altered(wire.win(guest, bet), amount=2**53 + 1)
    assert (await wire.ok(win)).body["balance"] == 2**53 + 1
    most = wire.altered(wire.win(guest, bet), amount=2**63 - 1 - (2**53 + 1))
    assert (await wire.ok(most)).body["balance"] == 2**63 - 1


async def test_round_closed_ends_the_round_for_bets_and_wins(service, wire, guest):
    """The flag on a win, on a rollback, and on one of a bet that was lost on its way."""
    for closing in ("win", "refund", "refund of another"):
        bet = wire.bet(guest)
        await wire.ok(bet)
        if closing == "win":
            await wire.ok(wire.win(guest, bet, closes=True))
        else:
            lost = wire.bet(guest, round_id=bet.round_id)
            undone = bet if closing == "refund" else lost
            await wire.ok(wire.refund(guest, undone, closes=True))
        late = wire.bet(guest, round_id=bet.round_id)
        async with service.untouched(guest):
            assert (await wire.send(late)).refusal == (200, "UNKNOWN_ERROR")
