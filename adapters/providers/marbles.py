"""155.io (Marbles): four calls, integers of five digits, RSA signatures both ways.

Every answer is HTTP 200 with a status in the body; only where nothing was decided does the HTTP
status say so too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson

from adapters.keys import RSA_BITS_MIN, PublicKey, SigningKey
from adapters.providers.adapter import Adapter, booked
from adapters.providers.payload import Fields, malformed, parse_object
from adapters.providers.protocol import Call, RefusedCall, Reply, Route
from adapters.providers.signatures import sign_rsa, verify_rsa
from adapters.settings import CommonSettings, IntegrationSettings, Marbles
from adapters.settings_reader import Section, SettingsError
from ledger.commands import CreditWin, MoneyCommand, PlaceBet, ReadBalance, ReadPlayer, RefundBet
from ledger.events import RefundTombstoned
from ledger.money import LEDGER_DIGITS, MalformedAmount, from_fixed, to_fixed
from ledger.refusals import Refusal, Refused
from ledger.service import token_hash

WIRE_DIGITS: Final = LEDGER_DIGITS
"""The protocol counts in 1/100 000 of the main unit, whatever the currency."""

STATUSES: Final[Mapping[Refusal, str]] = {
    Refusal.INVALID_SIGNATURE: "INVALID_SIGNATURE",
    Refusal.MALFORMED_REQUEST: "UNKNOWN_ERROR",
    Refusal.DUPLICATE_CONFLICT: "DUPLICATE_TRANSACTION_ERROR",
    Refusal.ALREADY_REVERSED: "UNKNOWN_ERROR",
    Refusal.UNKNOWN_PLAYER: "UNKNOWN_ERROR",
    Refusal.UNKNOWN_SESSION: "UNKNOWN_ERROR",
    Refusal.SESSION_EXPIRED: "UNKNOWN_ERROR",
    Refusal.CURRENCY_MISMATCH: "UNKNOWN_ERROR",
    Refusal.PLAYER_BLOCKED: "UNKNOWN_ERROR",
    Refusal.GAME_DISABLED: "UNKNOWN_ERROR",
    Refusal.LIMIT_EXCEEDED: "BET_LIMIT_REACHED_ERROR",
    Refusal.REALITY_CHECK_DUE: "BET_LIMIT_REACHED_ERROR",
    Refusal.ROUND_CLOSED: "UNKNOWN_ERROR",
    Refusal.ORIGINAL_NOT_FOUND: "UNKNOWN_ERROR",
    Refusal.ORIGINAL_REVERSED: "UNKNOWN_ERROR",
    Refusal.ORIGINAL_SETTLED: "UNKNOWN_ERROR",
    Refusal.INSUFFICIENT_FUNDS: "INSUFFICIENT_BALANCE_ERROR",
    Refusal.UNAVAILABLE: "UNKNOWN_ERROR",
    Refusal.INTERNAL: "UNKNOWN_ERROR",
}
"""The status in the body. A rollback never gets original_not_found: see `MarblesProvider`."""

BALANCE_STATUSES: Final[Mapping[Refusal, str]] = {
    Refusal.UNKNOWN_PLAYER: "PLAYER_NOT_FOUND_ERROR",
    Refusal.UNKNOWN_SESSION: "SESSION_NOT_FOUND_ERROR",
    Refusal.SESSION_EXPIRED: "SESSION_EXPIRED_ERROR",
}
"""Where a balance call has a finer status."""

HTTP_STATUSES: Final[Mapping[Refusal, int]] = {Refusal.UNAVAILABLE: 503, Refusal.INTERNAL: 500}
"""Where the HTTP status is not 200: the vendor may try again."""

FREE_BET_WITH_STAKE: Final = "amount: must be 0 where isFree is true"
"""Detail of the one malformed call that has a status of its own, BONUS_ERROR."""


class MarblesProvider(Adapter[Marbles]):
    """An integration of 155.io.

    A rollback of an unknown bet succeeds and moves nothing: the protocol has no status for it, and
    any error would be tried again for ever. The ledger's tombstone keeps the bet from coming later,
    and holds what was acknowledged where the id is that of something else.
    """

    SETTINGS: ClassVar[type[IntegrationSettings]] = Marbles
    TOKEN_FIELDS: ClassVar[Sequence[str]] = ("clientSessionId",)

    @classmethod
    def read_settings(cls, section: Section, common: CommonSettings) -> Marbles:
        """155's public keys and our signing key. Raises `SettingsError`."""
        public_keys = section.live("public_keys", PublicKey)
        for key in public_keys:
            if key.key.key_size < RSA_BITS_MIN:
                section.source.warn(
                    f"{section.name('public_keys')}: key {key.id} has {key.key.key_size} bits only:"
                    f" ask the provider for {RSA_BITS_MIN}"
                )
        signing_key = section.key("signing_key", SigningKey)
        if signing_key.key.key_size < RSA_BITS_MIN:
            name, bits = section.name("signing_key"), signing_key.key.key_size
            raise SettingsError(f"{name}: has {bits} bits only: make one of {RSA_BITS_MIN}")
        return Marbles(**common, public_keys=public_keys, signing_key=signing_key)

    def routes(self) -> Sequence[Route]:
        """The four calls."""
        return (
            Route("POST", "/balance", "balance", self._balance),
            Route("POST", "/bet", "bet", self._bet),
            Route("POST", "/win", "win", self._win),
            Route("POST", "/rollback", "rollback", self._rollback),
        )

    def verify(self, call: Call) -> None:
        """Check X-Marbles-Signature over the raw body. Raises `RefusedCall`."""
        presented = call.headers.get("X-Marbles-Signature")
        call.key_id = verify_rsa(self.settings.public_keys, presented, call.body)

    def refuse(self, call: Call, refused: Refused) -> Reply:
        """Status and the two ids echoed, as far as the body can be read."""
        refusal = refused.refusal
        status = STATUSES[refusal]
        if call.operation == "balance":
            status = BALANCE_STATUSES.get(refusal, status)
        if refused.detail == FREE_BET_WITH_STAKE:
            status = "BONUS_ERROR"
        fields = _readable(call)
        body = {
            "status": status,
            "requestId": fields.peek("requestId"),
            "clientPlayerId": fields.peek("clientPlayerId"),
        }
        return self._reply(HTTP_STATUSES.get(refusal, 200), body)

    async def _balance(self, call: Call) -> Reply:
        body = _read(call)
        session = token_hash(body.identifier("clientSessionId"))
        command = ReadBalance(
            player_id=body.identifier("clientPlayerId"),
            integration=self.name,
            session=session,
            policy=self.settings.policy,
        )
        player = (await self.execute(command)).player
        currency = player.sessions[session].currency
        return self._success(body, currency, player.wallets[currency].total)

    async def _bet(self, call: Call) -> Reply:
        body = _read(call)
        common = self._common(call, body)
        currency, amount = self._amount(body)
        body.section("meta")
        if "free_spin" in common["tags"] and amount:
            malformed(FREE_BET_WITH_STAKE)
        command = PlaceBet(**common, currency=currency, amount=amount)
        return await self._move(call, body, command)

    async def _win(self, call: Call) -> Reply:
        body = _read(call)
        currency, amount = self._amount(body)
        command = CreditWin(
            **self._common(call, body),
            currency=currency,
            amount=amount,
            bet_key=body.identifier("referenceTransactionId"),
            closes_round=body.flag("roundClosed"),
        )
        return await self._move(call, body, command)

    async def _rollback(self, call: Call) -> Reply:
        body = _read(call)
        command = RefundBet(
            **self._common(call, body),
            original_key=body.identifier("referenceTransactionId"),
            closes_round=body.flag("roundClosed"),
            acknowledged=True,
        )
        try:
            return await self._move(call, body, command)
        except RefusedCall as refusal:
            if refusal.refused.refusal is not Refusal.ORIGINAL_NOT_FOUND:
                raise
        return await self._unmoved(body, command)

    async def _move(self, call: Call, body: Fields, command: MoneyCommand) -> Reply:
        outcome = await self.book(call, command)
        return self._success(body, booked(outcome).currency, self.balance(outcome))

    async def _unmoved(self, body: Fields, command: RefundBet) -> Reply:
        """A rollback of no bet of the player's: the balance at its tombstone, or today's."""
        event = await self.event(command.player_id, command.key)
        if not isinstance(event, RefundTombstoned):
            raise RefusedCall(Refusal.INTERNAL, "a rollback that was acknowledged is not there")
        balance = event.balance_real + event.balance_bonus
        if self.settings.replay_balance == "current":
            player = (await self.execute(ReadPlayer(player_id=command.player_id))).player
            balance = player.wallets[event.currency].total
        return self._success(body, event.currency, balance)

    def _common(self, call: Call, body: Fields) -> dict[str, Any]:
        """What every call that moves money says, as the command's fields."""
        tags: dict[str, Any] = {"free_spin": True} if body.optional_flag("isFree") else {}
        reward = body.mark("rewardUuid")
        if reward is not None:
            tags["reward"] = reward
        return {
            "player_id": body.identifier("clientPlayerId"),
            "integration": self.name,
            "operation": call.operation,
            "key": body.identifier("transactionId"),
            "transaction_id": body.identifier("transactionId"),
            "policy": self.settings.policy,
            "session": token_hash(body.identifier("clientSessionId")),
            "game": body.identifier("gameId"),
            "round_id": body.identifier("roundId"),
            "tags": tags,
        }

    def _amount(self, body: Fields) -> tuple[str, int]:
        """Currency code, and the amount in its ledger units."""
        currency = body.text("currency")
        try:
            return currency, from_fixed(body.integer("amount"), WIRE_DIGITS, self.unit(currency))
        except MalformedAmount as error:
            body.refuse("amount", str(error))

    def _success(self, body: Fields, currency: str, balance: int) -> Reply:
        answer = {
            "status": "SUCCESS",
            "requestId": body.identifier("requestId"),
            "clientPlayerId": body.identifier("clientPlayerId"),
            "currency": currency,
            "balance": to_fixed(balance, WIRE_DIGITS, self.unit(currency)),
        }
        return self._reply(200, answer)

    def _reply(self, http_status: int, answer: dict[str, Any]) -> Reply:
        """An answer that carries our signature, as every one does."""
        body = orjson.dumps(answer)
        signature = sign_rsa(self.settings.signing_key, body)
        return Reply(http_status, body, {"X-Marbles-Signature": signature})


def _read(call: Call) -> Fields:
    """The body; its ids are noted on the call before anything in it is judged."""
    body = Fields(parse_object(call.body))
    call.player_id = body.peek("clientPlayerId")
    call.transaction_id = body.peek("transactionId")
    body.identifier("requestId")
    return body


def _readable(call: Call) -> Fields:
    """The body if it can be read, vouched for or not: only to echo its ids in an error."""
    try:
        return Fields(parse_object(call.body))
    except RefusedCall:
        return Fields({})
