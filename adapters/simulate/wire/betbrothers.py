"""betbrothers: one URL, the action in the body, hex HMAC-SHA256 of the body, integer subunits."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from adapters.simulate.calls import Call, Outcome, Switches
from adapters.simulate.currencies import subunit, subunits_down
from adapters.simulate.wire.base import TEXT, Answer, Expected, Request, Wire, compact, spelt

ACTIONS = {"reverse_win": "rollback-win"}

REFERENCES = {"refund": "refunded_transaction_id", "reverse_win": "rollback_win_transaction_id"}

STATUSES = {
    "invalid_signature": 403,
    "malformed_request": 400,
    "already_reversed": 408,
    "unknown_player": 404,
    "unknown_session": 404,
    "session_expired": 404,
    "currency_mismatch": 400,
    "player_blocked": 407,
    "game_disabled": 405,
    "limit_exceeded": 418,
    "reality_check_due": 418,
    "original_not_found": 406,
    "original_reversed": 406,
    "original_settled": 406,
    "insufficient_funds": 402,
}

BET_OR_ELSE = {"duplicate_conflict", "round_closed"}
"""Refusals that are 408 to a bet and 406 to everything else."""

TAGS: dict[str, dict[str, Any]] = {
    "promo": {"promo": {"type": "drop", "id": "p-1"}},
    "jackpot": {
        "jackpot": {
            "is_jackpot": True,
            "jackpot_id": "mega",
            "jackpot_contribution": None,
            "jackpot_details": None,
        }
    },
    "tournament": {
        "tournament": {"is_tournament": True, "tournament_id": "t-1", "score": None, "place": "1"}
    },
    "free_spin": {
        "free_spin": {
            "is_free_spin": True,
            "free_spin_id": "f-1",
            "free_spin_details": None,
            "freespin_left": "3",
        }
    },
}


class BetBrothers(Wire):
    """The Bet Brothers, calling ``/operator/wallet``."""

    id_paths = (
        "player_id",
        "payload.session_token",
        "payload.provider_transfer_data.transaction_id",
        "payload.provider_transfer_data.round_id",
    )
    amount_path = "amount"
    amount_in_undo = True
    abilities = frozenset(
        {
            "bet that closes its round",
            "refund of another amount",
            "tagged win without a bet",
            "unknown player",
            "win taken back",
            "wrong currency",
        }
    )

    def __init__(self, switches: Switches, *, secret: bytes) -> None:
        """``secret``: the shared password."""
        super().__init__(switches)
        self._secret = secret

    def smallest(self, currency: str) -> int:
        """A subunit."""
        return subunit(currency)

    def request(self, call: Call, variation: int) -> Request:
        """The flat body of a balance call, or the nested one of a money action."""
        balance = call.operation == "balance"
        payload = self._balance(call) if balance else self._movement(call, variation)
        if variation % 3 == 2:
            payload["later_addition"] = {"unknown": [True, None]}
        body = json.dumps(payload, indent=2).encode() if variation % 2 else compact(payload)
        return self.signed(Request("POST", f"/{self.switches.name}/operator/wallet", {}, body))

    def signed(self, request: Request) -> Request:
        """Lower-case hex, as the vendor sends it."""
        signature = hmac.new(self._secret, request.body, sha256).hexdigest()
        return replace(request, headers={"X-REQUEST-SIGN": signature})

    def forged(self, request: Request, variation: int) -> Request:
        """Another body's signature, half of one, or none at all."""
        right = request.headers["X-REQUEST-SIGN"]
        wrong = hmac.new(self._secret, request.body + b" ", sha256).hexdigest()
        headers: list[dict[str, str]] = [
            {"X-REQUEST-SIGN": wrong},
            {"X-REQUEST-SIGN": right[:32]},
            {},
        ]
        return replace(request, headers=headers[variation % 3])

    def expected(self, call: Call, outcome: Outcome, request: Request) -> Sequence[Expected]:
        """Status and code from the table of refusals, or the balance in subunits."""
        del request
        if outcome.refusal is not None:
            code = _code(call, outcome.refusal)
            return [Expected(code, {"code": code, "message": TEXT})]
        balance = subunits_down(outcome.real + outcome.bonus, call.currency)
        body = {"balance": balance, "currency_code": call.currency}
        name = "player_id" if call.operation == "balance" else "transaction_id"
        value = call.player_id if call.operation == "balance" else TEXT
        return [Expected(200, {name: value, **body})]

    def movement_id(self, answer: Answer) -> str | None:
        """``transaction_id`` of a money answer."""
        fields = answer.fields()
        return None if "player_id" in fields else fields.get("transaction_id")

    @staticmethod
    def _balance(call: Call) -> dict[str, Any]:
        return {
            "player_id": call.player_id,
            "reference": call.game,
            "currency_code": call.currency,
            "action": "balance",
            "is_mobile": False,
            "session_token": call.session.token,
        }

    @staticmethod
    def _movement(call: Call, variation: int) -> dict[str, Any]:
        transfer: dict[str, Any] = {
            "transaction_id": spelt(call.transaction_id, variation),
            "round_id": spelt(call.round_id, variation),
        }
        if call.operation in REFERENCES:
            transfer[REFERENCES[call.operation]] = call.refers_to
        if call.operation == "win" or call.closes_round:
            transfer["round_close"] = call.closes_round
        return {
            "amount": call.amount // subunit(call.currency),
            "currency_code": call.currency,
            "is_mobile": False,
            "player_id": call.player_id,
            "action": ACTIONS.get(call.operation, call.operation),
            "payload": {
                "reference": call.game,
                "session_token": call.session.token,
                "provider_transfer_data": {**transfer, **TAGS.get(call.tag, {})},
            },
        }


def _code(call: Call, refusal: str) -> int:
    if refusal in BET_OR_ELSE:
        return 408 if call.operation == "bet" else 406
    return STATUSES[refusal]
