"""The rules of the player's account.

Registration, limits, and the operator's own movements.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import asdict

from ledger.commands import (
    AdjustBalance,
    CancelWithdrawal,
    ConvertBonus,
    Deposit,
    ForfeitBonus,
    GrantBonus,
    OperatorMovement,
    RegisterPlayer,
    SetLimits,
    SettleWithdrawal,
    Stamp,
    Withdraw,
)
from ledger.decisions import Decision, Known, Recall, about, about_money, overflow
from ledger.events import (
    BalanceAdjusted,
    BonusConverted,
    BonusForfeited,
    BonusGranted,
    Deposited,
    LimitsSet,
    PlayerRegistered,
    WalletOpened,
    WithdrawalCancelled,
    WithdrawalConfirmed,
    WithdrawalHeld,
    Withdrawn,
)
from ledger.player import Limits, Player, PlayerEvent, Wallet
from ledger.refusals import Refusal, Refused


def register(player: Player, command: RegisterPlayer, stamp: Stamp) -> Decision:
    """Create the player, or a wallet in a further currency; what is there needs nothing."""
    events: list[PlayerEvent] = []
    fields = about(player, command, stamp, "register")
    if not player.version:
        events.append(PlayerRegistered(**fields, player_id=command.player_id))
    if command.currency not in player.wallets:
        events.append(WalletOpened(**fields, currency=command.currency))
    return tuple(events)


def set_limits(player: Player, command: SetLimits, stamp: Stamp) -> Decision:
    """Change the limits that the command names; the event holds all of them, after and before."""
    currency = command.currency
    if currency is None and len(player.wallets) == 1:
        currency = next(iter(player.wallets))
    changes = {
        name: value
        for name in Limits.__struct_fields__
        if (value := getattr(command, name)) is not msgspec.UNSET
    }
    if changes and currency is None:
        return Refused(Refusal.MALFORMED_REQUEST, "currency is required with these limits")
    if currency is not None and currency not in player.wallets:
        return Refused(Refusal.CURRENCY_MISMATCH, f"the player has no {currency} wallet")
    before: dict[str, Any] = asdict(player.limits.get(currency or "", Limits()))
    before["reality_check_min"] = player.reality_check_min
    after = before | changes
    if command.reality_check_min is not msgspec.UNSET:
        after["reality_check_min"] = command.reality_check_min
    if after == before:
        return ()
    fields = about(player, command, stamp, "set_limits")
    return (LimitsSet(**fields, **after, currency=currency, previous=before),)


def operator_movement(player: Player, command: OperatorMovement, stamp: Stamp) -> Decision:
    """Money in and out by the operator; no balance ever goes below zero by it (rule 11)."""
    wallet = player.wallets.get(command.currency)
    if wallet is None:
        return Refused(Refusal.CURRENCY_MISMATCH, f"the player has no {command.currency} wallet")
    kind, change = _operator_change(command)
    short = (change.real < 0 and wallet.real + change.real < 0) or (
        change.bonus < 0 and wallet.bonus + change.bonus < 0
    )
    if short:
        return Refused(Refusal.INSUFFICIENT_FUNDS, "the balance does not cover the amount")
    refused = overflow(wallet, max(change.real, change.bonus, 0))
    if refused is not None:
        return refused
    return (kind(**about_money(player, command, stamp, command.currency, change)),)


def settle_withdrawal(
    player: Player, command: SettleWithdrawal, stamp: Stamp, known: Known
) -> Decision:
    """Confirm or cancel a held withdrawal, once."""
    hold = player.holds.get(command.withdrawal_key)
    if hold is None:
        withdrawal = (command.integration, command.withdrawal_key)
        if not known.is_settled(withdrawal):
            return Recall(transaction=withdrawal)
        found = known.transaction(withdrawal)
        if (
            found is None
            or found.player_id != player.player_id
            or not isinstance(found.event, Withdrawn | WithdrawalHeld)
        ):
            return Refused(Refusal.ORIGINAL_NOT_FOUND, "no such withdrawal of this player")
        return Refused(Refusal.ORIGINAL_SETTLED, "the withdrawal is not held any more")
    currency, amount = hold
    cancelled = isinstance(command, CancelWithdrawal)
    kind = WithdrawalCancelled if cancelled else WithdrawalConfirmed
    change = Wallet(amount if cancelled else 0)
    fields = about_money(player, command, stamp, currency, change)
    return (kind(**fields, refers_to=command.withdrawal_key, held=-amount),)


_OperatorEvent = (
    type[Deposited]
    | type[Withdrawn]
    | type[WithdrawalHeld]
    | type[BonusGranted]
    | type[BonusConverted]
    | type[BonusForfeited]
    | type[BalanceAdjusted]
)


def _operator_change(  # noqa: PLR0911 - one case a command
    command: OperatorMovement,
) -> tuple[_OperatorEvent, Wallet]:
    amount = command.amount
    match command:
        case Deposit():
            return Deposited, Wallet(amount)
        case Withdraw(hold=True):
            return WithdrawalHeld, Wallet(-amount)
        case Withdraw():
            return Withdrawn, Wallet(-amount)
        case GrantBonus():
            return BonusGranted, Wallet(0, amount)
        case ConvertBonus():
            return BonusConverted, Wallet(amount, -amount)
        case ForfeitBonus():
            return BonusForfeited, Wallet(0, -amount)
        case AdjustBalance():
            return BalanceAdjusted, Wallet(amount)
        case _:
            raise AssertionError(f"no rule for {type(command).__name__}")
