"""The Fizzy Bubbly adapter: what it asks of the ledger, and what it answers."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from adapters.keys import Secret
from adapters.providers.fizzybubbly import (
    ERRORS,
    ROLLBACK_ERRORS,
    FizzyBubblyProvider,
)
from adapters.providers.protocol import Call, Reply
from adapters.providers.signatures import hmac_sha256, string_to_sign
from adapters.settings import FizzyBubbly
from ledger.commands import (
    BETLESS_TAGS,
    CreditWin,
    PlaceBet,
    Policy,
    ReadBalance,
    RefundBet,
)
from ledger.currencies import Currencies
from ledger.refusals import Refusal, Refused
from ledger.service import token_hash
from tests.unit.provider_fakes import PLAYER, TOKEN, FakeLedger, accepted, answer, call

SECRET, OLD_SECRET = Secret("private key"), Secret("old private key")
PUBLIC_KEY = "public-key"
BASE_URL = "https://wallet.example/fb"
POLICY = Policy(late_bet="accept")
CENT = 1000
"""Ledger units of a cent."""


def provider(ledger: FakeLedger | None = None, **settings: Any) -> FizzyBubblyProvider:
    """The adapter, with a ledger that the test looks into."""
    fields: dict[str, Any] = {
        "name": "fizzy",
        "public_key": Secret(PUBLIC_KEY),
        "secrets": (OLD_SECRET, SECRET),
        "base_url": BASE_URL,
        "policy": POLICY,
    }
    made = FizzyBubbly(**fields | settings)
    return FizzyBubblyProvider("fizzy", made, cast("Any", ledger or FakeLedger()), Currencies())


def withdraw(**changes: Any) -> dict[str, Any]:
    """A withdraw's body."""
    body = {
        "amount": 12.5,
        "cashAmount": 12.5,
        "currency": "EUR",
        "gameId": "g-1",
        "gameRoundId": "r-1",
        "isGameRoundFinished": False,
        "jackpotAmount": None,
        "playerId": PLAYER,
        "sessionId": TOKEN,
        "transactionId": "t-1",
    }
    return body | changes


def deposit(**changes: Any) -> dict[str, Any]:
    """A deposit's body."""
    return withdraw(transactionId="t-2", withdrawTransactionId="t-1") | changes


def rollback(**changes: Any) -> dict[str, Any]:
    """A rollback's body: no amount."""
    body = {
        "transactionId": "t-3",
        "withdrawTransactionId": "t-1",
        "currency": "EUR",
        "gameId": "g-1",
        "gameRoundId": "r-1",
        "playerId": PLAYER,
        "sessionId": TOKEN,
    }
    return body | changes


def balance(**changes: Any) -> dict[str, Any]:
    """A balance call's body."""
    return {"playerId": PLAYER, "sessionId": TOKEN, "currency": "EUR"} | changes


def signed(name: str, body: str | dict[str, Any], **changes: str) -> Call:
    """The call with the vendor's two headers; changes go to what is signed, or to the headers."""
    raw = (body if isinstance(body, str) else json.dumps(body)).encode()
    uri = changes.pop("uri", f"{BASE_URL}/wallet/{name}")
    signature = hmac_sha256(SECRET, string_to_sign("POST", uri, raw)).decode()
    headers = {"Public-Key": PUBLIC_KEY, "Signature": signature}
    return call(f"/wallet/{name}", raw, headers=headers | changes)


def read(reply: Reply) -> tuple[int, Any]:
    """HTTP status and body."""
    return reply.status, json.loads(reply.body)


def error(code: str, description: str) -> dict[str, str]:
    """An error's whole body."""
    return {"code": code, "description": description, "traceId": "trace-1"}


async def test_a_withdraw_becomes_a_stake_and_answers_the_new_balance() -> None:
    """The balance is a JSON number with the currency's digits, made without a float."""
    ledger = FakeLedger([accepted(real=4_199_999, bonus=1)])
    made = signed("withdraw", withdraw())
    reply = await answer(provider(ledger), made)
    assert (reply.status, reply.body) == (200, b'{"balance":42.00,"currency":"EUR"}')
    assert ledger.commands == [
        PlaceBet(
            player_id=PLAYER,
            integration="fizzy",
            operation="withdraw",
            key="t-1",
            transaction_id="t-1",
            policy=POLICY,
            session=token_hash(TOKEN),
            game="g-1",
            round_id="r-1",
            currency="EUR",
            amount=1250 * CENT,
        )
    ]
    assert (made.operation, made.player_id, made.transaction_id) == ("withdraw", PLAYER, "t-1")
    assert made.key_id == SECRET.id


