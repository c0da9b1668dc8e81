"""The rules of what undoes a bet or a win: refunds, tombstones, reversals (rules 4 and 7 to 10)."""

from __future__ import annotations

from typing import Any

from ledger.bets import about_game, any_session, overtaken
from ledger.commands import RefundBet, Reversal, ReverseWin, Stamp
from ledger.decisions import Decision, Known, Recall, overflow
from ledger.events import (
    BetRefunded,
    RefundRepeated,
    RefundTombstoned,
    WinReversalRepeated,
    WinReversed,
)
from ledger.money import UNITS_MAX
from ledger.originals import game_of, locate, recall_original, recall_round
from ledger.player import Bet, Player, Round, Session, Wallet, Win
from ledger.refusals import Refusal, Refused


def reverse(  # noqa: PLR0911 - one return a refusal, in the order of the table
    player: Player, command: Reversal, stamp: Stamp, known: Known
) -> Decision:
    """Undo a bet or a win (rules 4 and 7 to 10)."""
    session = any_session(player, command, known)
    if isinstance(session, Refused | Recall):
        return session
    located = locate(player, command, command.original_key)
    if located is None:
        return _reverse_unknown(player, command, stamp, known, session)
    found, original = located
    if command.currency not in (None, found.currency):
        return Refused(Refusal.CURRENCY_MISMATCH, f"the original is not in {command.currency}")
    if found.currency not in player.wallets:
        return overtaken(found)
    if isinstance(original, Bet):
        if isinstance(command, ReverseWin):
            return Refused(Refusal.ORIGINAL_NOT_FOUND, "the id to reverse is not a win's")
        return _refund(player, command, stamp, found, original)
    if isinstance(command, RefundBet):
        if command.acknowledged:
            return _tombstone(player, command, stamp, found.currency, keeps_out=False)
        return Refused(Refusal.ORIGINAL_NOT_FOUND, "the id to refund is not a bet's")
    return _take_back(player, command, stamp, found, original)


def _reverse_unknown(
    player: Player, command: Reversal, stamp: Stamp, known: Known, session: Session | None
) -> Decision:
    """The original is not in memory.

    Read it back, refuse, or keep a tombstone for a bet (rule 8).
    """
    recall = recall_original(player, command, command.original_key, known)
    if recall is not None:
        return recall
    currency = _tombstone_currency(player, command, session)
    if currency not in player.wallets or (session is not None and session.currency != currency):
        return Refused(Refusal.CURRENCY_MISMATCH, f"the session is not in {currency}")
    used = known.transaction((command.integration, command.original_key)) is not None
    if isinstance(command, ReverseWin) or (used and not command.acknowledged):
        return Refused(Refusal.ORIGINAL_NOT_FOUND, "the original is not known")
    ended = _ended_round(command)
    if ended is not None and player.round(command.integration, ended) is None:
        recall = recall_round(player, command.integration, ended, known)
        if recall is not None:
            return recall
    return _tombstone(player, command, stamp, currency, keeps_out=not used)


def _tombstone(
    player: Player, command: Reversal, stamp: Stamp, currency: str, *, keeps_out: bool
) -> Decision:
    ended = _ended_round(command)
    found = None if ended is None else player.round(command.integration, ended)
    event = RefundTombstoned(
        **about_game(player, command, stamp, currency, Wallet()),
        round_id=command.round_id,
        closes_round=found is not None and not found.closed and found.currency == currency,
        refers_to=command.original_key,
        keeps_out=keeps_out,
    )
    return (event,)


def _ended_round(command: Reversal) -> str | None:
    """The round that is over by a call which is acknowledged, whatever became of its bet."""
    return command.round_id if command.acknowledged and command.closes_round else None


def _tombstone_currency(player: Player, command: Reversal, session: Session | None) -> str | None:
    """The call's currency, else its session's.

    Where it says neither, any wallet will do, as nothing moves: the player's first.
    """
    if command.currency is not None:
        return command.currency
    return next(iter(player.wallets), None) if session is None else session.currency


def _refund(player: Player, command: Reversal, stamp: Stamp, found: Round, bet: Bet) -> Decision:
    if bet.refunded:
        return (RefundRepeated(**_about_reversal(player, command, stamp, found, Wallet())),)
    if found.settled(bet):
        return Refused(Refusal.ORIGINAL_SETTLED, "the bet was settled by a win")
    stake = Wallet(bet.real, bet.bonus)
    refused = overflow(player.wallets[found.currency], stake.total)
    if refused is not None:
        return refused
    fields = _about_reversal(player, command, stamp, found, stake)
    return (BetRefunded(**_noting_amount(command, stake, fields)),)


def _take_back(player: Player, command: Reversal, stamp: Stamp, found: Round, win: Win) -> Decision:
    """Reverse a win; what was spent meanwhile is the shortfall (rule 10)."""
    if win.reversed:
        return (WinReversalRepeated(**_about_reversal(player, command, stamp, found, Wallet())),)
    wallet = player.wallets[found.currency]
    bonus = min(win.bonus, wallet.bonus)
    real = min(win.real + win.bonus - bonus, max(wallet.real, 0))
    bonus += min(win.real + win.bonus - bonus - real, wallet.bonus - bonus)
    shortfall = win.real + win.bonus - real - bonus
    if shortfall and command.policy.reversal_shortfall == "refuse":
        return Refused(Refusal.INSUFFICIENT_FUNDS, "the win was spent already")
    if command.policy.reversal_shortfall == "negative":
        real += shortfall
        if wallet.real - real < -UNITS_MAX:
            return Refused(Refusal.MALFORMED_REQUEST, "the balance would be too far below zero")
    fields = _about_reversal(player, command, stamp, found, Wallet(-real, -bonus))
    if shortfall:
        fields["exceptions"] += ("reversal_shortfall",)
    fields = _noting_amount(command, Wallet(win.real, win.bonus), fields)
    return (WinReversed(**fields, shortfall=shortfall),)


def _about_reversal(
    player: Player, command: Reversal, stamp: Stamp, found: Round, change: Wallet
) -> dict[str, Any]:
    mismatch = command.round_id not in (None, found.round_id)
    return about_game(player, command, stamp, found.currency, change) | {
        "round_id": found.round_id,
        "game": game_of(found, command.original_key),
        "closes_round": command.closes_round and not found.closed,
        "refers_to": command.original_key,
        "exceptions": command.exceptions + (("round_mismatch",) if mismatch else ()),
    }


def _noting_amount(command: Reversal, original: Wallet, fields: dict[str, Any]) -> dict[str, Any]:
    """A wire amount that is not the original's is noted, never used (rule 7)."""
    if command.amount in (None, original.total):
        return fields
    exceptions = (*fields["exceptions"], "amount_mismatch")
    return fields | {"wire_amount": command.amount, "exceptions": exceptions}
