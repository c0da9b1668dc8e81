"""The operator's own movements of money: each has a reference, and is executed once for ever.

Answers to a replay are those of the first time, whatever happened since.
"""

from __future__ import annotations

from typing import Any, Final

from adapters.operator.amounts import parse_change, parse_positive
from adapters.operator.answers import MovementView, wallet_view
from adapters.operator.bodies import AdjustmentBody, MovementBody, ReasonBody, WithdrawalBody
from adapters.operator.events import Balance
from adapters.operator.route import Api, ApiCall, Reply, Route
from ledger.commands import (
    AdjustBalance,
    CancelWithdrawal,
    ConfirmWithdrawal,
    ConvertBonus,
    Deposit,
    ForfeitBonus,
    GrantBonus,
    OperatorMovement,
    SettleWithdrawal,
    Withdraw,
)
from ledger.events import Movement
from ledger.money import to_decimal_string
from ledger.player import Player, Wallet
from ledger.service import Accepted
from projections.balances import held_change

OPERATIONS: Final = (
    "deposit",
    "withdrawal",
    "withdrawal_confirm",
    "withdrawal_cancel",
    "bonus",
    "bonus_convert",
    "bonus_forfeit",
    "adjustment",
)
"""Names of the operator's movements, each with references of its own."""

_PAGE_EVENTS = 500


def keys_of(reference: str) -> list[str]:
    """Every key under which the operator's reference may have been booked."""
    return [key_of(operation, reference) for operation in OPERATIONS]


def key_of(operation: str, reference: str) -> str:
    """The idempotency key of an operator's movement."""
    return f"{operation}:{reference}"


async def deposit(api: Api, call: ApiCall, given: MovementBody) -> Reply:
    """Put in real money."""
    return await _book(api, _command(api, call, given, Deposit, "deposit"))


async def withdraw(api: Api, call: ApiCall, given: WithdrawalBody) -> Reply:
    """Take out real money, at once or held."""
    amount = parse_positive("amount", given.amount, api.unit(given.currency))
    command = Withdraw(
        **_fields(call, given, "withdrawal"),
        amount=amount,
        currency=given.currency,
        hold=given.hold,
    )
    return await _book(api, command)


async def grant_bonus(api: Api, call: ApiCall, given: MovementBody) -> Reply:
    """Give bonus money."""
    return await _book(api, _command(api, call, given, GrantBonus, "bonus"))


async def convert_bonus(api: Api, call: ApiCall, given: MovementBody) -> Reply:
    """Turn bonus money into real money."""
    return await _book(api, _command(api, call, given, ConvertBonus, "bonus_convert"))


async def forfeit_bonus(api: Api, call: ApiCall, given: MovementBody) -> Reply:
    """Take bonus money away."""
    return await _book(api, _command(api, call, given, ForfeitBonus, "bonus_forfeit"))


async def adjust_balance(api: Api, call: ApiCall, given: AdjustmentBody) -> Reply:
    """Correct real money either way."""
    amount = parse_change("amount", given.amount, api.unit(given.currency))
    command = AdjustBalance(
        **_fields(call, given, "adjustment"), amount=amount, currency=given.currency
    )
    return await _book(api, command)


async def confirm_withdrawal(api: Api, call: ApiCall, given: ReasonBody) -> Reply:
    """The held money was paid out."""
    return await _settle(api, call, given, ConfirmWithdrawal, "withdrawal_confirm")


async def cancel_withdrawal(api: Api, call: ApiCall, given: ReasonBody) -> Reply:
    """The held money is playable again."""
    return await _settle(api, call, given, CancelWithdrawal, "withdrawal_cancel")


def _fields(call: ApiCall, given: MovementBody | AdjustmentBody, operation: str) -> dict[str, Any]:
    call.logged.update(player_id=call.path["player_id"], transaction_id=given.reference)
    return {
        "player_id": call.path["player_id"],
        "actor": call.actor,
        "reason": given.reason,
        "operation": operation,
        "key": key_of(operation, given.reference),
        "transaction_id": given.reference,
    }


def _command(
    api: Api, call: ApiCall, given: MovementBody, kind: type[OperatorMovement], operation: str
) -> OperatorMovement:
    amount = parse_positive("amount", given.amount, api.unit(given.currency))
    return kind(**_fields(call, given, operation), amount=amount, currency=given.currency)


