"""The rules of the game: bets, wins and rounds (rules 3 to 7, and 12)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from ledger.commands import (
    BETLESS_TAGS,
    CloseRound,
    CreditWin,
    GameCommand,
    PlaceBet,
    Stamp,
)
from ledger.decisions import Decision, Known, Recall, about_money, moment, overflow
from ledger.events import (
    BetPlaced,
    RefundTombstoned,
    RoundClosed,
    WinCredited,
)
from ledger.money import UNITS_MAX
from ledger.originals import game_of, locate, recall_original, recall_round
from ledger.player import Bet, Losses, Player, Round, Session, Wallet, Win, own_round
from ledger.refusals import Refusal, Refused
from ledger.sessions import find_session, is_live


def place_bet(  # noqa: PLR0911 - one return a refusal, in the order of the table
    player: Player, command: PlaceBet, stamp: Stamp, known: Known
) -> Decision:
    """Take a stake (rule 3)."""
    assert command.currency is not None
    round_id = command.round_id or own_round(command.key)
    session = find_session(player, command.integration, command.session or "", known)
    if not isinstance(session, Session):
        return session
    now = moment(player, stamp)
    if not is_live(session, now, command.policy):
        return Refused(Refusal.SESSION_EXPIRED, "the session is over")
    found = player.round(command.integration, round_id)
    wallet = player.wallets.get(command.currency)
    if wallet is None or session.currency != command.currency:
        return Refused(Refusal.CURRENCY_MISMATCH, f"the session is not in {command.currency}")
    if found is not None and found.currency != command.currency:
        return Refused(Refusal.CURRENCY_MISMATCH, f"round {round_id} is not in {command.currency}")
    refused = _forbidden(player, command, session, now, known)
    if refused is not None:
        return refused
    if found is not None and found.closed:
        return Refused(Refusal.ROUND_CLOSED, f"round {round_id} is closed")
    if command.amount > max(wallet.total, 0):
        return Refused(Refusal.INSUFFICIENT_FUNDS, "the balance does not cover the stake")
    refused = None if found is None else _sum_overflow(found.bets, command.amount)
    if refused is not None:
        return refused
    event = BetPlaced(
        **about_game(player, command, stamp, command.currency, _stake(wallet, command)),
        round_id=round_id,
        opens_round=found is None,
        closes_round=command.closes_round,
        exceptions=command.exceptions,
    )
    return (event,)


def credit_win(player: Player, command: CreditWin, stamp: Stamp, known: Known) -> Decision:
    """Pay a win, for expired sessions and blocked players too (rules 4, 5 and 7)."""
    assert command.currency is not None
    session = any_session(player, command, known)
    if isinstance(session, Refused | Recall):
        return session
    found, asked = _round_of_win(player, command, known)
    if asked is not None:
        return asked
    wallet = player.wallets.get(command.currency)
    if (
        wallet is None
        or (session is not None and session.currency != command.currency)
        or (found is not None and found.currency != command.currency)
    ):
        return Refused(Refusal.CURRENCY_MISMATCH, f"the bet is not in {command.currency}")
    refused = _win_refused(command, found, known) or overflow(wallet, command.amount)
    if refused is None and found is not None:
        refused = _sum_overflow(found.wins, command.amount)
    if refused is not None:
        return refused
    exceptions = command.exceptions
    if found is not None and found.closed:
        exceptions += ("late_win",)
    if found is not None and command.round_id not in (None, found.round_id):
        exceptions += ("round_mismatch",)
    is_its_own = found is None and command.round_id is None
    fields = about_game(player, command, stamp, command.currency, _split(command.amount, found))
    if found is not None:
        game = game_of(found, command.bet_key)
    else:
        game = None if session is None else session.game
    fields["game"] = command.game or game
    event = WinCredited(
        **fields,
        round_id=(command.round_id or own_round(command.key)) if found is None else found.round_id,
        opens_round=found is None,
        closes_round=(command.closes_round or is_its_own) and (found is None or not found.closed),
        refers_to=command.bet_key,
        exceptions=exceptions,
    )
    return (event,)


def close_round(player: Player, command: CloseRound, stamp: Stamp, known: Known) -> Decision:
    """Close a round that is open (rule 12); one that is closed, or was played on, is left so."""
    assert command.round_id is not None
    found = player.round(command.integration, command.round_id)
    if found is None:
        return recall_round(player, command.integration, command.round_id, known) or Refused(
            Refusal.ORIGINAL_NOT_FOUND, f"no round {command.round_id}"
        )
    if found.closed or command.movements not in (None, len(found.bets) + len(found.wins)):
        return ()
    if found.currency not in player.wallets:
        return overtaken(found)
    fields = about_game(player, command, stamp, found.currency, Wallet())
    fields["game"] = command.game or found.game
    event = RoundClosed(**fields, round_id=command.round_id, closes_round=True)
    return (event,)


def overtaken(found: Round) -> Refused:
    """For a round, just read back, in a wallet that another process opened since.

    Nobody gets this answer: the append finds that the player is not at the head any more.
    """
    return Refused(Refusal.CURRENCY_MISMATCH, f"the player has no {found.currency} wallet")


def any_session(
    player: Player, command: GameCommand, known: Known
) -> Session | Refused | Recall | None:
    """The session of a call that may come after the session's end.

    None where the call is outside of sessions.
    """
    if command.session is None:
        return None
    return find_session(player, command.integration, command.session, known)


def _forbidden(
    player: Player, command: PlaceBet, session: Session, now: datetime, known: Known
) -> Refused | None:
    if player.blocked:
        return Refused(Refusal.PLAYER_BLOCKED, "the player is blocked")
    if (command.integration, command.game) in known.disabled_games:
        return Refused(Refusal.GAME_DISABLED, f"game {command.game} is disabled")
    limit = _limit_exceeded(player, command, now)
    if limit is not None:
        return Refused(Refusal.LIMIT_EXCEEDED, f"the player's {limit} does not allow this stake")
    if (
        player.reality_check_min is not None
        and session.first_bet_at is not None
        and now - session.first_bet_at >= timedelta(minutes=player.reality_check_min)
    ):
        return Refused(Refusal.REALITY_CHECK_DUE, "the player must acknowledge the reality check")
    return None


def _limit_exceeded(player: Player, command: PlaceBet, now: datetime) -> str | None:
    """The name of the first limit that the stake would break."""
    assert command.currency is not None
    limits = player.limits.get(command.currency)
    if limits is None or command.amount == 0:
        return None
    lost = player.losses.get(command.currency, Losses()).at(now)
    for name, limit, amount in (
        ("max_bet", limits.max_bet, 0),
        ("loss limit of the day", limits.loss_limit_day, lost.day_net),
        ("loss limit of the week", limits.loss_limit_week, lost.week_net),
        ("loss limit of the month", limits.loss_limit_month, lost.month_net),
    ):
        if limit is not None and amount + command.amount > limit:
            return name
    return None


def _sum_overflow(parts: Iterable[Bet | Win], amount: int) -> Refused | None:
    """A refusal if ``amount`` more would make a round's stakes or wins too large to be kept."""
    if sum(part.real + part.bonus for part in parts) + amount > UNITS_MAX:
        return Refused(Refusal.MALFORMED_REQUEST, "the round's sum would be too large")
    return None


