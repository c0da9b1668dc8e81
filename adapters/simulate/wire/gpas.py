"""gpas: movements on a wallet session that we open for the provider, SHA1 signatures, decimals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha1
from typing import Any
from urllib.parse import quote, urlsplit

from adapters.simulate.calls import Call, Outcome, Session, Switches
from adapters.simulate.currencies import main_units, shown
from adapters.simulate.wire.base import TEXT, Answer, Expected, Raw, Request, Wire, compact

CODES = {
    "invalid_signature": (1006, "SIGNATURE_FAILED"),
    "malformed_request": (1010, "VALIDATION_ERROR"),
    "duplicate_conflict": (1003, "DUPLICATE_TX_ID"),
    "already_reversed": (1010, "TX_ROLLED_BACK"),
    "unknown_player": (1005, "INVALID_WALLET_ID"),
    "unknown_session": (1004, "INVALID_WALLET_SESSION"),
    "session_expired": (1004, "INVALID_WALLET_SESSION"),
    "player_blocked": (1008, "USER_BLOCKED"),
    "game_disabled": (1009, "INVALID_GAME_ID"),
    "limit_exceeded": (1010, "LIMIT_EXCEEDED"),
    "reality_check_due": (1010, "REALITY_CHECK"),
    "round_closed": (1010, "ROUND_CLOSED"),
    "original_not_found": (1002, "INVALID_TX_ID"),
    "original_reversed": (1010, "TX_ROLLED_BACK"),
    "original_settled": (1010, "TX_SETTLED"),
    "insufficient_funds": (1007, "INSUFFICIENT_FUNDS"),
}


class Gpas(Wire):
    """GPAS."""

    id_paths = ("externalReference",)
    amount_path = "value"
    amount_text_is_number = True
    amount_is_integer = False
    abilities = frozenset(
        {
            "session closed by the provider",
            "win taken back",
            "win that names only its round",
            "win without bet and round",
        }
    )

    def __init__(self, switches: Switches, *, parent_system_id: str, secret: bytes) -> None:
        """``parent_system_id`` goes with every call; ``secret`` signs."""
        super().__init__(switches)
        self._parent_system_id = parent_system_id
        self._secret = secret

    def smallest(self, currency: str) -> int:
        """Decimals go as far as an amount does."""
        del currency
        return 1

    def request(self, call: Call, variation: int) -> Request:
        """Session and rollback's target in the query, the rest in the body."""
        session = f"walletSessionId={quote(call.session.token, safe='')}"
        match call.operation:
            case "balance":
                path = "/wallets/balance" if variation % 2 else "/wallets/my/balance"
                return self._bare("GET", f"{path}?{session}")
            case "close_session":
                token = quote(call.session.token, safe="")
                return self._bare("PATCH", f"/sessions/close?id={token}")
            case "bet":
                return self._with_body("POST", f"/movements/debit?{session}", call, variation)
            case "win":
                return self._with_body("POST", f"/movements/credit?{session}", call, variation)
            case "refund" | "reverse_win":
                query = f"{session}&externalMovementId={quote(call.refers_to, safe='')}"
                return self._with_body("PATCH", f"/movements/rollback?{query}", call, variation)

    def signed(self, request: Request) -> Request:
        """Capital hex SHA1 over the body of a movement, over the query of every other call."""
        is_movement = "/movements/" in request.path
        signed = request.body if is_movement else urlsplit(request.path).query.encode()
        signature = sha1(signed + self._secret).hexdigest().upper()  # noqa: S324  (theirs to choose)
        headers = {
            **request.headers,
            "x-parent-system-id": self._parent_system_id,
            "x-signature": signature,
        }
        return replace(request, headers=headers)

    def forged(self, request: Request, variation: int) -> Request:
        """A signature in small letters, another one, or another parent system."""
        right = request.headers["x-signature"]
        wrong = [
            {"x-signature": right.lower()},
            {"x-signature": right[::-1]},
            {"x-parent-system-id": "BL13GX"},
        ]
        return replace(request, headers={**request.headers, **wrong[variation % 3]})

    def expected(self, call: Call, outcome: Outcome, request: Request) -> Sequence[Expected]:
        """The balance and its parts; REAL, then BONUS, always."""
        del request
        refusal = outcome.refusal
        if refusal is None and outcome.replayed and self.switches.replay == "error":
            refusal = "duplicate_conflict"
        if refusal is not None:
            code, kind = CODES[refusal]
            return [Expected(400, {"code": code, "type": kind, "message": TEXT})]
        if call.operation == "close_session":
            return [Expected(200, None)]
        balance = _balance(outcome, call.currency)
        if call.operation == "balance":
            return [Expected(200, {"code": "REAL", **balance})]
        return [
            Expected(
                200,
                {
                    "status": "CONFIRMED",
                    "movementId": TEXT,
                    "amountBonus": shown(outcome.moved_bonus, call.currency),
                    **balance,
                },
            )
        ]

    def unavailable(self, answer: Answer) -> bool:
        """SYSTEM_ERROR says that nothing is known."""
        return answer.status >= 500

    def movement_id(self, answer: Answer) -> str | None:
        """``movementId`` of a movement's answer."""
        movement_id = answer.fields().get("movementId")
        return movement_id if isinstance(movement_id, str) else None

    def opening(self, session: Session, player_id: str) -> Request | None:
        """POST /sessions with the launch token."""
        path = f"/{self.switches.name}/sessions?walletId={quote(player_id, safe='')}"
        headers = {"Authorization": f"Bearer {session.launch_token}"}
        return self.signed(Request("POST", path, headers))

    def opened(self, session: Session, player_id: str, answer: Answer) -> str | None:
        """The wallet session, open and of this wallet."""
        right = Expected(
            200, {"id": TEXT, "walletId": player_id, "created": TEXT, "status": "OPEN"}
        )
        if not right.fits(answer):
            return str(right)
        session.token = answer.fields()["id"]
        return None

    def _bare(self, method: str, path: str) -> Request:
        return self.signed(Request(method, f"/{self.switches.name}{path}", {}))

    def _with_body(self, method: str, path: str, call: Call, variation: int) -> Request:
        payload: dict[str, Any] = {"externalReference": call.transaction_id}
        if call.operation in {"bet", "win"}:
            payload["value"] = _value(call.amount, variation)
            payload["typeCode"] = "GAME_DEBIT" if call.operation == "bet" else "GAME_CREDIT"
        payload["description"] = f"{call.operation} made by gpas"
        payload["tags"] = _tags(call)
        request = Request(method, f"/{self.switches.name}{path}", {}, compact(payload))
        return self.signed(request)


def _value(amount: int, variation: int) -> object:
    """A number, a string of digits, or a number with an exponent: all mean the same."""
    value = main_units(amount)
    spellings = (value, format(value, "f"), Raw(f"{amount}e-5"))
    return spellings[variation % 3]


def _tags(call: Call) -> dict[str, Any]:
    tags: dict[str, Any] = {"gpasSessionId": "gpas-1", "gameid": call.game}
    if call.round_id:
        tags["roundid"] = call.round_id
    if call.refers_to and call.operation == "win":
        tags["externalReferenceBet"] = call.refers_to
    if call.closes_round:
        tags["closeRound"] = "true"
    return tags


def _balance(outcome: Outcome, currency: str) -> dict[str, Any]:
    """The total is rounded down as everywhere, and so is real money; bonus is what is left."""
    total = shown(outcome.real + outcome.bonus, currency)
    real = shown(outcome.real, currency)
    return {
        "leftBalance": total,
        "subWalletsSummary": [
            {"code": "REAL", "leftBalance": real, "subWalletsSummary": None},
            {"code": "BONUS", "leftBalance": total - real, "subWalletsSummary": None},
        ],
    }
