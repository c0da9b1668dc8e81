"""Fizzy Bubbly as a caller: decimals, an API key, a signature over method, URL and body."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from tests.acceptance.conformance.service import Guest
from tests.acceptance.conformance.wire import Request, Wire, unique

BASE_URL = "https://wallet.example:8443/{}"
SECRETS = {"current": b"fizzybubbly-new", "old": b"fizzybubbly-old", "wrong": b"guessed"}
_IDS = ("currency", "gameId", "gameRoundId", "playerId", "sessionId", "transactionId")
_MONEY = ("amount", "cashAmount", *_IDS, "isGameRoundFinished")


class FizzyBubblyWire(Wire):
    """Calls as Fizzy Bubbly does."""

    protocol = "fizzybubbly"
    settings = 'public_key = "api-key"\nsecrets = [{secrets}]\nbase_url = "{base_url}"'
    signature = "Signature"
    names: ClassVar = {
        "amount": "amount",
        "currency": "currency",
        "player": "playerId",
        "session": "sessionId",
        "game": "gameId",
        "id": "transactionId",
        "round": "gameRoundId",
        "original": "withdrawTransactionId",
    }
    required: ClassVar = {
        "balance": ("playerId", "sessionId", "currency"),
        "withdraw": _MONEY,
        "deposit": (*_MONEY, "withdrawTransactionId"),
        "rollback": (*_IDS, "withdrawTransactionId"),
    }

    def amount(self, amount: str, currency: str) -> Decimal:
        """Main units."""
        return Decimal(amount)

    def bet(self, guest: Guest, amount: str = "1", **fields: Any) -> Request:
        """A withdraw."""
        return self._call("withdraw", guest, fields, self._money(guest, amount, fields))

    def win(self, guest: Guest, bet: Request, amount: str = "1", **fields: Any) -> Request:
        """A deposit, which names its withdraw."""
        fields.setdefault("round_id", bet.round_id)
        named = {"withdrawTransactionId": fields.pop("original", bet.id)}
        return self._call("deposit", guest, fields, self._money(guest, amount, fields) | named)

    def refund(self, guest: Guest, bet: Request, **fields: Any) -> Request:
        """A rollback: no amount."""
        fields.setdefault("round_id", bet.round_id)
        named = {"withdrawTransactionId": fields.pop("original", bet.id)}
        return self._call("rollback", guest, fields, named)

    def balance(self, guest: Guest) -> Request:
        """The balance."""
        body = {
            "playerId": guest.player_id,
            "sessionId": guest.session,
            "currency": guest.currency,
            "gameId": guest.game,
        }
        return Request("balance", "/wallet/balance", body)

    def sign(self, request: Request, raw: bytes) -> Mapping[str, str]:
        """HMAC-SHA256 over three lines, the URL being the one that the provider was given."""
        url = BASE_URL.format(self.integration) + request.path
        digest = hashlib.md5(raw).hexdigest().upper()
        message = f"{request.method}\n{url}\n{digest}".encode()
        signature = hmac.new(SECRETS[self.key], message, hashlib.sha256).hexdigest()
        return {"Public-Key": "api-key", "Signature": signature}

    def read(self, request: Request, status: int, body: dict[str, Any]) -> tuple[Any, Any]:
        """A code with a description and a trace id; a balance with its currency."""
        if status != 200:
            assert set(body) == {"code", "description", "traceId"}
            assert all(isinstance(value, str) and value for value in body.values())
            return body["code"], None
        assert set(body) == {"balance", "currency"}
        assert isinstance(body["balance"], int | Decimal)
        return None, Decimal(body["balance"])

    def _money(self, guest: Guest, amount: str, fields: dict[str, Any]) -> dict[str, Any]:
        exact = self.amount(amount, guest.currency)
        return {
            "amount": exact,
            "cashAmount": exact,
            "jackpotAmount": None,
            "isGameRoundFinished": fields.pop("closes", False),
        }

    def _call(
        self, operation: str, guest: Guest, fields: dict[str, Any], own: dict[str, Any]
    ) -> Request:
        transaction_id = fields.get("id") or unique(operation)
        round_id = fields.get("round_id") or unique("round")
        body = {
            **own,
            "currency": guest.currency,
            "gameId": fields.get("game", guest.game),
            "gameRoundId": round_id,
            "playerId": guest.player_id,
            "sessionId": guest.session,
            "transactionId": transaction_id,
        }
        path = f"/wallet/{operation}"
        return Request(operation, path, body, id=transaction_id, round_id=round_id)
