"""marbles (155.io): four paths, RSA-SHA256 over the body both ways, integers with five digits."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from adapters.simulate.calls import Call, Outcome, Switches
from adapters.simulate.wire.base import (
    TEXT_OR_NULL,
    Answer,
    Expected,
    Request,
    Wire,
    compact,
    spelt,
)

HEADER = "X-Marbles-Signature"

PATHS = {"balance": "balance", "bet": "bet", "win": "win", "refund": "rollback"}

STATUSES = {
    "invalid_signature": "INVALID_SIGNATURE",
    "duplicate_conflict": "DUPLICATE_TRANSACTION_ERROR",
    "limit_exceeded": "BET_LIMIT_REACHED_ERROR",
    "reality_check_due": "BET_LIMIT_REACHED_ERROR",
    "insufficient_funds": "INSUFFICIENT_BALANCE_ERROR",
    "bonus_error": "BONUS_ERROR",
}

BALANCE_STATUSES = {
    "unknown_player": "PLAYER_NOT_FOUND_ERROR",
    "unknown_session": "SESSION_NOT_FOUND_ERROR",
    "session_expired": "SESSION_EXPIRED_ERROR",
}

UNREAD = {"invalid_signature", "malformed_request"}
"""Refusals for which the body may not have been read, so that there is nothing to repeat."""


class Marbles(Wire):
    """155.io."""

    id_paths = ("requestId", "transactionId", "clientSessionId", "clientPlayerId", "roundId")
    amount_path = "amount"
    abilities = frozenset(
        {
            "free bet with an amount",
            "refund of a lost bet that closes its round",
            "refund that closes its round",
            "unknown player",
            "wrong currency",
        }
    )

    def __init__(
        self, switches: Switches, *, signing_key: RSAPrivateKey, operator_key: RSAPublicKey
    ) -> None:
        """``signing_key`` is 155's own; ``operator_key`` verifies the answers."""
        super().__init__(switches)
        self._signing_key = signing_key
        self._operator_key = operator_key

    def smallest(self, currency: str) -> int:
        """The fifth digit, whatever the currency."""
        del currency
        return 1

    def request(self, call: Call, variation: int) -> Request:
        """Each path has its own fields; a repetition has a request id of its own."""
        request_id = f"{call.transaction_id or call.session.game}/{variation}"
        payload: dict[str, Any] = {
            "requestId": request_id,
            "clientSessionId": call.session.token,
            "clientPlayerId": call.player_id,
        }
        if variation % 3 == 1:
            payload["timestamp"] = 1_700_000_000 + variation
        if call.operation != "balance":
            payload |= _movement(call, variation)
        path = f"/{self.switches.name}/{PATHS[call.operation]}"
        return self.signed(Request("POST", path, {}, compact(payload), {"requestId": request_id}))

    def signed(self, request: Request) -> Request:
        """Base64 of the RSA signature over the raw body."""
        signature = self._signing_key.sign(request.body, PKCS1v15(), SHA256())
        return replace(request, headers={HEADER: b64encode(signature).decode()})

    def forged(self, request: Request, variation: int) -> Request:
        """Another body's signature, no base64, or none at all."""
        other = self.signed(replace(request, body=request.body + b" ")).headers
        headers: list[dict[str, str]] = [dict(other), {HEADER: "%%%"}, {}]
        return replace(request, headers=headers[variation % 3])

    def expected(self, call: Call, outcome: Outcome, request: Request) -> Sequence[Expected]:
        """HTTP 200 with a status; a rollback of an unknown bet is a success that moves nothing."""
        echo: dict[str, Any] = {**request.echo, "clientPlayerId": call.player_id}
        if outcome.refusal in UNREAD:
            echo = dict.fromkeys(echo, TEXT_OR_NULL)
        forgiven = call.operation == "refund" and outcome.refusal == "original_not_found"
        if outcome.refusal is not None and not forgiven:
            return [Expected(200, {"status": _status(call, outcome.refusal), **echo})]
        balance = {"currency": call.currency, "balance": outcome.real + outcome.bonus}
        return [Expected(200, {"status": "SUCCESS", **echo, **balance})]

    def unsigned(self, answer: Answer) -> str | None:
        """Every answer is signed with the operator's key."""
        try:
            signature = b64decode(answer.headers.get(HEADER, ""), validate=True)
            self._operator_key.verify(signature, answer.body, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return f"a good signature in {HEADER}"
        return None


def _status(call: Call, refusal: str) -> str:
    if call.operation == "balance" and refusal in BALANCE_STATUSES:
        return BALANCE_STATUSES[refusal]
    return STATUSES.get(refusal, "UNKNOWN_ERROR")


def _movement(call: Call, variation: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "transactionId": spelt(call.transaction_id, variation),
        "roundId": spelt(call.round_id, variation),
        "gameId": call.game,
    }
    if call.operation != "bet":
        fields["referenceTransactionId"] = call.refers_to
        fields["roundClosed"] = call.closes_round
    if call.operation != "refund":
        fields |= {"amount": call.amount, "currency": call.currency}
    if call.operation == "bet":
        fields["meta"] = {}
    if call.tag == "free_spin":
        fields |= {"isFree": True, "rewardUuid": "5f0c9f0e-3f3c-4a4f-9d43-0d8b8d1b8b11"}
    return fields
