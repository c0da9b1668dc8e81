"""Fizzy Bubbly: four calls, decimals in main units, a signature over method, URL and body.

``amount`` is what moves. Its cash and jackpot parts are the vendor's analytics: parts that do not
add up are listed as an exception, never refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import orjson

from adapters.keys import Secret
from adapters.providers.adapter import Adapter, booked
from adapters.providers.payload import Fields, parse_object
from adapters.providers.protocol import Call, RefusedCall, Reply, Route
from adapters.providers.signatures import same_text, string_to_sign, verify_hex
from adapters.settings import CommonSettings, FizzyBubbly, IntegrationSettings
from adapters.settings_reader import Section, SettingsError
from ledger.commands import CreditWin, MoneyCommand, PlaceBet, ReadBalance, RefundBet
from ledger.money import MalformedAmount, floor_decimal_string, from_decimal
from ledger.refusals import Refusal, Refused
from ledger.service import token_hash

ERRORS: Final[Mapping[Refusal, tuple[int, str]]] = {
    Refusal.INVALID_SIGNATURE: (401, "ERROR_INVALID_SIGNATURE"),
    Refusal.MALFORMED_REQUEST: (400, "ERROR_BAD_REQUEST"),
    Refusal.DUPLICATE_CONFLICT: (400, "ERROR_TRANSACTION_DUPLICATE"),
    Refusal.ALREADY_REVERSED: (400, "ERROR_BAD_REQUEST"),
    Refusal.UNKNOWN_PLAYER: (400, "ERROR_INVALID_SESSION"),
    Refusal.UNKNOWN_SESSION: (400, "ERROR_INVALID_SESSION"),
    Refusal.SESSION_EXPIRED: (400, "ERROR_SESSION_EXPIRED"),
    Refusal.CURRENCY_MISMATCH: (400, "ERROR_BAD_REQUEST"),
    Refusal.PLAYER_BLOCKED: (400, "ERROR_BAD_REQUEST_PLAYER_BLOCKED"),
    Refusal.GAME_DISABLED: (400, "ERROR_GAME_NOT_ACTIVE"),
    Refusal.LIMIT_EXCEEDED: (400, "ERROR_TRANSACTION_LIMIT_EXCEEDED"),
    Refusal.REALITY_CHECK_DUE: (400, "ERROR_TRANSACTION_REALITY_CHECK"),
    Refusal.ROUND_CLOSED: (400, "ERROR_BAD_REQUEST"),
    Refusal.ORIGINAL_NOT_FOUND: (400, "ERROR_TRANSACTION_WITHDRAW_NOT_FOUND"),
    Refusal.ORIGINAL_REVERSED: (400, "ERROR_TRANSACTION_WITHDRAW_NOT_FOUND"),
    Refusal.ORIGINAL_SETTLED: (400, "ERROR_BAD_REQUEST"),
    Refusal.INSUFFICIENT_FUNDS: (400, "ERROR_TRANSACTION_INSUFFICIENT_FUNDS"),
    Refusal.UNAVAILABLE: (500, "ERROR_TIMEOUT"),
    Refusal.INTERNAL: (500, "ERROR_UNKNOWN_ERROR"),
}
"""HTTP status and code."""

ROLLBACK_ERRORS: Final[Mapping[Refusal, tuple[int, str]]] = {
    Refusal.ORIGINAL_NOT_FOUND: (400, "ERROR_ROLLBACK_TRANSACTION_NOT_FOUND"),
}
"""Where a rollback's code is another."""

PARTS_MISMATCH: Final = "amount_parts_mismatch"
"""The exception listed where amount is not cashAmount + jackpotAmount."""


# Exact for any amount that the ledger takes; larger or finer parts do not add up to one anyway.
_ADDITION: Final = Context(prec=80, traps=[])