async def test_a_deposit_names_its_withdraw() -> None:
    """The withdraw it names decides about it; either of them may close the round."""
    ledger = FakeLedger()
    await answer(provider(ledger), signed("deposit", deposit(isGameRoundFinished=True)))
    await answer(provider(ledger), signed("withdraw", withdraw(isGameRoundFinished=True)))
    win, bet = ledger.commands
    assert isinstance(win, CreditWin)
    assert (win.key, win.bet_key, win.session) == ("t-2", "t-1", token_hash(TOKEN))
    assert win.closes_round is bet.closes_round is True


@pytest.mark.parametrize("session", [{}, {"sessionId": None}])
async def test_a_forced_deposit_comes_outside_of_the_session(session: dict[str, Any]) -> None:
    """IsForceComplete ends a round whose session is long gone: no session may stand in its way."""
    ledger = FakeLedger()
    body = deposit(isForceComplete=True) | session
    assert (await answer(provider(ledger), signed("deposit", body))).status == 200
    assert ledger.commands[0].session is None


async def test_a_rollback_takes_its_money_from_the_withdraw() -> None:
    """There is no amount on the wire: the withdraw's own counts."""
    ledger = FakeLedger()
    await answer(provider(ledger), signed("rollback", rollback()))
    (command,) = ledger.commands
    assert isinstance(command, RefundBet)
    assert (command.amount, command.currency, command.original_key) == (None, "EUR", "t-1")
    assert command.key in provider().keys_of("t-3")


async def test_a_balance_call_compares_the_currency() -> None:
    """The currency is on the wire, so the ledger is asked to compare it."""
    ledger = FakeLedger([accepted(real=1999, event=None)])
    reply = await answer(provider(ledger), signed("balance", balance()))
    assert reply.body == b'{"balance":0.01,"currency":"EUR"}'
    assert ledger.commands == [
        ReadBalance(
            player_id=PLAYER,
            integration="fizzy",
            session=token_hash(TOKEN),
            policy=POLICY,
            currency="EUR",
        )
    ]


@pytest.mark.parametrize(
    ("code", "wire", "units", "shown"),
    [
        ("EUR", "0.1", 10_000, "0.10"),
        ("EUR", "1e2", 10_000_000, "100.00"),
        ("EUR", "0.00001", 1, "0.00"),
        ("EUR", "90071992547409.93", 9_007_199_254_740_993_000, "90071992547409.93"),
        ("JPY", "100", 10_000_000, "100"),
        ("JPY", "100.0", 10_000_000, "100"),
        ("KWD", "1.234", 123_400, "1.234"),
        ("ZZZ", "1.5", 150_000, "1.50"),
    ],
)
async def test_amounts_are_exact_in_every_currency(
    code: str, wire: str, units: int, shown: str
) -> None:
    """A float would lose 90071992547409.93 and turn 0.1 into something else."""
    ledger = FakeLedger([accepted(currency=code, real=units)])
    body = json.dumps(withdraw(currency=code, amount="@", cashAmount="@")).replace('"@"', wire)
    reply = await answer(provider(ledger), signed("withdraw", body))
    assert ledger.commands[0].amount == units
    assert ledger.commands[0].exceptions == ()
    assert reply.body == f'{{"balance":{shown},"currency":"{code}"}}'.encode()


@pytest.mark.parametrize(
    ("cash", "jackpot", "odd"),
    [
        ("42.0", "null", False),
        ("41.9", "0.1", False),
        ("41.99999999", "0.00000001", False),
        ("0", "42", False),
        ("42.0", "42.0", True),
        ("41", "0", True),
        ("1e70", "1e-70", True),
        ("1e999999999", "1", True),
    ],
)
async def test_parts_that_do_not_add_up_are_booked_and_listed(
    cash: str, jackpot: str, *, odd: bool
) -> None:
    """The vendor's own sample is 42 = 42 + 42: the amount moves, the parts are analytics."""
    ledger = FakeLedger()
    body = json.dumps(withdraw(amount="@", cashAmount="@c", jackpotAmount="@j"))
    body = body.replace('"@"', "42.0").replace('"@c"', cash).replace('"@j"', jackpot)
    reply = await answer(provider(ledger), signed("withdraw", body))
    assert reply.status == 200
    assert ledger.commands[0].amount == 4_200_000
    assert ledger.commands[0].exceptions == (("amount_parts_mismatch",) if odd else ())


async def test_only_consumed_free_spins_let_a_deposit_stand_alone() -> None:
    """A campaign's id alone is no licence to pay without a bet (rule 5)."""
    ledger = FakeLedger()
    made = provider(ledger)
    await answer(made, signed("deposit", deposit(freeSpinsCampaignId="c-1", isFeatureBuy=True)))
    await answer(
        made, signed("deposit", deposit(freeSpinsCampaignId="c-1", isFreeSpinsConsumed=True))
    )
    assert [command.tags for command in ledger.commands] == [
        {"campaign": "c-1", "isFeatureBuy": True},
        {"campaign": "c-1", "free_spin": True},
    ]


