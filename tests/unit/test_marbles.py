"""The 155.io adapter: what it asks of the ledger, and the signed answers it gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.keys import PublicKey, SigningKey
from adapters.providers.marbles import (
    BALANCE_STATUSES,
    HTTP_STATUSES,
    STATUSES,
    MarblesProvider,
)
from adapters.providers.protocol import Call, Reply
from adapters.providers.signatures import sign_rsa, verify_rsa
from adapters.settings import Marbles
from ledger.commands import CreditWin, PlaceBet, Policy, ReadBalance, RefundBet
from ledger.currencies import Currencies
from ledger.events import RefundTombstoned
from ledger.money import currency
from ledger.refusals import Refusal, Refused
from ledger.service import token_hash
from ledger.store import StoreUnavailable, TransactionRow
from tests.unit.provider_fakes import (
    MOVEMENT,
    NOW,
    PLAYER,
    TOKEN,
    FakeLedger,
    accepted,
    answer,
    call,
    session_row,
)

POLICY = Policy(session_ttl_s=60)


def key_pair() -> tuple[SigningKey, PublicKey]:
    """A fresh key pair, as the configuration would give it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        encoding, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return SigningKey(private.decode()), PublicKey(public.decode())


THEIRS, THEIR_PUBLIC = key_pair()
OURS, OUR_PUBLIC = key_pair()


def provider(ledger: FakeLedger | None = None, **settings: Any) -> MarblesProvider:
    """The adapter, with a ledger that the test looks into."""
    fields: dict[str, Any] = {
        "name": "marbles",
        "public_keys": (THEIR_PUBLIC,),
        "signing_key": OURS,
        "policy": POLICY,
    }
    currencies = Currencies({"FINE": currency("FINE", 2, 8)})
    made = Marbles(**fields | settings)
    return MarblesProvider("marbles", made, cast("Any", ledger or FakeLedger()), currencies)


def bet(**changes: Any) -> dict[str, Any]:
    """A bet's body."""
    body = {
        "requestId": "q-1",
        "transactionId": "t-1",
        "clientSessionId": TOKEN,
        "clientPlayerId": PLAYER,
        "roundId": "r-1",
        "gameId": "g-1",
        "amount": 1_000_000,
        "currency": "EUR",
        "meta": {"betType": "PickWinner", "selection": ["a"]},
        "timestamp": "2026-01-02T03:04:05.000Z",
    }
    return body | changes


def win(**changes: Any) -> dict[str, Any]:
    """A win's body."""
    body = bet(transactionId="t-2", referenceTransactionId="t-1", roundClosed=True)
    del body["meta"]
    return body | changes


def rollback(**changes: Any) -> dict[str, Any]:
    """A rollback's body: no amount and no currency."""
    body = win(**{"transactionId": "t-3"} | changes)
    del body["amount"], body["currency"]
    return body


def balance(**changes: Any) -> dict[str, Any]:
    """A balance call's body."""
    return {"requestId": "q-1", "clientSessionId": TOKEN, "clientPlayerId": PLAYER} | changes


def signed(path: str, body: bytes | dict[str, Any]) -> Call:
    """The call with the vendor's signature."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return call(path, raw, headers={"X-Marbles-Signature": sign_rsa(THEIRS, raw)})


def read(reply: Reply) -> tuple[int, Any]:
    """HTTP status and body of an answer whose signature was checked, as that of every answer."""
    verify_rsa([OUR_PUBLIC], reply.headers["X-Marbles-Signature"], reply.body)
    return reply.status, json.loads(reply.body)


async def test_a_bet_becomes_a_stake_and_answers_the_exact_balance() -> None:
    """Five digits are the ledger's own: nothing is rounded either way."""
    ledger = FakeLedger([accepted(real=1_234_567, bonus=1)])
    made = signed("/bet", bet())
    reply = await answer(provider(ledger), made)
    read(reply)
    assert reply.body == (
        b'{"status":"SUCCESS","requestId":"q-1","clientPlayerId":"player-1",'
        b'"currency":"EUR","balance":1234568}'
    )
    assert ledger.commands == [
        PlaceBet(
            player_id=PLAYER,
            integration="marbles",
            operation="bet",
            key="t-1",
            transaction_id="t-1",
            policy=POLICY,
            session=token_hash(TOKEN),
            game="g-1",
            round_id="r-1",
            currency="EUR",
            amount=1_000_000,
        )
    ]
    assert (made.operation, made.player_id, made.transaction_id) == ("bet", PLAYER, "t-1")
    assert made.key_id == THEIR_PUBLIC.id


