"""The Bet Brothers: one URL, the action in the body, amounts in subunits.

The vendor gives a refund the transaction id of the bet it reverses, so the idempotency key is
action and id together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson

from adapters.keys import Secret
from adapters.providers.adapter import Adapter, booked
from adapters.providers.payload import Fields, parse_object
from adapters.providers.protocol import Call, Reply, Route
from adapters.providers.signatures import verify_hex
from adapters.settings import BetBrothers, CommonSettings, IntegrationSettings
from adapters.settings_reader import Section
from ledger.commands import CreditWin, MoneyCommand, PlaceBet, ReadBalance, RefundBet, ReverseWin
from ledger.money import MalformedAmount, from_subunits, to_subunits
from ledger.refusals import Refusal, Refused
from ledger.service import Accepted, token_hash

ERRORS: Final[Mapping[Refusal, int]] = {
    Refusal.INVALID_SIGNATURE: 403,
    Refusal.MALFORMED_REQUEST: 400,
    Refusal.DUPLICATE_CONFLICT: 406,
    Refusal.ALREADY_REVERSED: 408,
    Refusal.UNKNOWN_PLAYER: 404,
    Refusal.UNKNOWN_SESSION: 404,
    Refusal.SESSION_EXPIRED: 404,
    Refusal.CURRENCY_MISMATCH: 400,
    Refusal.PLAYER_BLOCKED: 407,
    Refusal.GAME_DISABLED: 405,
    Refusal.LIMIT_EXCEEDED: 418,
    Refusal.REALITY_CHECK_DUE: 418,
    Refusal.ROUND_CLOSED: 406,
    Refusal.ORIGINAL_NOT_FOUND: 406,
    Refusal.ORIGINAL_REVERSED: 406,
    Refusal.ORIGINAL_SETTLED: 406,
    Refusal.INSUFFICIENT_FUNDS: 402,
    Refusal.UNAVAILABLE: 503,
    Refusal.INTERNAL: 500,
}
"""The vendor's code, which is the HTTP status too."""

BET_ERRORS: Final[Mapping[Refusal, int]] = {
    Refusal.DUPLICATE_CONFLICT: 408,
    Refusal.ROUND_CLOSED: 408,
}
"""Where a bet's code is another: 408 is "bet rejected"."""


