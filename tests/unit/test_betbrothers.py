"""The Bet Brothers' adapter: what it asks of the ledger, and what it answers, byte for byte."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from adapters.keys import Secret
from adapters.providers.betbrothers import (
    BET_ERRORS,
    ERRORS,
    BetBrothersProvider,
)
from adapters.providers.protocol import Call, Reply
from adapters.providers.signatures import hmac_sha256
from adapters.settings import BetBrothers
from ledger.commands import (
    CreditWin,
    MoneyCommand,
    PlaceBet,
    Policy,
    ReadBalance,
    RefundBet,
    ReverseWin,
)
from ledger.currencies import Currencies
from ledger.refusals import Refusal, Refused
from ledger.service import token_hash
from tests.unit.provider_fakes import (
    MOVEMENT,
    PLAYER,
    TOKEN,
    FakeLedger,
    accepted,
    answer,
    call,
)

SECRET = Secret("shared password")
POLICY = Policy(late_win="accept")
CENT = 1000
"""Ledger units of a cent."""


def provider(ledger: FakeLedger | None = None, **settings: Any) -> BetBrothersProvider:
    """The adapter, with a ledger that the test looks into."""
    fields: dict[str, Any] = {"name": "bb", "secrets": (SECRET,), "policy": POLICY} | settings
    return BetBrothersProvider(
        "bb", BetBrothers(**fields), cast("Any", ledger or FakeLedger()), Currencies()
    )


def money(action: str, transfer: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A money action's body; ``transfer`` is laid over provider_transfer_data."""
    data: dict[str, Any] = {"transaction_id": "t-1", "round_id": "r-1", "round_close": True}
    body: dict[str, Any] = {
        "amount": 1250,
        "currency_code": "EUR",
        "is_mobile": False,
        "player_id": PLAYER,
        "action": action,
        "payload": {
            "reference": "barbarabang::MadMonkey",
            "session_token": TOKEN,
            "provider_transfer_data": data | (transfer or {}),
        },
    }
    return body | changes


def balance(**changes: Any) -> dict[str, Any]:
    """A balance call's flat body."""
    body = {
        "player_id": PLAYER,
        "reference": "game-1",
        "currency_code": "EUR",
        "action": "balance",
        "is_mobile": True,
        "session_token": TOKEN,
    }
    return body | changes


def signed(body: bytes | dict[str, Any], secret: Secret = SECRET) -> Call:
    """The call as the vendor signs it; its sample bodies are pretty-printed."""
    raw = body if isinstance(body, bytes) else json.dumps(body, indent=2).encode()
    signature = hmac_sha256(secret, raw).decode()
    return call("/operator/wallet", raw, headers={"X-REQUEST-SIGN": signature})


def read(reply: Reply) -> tuple[int, Any]:
    """HTTP status and body."""
    return reply.status, json.loads(reply.body)


async def test_a_bet_becomes_a_stake_and_answers_the_new_balance() -> None:
    """All money turns on the bet: every field must arrive, and the answer be exact."""
    ledger = FakeLedger([accepted(real=98_750 * CENT, bonus=999)])
    made = signed(money("bet"))
    reply = await answer(provider(ledger), made)
    assert reply.status == 200
    assert reply.body == (
        b'{"transaction_id":"' + MOVEMENT.encode() + b'","balance":98750,"currency_code":"EUR"}'
    )
    assert ledger.commands == [
        PlaceBet(
            player_id=PLAYER,
            integration="bb",
            operation="bet",
            key="bet:t-1",
            transaction_id="t-1",
            policy=POLICY,
            session=token_hash(TOKEN),
            game="barbarabang::MadMonkey",
            round_id="r-1",
            currency="EUR",
            amount=1250 * CENT,
            closes_round=True,
        )
    ]
    assert (made.operation, made.player_id, made.transaction_id) == ("bet", PLAYER, "t-1")
    assert made.key_id == SECRET.id


