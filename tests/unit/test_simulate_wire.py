"""What the simulator puts on the wire, against the vendors' samples and the tables of answers."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from adapters.settings_file import load
from adapters.simulate.calls import Call, Operation, Outcome, Session, Switches
from adapters.simulate.target import NoTarget, target
from adapters.simulate.wire.base import TEXT, Answer, Expected, Raw, Request, Wire, compact
from adapters.simulate.wire.defects import count, malformed
from adapters.simulate.wire.gpas import Gpas

DEMO = load(Path(__file__).parents[2] / "deploy" / "demo.toml")

WIRES = {wire.switches.name: wire for wire in target(DEMO, url=None, all_protocols=True).wires}


def call(integration: str, operation: Operation, **more: Any) -> Call:
    """A call of 12.50 on a round, by a player who has a session."""
    session = Session(integration, "game", "EUR", token="token")
    fields: dict[str, Any] = {
        "round_id": "r1",
        "transaction_id": "t1",
        "amount": 1_250_000,
        "refers_to": "t0",
        **more,
    }
    return Call(
        integration=integration,
        operation=operation,
        player_id="ann",
        session=session,
        currency="EUR",
        game="game",
        **fields,
    )


def answer(status: int, body: object) -> Answer:
    """An answer with this body."""
    return Answer(status, {}, b"" if body is None else compact(body))


@pytest.mark.parametrize(
    ("path", "body", "signature"),
    [
        (
            "/gpas/movements/credit?walletSessionId=x",
            (
                b'{"externalReference":"agt-n1572n6e5e5w2mw13l867azo4b381t27","value":"200",'
                b'"description":"Credit game move for customer id 6df5sd made by gpas",'
                b'"typeCode":"GAME_CREDIT","tags":{"gpasSessionId":'
                b'"gpas-bfd9516b-c51f-4bd5-ab83-8899100dc636","gameid":"agt-13"}}'
            ),
            "ADC0C7E5A925645EED839485C12F0DFDFEEA257F",
        ),
        (
            "/gpas/wallets/balance?walletSessionId=3fa85f64-5717-4562-b3fc-2c963f66afa6",
            b"",
            "52D7382EB6D253CECBD0414AE0CF5B673C9D2D0C",
        ),
        (
            "/gpas/sessions/close?id=3fa85f64-5717-4562-b3fc-2c963f66afa6",
            b"",
            "097C11EEE445BB16C4FBC5197E1E4492BD47AB0F",
        ),
    ],
)
def test_gpas_signs_the_vendors_examples_as_the_vendor_does(
    path: str, body: bytes, signature: str
) -> None:
    """The vendor's page gives body, secret and signature: the only outside proof that there is."""
    wire = Gpas(Switches(name="gpas"), parent_system_id="BL13GT", secret=b"Ax34deSfgdB")
    signed = wire.signed(Request("POST", path, {}, body))
    assert signed.headers["x-signature"] == signature


def test_betbrothers_signs_the_raw_body() -> None:
    """The value was made with openssl: a signature over anything but these bytes would differ."""
    signed = WIRES["betbrothers"].signed(Request("POST", "/betbrothers/operator/wallet", {}, b"{}"))
    assert signed.headers["X-REQUEST-SIGN"] == (
        "8b0e3797972e933b1342805309d54b8861d5369a38163390132d71419158234e"
    )


def test_fizzybubbly_signs_method_uri_and_digest() -> None:
    """The value was made with openssl, over three lines: method, absolute URI, MD5 in capitals."""
    signed = WIRES["fizzybubbly"].signed(Request("POST", "/fizzybubbly/wallet/withdraw", {}, b"{}"))
    assert signed.headers["Signature"] == (
        "dd29ceb2cbb0dfe0f5159eb4b401a1d0250254bcd5995bccb66c83bc8a2ed5f6"
    )


def test_marbles_signs_with_the_key_whose_public_half_the_server_holds() -> None:
    """155's key signs; the server's configuration has the public half."""
    signed = WIRES["marbles"].signed(Request("POST", "/marbles/win", {}, b'{"a":1}'))
    public = DEMO.integrations["marbles"].public_keys[0].key  # type: ignore[attr-defined]
    signature = b64decode(signed.headers["X-Marbles-Signature"])
    public.verify(signature, signed.body, PKCS1v15(), SHA256())


def test_an_answer_with_a_bad_signature_is_a_difference() -> None:
    """Answers of marbles are signed: one that is not proves nothing."""
    assert WIRES["marbles"].unsigned(answer(200, {"status": "SUCCESS"})) is not None