def _stake(wallet: Wallet, command: PlaceBet) -> Wallet:
    """What the stake changes.

    Real money first, or bonus first (rule 7). A negative balance gives nothing.
    """
    if command.policy.stake_order == "real_first":
        real = min(command.amount, max(wallet.real, 0))
        return Wallet(-real, real - command.amount)
    bonus = min(command.amount, wallet.bonus)
    return Wallet(bonus - command.amount, -bonus)


def _split(amount: int, found: Round | None) -> Wallet:
    """A win is split as the round's stakes that still stand were.

    The remainder is real money (rule 7).
    """
    if found is None:
        return Wallet(amount, 0)
    standing = [bet for bet in found.bets if not bet.refunded]
    staked = sum(bet.real + bet.bonus for bet in standing)
    bonus = amount * sum(bet.bonus for bet in standing) // staked if staked else 0
    return Wallet(amount - bonus, bonus)


def _round_of_win(
    player: Player, command: CreditWin, known: Known
) -> tuple[Round | None, Decision | None]:
    """The round that the win belongs to.

    That of the bet it names, or where there is no such bet, the one it names.
    """
    if command.bet_key is not None:
        located = locate(player, command, command.bet_key)
        if located is not None and isinstance(located[1], Bet):
            return located[0], None
        if located is None:
            recall = recall_original(player, command, command.bet_key, known)
            if recall is not None:
                return None, recall
    round_id = command.round_id or own_round(command.key)
    found = player.round(command.integration, round_id)
    if found is not None:
        return found, None
    return None, recall_round(player, command.integration, round_id, known)


def _win_refused(command: CreditWin, found: Round | None, known: Known) -> Refused | None:
    """Rule 5.

    A win that names neither bet nor round needs no bet, as one with a tag of `BETLESS_TAGS`; but
    none is paid in a round that was refunded as a whole, or on a bet refunded before it came.
    """
    if found is not None and found.closed and command.policy.late_win == "refuse":
        return Refused(Refusal.ROUND_CLOSED, f"round {found.round_id} is closed")
    bets = () if found is None else found.bets
    named = [bet for bet in bets if command.bet_key in (None, bet.key)]
    unbound = command.bet_key is None and command.round_id is None
    if not named and not unbound and BETLESS_TAGS.isdisjoint(command.tags):
        return Refused(Refusal.ORIGINAL_NOT_FOUND, "no bet for this win")
    if bets and all(bet.refunded for bet in named or bets):
        return Refused(Refusal.ORIGINAL_REVERSED, "the bet was refunded")
    if named:
        return None
    used = known.transaction((command.integration, command.bet_key or ""))
    event = None if used is None else used.event
    if isinstance(event, RefundTombstoned) and event.refers_to == command.bet_key:
        return Refused(Refusal.ORIGINAL_REVERSED, "the bet was refunded before it came")
    return None


def about_game(
    player: Player,
    command: GameCommand,
    stamp: Stamp,
    currency: str,
    change: Wallet,
) -> dict[str, Any]:
    """The fields of a game's movement that its command and the change of the wallet say."""
    fields = about_money(player, command, stamp, currency, change)
    fields["game"] = command.game
    fields["session"] = command.session
    fields["tags"] = command.tags
    return fields