async def test_a_bet_may_leave_out_whether_it_closes_the_round() -> None:
    """round_close is optional on a bet, and a bet that does not say so leaves its round open."""
    ledger = FakeLedger()
    body = money("bet")
    del body["payload"]["provider_transfer_data"]["round_close"]
    assert (await answer(provider(ledger), signed(body))).status == 200
    assert ledger.commands[0].closes_round is False


@pytest.mark.parametrize(
    ("action", "transfer", "kind", "original"),
    [
        ("win", {}, CreditWin, None),
        ("refund", {"refunded_transaction_id": "t-1"}, RefundBet, "bet:t-1"),
        ("rollback-win", {"rollback_win_transaction_id": "t-1"}, ReverseWin, "win:t-1"),
    ],
)
async def test_an_action_that_shares_its_transaction_id_gets_a_key_of_its_own(
    action: str, transfer: dict[str, Any], kind: type[MoneyCommand], original: str | None
) -> None:
    """The vendor reuses the bet's id for its refund: one key for both would swallow the refund."""
    ledger = FakeLedger()
    status, _ = read(await answer(provider(ledger), signed(money(action, transfer))))
    (command,) = ledger.commands
    assert status == 200
    assert isinstance(command, kind)
    assert (command.key, command.transaction_id) == (f"{action}:t-1", "t-1")
    assert getattr(command, "original_key", None) == original
    assert getattr(command, "amount", None) == 1250 * CENT
    assert f"{action}:t-1" in provider().keys_of("t-1")


async def test_a_win_must_say_whether_it_closes_the_round() -> None:
    """round_close is required on a win: guessing it would leave rounds open or close them early."""
    status, body = read(await answer(provider(), signed(money("win", {"round_close": None}))))
    assert (status, body["code"]) == (400, 400)
    assert body["message"] == (
        "payload.provider_transfer_data.round_close: expected a boolean, got null"
    )


async def test_ids_that_come_as_integers_are_the_same_ids() -> None:
    """The vendor's own pages show player_id both as "6" and as 6."""
    ledger = FakeLedger()
    transfer = {"transaction_id": 17, "round_id": 18}
    await answer(provider(ledger), signed(money("bet", transfer, player_id=6)))
    (command,) = ledger.commands
    assert (command.player_id, command.key, command.round_id) == ("6", "bet:17", "18")


async def test_marks_count_only_when_their_flag_is_true() -> None:
    """A counted mark lets a win stand without a bet: details with the flag false must not."""
    ledger = FakeLedger()
    transfer = {
        "table_reference": "table-7",
        "promo": {"type": "cashback", "id": "p-1", "other": "x"},
        "jackpot": {"is_jackpot": False, "jackpot_id": "j-1"},
        "tournament": {"is_tournament": True, "tournament_id": None, "score": "12", "place": 3},
        "free_spin": {"is_free_spin": True, "free_spin_id": "f-1", "freespin_left": None},
    }
    await answer(provider(ledger), signed(money("win", transfer)))
    assert ledger.commands[0].tags == {
        "table_reference": "table-7",
        "promo": {"type": "cashback", "id": "p-1"},
        "tournament": {"score": "12", "place": "3"},
        "free_spin": {"free_spin_id": "f-1"},
    }


@pytest.mark.parametrize("absent", [{}, {"promo": None, "jackpot": None, "free_spin": {}}])
async def test_a_mark_that_is_null_or_has_no_flag_is_no_mark(absent: dict[str, Any]) -> None:
    """Rule 5 must not be opened by an empty object."""
    ledger = FakeLedger()
    await answer(provider(ledger), signed(money("win", absent)))
    assert ledger.commands[0].tags == {}


async def test_a_balance_call_answers_from_the_wallet() -> None:
    """Real and bonus, rounded down to cents: nothing is shown that is not there."""
    ledger = FakeLedger([accepted(real=5 * CENT, bonus=2 * CENT - 1, event=None)])
    reply = await answer(provider(ledger), signed(balance()))
    assert reply.body == b'{"player_id":"player-1","balance":6,"currency_code":"EUR"}'
    assert ledger.commands == [
        ReadBalance(
            player_id=PLAYER,
            integration="bb",
            session=token_hash(TOKEN),
            policy=POLICY,
            currency="EUR",
        )
    ]