class BetBrothersProvider(Adapter[BetBrothers]):
    """An integration of The Bet Brothers."""

    SETTINGS: ClassVar[type[IntegrationSettings]] = BetBrothers
    TOKEN_FIELDS: ClassVar[Sequence[str]] = ("session_token",)

    @classmethod
    def read_settings(cls, section: Section, common: CommonSettings) -> BetBrothers:
        """The secrets. Raises `SettingsError`."""
        return BetBrothers(**common, secrets=section.live("secrets", Secret))

    def routes(self) -> Sequence[Route]:
        """The one URL there is."""
        return (Route("POST", "/operator/wallet", "wallet", self._wallet),)

    def verify(self, call: Call) -> None:
        """Check X-REQUEST-SIGN over the raw body. Raises `RefusedCall`."""
        presented = call.headers.get("X-REQUEST-SIGN")
        call.key_id = verify_hex(self.settings.secrets, presented, call.body)

    @classmethod
    def keys_of(cls, transaction_id: str) -> Sequence[str]:
        """One an action: the vendor uses an id for several."""
        return tuple(f"{action}:{transaction_id}" for action in _COMMANDS)

    def refuse(self, call: Call, refused: Refused) -> Reply:
        """Code and message; the code is the HTTP status."""
        code = ERRORS[refused.refusal]
        if call.operation == "bet":
            code = BET_ERRORS.get(refused.refusal, code)
        message = refused.detail or refused.refusal.value
        return Reply(code, orjson.dumps({"code": code, "message": message}))

    async def _wallet(self, call: Call) -> Reply:
        command = self._command(call)
        if isinstance(command, ReadBalance):
            return Reply(200, self._balance(command, await self.execute(command)))
        return Reply(200, self._movement(await self.book(call, command)))

    def _command(self, call: Call) -> MoneyCommand | ReadBalance:
        body = Fields(parse_object(call.body))
        call.player_id = body.peek("player_id")
        action = body.text("action")
        if action == "balance":
            call.operation = action
            return self._read_balance(body)
        if action not in _COMMANDS:
            body.refuse("action", "unknown")
        call.operation = action
        payload = body.section("payload")
        transfer = payload.section("provider_transfer_data")
        call.transaction_id = transfer.identifier("transaction_id")
        return _COMMANDS[action](self._common(call, body, payload, transfer), transfer)

    def _read_balance(self, body: Fields) -> ReadBalance:
        body.identifier("reference")
        body.flag("is_mobile")
        return ReadBalance(
            player_id=body.identifier("player_id"),
            integration=self.name,
            session=token_hash(body.identifier("session_token")),
            policy=self.settings.policy,
            currency=body.text("currency_code"),
        )

    def _balance(self, command: ReadBalance, outcome: Accepted) -> bytes:
        currency = command.currency or ""
        balance = to_subunits(outcome.player.wallets[currency].total, self.unit(currency))
        return orjson.dumps(
            {"player_id": command.player_id, "balance": balance, "currency_code": currency}
        )

    def _movement(self, outcome: Accepted) -> bytes:
        movement = booked(outcome)
        balance = to_subunits(self.balance(outcome), self.unit(movement.currency))
        return orjson.dumps(
            {
                "transaction_id": movement.movement_id,
                "balance": balance,
                "currency_code": movement.currency,
            }
        )

    def _common(
        self, call: Call, body: Fields, payload: Fields, transfer: Fields
    ) -> dict[str, Any]:
        """What every money action says, as the command's fields."""
        currency = body.text("currency_code")
        body.flag("is_mobile")
        try:
            amount = from_subunits(body.integer("amount"), self.unit(currency))
        except MalformedAmount as error:
            body.refuse("amount", str(error))
        return {
            "player_id": body.identifier("player_id"),
            "integration": self.name,
            "operation": call.operation,
            "key": f"{call.operation}:{call.transaction_id}",
            "transaction_id": call.transaction_id,
            "policy": self.settings.policy,
            "session": token_hash(payload.identifier("session_token")),
            "game": payload.identifier("reference"),
            "round_id": transfer.identifier("round_id"),
            "currency": currency,
            "amount": amount,
        }


def _bet(common: dict[str, Any], transfer: Fields) -> PlaceBet:
    closes_round = transfer.optional_flag("round_close")
    return PlaceBet(**common, closes_round=closes_round, tags=_tags(transfer))


def _win(common: dict[str, Any], transfer: Fields) -> CreditWin:
    return CreditWin(**common, closes_round=transfer.flag("round_close"), tags=_tags(transfer))


def _refund(common: dict[str, Any], transfer: Fields) -> RefundBet:
    original = transfer.identifier("refunded_transaction_id")
    return RefundBet(**common, original_key=f"bet:{original}", tags=_table(transfer))


def _rollback_win(common: dict[str, Any], transfer: Fields) -> ReverseWin:
    original = transfer.identifier("rollback_win_transaction_id")
    return ReverseWin(**common, original_key=f"win:{original}", tags=_table(transfer))


_COMMANDS: Final[Mapping[str, Callable[[dict[str, Any], Fields], MoneyCommand]]] = {
    "bet": _bet,
    "win": _win,
    "refund": _refund,
    "rollback-win": _rollback_win,
}

_FLAGGED = (
    ("jackpot", "is_jackpot", ("jackpot_id", "jackpot_contribution", "jackpot_details")),
    ("tournament", "is_tournament", ("tournament_id", "score", "place")),
    ("free_spin", "is_free_spin", ("free_spin_id", "free_spin_details", "freespin_left")),
)


def _tags(transfer: Fields) -> dict[str, Any]:
    """The vendor's marks. One that has a flag counts only when the flag is true."""
    tags = _table(transfer)
    promo = transfer.optional_section("promo")
    if promo is not None:
        tags["promo"] = promo.marks("type", "id")
    for name, flag, details in _FLAGGED:
        mark = transfer.optional_section(name)
        if mark is not None and mark.optional_flag(flag):
            tags[name] = mark.marks(*details)
    return tags


def _table(transfer: Fields) -> dict[str, Any]:
    return transfer.marks("table_reference")
