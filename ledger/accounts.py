"""The rules of the player's account.

Registration, sessions, limits, and the operator's own movements.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import asdict

from ledger.bets import find_session, is_live
from ledger.commands import (
    AdjustBalance,
    CancelWithdrawal,
    CloseSession,
    ConvertBonus,
    Deposit,
    ForfeitBonus,
    GrantBonus,
    OpenSession,
    OperatorMovement,
    RegisterPlayer,
    SetLimits,
    SettleWithdrawal,
    Stamp,
    Withdraw,
)
from ledger.decisions import Decision, Known, Recall, about, about_money, moment, overflow
from ledger.events import (
    BalanceAdjusted,
    BonusConverted,
    BonusForfeited,
    BonusGranted,
    Deposited,
    LimitsSet,
    PlayerRegistered,
    SessionClosed,
    SessionOpened,
    WalletOpened,
    WithdrawalCancelled,
    WithdrawalConfirmed,
    WithdrawalHeld,
    Withdrawn,
)
from ledger.money import UNITS_MAX
from ledger.player import Limits, Player, PlayerEvent, Session, Wallet
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


def open_session(player: Player, command: OpenSession, stamp: Stamp, known: Known) -> Decision:
    """Begin a session; from a launch session only while that one is live."""
    if command.session in player.sessions:
        return ()
    if command.parent is not None:
        parent = find_session(player, command.integration, command.parent, known)
        if not isinstance(parent, Session):
            return parent
        if not is_live(parent, moment(player, stamp), command.policy):
            return Refused(Refusal.SESSION_EXPIRED, "the launch session is over")
    if command.currency not in player.wallets:
        return Refused(Refusal.CURRENCY_MISMATCH, f"the player has no {command.currency} wallet")
    event = SessionOpened(
        **about(player, command, stamp, "open_session"),
        integration=command.integration,
        session=command.session,
        game=command.game,
        currency=command.currency,
        parent=command.parent,
    )
    return (event,)


def close_session(player: Player, command: CloseSession, stamp: Stamp, known: Known) -> Decision:
    """End a session and, where asked, those that were opened from it."""
    session = player.sessions.get(command.session)
    if session is None and command.session not in known.sessions:
        return Recall(session=command.session)
    if session is None and known.sessions[command.session] is None:
        return Refused(Refusal.UNKNOWN_SESSION, "no such session")
    if command.strict and (session is None or session.closed):
        return Refused(Refusal.SESSION_EXPIRED, "the session is closed already")
    fields = about(player, command, stamp, "close_session") | {"integration": command.integration}
    return tuple(
        SessionClosed(**fields, session=held.session)
        for held in player.sessions.values()
        if not held.closed
        and (
            held.session == command.session
            or (command.with_children and held.parent == command.session)
        )
    )


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
    refused = overflow(wallet, max(change.real, change.bonus, 0), UNITS_MAX)
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
        if found is None or found.player_id != player.player_id:
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


def _operator_change(command: OperatorMovement) -> tuple[_OperatorEvent, Wallet]:
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