@pytest.mark.parametrize(
    ("code", "wire", "units"),
    [("JPY", 100, 10_000_000), ("KWD", 1001, 100_100), ("ZZZ", 100, 100_000)],
)
async def test_subunits_follow_the_currency(code: str, wire: int, units: int) -> None:
    """100 is a hundred yen but a tenth of a dinar; the ledger refuses an unknown code."""
    ledger = FakeLedger([accepted(currency=code, real=units)])
    status, body = read(
        await answer(provider(ledger), signed(money("bet", amount=wire, currency_code=code)))
    )
    assert ledger.commands[0].amount == units
    assert (status, body["balance"], body["currency_code"]) == (200, wire, code)


@pytest.mark.parametrize(("choice", "shown"), [("original", 10), ("current", 77)])
async def test_a_replay_answers_the_balance_that_was_chosen(choice: str, shown: int) -> None:
    """Some providers want the first answer again, some want today's balance."""
    now = accepted(real=77 * CENT)
    first = accepted(key="bet:t-1", real=10 * CENT, player=now.player, replayed=True)
    made = signed(money("bet"))
    _, body = read(await answer(provider(FakeLedger([first]), replay_balance=choice), made))
    assert (body["balance"], made.replayed) == (shown, True)


async def test_a_negative_balance_is_shown_as_it_is() -> None:
    """A reversed win that was spent leaves a debt (rule 10); hiding it would hide money."""
    _, body = read(await answer(provider(FakeLedger([accepted(real=-1)])), signed(money("bet"))))
    assert body["balance"] == -1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": "1250"}, "amount: expected an integer, got a string"),
        ({"amount": 12.5}, "amount: expected an integer, got a decimal number"),
        ({"amount": 100.0}, "amount: expected an integer, got a decimal number"),
        ({"amount": True}, "amount: expected an integer, got a boolean"),
        ({"amount": None}, "amount: expected an integer, got null"),
        ({"amount": -1}, "amount: amount is negative"),
        ({"amount": 2**63}, "amount: amount is too large"),
        ({"currency_code": 978}, "currency_code: expected a string, got an integer"),
        ({"currency_code": ""}, "currency_code: empty"),
        ({"is_mobile": "false"}, "is_mobile: expected a boolean, got a string"),
        ({"player_id": ["a"]}, "player_id: expected an id, got a list"),
        ({"player_id": "x" * 256}, "player_id: longer than 255 characters"),
        ({"player_id": "a\0"}, "player_id: holds NUL"),
        ({"action": "jackpot"}, "action: unknown"),
        ({"action": None}, "action: expected a string, got null"),
        ({"payload": []}, "payload: expected an object, got a list"),
    ],
)
async def test_a_malformed_call_is_refused_before_the_ledger(
    changes: dict[str, Any], message: str
) -> None:
    """Money never moves on a guess; the message tells the provider's engineer where to look."""
    ledger = FakeLedger()
    reply = await answer(provider(ledger), signed(money("bet") | changes))
    assert read(reply) == (400, {"code": 400, "message": message})
    assert ledger.commands == []


@pytest.mark.parametrize(
    "name", ["amount", "currency_code", "is_mobile", "player_id", "action", "payload"]
)
@pytest.mark.parametrize("action", ["bet", "win", "refund", "rollback-win"])
async def test_every_common_field_is_required(action: str, name: str) -> None:
    """The vendor lists these as required; a call without one is not the vendor's."""
    transfer = {"refunded_transaction_id": "a", "rollback_win_transaction_id": "b"}
    body = money(action, transfer)
    del body[name]
    reply = await answer(provider(), signed(body))
    assert read(reply) == (400, {"code": 400, "message": f"{name}: missing"})