class FizzyBubblyProvider(Adapter[FizzyBubbly]):
    """An integration of Fizzy Bubbly."""

    SETTINGS: ClassVar[type[IntegrationSettings]] = FizzyBubbly
    TOKEN_FIELDS: ClassVar[Sequence[str]] = ("sessionId",)

    @classmethod
    def read_settings(cls, section: Section, common: CommonSettings) -> FizzyBubbly:
        """API key, secrets, and the URL that is signed. Raises `SettingsError`."""
        return FizzyBubbly(
            **common,
            public_key=section.secret("public_key"),
            secrets=section.live("secrets", Secret),
            base_url=_base_url(section),
        )

    def routes(self) -> Sequence[Route]:
        """The four calls."""
        return (
            Route("POST", "/wallet/withdraw", "withdraw", self._withdraw),
            Route("POST", "/wallet/deposit", "deposit", self._deposit),
            Route("POST", "/wallet/rollback", "rollback", self._rollback),
            Route("POST", "/wallet/balance", "balance", self._balance),
        )

    def verify(self, call: Call) -> None:
        """Check Public-Key, and Signature over method, URL and raw body. Raises `RefusedCall`."""
        known = same_text(self.settings.public_key.reveal(), call.headers.get("Public-Key"))
        uri = self.settings.base_url + call.path + (f"?{call.query}" if call.query else "")
        signed = string_to_sign(call.method, uri, call.body)
        key_id = verify_hex(self.settings.secrets, call.headers.get("Signature"), signed)
        if not known:
            raise RefusedCall(Refusal.INVALID_SIGNATURE, "Public-Key missing or wrong")
        call.key_id = key_id

    def refuse(self, call: Call, refused: Refused) -> Reply:
        """Code, description and trace id."""
        status, code = ERRORS[refused.refusal]
        if call.operation == "rollback":
            status, code = ROLLBACK_ERRORS.get(refused.refusal, (status, code))
        answer = {
            "code": code,
            "description": refused.detail or refused.refusal.value,
            "traceId": call.trace_id,
        }
        return Reply(status, orjson.dumps(answer))

    async def _withdraw(self, call: Call) -> Reply:
        body = _read(call)
        common = self._common(call, body)
        return await self._move(
            call,
            PlaceBet(
                **common | self._amount(body),
                session=token_hash(body.identifier("sessionId")),
                closes_round=body.flag("isGameRoundFinished"),
                tags=_campaign(body) | _jackpot(body),
            ),
        )

    async def _deposit(self, call: Call) -> Reply:
        body = _read(call)
        common = self._common(call, body)
        forced = body.optional_flag("isForceComplete")  # outside of the session
        session = None if forced else token_hash(body.identifier("sessionId"))
        return await self._move(
            call,
            CreditWin(
                **common | self._amount(body),
                session=session,
                bet_key=body.identifier("withdrawTransactionId"),
                closes_round=body.flag("isGameRoundFinished"),
                tags=_campaign(body) | _paid_for(body) | _jackpot(body),
            ),
        )

    async def _rollback(self, call: Call) -> Reply:
        body = _read(call)
        return await self._move(
            call,
            RefundBet(
                **self._common(call, body),
                session=token_hash(body.identifier("sessionId")),
                original_key=body.identifier("withdrawTransactionId"),
                tags=_campaign(body),
            ),
        )

    async def _balance(self, call: Call) -> Reply:
        body = _read(call)
        currency = body.text("currency")
        command = ReadBalance(
            player_id=body.identifier("playerId"),
            integration=self.name,
            session=token_hash(body.identifier("sessionId")),
            policy=self.settings.policy,
            currency=currency,
        )
        outcome = await self.execute(command)
        return self._success(currency, outcome.player.wallets[currency].total)

    async def _move(self, call: Call, command: MoneyCommand) -> Reply:
        outcome = await self.book(call, command)
        return self._success(booked(outcome).currency, self.balance(outcome))

    def _common(self, call: Call, body: Fields) -> dict[str, Any]:
        """What every call that moves money says, as the command's fields."""
        return {
            "player_id": body.identifier("playerId"),
            "integration": self.name,
            "operation": call.operation,
            "key": body.identifier("transactionId"),
            "transaction_id": body.identifier("transactionId"),
            "policy": self.settings.policy,
            "game": body.identifier("gameId"),
            "round_id": body.identifier("gameRoundId"),
            "currency": body.text("currency"),
        }

    def _amount(self, body: Fields) -> dict[str, Any]:
        """The amount in ledger units, and whether its parts add up; as the command's fields."""
        amount = body.number("amount")
        try:
            units = from_decimal(amount, self.unit(body.text("currency")))
        except MalformedAmount as error:
            body.refuse("amount", str(error))
        parts = {
            "cashAmount": body.number("cashAmount"),
            "jackpotAmount": body.optional_number("jackpotAmount") or Decimal(0),
        }
        for name, part in parts.items():
            if part < 0:
                body.refuse(name, "amount is negative")
        fits = _ADDITION.add(*parts.values()) == amount
        return {"amount": units, "exceptions": () if fits else (PARTS_MISMATCH,)}

    def _success(self, currency: str, balance: int) -> Reply:
        shown = orjson.Fragment(floor_decimal_string(balance, self.unit(currency)))
        return Reply(200, orjson.dumps({"balance": shown, "currency": currency}))


def _base_url(section: Section) -> str:
    text = section.text("base_url")
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.username is None
        usable = usable and url.port != 0 and not any(map(str.isspace, text))
    except ValueError:
        usable = False
        url = urlsplit("")
    if not usable or url.query or url.fragment:
        raise SettingsError(
            f"{section.name('base_url')}: expected an absolute http or https URL"
            " without user, query or fragment"
        )
    return text.rstrip("/")


def _read(call: Call) -> Fields:
    """The body; its ids are noted on the call before anything in it is judged."""
    body = Fields(parse_object(call.body))
    call.player_id = body.peek("playerId")
    call.transaction_id = body.peek("transactionId")
    return body


def _campaign(body: Fields) -> dict[str, Any]:
    campaign = body.mark("freeSpinsCampaignId")
    return {} if campaign is None else {"campaign": campaign}


def _paid_for(body: Fields) -> dict[str, Any]:
    """A deposit's marks. Only isFreeSpinsConsumed says that free spins are paid (rule 5)."""
    names = {"isFreeSpinsConsumed": "free_spin", "isFeatureBuy": "isFeatureBuy"}
    return {tag: True for name, tag in names.items() if body.optional_flag(name)}


def _jackpot(body: Fields) -> dict[str, Any]:
    """The jackpot's part of an amount, "mainly for analytics" (S): it frees no win from its bet."""
    part = body.optional_number("jackpotAmount")
    # As text it stays as short as it came: written out, 1e9999999 would fill the memory.
    return {"jackpot_amount": str(part)} if part else {}