async def test_a_win_names_its_bet() -> None:
    """The bet it names decides about it, and it may close the round."""
    ledger = FakeLedger()
    assert read(await answer(provider(ledger), signed("/win", win(amount=0))))[0] == 200
    (command,) = ledger.commands
    assert isinstance(command, CreditWin)
    assert (command.amount, command.bet_key, command.closes_round) == (0, "t-1", True)
    assert (command.key, command.operation) == ("t-2", "win")


async def test_a_rollback_takes_its_money_from_the_bet() -> None:
    """There is no amount and no currency on the wire: the bet's own count."""
    ledger = FakeLedger([accepted(currency="JPY", real=500_000)])
    body = rollback()
    status, reply = read(await answer(provider(ledger), signed("/rollback", body)))
    (command,) = ledger.commands
    assert isinstance(command, RefundBet)
    assert (command.amount, command.currency, command.original_key) == (None, None, "t-1")
    assert command.key in provider().keys_of("t-3")
    assert (status, reply["currency"], reply["balance"]) == (200, "JPY", 500_000)


async def test_a_balance_call_answers_in_the_sessions_currency() -> None:
    """The call names no currency."""
    ledger = FakeLedger([accepted(currency="KWD", real=7, bonus=5, event=None)])
    reply = await answer(provider(ledger), signed("/balance", balance()))
    assert read(reply) == (
        200,
        {
            "status": "SUCCESS",
            "requestId": "q-1",
            "clientPlayerId": PLAYER,
            "currency": "KWD",
            "balance": 12,
        },
    )
    assert ledger.commands == [
        ReadBalance(
            player_id=PLAYER, integration="marbles", session=token_hash(TOKEN), policy=POLICY
        )
    ]


@pytest.mark.parametrize(
    ("code", "wire", "units", "shown"),
    [("JPY", 100_000, 100_000, 100_000), ("FINE", 1, 1000, 1), ("ZZZ", 5, 5, 5)],
)
async def test_five_digits_in_every_currency(code: str, wire: int, units: int, shown: int) -> None:
    """The protocol's scale does not follow the currency; the ledger refuses an unknown code."""
    ledger = FakeLedger([accepted(currency=code, real=units)])
    body = bet(currency=code, amount=wire)
    _, reply = read(await answer(provider(ledger), signed("/bet", body)))
    assert (ledger.commands[0].amount, reply["balance"]) == (units, shown)


async def test_a_finer_balance_is_rounded_down() -> None:
    """A currency kept finer than the wire: no player is shown money that is not there."""
    ledger = FakeLedger([accepted(currency="FINE", real=1_999)])
    _, reply = read(await answer(provider(ledger), signed("/bet", bet(currency="FINE"))))
    assert reply["balance"] == 1


async def test_a_replay_echoes_the_new_request_and_the_first_balance() -> None:
    """A repetition comes with a new requestId: only the echo may differ from the first answer."""
    first = accepted(real=10, player=accepted(real=99).player, replayed=True)
    for choice, shown in (("original", 10), ("current", 99)):
        made = provider(FakeLedger([first]), replay_balance=choice)
        _, reply = read(await answer(made, signed("/bet", bet(requestId="q-2"))))
        assert (reply["requestId"], reply["balance"]) == ("q-2", shown)


async def test_a_free_bet_is_marked_and_keeps_its_reward() -> None:
    """Free bets cost nothing, and the operator pays for them: it must find them again."""
    ledger = FakeLedger()
    made = provider(ledger)
    body = bet(amount=0, isFree=True, rewardUuid="promo-1")
    assert read(await answer(made, signed("/bet", body)))[1]["status"] == "SUCCESS"
    paid = win(amount=500, isFree=True, rewardUuid="promo-1")
    assert read(await answer(made, signed("/win", paid)))[1]["status"] == "SUCCESS"
    assert [command.tags for command in ledger.commands] == [
        {"free_spin": True, "reward": "promo-1"},
        {"free_spin": True, "reward": "promo-1"},
    ]
    assert [command.amount for command in ledger.commands] == [0, 500]


