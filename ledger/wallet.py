"""The wallet.

`decide` says what a command does to a player, `evolve` what an event leaves behind. Both are pure.

Replays are judged first, then tombstones, then everything else in the order of
`ledger.refusals.Refusal` (rule 2).
"""

from __future__ import annotations

from msgspec.structs import replace

from ledger.accounts import operator_movement, register, set_limits, settle_withdrawal
from ledger.bets import close_round, credit_win, place_bet
from ledger.commands import (
    AcknowledgeRealityCheck,
    BlockPlayer,
    CloseRound,
    CloseSession,
    Command,
    CreditWin,
    MoneyCommand,
    OpenSession,
    OperatorMovement,
    PlaceBet,
    ReadBalance,
    ReadPlayer,
    RegisterPlayer,
    Reversal,
    SetLimits,
    SettleWithdrawal,
    Stamp,
    UnblockPlayer,
)
from ledger.decisions import TOMBSTONE, Decision, Known, Replayed, Transaction, about
from ledger.events import PlayerBlocked, PlayerUnblocked, RealityCheckAcknowledged
from ledger.player import Player, evolve
from ledger.refusals import Refusal, Refused
from ledger.reversals import reverse
from ledger.sessions import close_session, open_session, read_balance

__all__ = ["decide", "evolve"]


def decide(player: Player, command: Command, stamp: Stamp, known: Known) -> Decision:  # noqa: C901, PLR0911, PLR0912
    """What the command does to the player.

    Events, a refusal, a replay, or a question that must be answered first. The key of a command is
    taken for new unless ``known`` has it: before any answer but a replay is given, a refusal too,
    the append must have found that it is (rule 2), and likewise that a round which a bet opens, or
    would have opened had it not been refused, is new.
    """
    if isinstance(command, MoneyCommand):
        used = _used_key(player, command, known)
        if used is not None:
            return used
    if not player.version and not isinstance(command, RegisterPlayer):
        return Refused(Refusal.UNKNOWN_PLAYER, "no such player")
    match command:
        case PlaceBet():
            return place_bet(player, command, stamp, known)
        case CreditWin():
            return credit_win(player, command, stamp, known)
        case Reversal():
            return reverse(player, command, stamp, known)
        case ReadBalance():
            return read_balance(player, command, stamp, known)
        case ReadPlayer():
            return ()
        case OpenSession():
            return open_session(player, command, stamp, known)
        case CloseSession():
            return close_session(player, command, stamp, known)
        case CloseRound():
            return close_round(player, command, stamp, known)
        case RegisterPlayer():
            return register(player, command, stamp)
        case OperatorMovement():
            return operator_movement(player, command, stamp)
        case SettleWithdrawal():
            return settle_withdrawal(player, command, stamp, known)
        case SetLimits():
            return set_limits(player, command, stamp)
        case BlockPlayer():
            fields = about(player, command, stamp, "block")
            return () if player.blocked else (PlayerBlocked(**fields),)
        case UnblockPlayer():
            fields = about(player, command, stamp, "unblock")
            return (PlayerUnblocked(**fields),) if player.blocked else ()
        case AcknowledgeRealityCheck():
            fields = about(player, command, stamp, "reality_check")
            return (RealityCheckAcknowledged(**fields),)
        case _:
            raise AssertionError(f"no rule for {type(command).__name__}")


def _used_key(player: Player, command: MoneyCommand, known: Known) -> Decision | None:
    """The answer to a key that was used before; None for a new one (rules 1, 2 and 8)."""
    used = known.transaction((command.integration, command.key))
    if used is None:
        return None
    if used.kind != TOMBSTONE:
        if used.event.fingerprint == command.fingerprint():
            return Replayed(used)
        return Refused(Refusal.DUPLICATE_CONFLICT, "the id was used with other content")
    if used.player_id != command.player_id or not isinstance(command, PlaceBet | CreditWin):
        return Refused(Refusal.DUPLICATE_CONFLICT, "the id was used with other content")
    if isinstance(command, PlaceBet) and command.policy.late_bet == "accept":
        return _as_if_taken(player, command, used)
    return Refused(Refusal.ALREADY_REVERSED, "the bet was refunded before it came")


def _as_if_taken(player: Player, command: PlaceBet, tombstone: Transaction) -> Decision:
    """The tombstone as the late bet's answer: in its currency, with the balance of now."""
    wallet = player.wallets.get(command.currency or "")
    if wallet is None:
        return Refused(Refusal.CURRENCY_MISMATCH, f"the player has no {command.currency} wallet")
    event = replace(
        tombstone.event,
        currency=command.currency,
        balance_real=wallet.real,
        balance_bonus=wallet.bonus,
    )
    return Replayed(replace(tombstone, event=event))
