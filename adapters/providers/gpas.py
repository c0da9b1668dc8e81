"""GPAS: REST calls on a wallet session that we open, decimals, a SHA-1 over body or query.

On calls with a body the query is not signed. So the wallet session alone says whose money moves,
and in which currency.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

import orjson

from adapters.keys import Secret
from adapters.providers.adapter import Adapter, booked
from adapters.providers.payload import Fields, malformed, parse_object, parse_query
from adapters.providers.protocol import Call, RefusedCall, Reply, Route
from adapters.providers.signatures import same_text, verify_sha1
from adapters.settings import CommonSettings, Gpas, IntegrationSettings
from adapters.settings_reader import Section
from ledger.commands import (
    CloseSession,
    CreditWin,
    MoneyCommand,
    OpenSession,
    PlaceBet,
    ReadBalance,
    ReadPlayer,
    RollbackMovement,
)
from ledger.money import (
    Currency,
    MalformedAmount,
    floor_decimal_string,
    from_decimal,
    to_subunits,
)
from ledger.player import Wallet
from ledger.refusals import Refusal, Refused
from ledger.service import token_hash
from ledger.store import SessionRow

ERRORS: Final[Mapping[Refusal, tuple[int, int, str]]] = {
    Refusal.INVALID_SIGNATURE: (400, 1006, "SIGNATURE_FAILED"),
    Refusal.MALFORMED_REQUEST: (400, 1010, "VALIDATION_ERROR"),
    Refusal.DUPLICATE_CONFLICT: (400, 1003, "DUPLICATE_TX_ID"),
    Refusal.ALREADY_REVERSED: (400, 1010, "TX_ROLLED_BACK"),
    Refusal.UNKNOWN_PLAYER: (400, 1005, "INVALID_WALLET_ID"),
    Refusal.UNKNOWN_SESSION: (400, 1004, "INVALID_WALLET_SESSION"),
    Refusal.SESSION_EXPIRED: (400, 1004, "INVALID_WALLET_SESSION"),
    Refusal.CURRENCY_MISMATCH: (400, 1010, "CURRENCY_ERROR"),
    Refusal.PLAYER_BLOCKED: (400, 1008, "USER_BLOCKED"),
    Refusal.GAME_DISABLED: (400, 1009, "INVALID_GAME_ID"),
    Refusal.LIMIT_EXCEEDED: (400, 1010, "LIMIT_EXCEEDED"),
    Refusal.REALITY_CHECK_DUE: (400, 1010, "REALITY_CHECK"),
    Refusal.ROUND_CLOSED: (400, 1010, "ROUND_CLOSED"),
    Refusal.ORIGINAL_NOT_FOUND: (400, 1002, "INVALID_TX_ID"),
    Refusal.ORIGINAL_REVERSED: (400, 1010, "TX_ROLLED_BACK"),
    Refusal.ORIGINAL_SETTLED: (400, 1010, "TX_SETTLED"),
    Refusal.INSUFFICIENT_FUNDS: (400, 1007, "INSUFFICIENT_FUNDS"),
    Refusal.UNAVAILABLE: (500, 1001, "SYSTEM_ERROR"),
    Refusal.INTERNAL: (500, 1001, "SYSTEM_ERROR"),
}
"""HTTP status, code and type."""

UNBOUND_WIN: Final = "unbound_win"
"""The exception listed where a credit names neither a bet nor a round."""

_DECIMAL: Final = re.compile(r"[0-9]{1,64}(\.[0-9]{1,64})?")
_MOVEMENTS: Final = "/movements/"
_TYPE_CODES: Final = {"debit": "GAME_DEBIT", "credit": "GAME_CREDIT"}


class GpasProvider(Adapter[Gpas]):
    """An integration of GPAS."""

    SETTINGS: ClassVar[type[IntegrationSettings]] = Gpas
    TOKEN_FIELDS: ClassVar[Sequence[str]] = ("walletSessionId", "id")

    @classmethod
    def read_settings(cls, section: Section, common: CommonSettings) -> Gpas:
        """Parent system, secrets and the switch for replays. Raises `SettingsError`."""
        return Gpas(
            **common,
            parent_system_id=section.text("parent_system_id"),
            secrets=section.live("secrets", Secret),
            replay=section.choice("replay", ("success", "error"), "success"),
        )

    def routes(self) -> Sequence[Route]:
        """The calls; the vendor's page names two paths for the balance."""
        return (
            Route("POST", "/sessions", "open_session", self._open_session),
            Route("PATCH", "/sessions/close", "close_session", self._close_session),
            Route("GET", "/wallets/balance", "balance", self._balance),
            Route("GET", "/wallets/my/balance", "balance", self._balance),
            Route("POST", "/movements/debit", "debit", self._debit),
            Route("POST", "/movements/credit", "credit", self._credit),
            Route("PATCH", "/movements/rollback", "rollback", self._rollback),
        )

    def verify(self, call: Call) -> None:
        """Check x-parent-system-id, and x-signature over body or query. Raises `RefusedCall`."""
        known = same_text(self.settings.parent_system_id, call.headers.get("x-parent-system-id"))
        signed = call.body if call.path.startswith(_MOVEMENTS) else call.query.encode()
        key_id = verify_sha1(self.settings.secrets, call.headers.get("x-signature"), signed)
        if not known:
            raise RefusedCall(Refusal.INVALID_SIGNATURE, "x-parent-system-id missing or wrong")
        call.key_id = key_id

    def refuse(self, call: Call, refused: Refused) -> Reply:  # noqa: ARG002 - the port's signature
        """Code, type and message."""
        status, code, kind = ERRORS[refused.refusal]
        message = refused.detail or refused.refusal.value
        return Reply(status, orjson.dumps({"code": code, "type": kind, "message": message}))

    async def _open_session(self, call: Call) -> Reply:
        """Open a wallet session from a launch session; the same token again opens another."""
        call.player_id = wallet_id = _query(call).identifier("walletId")
        try:
            launch = await self.session(_bearer(call))
        except RefusedCall as error:
            if error.refused.refusal is Refusal.UNKNOWN_SESSION:  # an unknown player comes first
                await self.execute(ReadPlayer(player_id=wallet_id))
            raise
        if launch.player_id != wallet_id:
            raise RefusedCall(Refusal.UNKNOWN_PLAYER, "the launch token is another wallet's")
        if launch.parent_hash is not None:
            raise RefusedCall(Refusal.UNKNOWN_SESSION, "not a launch token")
        token = self.ledger.mint_token(wallet_id)
        command = OpenSession(
            player_id=wallet_id,
            session=token_hash(token),
            integration=self.name,
            game=launch.game,
            currency=launch.currency,
            parent=launch.token_hash.hex(),
            policy=self.settings.policy,
        )
        player = (await self.execute(command)).player
        opened_at = player.sessions[command.session].opened_at
        created = opened_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        answer = {"id": token, "walletId": wallet_id, "created": created, "status": "OPEN"}
        return Reply(200, orjson.dumps(answer))

    async def _close_session(self, call: Call) -> Reply:
        session = await self._wallet_session(call, "id")
        command = CloseSession(
            player_id=session.player_id,
            session=session.token_hash.hex(),
            integration=self.name,
            strict=True,
        )
        await self.execute(command)
        return Reply(200, b"")

    async def _balance(self, call: Call) -> Reply:
        session = await self._wallet_session(call, "walletSessionId")
        command = ReadBalance(
            player_id=session.player_id,
            integration=self.name,
            session=session.token_hash.hex(),
            policy=self.settings.policy,
        )
        wallet = (await self.execute(command)).player.wallets[session.currency]
        answer = {"code": "REAL"} | _summary(wallet, self.unit(session.currency))
        return Reply(200, orjson.dumps(answer))

    async def _debit(self, call: Call) -> Reply:
        body, tags = _read(call)
        value = _value(call, body)
        round_id = tags.optional_identifier("roundid")
        common = await self._common(call, body, tags, value)
        if common["game"] is None:
            # A win or a rollback takes its round's game; only a bet has none to take.
            common["game"] = (await self._wallet_session(call, "walletSessionId")).game
        return await self._move(call, PlaceBet(**common, round_id=round_id))

    async def _credit(self, call: Call) -> Reply:
        body, tags = _read(call)
        value = _value(call, body)
        round_id = tags.optional_identifier("roundid")
        bet_key = tags.optional_identifier("externalReferenceBet")
        common = await self._common(call, body, tags, value)
        command = CreditWin(
            **common,
            round_id=round_id,
            bet_key=bet_key,
            exceptions=(UNBOUND_WIN,) if round_id is None and bet_key is None else (),
        )
        return await self._move(call, command)

    async def _rollback(self, call: Call) -> Reply:
        body, tags = _read(call)
        original_key = _query(call).identifier("externalMovementId")
        round_id = tags.optional_identifier("roundid")
        common = await self._common(call, body, tags)
        command = RollbackMovement(**common, original_key=original_key, round_id=round_id)
        return await self._move(call, command)

    async def _move(self, call: Call, command: MoneyCommand) -> Reply:
        outcome = await self.book(call, command)
        if call.replayed and self.settings.replay == "error":
            raise RefusedCall(Refusal.DUPLICATE_CONFLICT, "externalReference was used before")
        movement = booked(outcome)
        unit = self.unit(movement.currency)
        answer = {
            "status": "CONFIRMED",
            "movementId": movement.movement_id,
            "amountBonus": _number(abs(movement.bonus), unit),
        }
        return Reply(200, orjson.dumps(answer | _summary(self.wallet(outcome), unit)))

    async def _wallet_session(self, call: Call, name: str) -> SessionRow:
        """The wallet session in the query; a launch session is none."""
        session = await self.session(_query(call).identifier(name))
        if session.parent_hash is None:
            raise RefusedCall(Refusal.UNKNOWN_SESSION, "not a wallet session")
        call.player_id = session.player_id
        return session

    async def _common(
        self, call: Call, body: Fields, tags: Fields, value: Decimal | None = None
    ) -> dict[str, Any]:
        """What every movement says, as the command's fields.

        Player and currency are the session's, in which ``value`` becomes the amount. Where there is
        no session, a value that no currency can hold is malformed first.
        """
        reference = body.identifier("externalReference")
        game = tags.optional_identifier("gameid")
        close = tags.value("closeRound")
        if type(close) is not bool:
            close = tags.mark("closeRound")
        marks = tags.marks("gpasSessionId")
        try:
            session = await self._wallet_session(call, "walletSessionId")
        except RefusedCall:
            if value is not None:
                self._check_without_session(value)
            raise
        amount = {} if value is None else {"amount": self._units(value, session.currency)}
        return amount | {
            "player_id": session.player_id,
            "integration": self.name,
            "operation": call.operation,
            "key": reference,
            "transaction_id": reference,
            "policy": self.settings.policy,
            "session": session.token_hash.hex(),
            "currency": session.currency,
            "game": game,
            "closes_round": close is True or close == "true",
            "tags": marks,
        }

    def _check_without_session(self, value: Decimal) -> None:
        """Raises `RefusedCall` (malformed_request) where no currency can hold the value."""
        refused = []
        for code in self.currencies:
            try:
                self._units(value, code)
            except RefusedCall as error:
                refused.append(error)
        if len(refused) == len(self.currencies):
            raise refused[-1]

    def _units(self, value: Decimal, currency: str) -> int:
        """The value in ledger units."""
        try:
            return from_decimal(value, self.unit(currency))
        except MalformedAmount as error:
            malformed(f"value: {error}")