@pytest.mark.parametrize(
    "name", ["player_id", "reference", "currency_code", "is_mobile", "session_token"]
)
async def test_every_field_of_a_balance_call_is_required(name: str) -> None:
    """A balance call without a session token would show a balance to whoever asks."""
    body = balance()
    del body[name]
    reply = await answer(provider(), signed(body))
    assert read(reply) == (400, {"code": 400, "message": f"{name}: missing"})


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("bet", "transaction_id"),
        ("bet", "round_id"),
        ("win", "transaction_id"),
        ("win", "round_id"),
        ("refund", "refunded_transaction_id"),
        ("rollback-win", "rollback_win_transaction_id"),
    ],
)
async def test_every_id_of_a_transfer_is_required(action: str, name: str) -> None:
    """Without its ids a movement could neither be found again nor be reversed."""
    body = money(action, {"refunded_transaction_id": "a", "rollback_win_transaction_id": "b"})
    del body["payload"]["provider_transfer_data"][name]
    status, error = read(await answer(provider(), signed(body)))
    assert (status, error["message"]) == (400, f"payload.provider_transfer_data.{name}: missing")


async def test_a_malformed_call_is_still_logged_with_its_ids() -> None:
    """An operator who looks for a failed bet looks for it by player and transaction."""
    made = signed(money("bet", amount="1"))
    await answer(provider(), made)
    assert (made.player_id, made.transaction_id, made.operation) == (PLAYER, "t-1", "bet")


@pytest.mark.parametrize("signature", [None, "", "00", "zz" * 32, "\udcff" * 64, "K" * 64])
async def test_a_wrong_signature_is_refused_unread(signature: str | None) -> None:
    """A body that nobody vouches for is not read, and odd bytes in a header break nothing."""
    ledger = FakeLedger()
    headers = {} if signature is None else {"X-REQUEST-SIGN": signature}
    made = call("/operator/wallet", json.dumps(money("bet")).encode(), headers=headers)
    status, body = read(await answer(provider(ledger), made))
    assert (status, body["code"], ledger.commands, made.player_id) == (403, 403, [], None)


TABLE = {
    "invalid_signature": 403,
    "malformed_request": 400,
    "duplicate_conflict": (408, 406),
    "already_reversed": 408,
    "unknown_player": 404,
    "unknown_session": 404,
    "session_expired": 404,
    "currency_mismatch": 400,
    "player_blocked": 407,
    "game_disabled": 405,
    "limit_exceeded": 418,
    "reality_check_due": 418,
    "round_closed": (408, 406),
    "original_not_found": 406,
    "original_reversed": 406,
    "original_settled": 406,
    "insufficient_funds": 402,
    "unavailable": 503,
    "internal": 500,
}
"""The contract: the code of each refusal, or that of a bet and that of anything else."""


def test_every_refusal_has_a_code() -> None:
    """A refusal without a code would be a 500, which the vendor retries."""
    assert set(ERRORS) == set(Refusal)
    assert set(BET_ERRORS) <= set(Refusal)


@pytest.mark.parametrize("refusal", Refusal)
@pytest.mark.parametrize("action", ["bet", "win", "refund", "rollback-win"])
async def test_a_refusal_is_answered_with_the_vendors_code(refusal: Refusal, action: str) -> None:
    """The code decides whether the vendor retries, cancels or gives up."""
    expected = TABLE[refusal.value]
    if isinstance(expected, tuple):
        expected = expected[action != "bet"]
    ledger = FakeLedger([Refused(refusal, "why")])
    transfer = {"refunded_transaction_id": "a", "rollback_win_transaction_id": "b"}
    reply = await answer(provider(ledger), signed(money(action, transfer)))
    assert read(reply) == (expected, {"code": expected, "message": "why"})


async def test_a_refusal_without_words_still_has_a_message() -> None:
    """The vendor's error body has a message always."""
    ledger = FakeLedger([Refused(Refusal.UNAVAILABLE)])
    reply = await answer(provider(ledger), signed(money("bet")))
    assert reply.body == b'{"code":503,"message":"unavailable"}'
