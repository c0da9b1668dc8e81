"""fizzybubbly: withdraw, deposit, rollback; HMAC over method, URI and MD5 of the body; decimals."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from hashlib import md5, sha256
from typing import Any

from adapters.simulate.calls import Call, Outcome, Switches
from adapters.simulate.currencies import main_units, shown
from adapters.simulate.wire.base import TEXT, Answer, Expected, Request, Wire, compact, spelt

PATHS = {
    "balance": "/wallet/balance",
    "bet": "/wallet/withdraw",
    "win": "/wallet/deposit",
    "refund": "/wallet/rollback",
}

CODES = {
    "invalid_signature": "ERROR_INVALID_SIGNATURE",
    "malformed_request": "ERROR_BAD_REQUEST",
    "duplicate_conflict": "ERROR_TRANSACTION_DUPLICATE",
    "already_reversed": "ERROR_BAD_REQUEST",
    "unknown_player": "ERROR_INVALID_SESSION",
    "unknown_session": "ERROR_INVALID_SESSION",
    "session_expired": "ERROR_SESSION_EXPIRED",
    "currency_mismatch": "ERROR_BAD_REQUEST",
    "player_blocked": "ERROR_BAD_REQUEST_PLAYER_BLOCKED",
    "game_disabled": "ERROR_GAME_NOT_ACTIVE",
    "limit_exceeded": "ERROR_TRANSACTION_LIMIT_EXCEEDED",
    "reality_check_due": "ERROR_TRANSACTION_REALITY_CHECK",
    "round_closed": "ERROR_BAD_REQUEST",
    "original_not_found": "ERROR_TRANSACTION_WITHDRAW_NOT_FOUND",
    "original_reversed": "ERROR_TRANSACTION_WITHDRAW_NOT_FOUND",
    "original_settled": "ERROR_BAD_REQUEST",
    "insufficient_funds": "ERROR_TRANSACTION_INSUFFICIENT_FUNDS",
}


class FizzyBubbly(Wire):
    """Fizzy Bubbly."""

    id_paths = ("playerId", "sessionId", "transactionId", "gameId", "gameRoundId")
    amount_path = "amount"
    amount_is_integer = False
    betless_tags = ("free_spin",)
    abilities = frozenset(
        {
            "bet that closes its round",
            "tagged win without a bet",
            "unknown player",
            "wrong currency",
        }
    )

    def __init__(
        self, switches: Switches, *, public_key: str, secret: bytes, base_url: str
    ) -> None:
        """``base_url`` is what the provider believes to call, and so what it signs."""
        super().__init__(switches)
        self._public_key = public_key
        self._secret = secret
        self._base_url = base_url

    def smallest(self, currency: str) -> int:
        """Decimals go as far as an amount does."""
        del currency
        return 1

    def request(self, call: Call, variation: int) -> Request:
        """The provider's own path, and the same number spelt with more or fewer zeros."""
        payload: dict[str, Any] = {
            "playerId": call.player_id,
            "sessionId": call.session.token,
            "currency": call.currency,
        }
        if call.operation != "balance":
            payload |= {
                "transactionId": spelt(call.transaction_id, variation),
                "gameId": call.game,
                "gameRoundId": spelt(call.round_id, variation),
            }
        if call.operation in {"bet", "win"}:
            payload |= _amounts(call, variation)
            payload["isGameRoundFinished"] = call.closes_round
        if call.operation in {"win", "refund"}:
            payload["withdrawTransactionId"] = call.refers_to
        if call.tag == "free_spin":
            payload["freeSpinsCampaignId"] = "campaign-1"
            payload |= {"isFreeSpinsConsumed": True} if call.operation == "win" else {}
        path = f"/{self.switches.name}{PATHS[call.operation]}"
        return self.signed(Request("POST", path, {}, compact(payload)))

    def signed(self, request: Request) -> Request:
        """Small hex HMAC-SHA256 over METHOD, absolute URI and the body's MD5 in capitals."""
        uri = self._base_url + request.path.removeprefix(f"/{self.switches.name}")
        digest = md5(request.body).hexdigest().upper()  # noqa: S324  (theirs to choose)
        text = f"{request.method}\n{uri}\n{digest}".encode()
        signature = hmac.new(self._secret, text, sha256).hexdigest()
        return replace(request, headers={"Public-Key": self._public_key, "Signature": signature})

    def forged(self, request: Request, variation: int) -> Request:
        """Another path's signature, another API key, or no signature."""
        elsewhere = self.signed(replace(request, path=request.path + "/more")).headers
        headers: list[dict[str, str]] = [
            dict(elsewhere),
            {**request.headers, "Public-Key": "another"},
            {"Public-Key": self._public_key},
        ]
        return replace(request, headers=headers[variation % 3])

    def expected(self, call: Call, outcome: Outcome, request: Request) -> Sequence[Expected]:
        """Balance with the currency's own digits, or a code."""
        del request
        if outcome.refusal is None:
            balance = shown(outcome.real + outcome.bonus, call.currency)
            return [Expected(200, {"balance": balance, "currency": call.currency})]
        code = CODES[outcome.refusal]
        if outcome.refusal == "original_not_found" and call.operation == "refund":
            code = "ERROR_ROLLBACK_TRANSACTION_NOT_FOUND"
        status = 401 if outcome.refusal == "invalid_signature" else 400
        return [Expected(status, {"code": code, "description": TEXT, "traceId": TEXT})]

    def unavailable(self, answer: Answer) -> bool:
        """ERROR_TIMEOUT says that nothing is known; ERROR_UNKNOWN_ERROR is a fault."""
        return answer.status >= 500 and b"ERROR_TIMEOUT" in answer.body

    def stable(self, answer: Answer) -> tuple[int, dict[str, Any]]:
        """A trace id is of one call only."""
        status, fields = super().stable(answer)
        fields.pop("traceId", None)
        return status, fields


def _amounts(call: Call, variation: int) -> dict[str, Any]:
    """The jackpot's part is null, zero, or some of a win; together they are the amount."""
    amount = main_units(call.amount)
    if variation % 2:
        amount = amount.normalize()
    jackpot: Decimal | None = (None, Decimal(0), amount / 2)[variation % 3]
    if jackpot is not None:
        jackpot = jackpot.quantize(Decimal("0.00001"))
    cash = amount if jackpot is None else amount - jackpot
    return {"amount": amount, "cashAmount": cash, "jackpotAmount": jackpot}