async def test_marks_of_a_deposit_are_unknown_fields_elsewhere() -> None:
    """Unknown fields are the provider's next version: a stake is not refused for them."""
    ledger = FakeLedger()
    odd = {"isFeatureBuy": "x", "isFreeSpinsConsumed": 1}
    made = provider(ledger)
    assert (await answer(made, signed("withdraw", withdraw(**odd)))).status == 200
    assert (await answer(made, signed("rollback", rollback(**odd)))).status == 200
    assert (await answer(made, signed("deposit", deposit(**odd)))).status == 400


async def test_the_jackpots_part_stands_on_the_event_and_frees_no_win_from_its_bet() -> None:
    """An auditor must find it there; "mainly for analytics", says the vendor's page."""
    ledger = FakeLedger()
    made = provider(ledger)
    for part in (3.25, 0, None):
        await answer(made, signed("deposit", deposit(jackpotAmount=part)))
    assert [command.tags for command in ledger.commands] == [{"jackpot_amount": "3.25"}, {}, {}]
    assert BETLESS_TAGS.isdisjoint(ledger.commands[0].tags)


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"amount": "12.50"}, "amount: expected a number, got a string"),
        ({"amount": None}, "amount: expected a number, got null"),
        ({"amount": True}, "amount: expected a number, got a boolean"),
        ({"amount": -0.01}, "amount: amount is negative"),
        ({"amount": 0.000001}, "amount: amount is finer than 5 decimals"),
        ({"cashAmount": -1}, "cashAmount: amount is negative"),
        ({"cashAmount": "1"}, "cashAmount: expected a number, got a string"),
        ({"jackpotAmount": -1}, "jackpotAmount: amount is negative"),
        ({"jackpotAmount": "1"}, "jackpotAmount: expected a number, got a string"),
        ({"isGameRoundFinished": None}, "isGameRoundFinished: expected a boolean, got null"),
        ({"isGameRoundFinished": "true"}, "isGameRoundFinished: expected a boolean, got a string"),
        ({"transactionId": ""}, "transactionId: empty"),
        ({"sessionId": {}}, "sessionId: expected an id, got an object"),
        ({"currency": None}, "currency: expected a string, got null"),
    ],
)
async def test_a_malformed_call_is_refused_before_the_ledger(
    changes: dict[str, Any], description: str
) -> None:
    """Money never moves on a guess; the description tells the provider's engineer where to look."""
    ledger = FakeLedger()
    reply = await answer(provider(ledger), signed("withdraw", withdraw(**changes)))
    assert read(reply) == (400, error("ERROR_BAD_REQUEST", description))
    assert ledger.commands == []


async def test_an_amount_beyond_a_bigint_is_refused() -> None:
    """One unit more than the ledger can hold."""
    body = json.dumps(withdraw(amount="@")).replace('"@"', "92233720368547.75808")
    _, reply = read(await answer(provider(), signed("withdraw", body)))
    assert reply["description"] == "amount: amount is too large"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("withdraw", withdraw()),
        ("deposit", deposit()),
        ("rollback", rollback()),
        ("balance", balance()),
    ],
)
async def test_every_required_field_is_required(name: str, body: dict[str, Any]) -> None:
    """All but jackpotAmount, which the vendor sends as null or not at all."""
    for field in body:
        ledger = FakeLedger()
        short = {key: value for key, value in body.items() if key != field}
        status, reply = read(await answer(provider(ledger), signed(name, short)))
        if field == "jackpotAmount":
            assert status == 200
        else:
            assert (status, reply) == (400, error("ERROR_BAD_REQUEST", f"{field}: missing"))
            assert ledger.commands == []


async def test_a_malformed_call_is_still_logged_with_its_ids() -> None:
    """An operator who looks for a failed bet looks for it by player and transaction."""
    made = signed("withdraw", withdraw(amount="1"))
    await answer(provider(), made)
    assert (made.player_id, made.transaction_id) == (PLAYER, "t-1")


