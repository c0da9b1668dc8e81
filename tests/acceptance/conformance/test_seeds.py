"""The vendors' own samples: their bodies byte for byte, and the answers that their pages show."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from ledger.commands import OpenSession
from ledger.service import token_hash
from tests.acceptance.conformance.service import Guest, Service
from tests.acceptance.conformance.wire import Request, Wire, unique

pytestmark = pytest.mark.asyncio(loop_scope="session")

WIN_155 = b"""{
  "requestId": "8df0475e-5069-483a-8205-f6089997abc9",
  "transactionId": "9ea48131-3a0f-4067-94d0-3212e7e25abb",
  "referenceTransactionId": "ea0240f5-483d-434b-a8d4-04dabf61cde3",
  "clientSessionId": "0k3cz83bb3h2vn53ocnc7pxw9",
  "clientPlayerId": "02mnrpyv2qd9jbwhoniyimxsy",
  "roundId": "17cc81fd-df13-4ca4-857d-de0f766dc372",
  "gameId": "f1c0b104-f29d-44a9-ae93-e8afcbe3feb9",
  "amount": 1000000,
  "currency": "USD",
  "roundClosed": true
}"""

CREDIT_GPAS = b"""{
"externalReference": "agt-n1572n6e5e5w2mw13l867azo4b381t27",
"value": 200,
"description": "Credit game move for customer id 6df5sd made by gpas",
"typeCode": "GAME_CREDIT",
"tags": {
"gpasSessionId": "gpas-bfd9516b-c51f-4bd5-ab83-8899100dc636",
"gameid": "agt-13",
"roundid": "agt-311502",
"closeRound": "true",
"externalReferenceBet": "agt-53rr34pq-flll-5rbe-q975-3824lx339855"
}
}"""

SIGNED_GPAS = (
    b'{"externalReference":"agt-n1572n6e5e5w2mw13l867azo4b381t27","value":"200",'
    b'"description":"Credit game move for customer id 6df5sd made by gpas",'
    b'"typeCode":"GAME_CREDIT","tags":{"gpasSessionId":'
    b'"gpas-bfd9516b-c51f-4bd5-ab83-8899100dc636","gameid":"agt-13"}}'
)
SIGNATURE_GPAS = "ADC0C7E5A925645EED839485C12F0DFDFEEA257F"
SESSION_GPAS = "3fa85f64-5717-4562-b3fc-2c963f66afa6"

CURL_FIZZYBUBBLY = (
    b'{"amount":42.0,"cashAmount":42.0,"currency":"string","freeSpinsCampaignId":"string",'
    b'"gameId":"string","gameRoundId":"string","isGameRoundFinished":true,"jackpotAmount":42.0,'
    b'"playerId":"string","sessionId":"string","transactionId":"string"}'
)
PAYLOAD_FIZZYBUBBLY = b"""{
  "amount": 42.0,
  "cashAmount": 42.0,
  "currency": "string",
  "freeSpinsCampaignId": "string",
  "gameId": "string",
  "gameRoundId": "string",
  "isGameRoundFinished": true,
  "jackpotAmount": 42.0,
  "playerId": "string",
  "sessionId": "string",
  "transactionId": "string"
}"""


@dataclass
class Stage:
    """Sets up a player whose ids are the vendor's own."""

    service: Service
    wire: Wire

    async def player(self, player_id: str, currency: str, real: str) -> None:
        """Registered, with money."""
        await self.service.register(player_id, currency, real)

    async def session(self, guest: Guest, *, parent: str | None = None) -> None:
        """A session under a token that we did not mint."""
        await self.service.do(
            OpenSession(
                player_id=guest.player_id,
                session=token_hash(guest.session),
                integration=self.wire.integration,
                game=guest.game,
                currency=guest.currency,
                parent=parent and token_hash(parent),
            )
        )


def _bet_of(wire: Wire, guest: Guest, amount: str, bet_id: str, round_id: str) -> Request:
    return wire.bet(guest, amount, id=bet_id, round_id=round_id)


