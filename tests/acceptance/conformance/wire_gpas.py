"""GPAS as a caller: wallet sessions, decimals, SHA-1 over body or query, numeric errors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

from tests.acceptance.conformance.service import Guest
from tests.acceptance.conformance.wire import Request, Wire, unique

SEED_SECRET = "Ax34deSfgdB"
"""The secret of the vendor's printed GPAS signature."""

SECRETS = {"current": "gpas-new", "old": "gpas-old", "wrong": "guessed", "seed": SEED_SECRET}
_TYPES = {
    1001: "SYSTEM_ERROR",
    1002: "INVALID_TX_ID",
    1003: "DUPLICATE_TX_ID",
    1004: "INVALID_WALLET_SESSION",
    1005: "INVALID_WALLET_ID",
    1006: "SIGNATURE_FAILED",
    1007: "INSUFFICIENT_FUNDS",
    1008: "USER_BLOCKED",
    1009: "INVALID_GAME_ID",
}


class GpasWire(Wire):
    """Calls as GPAS does."""

    protocol = "gpas"
    settings = 'parent_system_id = "BL13GT"\nsecrets = [{secrets}]'
    signature = "x-signature"
    names: ClassVar = {
        "amount": "value",
        "game": "tags__gameid",
        "id": "externalReference",
        "round": "tags__roundid",
        "original": "tags__externalReferenceBet",
    }
    required: ClassVar = {
        "balance": (),
        "debit": ("externalReference", "value"),
        "credit": ("externalReference", "value"),
        "rollback": ("externalReference",),
    }

    def amount(self, amount: str, currency: str) -> Decimal:
        """Main units."""
        return Decimal(amount)

    async def enter(self, guest: Guest) -> str:
        """POST /sessions with the launch token: a wallet session."""
        answer = await self.ok(self.opening(guest))
        return str(answer.body["id"])

    def opening(self, guest: Guest) -> Request:
        """POST /sessions."""
        return Request(
            "open_session",
            "/sessions",
            query={"walletId": guest.player_id},
            headers={"Authorization": f"Bearer {guest.launch}"},
        )

    def closing(self, guest: Guest) -> Request:
        """PATCH /sessions/close."""
        return Request(
            "close_session", "/sessions/close", method="PATCH", query={"id": guest.session}
        )

    def bet(self, guest: Guest, amount: str = "1", **fields: Any) -> Request:
        """A debit; the round and the game are in its tags."""
        return self._movement("debit", guest, amount, fields, {})

    def win(self, guest: Guest, bet: Request, amount: str = "1", **fields: Any) -> Request:
        """A credit that names its bet and its round."""
        fields.setdefault("round_id", bet.round_id)
        tags = {"externalReferenceBet": fields.pop("original", bet.id)}
        return self._movement("credit", guest, amount, fields, tags)

    def refund(self, guest: Guest, bet: Request, **fields: Any) -> Request:
        """A rollback: what it reverses is in the query, an amount nowhere."""
        transaction_id = fields.get("id") or unique("rollback")
        original = fields.get("original", bet.id)
        return Request(
            "rollback",
            "/movements/rollback",
            {
                "externalReference": transaction_id,
                "description": "Rollback",
                "tags": {"roundid": fields.get("round_id", bet.round_id)},
            },
            method="PATCH",
            query={"walletSessionId": guest.session, "externalMovementId": original},
            id=transaction_id,
            round_id=fields.get("round_id", bet.round_id),
        )

    def reverse_win(self, guest: Guest, win: Request, **fields: Any) -> Request:
        """The same rollback: it reverses any movement."""
        return self.refund(guest, win, **fields)

    def balance(self, guest: Guest) -> Request:
        """GET: everything is in the query."""
        return Request(
            "balance",
            "/wallets/balance",
            method="GET",
            query={"walletSessionId": guest.session},
        )

    def in_session(self, request: Request, session: str) -> Request:
        """The session is in the query."""
        return request.asking(walletSessionId=session)

    def without_original(self, request: Request) -> Request:
        """What is reversed is in the query."""
        assert not isinstance(request.query, str)
        session = request.query["walletSessionId"]
        return replace(request, query={"walletSessionId": session})

    def sign(self, request: Request, raw: bytes) -> Mapping[str, str]:
        """Upper-case hex SHA-1 of body or query and the secret."""
        moves = request.path.startswith("/movements")
        signed = raw if moves else request.query_string.encode()
        digest = hashlib.sha1(signed + SECRETS[self.key].encode())
        return {"x-parent-system-id": "BL13GT", "x-signature": digest.hexdigest().upper()}

    def read(self, request: Request, status: int, body: dict[str, Any]) -> tuple[Any, Any]:
        """A code with its type; a balance that is the sum of its parts."""
        if status != 200:
            assert set(body) == {"code", "type", "message"}
            assert body["code"] == 1010 or _TYPES[body["code"]] == body["type"]
            assert status == (500 if body["code"] == 1001 else 400)
            assert isinstance(body["message"], str)
            assert body["message"]
            return (body["code"], body["type"]), None
        if request.operation == "open_session":
            assert set(body) == {"id", "walletId", "created", "status"}
            return None, None
        summary = {"leftBalance", "subWalletsSummary"}
        if request.operation == "balance":
            assert set(body) == {"code"} | summary
            assert body["code"] == "REAL"
        else:
            assert set(body) == {"status", "movementId", "amountBonus"} | summary
            assert body["status"] == "CONFIRMED"
            assert isinstance(body["movementId"], str)
            assert isinstance(body["amountBonus"], int | Decimal)
        parts = body["subWalletsSummary"]
        assert [part["code"] for part in parts] == ["REAL", "BONUS"]
        assert all(set(part) == {"code"} | summary for part in parts)
        assert all(part["subWalletsSummary"] is None for part in parts)
        assert sum(part["leftBalance"] for part in parts) == body["leftBalance"]
        return None, Decimal(body["leftBalance"])

    def _movement(
        self,
        operation: str,
        guest: Guest,
        amount: str,
        fields: dict[str, Any],
        tags: dict[str, Any],
    ) -> Request:
        transaction_id = fields.get("id") or unique(operation)
        round_id = fields.get("round_id") or unique("round")
        closing = {"closeRound": "true"} if fields.get("closes") else {}
        body = {
            "externalReference": transaction_id,
            "value": self.amount(amount, guest.currency),
            "description": f"{operation} game move made by gpas",
            "typeCode": f"GAME_{operation.upper()}",
            "tags": {
                "gpasSessionId": "gpas-1",
                "gameid": fields.get("game", guest.game),
                "roundid": round_id,
                **closing,
                **tags,
            },
        }
        return Request(
            operation,
            f"/movements/{operation}",
            body,
            query={"walletSessionId": guest.session},
            id=transaction_id,
            round_id=round_id,
        )