@pytest.mark.parametrize(
    "changes",
    [
        {"Signature": ""},
        {"Signature": "\udcff"},
        {"Public-Key": "another"},
        {"Public-Key": ""},
        {"Public-Key": "\udcff"},
        {"uri": f"{BASE_URL}/wallet/deposit"},
        {"uri": "http://wallet.example/fb/wallet/withdraw"},
        {"uri": "/wallet/withdraw"},
    ],
)
async def test_a_wrong_header_or_another_url_is_refused(changes: dict[str, str]) -> None:
    """The URL is signed, so that a withdraw cannot be replayed as a deposit."""
    ledger = FakeLedger()
    made = signed("withdraw", withdraw(), **changes)
    status, reply = read(await answer(provider(ledger), made))
    assert (status, reply["code"]) == (401, "ERROR_INVALID_SIGNATURE")
    assert set(reply) == {"code", "description", "traceId"}
    assert (ledger.commands, made.key_id) == ([], None)


async def test_the_query_is_part_of_the_signed_url() -> None:
    """The URL as the provider calls it: what it adds is signed too, or refused."""
    made = signed("balance", balance(), uri=f"{BASE_URL}/wallet/balance?a=1")
    made.query = "a=1"
    assert (await answer(provider(FakeLedger([accepted(event=None)])), made)).status == 200
    made.query = "a=2"
    assert (await answer(provider(), made)).status == 401


@pytest.mark.parametrize(("choice", "shown"), [("original", b"0.10"), ("current", b"0.77")])
async def test_a_replay_answers_the_balance_that_was_chosen(choice: str, shown: bytes) -> None:
    """Some providers want the first answer again, some want today's balance."""
    now = accepted(real=77 * CENT)
    first = accepted(real=10 * CENT, player=now.player, replayed=True)
    made = provider(FakeLedger([first]), replay_balance=choice)
    reply = await answer(made, signed("withdraw", withdraw()))
    assert reply.body == b'{"balance":' + shown + b',"currency":"EUR"}'


async def test_a_debt_is_shown_as_it_is() -> None:
    """A reversed win that was spent leaves a debt, rounded down as any balance."""
    reply = await answer(provider(FakeLedger([accepted(real=-1)])), signed("withdraw", withdraw()))
    assert reply.body == b'{"balance":-0.01,"currency":"EUR"}'


TABLE = {
    "invalid_signature": (401, "ERROR_INVALID_SIGNATURE"),
    "malformed_request": (400, "ERROR_BAD_REQUEST"),
    "duplicate_conflict": (400, "ERROR_TRANSACTION_DUPLICATE"),
    "already_reversed": (400, "ERROR_BAD_REQUEST"),
    "unknown_player": (400, "ERROR_INVALID_SESSION"),
    "unknown_session": (400, "ERROR_INVALID_SESSION"),
    "session_expired": (400, "ERROR_SESSION_EXPIRED"),
    "currency_mismatch": (400, "ERROR_BAD_REQUEST"),
    "player_blocked": (400, "ERROR_BAD_REQUEST_PLAYER_BLOCKED"),
    "game_disabled": (400, "ERROR_GAME_NOT_ACTIVE"),
    "limit_exceeded": (400, "ERROR_TRANSACTION_LIMIT_EXCEEDED"),
    "reality_check_due": (400, "ERROR_TRANSACTION_REALITY_CHECK"),
    "round_closed": (400, "ERROR_BAD_REQUEST"),
    "original_not_found": (400, "ERROR_TRANSACTION_WITHDRAW_NOT_FOUND"),
    "original_reversed": (400, "ERROR_TRANSACTION_WITHDRAW_NOT_FOUND"),
    "original_settled": (400, "ERROR_BAD_REQUEST"),
    "insufficient_funds": (400, "ERROR_TRANSACTION_INSUFFICIENT_FUNDS"),
    "unavailable": (500, "ERROR_TIMEOUT"),
    "internal": (500, "ERROR_UNKNOWN_ERROR"),
}
"""The contract; a rollback's original_not_found apart."""


def test_every_refusal_has_a_code() -> None:
    """A refusal without a code would be an answer that the vendor cannot read."""
    assert set(ERRORS) == set(Refusal)
    assert set(ROLLBACK_ERRORS) <= set(Refusal)


@pytest.mark.parametrize("refusal", Refusal)
@pytest.mark.parametrize("name", ["withdraw", "deposit", "rollback", "balance"])
async def test_a_refusal_is_answered_with_the_vendors_code(refusal: Refusal, name: str) -> None:
    """The code decides whether the vendor retries, cancels or gives up."""
    bodies = {
        "withdraw": withdraw(),
        "deposit": deposit(),
        "rollback": rollback(),
        "balance": balance(),
    }
    status, code = TABLE[refusal.value]
    if (refusal, name) == (Refusal.ORIGINAL_NOT_FOUND, "rollback"):
        code = "ERROR_ROLLBACK_TRANSACTION_NOT_FOUND"
    ledger = FakeLedger([Refused(refusal, "why")])
    reply = await answer(provider(ledger), signed(name, bodies[name]))
    assert read(reply) == (status, error(code, "why"))