async def test_seed_000_betbrothers_win(service, make_wire):
    """Every property of the schema, those that may be null included."""
    wire = make_wire("betbrothers")
    guest = await service.guest(wire)
    bet = wire.bet(guest, "5")
    await wire.ok(bet)
    body = {
        "amount": 1250,
        "currency_code": "EUR",
        "is_mobile": True,
        "player_id": guest.player_id,
        "action": "win",
        "payload": {
            "reference": "barbarabang::MadMonkey",
            "session_token": guest.session,
            "provider_transfer_data": {
                "transaction_id": unique("win"),
                "round_id": bet.round_id,
                "round_close": True,
                "table_reference": "table-1",
                "promo": {"type": "cashback", "id": "promo-1"},
                "jackpot": {
                    "is_jackpot": False,
                    "jackpot_id": None,
                    "jackpot_contribution": None,
                    "jackpot_details": None,
                },
                "tournament": {
                    "is_tournament": True,
                    "tournament_id": "t-1",
                    "score": "17",
                    "place": None,
                },
                "free_spin": {
                    "is_free_spin": False,
                    "free_spin_id": None,
                    "free_spin_details": None,
                    "freespin_left": None,
                },
            },
        },
    }
    request = Request("win", "/operator/wallet", json.dumps(body, indent=4).encode())
    answer = await wire.ok(request)
    assert answer.status == 200
    assert answer.body == {
        "transaction_id": answer.body["transaction_id"],
        "balance": 10750,
        "currency_code": "EUR",
    }
    *_, booked = await service.events(guest)
    assert answer.body["transaction_id"] == booked.movement_id
    assert booked.tags == {
        "table_reference": "table-1",
        "promo": {"type": "cashback", "id": "promo-1"},
        "tournament": {"tournament_id": "t-1", "score": "17"},
    }


async def test_seed_002_betbrothers_refund(service, make_wire):
    """The schema's body succeeds; for a bet that nobody knows there is 406 as printed."""
    wire = make_wire("betbrothers")
    guest = await service.guest(wire)
    bet = wire.bet(guest, "5")
    await wire.ok(bet)
    body: dict[str, Any] = {
        "amount": 500,
        "is_mobile": False,
        "currency_code": "EUR",
        "player_id": guest.player_id,
        "action": "refund",
        "payload": {
            "reference": guest.game,
            "session_token": guest.session,
            "provider_transfer_data": {
                "transaction_id": unique("refund"),
                "round_id": bet.round_id,
                "refunded_transaction_id": bet.id,
                "table_reference": "table-1",
            },
        },
    }
    refund = Request("refund", "/operator/wallet", body)
    answer = await wire.ok(refund)
    assert (answer.status, answer.body["balance"], answer.body["currency_code"]) == (
        200,
        10000,
        "EUR",
    )
    unknown = refund.but(
        payload__provider_transfer_data__transaction_id=unique("refund"),
        payload__provider_transfer_data__refunded_transaction_id=unique("lost"),
    )
    assert (await wire.send(unknown)).refusal == (406, 406)


async def test_seed_001_marbles_win(service, make_wire):
    """The printed body, and the printed answer to the letter."""
    wire = make_wire("marbles")
    sample = json.loads(WIN_155)
    guest = Guest(
        player_id=sample["clientPlayerId"],
        currency="USD",
        game=sample["gameId"],
        launch="",
        session=sample["clientSessionId"],
    )
    stage = Stage(service, wire)
    await stage.player(guest.player_id, "USD", "10")
    await stage.session(guest)
    bet_id, round_id = sample["referenceTransactionId"], sample["roundId"]
    await wire.ok(_bet_of(wire, guest, "10", bet_id, round_id))
    answer = await wire.ok(Request("win", "/win", WIN_155))
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == {
        "status": "SUCCESS",
        "requestId": "8df0475e-5069-483a-8205-f6089997abc9",
        "clientPlayerId": "02mnrpyv2qd9jbwhoniyimxsy",
        "currency": "USD",
        "balance": 1000000,
    }
    other = WIN_155.replace(b"1000000", b"1000001")
    refused = await wire.send(Request("win", "/win", other))
    assert refused.body == {
        "status": "DUPLICATE_TRANSACTION_ERROR",
        "requestId": "8df0475e-5069-483a-8205-f6089997abc9",
        "clientPlayerId": "02mnrpyv2qd9jbwhoniyimxsy",
    }


