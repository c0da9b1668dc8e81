"""155.io as a caller: integers of five digits, RSA-SHA256 both ways, HTTP 200 for nearly all."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.acceptance.conformance.service import Guest
from tests.acceptance.conformance.wire import Raw, Request, Wire, unique

_COMMON = (
    "requestId",
    "transactionId",
    "clientSessionId",
    "clientPlayerId",
    "roundId",
    "gameId",
)
_ERRORS = {
    "INSUFFICIENT_BALANCE_ERROR",
    "DUPLICATE_TRANSACTION_ERROR",
    "UNKNOWN_ERROR",
    "BONUS_ERROR",
    "BET_LIMIT_REACHED_ERROR",
    "INVALID_SIGNATURE",
}
_BALANCE_ERRORS = {"SESSION_EXPIRED_ERROR", "SESSION_NOT_FOUND_ERROR", "PLAYER_NOT_FOUND_ERROR"}


class MarblesWire(Wire):
    """Calls as 155.io does."""

    protocol = "marbles"
    settings = 'public_keys = [{keys}]\nsigning_key = "file:ours.pem"'
    signature = "X-Marbles-Signature"
    names: ClassVar = {
        "amount": "amount",
        "currency": "currency",
        "player": "clientPlayerId",
        "session": "clientSessionId",
        "game": "gameId",
        "id": "transactionId",
        "round": "roundId",
        "original": "referenceTransactionId",
    }
    required: ClassVar = {
        "balance": ("requestId", "clientSessionId", "clientPlayerId"),
        "bet": (*_COMMON, "amount", "currency", "meta"),
        "win": (*_COMMON, "referenceTransactionId", "amount", "currency", "roundClosed"),
        "rollback": (*_COMMON, "referenceTransactionId", "roundClosed"),
    }

    def amount(self, amount: str, currency: str) -> int:
        """Hundred-thousandths, whatever the currency."""
        units = Decimal(amount).scaleb(5)
        assert units == int(units)
        return int(units)

    def bet(self, guest: Guest, amount: str = "1", **fields: Any) -> Request:
        """/bet, which has no flag that closes the round."""
        fields.pop("closes", None)
        own = self._money(guest, amount) | {"meta": {}}
        return self._call("bet", guest, fields, own)

    def win(self, guest: Guest, bet: Request, amount: str = "1", **fields: Any) -> Request:
        """/win, which names its bet."""
        fields.setdefault("round_id", bet.round_id)
        own = self._money(guest, amount) | self._reference(bet, fields)
        return self._call("win", guest, fields, own)

    def refund(self, guest: Guest, bet: Request, **fields: Any) -> Request:
        """/rollback: neither amount nor currency."""
        fields.setdefault("round_id", bet.round_id)
        fields.pop("amount", None)
        return self._call("rollback", guest, fields, self._reference(bet, fields))

    def balance(self, guest: Guest) -> Request:
        """/balance, in the session's currency."""
        body = {
            "requestId": unique("request"),
            "clientSessionId": guest.session,
            "clientPlayerId": guest.player_id,
        }
        return Request("balance", "/balance", body)

    def sign(self, request: Request, raw: bytes) -> Mapping[str, str]:
        """Base64 RSA-SHA256, PKCS#1 v1.5."""
        key = _private(self._directory / f"{self.key}.pem")
        signature = key.sign(raw, padding.PKCS1v15(), hashes.SHA256())
        return {"X-Marbles-Signature": b64encode(signature).decode()}

    def check_headers(self, headers: Mapping[str, str], raw: bytes) -> None:
        """We sign every answer, errors included."""
        signature = b64decode(headers["X-Marbles-Signature"], validate=True)
        key = _public(self._directory / "ours-public.pem")
        key.verify(signature, raw, padding.PKCS1v15(), hashes.SHA256())

    def read(self, request: Request, status: int, body: dict[str, Any]) -> tuple[Any, Any]:
        """The status tells; the ids of this very request are echoed."""
        sent = request.body if isinstance(request.body, dict) else {}
        if any(isinstance(value, Raw) for value in sent.values()):
            sent = {}  # it may be unreadable, and then nothing is echoed
        for name in ("requestId", "clientPlayerId"):
            value = sent.get(name)
            if isinstance(value, str) and 0 < len(value) < 256 and "\0" not in value:
                assert body[name] == value
        if body["status"] == "SUCCESS":
            assert status == 200
            assert set(body) == {"status", "requestId", "clientPlayerId", "currency", "balance"}
            assert type(body["balance"]) is int
            return None, Decimal(body["balance"]).scaleb(-5)
        assert status in {200, 500, 503}
        assert set(body) == {"status", "requestId", "clientPlayerId"}
        known = _ERRORS | _BALANCE_ERRORS if request.operation == "balance" else _ERRORS
        assert body["status"] in known
        return body["status"], None

    @property
    def _directory(self) -> Path:
        file = self.service.settings.file
        assert file is not None
        return file.parent

    def _money(self, guest: Guest, amount: str) -> dict[str, Any]:
        return {"amount": self.amount(amount, guest.currency), "currency": guest.currency}

    def _reference(self, bet: Request, fields: dict[str, Any]) -> dict[str, Any]:
        return {
            "referenceTransactionId": fields.pop("original", bet.id),
            "roundClosed": fields.pop("closes", False),
        }

    def _call(
        self, operation: str, guest: Guest, fields: dict[str, Any], own: dict[str, Any]
    ) -> Request:
        transaction_id = fields.get("id") or unique(operation)
        round_id = fields.get("round_id") or unique("round")
        body = {
            "requestId": unique("request"),
            "transactionId": transaction_id,
            "clientSessionId": guest.session,
            "clientPlayerId": guest.player_id,
            "roundId": round_id,
            "gameId": fields.get("game", guest.game),
            **own,
        }
        return Request(operation, f"/{operation}", body, id=transaction_id, round_id=round_id)


@cache
def _private(file: Path) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@cache
def _public(file: Path) -> rsa.RSAPublicKey:
    key = serialization.load_pem_public_key(file.read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)
    return key