@pytest.mark.parametrize("name", WIRES)
@pytest.mark.parametrize("variation", range(6))
def test_every_spelling_of_a_bet_means_the_same_amount(name: str, variation: int) -> None:
    """A repetition may be spelt differently: 12.5, 12.50 and "12.50" are one amount."""
    wire = WIRES[name]
    body = json.loads(wire.request(call(name, "bet"), variation).body, parse_float=Decimal)
    sent = Decimal(body[wire.amount_path])
    assert sent in {Decimal("12.5"), 1250, 1_250_000}
    assert wire.amount_text_is_number or not isinstance(body[wire.amount_path], str)


def test_the_win_has_the_fields_that_betbrothers_documents() -> None:
    """Field by field as on the vendor's page for the win."""
    request = WIRES["betbrothers"].request(call("betbrothers", "win", closes_round=True), 0)
    assert json.loads(request.body) == {
        "amount": 1250,
        "currency_code": "EUR",
        "is_mobile": False,
        "player_id": "ann",
        "action": "win",
        "payload": {
            "reference": "game",
            "session_token": "token",
            "provider_transfer_data": {
                "transaction_id": "t1",
                "round_id": "r1",
                "round_close": True,
            },
        },
    }


def test_the_win_has_the_fields_that_155_documents() -> None:
    """Field by field as on the vendor's page for the win."""
    request = WIRES["marbles"].request(call("marbles", "win", closes_round=True), 0)
    assert json.loads(request.body) == {
        "requestId": "t1/0",
        "transactionId": "t1",
        "referenceTransactionId": "t0",
        "clientSessionId": "token",
        "clientPlayerId": "ann",
        "roundId": "r1",
        "gameId": "game",
        "amount": 1_250_000,
        "currency": "EUR",
        "roundClosed": True,
    }


def test_the_credit_has_the_fields_that_gpas_documents() -> None:
    """Session in the query; bet, round and the closing flag in the tags."""
    request = WIRES["gpas"].request(call("gpas", "win", closes_round=True), 1)
    assert request.path == "/gpas/movements/credit?walletSessionId=token"
    assert json.loads(request.body) == {
        "externalReference": "t1",
        "value": "12.50000",
        "typeCode": "GAME_CREDIT",
        "description": "win made by gpas",
        "tags": {
            "gpasSessionId": "gpas-1",
            "gameid": "game",
            "roundid": "r1",
            "externalReferenceBet": "t0",
            "closeRound": "true",
        },
    }


def test_the_withdrawal_has_the_fields_that_fizzybubbly_documents() -> None:
    """The nine required fields and the jackpot's part."""
    request = WIRES["fizzybubbly"].request(call("fizzybubbly", "bet"), 0)
    assert json.loads(request.body, parse_float=Decimal) == {
        "playerId": "ann",
        "sessionId": "token",
        "currency": "EUR",
        "transactionId": "t1",
        "gameId": "game",
        "gameRoundId": "r1",
        "amount": Decimal("12.5"),
        "cashAmount": Decimal("12.5"),
        "jackpotAmount": None,
        "isGameRoundFinished": False,
    }


OUTCOME = Outcome(real=1_234_567, bonus=100_000, moved_bonus=50_000)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("betbrothers", {"transaction_id": "m", "balance": 1334, "currency_code": "EUR"}),
        (
            "marbles",
            {
                "status": "SUCCESS",
                "requestId": "t1/0",
                "clientPlayerId": "ann",
                "currency": "EUR",
                "balance": 1_334_567,
            },
        ),
        (
            "gpas",
            {
                "status": "CONFIRMED",
                "movementId": "m",
                "amountBonus": Decimal("0.50"),
                "leftBalance": Decimal("13.34"),
                "subWalletsSummary": [
                    {"code": "REAL", "leftBalance": Decimal("12.34"), "subWalletsSummary": None},
                    {"code": "BONUS", "leftBalance": 1, "subWalletsSummary": None},
                ],
            },
        ),
        ("fizzybubbly", {"balance": Decimal("13.34"), "currency": "EUR"}),
    ],
)
def test_a_balance_is_rounded_down_to_what_the_wire_shows(name: str, body: dict[str, Any]) -> None:
    """13.34567 in each protocol's own digits; one field too many or too few is a difference."""
    wire, win = WIRES[name], call(name, "win")
    (right,) = wire.expected(win, OUTCOME, wire.request(win, 0))
    assert right.fits(answer(200, body))
    assert not right.fits(answer(200, {**body, "more": 1}))
    assert not right.fits(answer(200, dict(list(body.items())[1:])))