async def test_seed_003_gpas_credit(service, make_wire):
    """A bet of 3 real and 1 bonus, so that the win of 200 is split as the page shows it."""
    wire = make_wire("gpas")
    guest = await service.guest(wire, real="3", bonus="51")
    sample = json.loads(CREDIT_GPAS)
    bet_id = sample["tags"]["externalReferenceBet"]
    await wire.ok(_bet_of(wire, guest, "4", bet_id, sample["tags"]["roundid"]))
    await service.fund(guest.player_id, "9000")
    credit = Request(
        "credit", "/movements/credit", CREDIT_GPAS, query={"walletSessionId": guest.session}
    )
    answer = await wire.ok(credit)
    *_, booked = await service.events(guest)
    assert answer.status == 200
    assert answer.body == {
        "status": "CONFIRMED",
        "movementId": booked.movement_id,
        "leftBalance": Decimal(9250),
        "amountBonus": Decimal(50),
        "subWalletsSummary": [
            {"code": "REAL", "leftBalance": Decimal(9150), "subWalletsSummary": None},
            {"code": "BONUS", "leftBalance": Decimal(100), "subWalletsSummary": None},
        ],
    }
    assert booked.closes_round


async def test_seed_003_gpas_credit_with_the_printed_signature(service, make_wire):
    """The signing example: the value as a string, no bet and no round, and our secret theirs."""
    wire = make_wire("gpas", "-seed", key="seed")
    guest = await service.guest(wire)
    guest = replace(guest, session=SESSION_GPAS)
    await Stage(service, wire).session(guest, parent=guest.launch)
    credit = Request(
        "credit", "/movements/credit", SIGNED_GPAS, query={"walletSessionId": SESSION_GPAS}
    )
    answer = await wire.send(credit, **{"x-signature": SIGNATURE_GPAS})
    assert (answer.status, answer.balance) == (200, 300)
    *_, booked = await service.events(guest)
    assert booked.exceptions == ("unbound_win",)
    altered = replace(credit, body=SIGNED_GPAS.replace(b'"200"', b'"900"'))
    refused = await wire.send(altered, **{"x-signature": SIGNATURE_GPAS})
    assert refused.refusal == (400, (1006, "SIGNATURE_FAILED"))


async def test_seed_004_fizzybubbly_withdraw(service, make_wire):
    """The curl body, then the pretty one: the same call again, and the same answer."""
    wire = make_wire("fizzybubbly")
    guest = Guest("string", "string", "string", "", "string")
    stage = Stage(service, wire)
    await stage.player("string", "string", "84")
    await stage.session(guest)
    answer = await wire.ok(Request("withdraw", "/wallet/withdraw", CURL_FIZZYBUBBLY))
    assert answer.status == 200
    assert answer.body == {"balance": Decimal("42.0"), "currency": "string"}
    *_, booked = await service.events(guest)
    assert booked.exceptions == ("amount_parts_mismatch",)
    assert booked.tags["campaign"] == "string"
    async with service.untouched(guest):
        again = await wire.ok(Request("withdraw", "/wallet/withdraw", PAYLOAD_FIZZYBUBBLY))
    assert again.raw == answer.raw


async def test_seed_004_fizzybubbly_errors(service, make_wire):
    """The three fields of the printed error, with a trace id of each call's own."""
    wire = make_wire("fizzybubbly")
    guest = await service.guest(wire)
    poor, wrong = wire.bet(guest, "1000"), wire.bet(guest)
    answers = [await wire.send(poor), await wire.send(poor), await wire.send(wrong, Signature="")]
    assert [answer.refusal for answer in answers] == [
        (400, "ERROR_TRANSACTION_INSUFFICIENT_FUNDS"),
        (400, "ERROR_TRANSACTION_INSUFFICIENT_FUNDS"),
        (401, "ERROR_INVALID_SIGNATURE"),
    ]
    assert len({answer.body["traceId"] for answer in answers}) == 3
