"""The Bet Brothers as a caller: one URL, subunits, HMAC-SHA256 of the raw body."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from tests.acceptance.conformance.service import Guest
from tests.acceptance.conformance.wire import EXPONENTS, Request, Wire, unique

SECRETS = {"current": b"betbrothers-new", "old": b"betbrothers-old", "wrong": b"guessed"}
_PAYLOAD = ("payload__reference", "payload__session_token")
_TRANSFER = "payload__provider_transfer_data__"
_COMMON = (
    "action",
    "amount",
    "currency_code",
    "is_mobile",
    "player_id",
    "payload",
    *_PAYLOAD,
    "payload__provider_transfer_data",
    f"{_TRANSFER}transaction_id",
    f"{_TRANSFER}round_id",
)


class BetBrothersWire(Wire):
    """Calls as The Bet Brothers do."""

    protocol = "betbrothers"
    settings = "secrets = [{secrets}]"
    signature = "X-REQUEST-SIGN"
    names: ClassVar = {
        "amount": "amount",
        "currency": "currency_code",
        "player": "player_id",
        "session": "payload__session_token",
        "balance.session": "session_token",
        "game": "payload__reference",
        "id": f"{_TRANSFER}transaction_id",
        "round": f"{_TRANSFER}round_id",
        "refund.original": f"{_TRANSFER}refunded_transaction_id",
        "rollback-win.original": f"{_TRANSFER}rollback_win_transaction_id",
    }
    required: ClassVar = {
        "balance": (
            "player_id",
            "reference",
            "currency_code",
            "action",
            "is_mobile",
            "session_token",
        ),
        "bet": _COMMON,
        "win": (*_COMMON, f"{_TRANSFER}round_close"),
        "refund": (*_COMMON, f"{_TRANSFER}refunded_transaction_id"),
        "rollback-win": (*_COMMON, f"{_TRANSFER}rollback_win_transaction_id"),
    }

    def amount(self, amount: str, currency: str) -> int:
        """Subunits."""
        units = Decimal(amount).scaleb(EXPONENTS[currency])
        assert units == int(units)
        return int(units)

    def bet(self, guest: Guest, amount: str = "1", **fields: Any) -> Request:
        """Action ``bet``; the flag is sent only when it is set."""
        closing = {"round_close": True} if fields.pop("closes", False) else {}
        return self._action("bet", guest, amount, fields, closing)

    def win(self, guest: Guest, bet: Request, amount: str = "1", **fields: Any) -> Request:
        """Action ``win``: tied to its bet by the round alone."""
        fields.setdefault("round_id", bet.round_id)
        closing = {"round_close": fields.pop("closes", False)}
        return self._action("win", guest, amount, fields, closing)

    def refund(self, guest: Guest, bet: Request, **fields: Any) -> Request:
        """Action ``refund``, under the bet's own id unless another is given: the vendor's trap."""
        return self._reversal("refund", "refunded_transaction_id", guest, bet, fields)

    def reverse_win(self, guest: Guest, win: Request, **fields: Any) -> Request:
        """Action ``rollback-win``, under the win's id likewise."""
        return self._reversal("rollback-win", "rollback_win_transaction_id", guest, win, fields)

    def balance(self, guest: Guest) -> Request:
        """Action ``balance``: a flat body."""
        body = {
            "player_id": guest.player_id,
            "reference": guest.game,
            "currency_code": guest.currency,
            "action": "balance",
            "is_mobile": True,
            "session_token": guest.session,
        }
        return Request("balance", "/operator/wallet", body)

    def sign(self, request: Request, raw: bytes) -> Mapping[str, str]:
        """Lower-case hex HMAC-SHA256."""
        return {"X-REQUEST-SIGN": hmac.new(SECRETS[self.key], raw, hashlib.sha256).hexdigest()}

    def read(self, request: Request, status: int, body: dict[str, Any]) -> tuple[Any, Any]:
        """An error's code is its HTTP status."""
        if status != 200:
            assert set(body) == {"code", "message"}
            assert body["code"] == status
            assert isinstance(body["message"], str)
            assert body["message"]
            return body["code"], None
        named = "player_id" if request.operation == "balance" else "transaction_id"
        assert set(body) == {named, "balance", "currency_code"}
        assert isinstance(body[named], str)
        assert type(body["balance"]) is int
        return None, Decimal(body["balance"]).scaleb(-EXPONENTS[body["currency_code"]])

    def _reversal(
        self, action: str, reference: str, guest: Guest, original: Request, fields: dict[str, Any]
    ) -> Request:
        fields.setdefault("id", original.id)
        fields.setdefault("round_id", original.round_id)
        amount = fields.pop("amount", "1")
        named = {reference: fields.pop("original", original.id)}
        return self._action(action, guest, amount, fields, named)

    def _action(
        self,
        action: str,
        guest: Guest,
        amount: str,
        fields: dict[str, Any],
        transfer: dict[str, Any],
    ) -> Request:
        transaction_id = fields.get("id") or unique(action)
        round_id = fields.get("round_id") or unique("round")
        body = {
            "amount": self.amount(amount, guest.currency),
            "currency_code": guest.currency,
            "is_mobile": False,
            "player_id": guest.player_id,
            "action": action,
            "payload": {
                "reference": fields.get("game", guest.game),
                "session_token": guest.session,
                "provider_transfer_data": {
                    "transaction_id": transaction_id,
                    "round_id": round_id,
                    **transfer,
                },
            },
        }
        path = "/operator/wallet"
        return Request(action, path, body, id=transaction_id, round_id=round_id)