def _read(call: Call) -> tuple[Fields, Fields]:
    """The body and its tags; ids are noted on the call before anything is judged."""
    body = Fields(parse_object(call.body))
    call.transaction_id = body.peek("externalReference")
    body.mark("description")  # checked only
    return body, body.optional_section("tags") or Fields({})


def _value(call: Call, body: Fields) -> Decimal:
    """The exact ``value`` of a debit or credit: a number or a decimal string."""
    if body.value("typeCode") not in (None, _TYPE_CODES[call.operation]):
        body.refuse("typeCode", f"does not fit a {call.operation}")
    text = body.value("value")
    if not isinstance(text, str):
        value = body.number("value")
    elif _DECIMAL.fullmatch(text):
        value = Decimal(text)
    else:
        body.refuse("value", "expected a number, got another string")
    if value < 0:
        body.refuse("value", "amount is negative")
    return value


def _query(call: Call) -> Fields:
    """The query's parameters."""
    return Fields(parse_query(call.query), "query.")


def _bearer(call: Call) -> str:
    """The launch token. Raises `RefusedCall`."""
    scheme, _, token = call.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise RefusedCall(Refusal.UNKNOWN_SESSION, "no launch token")
    return token.strip()


def _number(units: int, unit: Currency) -> orjson.Fragment:
    """A JSON number with exactly the currency's digits."""
    return orjson.Fragment(floor_decimal_string(units, unit))


def _summary(wallet: Wallet, unit: Currency) -> dict[str, Any]:
    """The balance and its two parts, which add up to it.

    The sum and the real part are rounded down as any balance; the bonus is the rest.
    """
    real = to_subunits(wallet.real, unit) * 10 ** (unit.scale - unit.exponent)
    total = to_subunits(wallet.total, unit) * 10 ** (unit.scale - unit.exponent)
    parts = (("REAL", real), ("BONUS", total - real))
    return {
        "leftBalance": _number(total, unit),
        "subWalletsSummary": [
            {"code": code, "leftBalance": _number(part, unit), "subWalletsSummary": None}
            for code, part in parts
        ],
    }