REFUSALS = [
    ("betbrothers", "bet", "duplicate_conflict", 408, {"code": 408, "message": "m"}),
    ("betbrothers", "win", "duplicate_conflict", 406, {"code": 406, "message": "m"}),
    ("betbrothers", "bet", "insufficient_funds", 402, {"code": 402, "message": "m"}),
    (
        "marbles",
        "bet",
        "insufficient_funds",
        200,
        {"status": "INSUFFICIENT_BALANCE_ERROR", "requestId": "t1/0", "clientPlayerId": "ann"},
    ),
    (
        "marbles",
        "balance",
        "session_expired",
        200,
        {"status": "SESSION_EXPIRED_ERROR", "requestId": "t1/0", "clientPlayerId": "ann"},
    ),
    (
        "marbles",
        "bet",
        "malformed_request",
        200,
        {"status": "UNKNOWN_ERROR", "requestId": None, "clientPlayerId": None},
    ),
    (
        "gpas",
        "bet",
        "round_closed",
        400,
        {"code": 1010, "type": "ROUND_CLOSED", "message": "m"},
    ),
    (
        "fizzybubbly",
        "win",
        "original_not_found",
        400,
        {"code": "ERROR_TRANSACTION_WITHDRAW_NOT_FOUND", "description": "d", "traceId": "t"},
    ),
    (
        "fizzybubbly",
        "refund",
        "original_not_found",
        400,
        {"code": "ERROR_ROLLBACK_TRANSACTION_NOT_FOUND", "description": "d", "traceId": "t"},
    ),
    (
        "fizzybubbly",
        "bet",
        "invalid_signature",
        401,
        {"code": "ERROR_INVALID_SIGNATURE", "description": "d", "traceId": "t"},
    ),
]


@pytest.mark.parametrize(("name", "operation", "refusal", "status", "body"), REFUSALS)
def test_a_refusal_has_its_protocols_own_form(
    name: str, operation: Operation, refusal: str, status: int, body: dict[str, Any]
) -> None:
    """Status, code and exactly the documented fields."""
    wire, asked = WIRES[name], call(name, operation)
    outcome = Outcome(refusal=refusal)
    (right,) = wire.expected(asked, outcome, wire.request(asked, 0))
    assert right.fits(answer(status, body))
    assert not right.fits(answer(status + 1, body))


def test_a_rollback_of_an_unknown_bet_is_a_success_for_155() -> None:
    """155 has no status for "not found", and would repeat an error for ever."""
    wire, asked = WIRES["marbles"], call("marbles", "refund")
    outcome = replace(OUTCOME, refusal="original_not_found")
    (right,) = wire.expected(asked, outcome, wire.request(asked, 0))
    assert right.body is not None
    assert right.body["status"] == "SUCCESS"


def test_gpas_repetitions_are_errors_where_configured() -> None:
    """The switch replay = "error"."""
    gpas = WIRES["gpas"]
    wire = Gpas(replace(gpas.switches, replay="error"), parent_system_id="BL13GT", secret=b"secret")
    asked = call("gpas", "bet")
    (right,) = wire.expected(asked, replace(OUTCOME, replayed=True), wire.request(asked, 0))
    assert right == Expected(400, {"code": 1003, "type": "DUPLICATE_TX_ID", "message": TEXT})


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (1, True),
        (1, Decimal("1.0")),
        ("1", 1),
        (None, ""),
        (TEXT, ""),
        (Decimal(1), "1"),
        (Decimal(1), True),
        ([1], [1, 2]),
    ],
)
def test_values_of_another_json_type_are_different(expected: object, got: object) -> None:
    """1 is not true, and a number in quotes is no number."""
    assert not Expected(200, {"a": expected}).fits(answer(200, {"a": got}))


def test_money_is_never_sent_as_a_float() -> None:
    """A float in a payload is a mistake of the simulator's own."""
    with pytest.raises(TypeError):
        compact({"amount": 0.1})
    assert compact({"a": Decimal("0.10"), "b": Raw("1e2")}) == b'{"a":0.10,"b":1e2}'


@pytest.mark.parametrize("name", WIRES)
def test_every_malformed_body_differs_from_the_good_one_and_is_signed(name: str) -> None:
    """A malformed call must be refused for its body, not for its signature."""
    wire: Wire = WIRES[name]
    good = wire.request(call(name, "bet"), 0)
    bad = [malformed(wire, good, variation) for variation in range(count(wire, good))]
    assert len({one.body for one in bad}) == len(bad)
    assert good.body not in {one.body for one in bad}
    assert all(one == wire.signed(one) for one in bad if name != "marbles")


@pytest.mark.parametrize("name", WIRES)
def test_every_forged_signature_differs_from_the_right_one(name: str) -> None:
    """Else the run would report a bad signature that was accepted."""
    wire = WIRES[name]
    good = wire.request(call(name, "bet"), 0)
    for variation in range(3):
        assert dict(wire.forged(good, variation).headers) != dict(good.headers)


def test_only_betbrothers_is_played_unless_all_are_asked_for() -> None:
    """The default run is the quickest that proves something."""
    assert [one.switches.name for one in target(DEMO, url=None, all_protocols=False).wires] == [
        "betbrothers"
    ]


def test_without_the_providers_key_marbles_cannot_be_played() -> None:
    """A production configuration holds no private key of 155's."""
    with pytest.raises(NoTarget, match="provider_keys"):
        target(replace(DEMO, demo=None), url=None, all_protocols=True)