async def test_a_free_bet_with_a_stake_is_a_bonus_error() -> None:
    """Taking the stake would charge a player who was promised a free round."""
    ledger = FakeLedger()
    reply = await answer(provider(ledger), signed("/bet", bet(isFree=True)))
    assert read(reply) == (
        200,
        {"status": "BONUS_ERROR", "requestId": "q-1", "clientPlayerId": PLAYER},
    )
    assert ledger.commands == []


def tombstone(balance_real: int) -> RefundTombstoned:
    """What the ledger keeps of a rollback of an unknown bet."""
    return RefundTombstoned(
        movement_id=MOVEMENT,
        recorded_at=NOW,
        operation="rollback",
        key="t-3",
        transaction_id="t-3",
        fingerprint="00",
        currency="EUR",
        balance_real=balance_real,
        balance_bonus=1,
        refers_to="t-1",
    )


def booked(event: RefundTombstoned, player_id: str = PLAYER) -> tuple[TransactionRow, Any, str]:
    """The tombstone as the store gives it."""
    row = TransactionRow("marbles", "t-3", player_id, 4, event.NAME, None, "t-1", None, False, NOW)
    return row, event, "00"


NOT_FOUND = Refused(Refusal.ORIGINAL_NOT_FOUND, "not known")


async def test_a_rollback_of_an_unknown_bet_succeeds_with_the_balance_unmoved() -> None:
    """The protocol has no "not found", and an error would be repeated for ever.

    The answer is taken from the tombstone, so that its repetition is the same for ever.
    """
    ledger = FakeLedger([NOT_FOUND], booked=[booked(tombstone(41))])
    status, reply = read(await answer(provider(ledger), signed("/rollback", rollback())))
    assert (status, reply["status"], reply["balance"]) == (200, "SUCCESS", 42)
    assert len(ledger.commands) == 1


async def test_a_rollback_whose_tombstone_is_not_there_is_not_acknowledged() -> None:
    """That cannot be; but another player's event is not this one's."""
    ledger = FakeLedger([NOT_FOUND], booked=[booked(tombstone(41), "somebody else")])
    status, reply = read(await answer(provider(ledger), signed("/rollback", rollback())))
    assert (status, reply["status"]) == (500, "UNKNOWN_ERROR")


async def test_today_s_balance_is_answered_where_that_was_chosen() -> None:
    """With replay_balance "current" the tombstone's balance is of no interest."""
    ledger = FakeLedger(
        [NOT_FOUND, accepted(real=7, event=None)],
        sessions={TOKEN: session_row(TOKEN, "marbles")},
        booked=[booked(tombstone(41))],
    )
    made = provider(ledger, replay_balance="current")
    assert read(await answer(made, signed("/rollback", rollback())))[1]["balance"] == 7


class BrokenLedger(FakeLedger):
    """One whose database is gone by the time that the tombstone is looked up."""

    async def transactions(self, integration: str, keys: Sequence[str]) -> Any:
        """Fail."""
        raise StoreUnavailable("no database")


async def test_a_tombstone_that_cannot_be_looked_up_may_be_tried_again() -> None:
    """It is booked, but its balance is not known: the repetition will answer it."""
    reply = await answer(provider(BrokenLedger([NOT_FOUND])), signed("/rollback", rollback()))
    assert read(reply) == (
        503,
        {"status": "UNKNOWN_ERROR", "requestId": "q-1", "clientPlayerId": PLAYER},
    )


@pytest.mark.parametrize(
    ("changes", "echo"),
    [
        ({"amount": "1000"}, ("q-1", PLAYER)),
        ({"amount": 1.5}, ("q-1", PLAYER)),
        ({"amount": -1}, ("q-1", PLAYER)),
        ({"amount": 2**63}, ("q-1", PLAYER)),
        ({"amount": None}, ("q-1", PLAYER)),
        ({"isFree": "true"}, ("q-1", PLAYER)),
        ({"currency": 1}, ("q-1", PLAYER)),
        ({"meta": None}, ("q-1", PLAYER)),
        ({"roundId": ""}, ("q-1", PLAYER)),
        ({"requestId": None}, (None, PLAYER)),
        ({"requestId": ["q"]}, (None, PLAYER)),
        ({"clientPlayerId": True}, ("q-1", None)),
        ({"clientPlayerId": "x" * 300}, ("q-1", None)),
    ],
)
async def test_a_malformed_bet_is_an_error_that_echoes_what_it_can(
    changes: dict[str, Any], echo: tuple[str | None, str | None]
) -> None:
    """HTTP 200 always: the vendor takes anything else for a broken line, and tries again."""
    ledger = FakeLedger()
    status, reply = read(await answer(provider(ledger), signed("/bet", bet(**changes))))
    assert status == 200
    assert reply == {"status": "UNKNOWN_ERROR", "requestId": echo[0], "clientPlayerId": echo[1]}
    assert ledger.commands == []