async def _book(api: Api, command: OperatorMovement) -> Reply:
    accepted = await api.execute(command)
    status = 200 if accepted.replayed else 201
    return Reply(status, await _movement_view(api, accepted), replayed=accepted.replayed)


async def _settle(
    api: Api, call: ApiCall, given: ReasonBody, kind: type[SettleWithdrawal], operation: str
) -> Reply:
    reference = call.path["reference"]
    call.logged.update(player_id=call.path["player_id"], transaction_id=reference)
    command = kind(
        player_id=call.path["player_id"],
        actor=call.actor,
        reason=given.reason,
        operation=operation,
        key=key_of(operation, reference),
        transaction_id=reference,
        withdrawal_key=key_of("withdrawal", reference),
    )
    accepted = await api.execute(command)
    return Reply(200, await _movement_view(api, accepted), replayed=accepted.replayed)


async def _movement_view(api: Api, accepted: Accepted) -> MovementView:
    event = accepted.event
    assert isinstance(event, Movement), "money commands book movements"
    currencies = api.settings.currencies
    unit = currencies[event.currency]
    held = await _held_after(api, accepted.player, event.currency, accepted.version)
    wallet = Wallet(event.balance_real, event.balance_bonus, held)
    return MovementView(
        movement_id=event.movement_id,
        player_id=accepted.player.player_id,
        operation=event.operation,
        reference=event.transaction_id,
        version=accepted.version,
        recorded_at=event.recorded_at,
        currency=event.currency,
        real=to_decimal_string(event.real, unit),
        bonus=to_decimal_string(event.bonus, unit),
        balance=Balance(
            real=to_decimal_string(event.balance_real, unit),
            bonus=to_decimal_string(event.balance_bonus, unit),
        ),
        wallet=wallet_view(currencies, event.currency, wallet),
    )


async def _held_after(api: Api, player: Player, currency: str, version: int) -> int:
    """What was held after that version: today's, less every change since.

    Only a replay of an older movement has anything to read back.
    """
    held = player.wallets[currency].held
    while version < player.version:
        page = await api.ledger.events(player.player_id, version, _PAGE_EVENTS)
        for at, event, _ in page:
            if isinstance(event, Movement) and event.currency == currency and at <= player.version:
                held -= held_change(event)
        version = page[-1][0] if page else player.version
    return held


def _movement_route(path: str, summary: str, handler: Any, takes: Any = MovementBody) -> Route[Any]:
    """A call that books a movement of the operator's."""
    return Route(
        method="POST",
        path=f"/players/{{player_id}}/{path}",
        role="admin" if takes is AdjustmentBody else "operator",
        summary=summary,
        takes=takes,
        answers={201: MovementView, 200: MovementView},
        handler=handler,
        problems=(
            "unknown_player",
            "duplicate_conflict",
            "currency_mismatch",
            "insufficient_funds",
        ),
    )


def _settling_route(path: str, summary: str, handler: Any) -> Route[Any]:
    """A call that ends a held withdrawal."""
    return Route(
        method="POST",
        path=f"/players/{{player_id}}/withdrawals/{{reference}}/{path}",
        role="operator",
        summary=summary,
        takes=ReasonBody,
        answers={200: MovementView},
        handler=handler,
        problems=(
            "unknown_player",
            "duplicate_conflict",
            "original_not_found",
            "original_settled",
        ),
    )


ROUTES: tuple[Route[Any], ...] = (
    _movement_route("deposits", "Put in real money", deposit),
    _movement_route("withdrawals", "Take out or hold real money", withdraw, WithdrawalBody),
    _settling_route("confirm", "A held withdrawal was paid out", confirm_withdrawal),
    _settling_route("cancel", "A held withdrawal is given back", cancel_withdrawal),
    _movement_route("bonuses", "Give bonus money", grant_bonus),
    _movement_route("bonuses/convert", "Turn bonus money into real money", convert_bonus),
    _movement_route("bonuses/forfeit", "Take bonus money away", forfeit_bonus),
    _movement_route("adjustments", "Correct real money", adjust_balance, AdjustmentBody),
)
"""Calls that move the operator's money."""