@pytest.mark.parametrize(
    ("path", "body"),
    [("/bet", bet()), ("/win", win()), ("/rollback", rollback()), ("/balance", balance())],
)
async def test_every_field_is_required_but_the_timestamp(path: str, body: dict[str, Any]) -> None:
    """A call that lacks what its page lists is not the vendor's."""
    for name in body:
        ledger = FakeLedger()
        short = {key: value for key, value in body.items() if key != name}
        _, reply = read(await answer(provider(ledger), signed(path, short)))
        assert (reply["status"] == "SUCCESS") is (name == "timestamp"), name
        assert bool(ledger.commands) is (name == "timestamp"), name


async def test_a_body_that_cannot_be_read_is_answered_with_nulls() -> None:
    """There is nothing to echo, but the fields are the vendor's."""
    reply = await answer(provider(), signed("/bet", b"{"))
    assert reply.body == b'{"status":"UNKNOWN_ERROR","requestId":null,"clientPlayerId":null}'


async def test_a_wrong_signature_is_told_to_the_request_that_bore_it() -> None:
    """The answer is signed and echoes the ids, so that the vendor can tell which call it was."""
    ledger = FakeLedger()
    made = call("/bet", json.dumps(bet()).encode(), headers={"X-Marbles-Signature": "AAAA"})
    assert read(await answer(provider(ledger), made)) == (
        200,
        {"status": "INVALID_SIGNATURE", "requestId": "q-1", "clientPlayerId": PLAYER},
    )
    assert (ledger.commands, made.player_id) == ([], None)


TABLE = {
    "invalid_signature": "INVALID_SIGNATURE",
    "duplicate_conflict": "DUPLICATE_TRANSACTION_ERROR",
    "limit_exceeded": "BET_LIMIT_REACHED_ERROR",
    "reality_check_due": "BET_LIMIT_REACHED_ERROR",
    "insufficient_funds": "INSUFFICIENT_BALANCE_ERROR",
}
"""The contract: the statuses that are not UNKNOWN_ERROR."""

BALANCE_TABLE = TABLE | {
    "unknown_player": "PLAYER_NOT_FOUND_ERROR",
    "unknown_session": "SESSION_NOT_FOUND_ERROR",
    "session_expired": "SESSION_EXPIRED_ERROR",
}
"""The same for /balance."""


def test_every_refusal_has_a_status() -> None:
    """A refusal without a status would be an answer that the vendor cannot read."""
    assert set(STATUSES) == set(Refusal)
    assert set(BALANCE_STATUSES) | set(HTTP_STATUSES) <= set(Refusal)


@pytest.mark.parametrize("refusal", Refusal)
@pytest.mark.parametrize("path", ["/bet", "/win", "/rollback", "/balance"])
async def test_a_refusal_is_answered_with_the_vendors_status(refusal: Refusal, path: str) -> None:
    """HTTP 200, but where nothing was decided and a repetition may help."""
    if (refusal, path) == (Refusal.ORIGINAL_NOT_FOUND, "/rollback"):
        return  # succeeds, see above
    bodies = {"/bet": bet(), "/win": win(), "/rollback": rollback(), "/balance": balance()}
    ledger = FakeLedger([Refused(refusal, "why")])
    table = BALANCE_TABLE if path == "/balance" else TABLE
    http_status = {"unavailable": 503, "internal": 500}.get(refusal.value, 200)
    reply = await answer(provider(ledger), signed(path, bodies[path]))
    assert read(reply) == (
        http_status,
        {
            "status": table.get(refusal.value, "UNKNOWN_ERROR"),
            "requestId": "q-1",
            "clientPlayerId": PLAYER,
        },
    )
