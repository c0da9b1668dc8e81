"""A player's state, folded from the player's events: what decisions need, and bounded.

`evolve` never refuses and never asks: whatever was recorded happened. Rounds and sessions that fell
out of the bounds are read back from the log when a decision needs them (`readmit`).

One module although a long one: the state and the only code that may change it are read together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from sys import intern
from typing import Final, TypeAlias, TypeVar, assert_never

import msgspec
from msgspec.structs import replace

from ledger.events import (
    BalanceAdjusted,
    BetPlaced,
    BetRefunded,
    BonusConverted,
    BonusForfeited,
    BonusGranted,
    Deposited,
    GameMovement,
    LimitsSet,
    Movement,
    PlayerBlocked,
    PlayerRegistered,
    PlayerUnblocked,
    RealityCheckAcknowledged,
    RefundRepeated,
    RefundTombstoned,
    RoundClosed,
    SessionClosed,
    SessionOpened,
    WalletOpened,
    WinCredited,
    WinReversalRepeated,
    WinReversed,
    WithdrawalCancelled,
    WithdrawalConfirmed,
    WithdrawalHeld,
    Withdrawn,
)

OPEN_ROUNDS_MAX: Final = 200
"""Open rounds kept in memory; an older one is read back from the log when it is named."""

PAST_ROUNDS_MAX: Final = 100
"""Closed rounds kept in memory; an older one is read back from the log when it is named."""

LAST_ROUNDS_MAX: Final = 16
"""So many more may be kept apart, the newest: a bet copies these, and not the hundred."""

_Packed: TypeAlias = bytes
"""A closed round as MessagePack: every player has a hundred, hardly one is asked for again, and the
objects that they are made of would be most of what is in memory."""

SESSIONS_MAX: Final = 100
"""Sessions kept in memory; beyond, closed ones fall out, then the one unused for longest. One that
fell out counts as expired."""


class Wallet(msgspec.Struct, frozen=True, gc=False):
    """Balances of one currency in ledger units.

    ``held`` is set aside for withdrawals and part of neither balance.
    """

    real: int = 0
    bonus: int = 0
    held: int = 0

    @property
    def total(self) -> int:
        """What can be played with."""
        return self.real + self.bonus


class Session(msgspec.Struct, frozen=True, gc=False):
    """A game session.

    ``session`` is the token's SHA-256 in hex; ``first_bet_at`` is the reality check's clock;
    ``closed_by`` the id of the movement that closed it.
    """

    session: str
    integration: str
    game: str
    currency: str
    opened_at: datetime
    parent: str | None = None
    last_bet_at: datetime | None = None
    first_bet_at: datetime | None = None
    closed: bool = False
    closed_by: str | None = None


class Bet(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A stake with its exact split. ``game``: where it is not the round's."""

    key: str
    real: int
    bonus: int
    refunded: bool = False
    game: str | None = None


class Win(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A win.

    It settles ``bet_key``, or where it names none or closed its round, the first ``covers`` bets.
    ``game``: where it is not the round's.
    """

    key: str
    real: int
    bonus: int
    bet_key: str | None
    covers: int
    reversed: bool = False
    game: str | None = None


class Round(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A player's round, of one integration and currency."""

    integration: str
    round_id: str
    currency: str
    game: str | None
    opened_at: datetime
    bets: tuple[Bet, ...] = ()
    wins: tuple[Win, ...] = ()
    closed: bool = False

    def settled(self, bet: Bet) -> bool:
        """Whether a win that still stands settled the bet (rule 9)."""
        covered, named = self._settled_bets()
        return bet.key in named or self.bets.index(bet) < covered

    @property
    def open_stakes(self) -> int:
        """Stakes that were neither refunded nor settled, however many bets and wins there are."""
        covered, named = self._settled_bets()
        return sum(
            bet.real + bet.bonus
            for bet in self.bets[covered:]
            if not bet.refunded and bet.key not in named
        )

    def _settled_bets(self) -> tuple[int, set[str | None]]:
        """How many of the first bets the standing wins settled, and which others, by their keys."""
        standing = [win for win in self.wins if not win.reversed]
        covered = max((win.covers for win in standing), default=0)
        return covered, {win.bet_key for win in standing}


class Limits(msgspec.Struct, frozen=True, gc=False):
    """A currency's responsible-gaming limits in ledger units; None = none."""

    max_bet: int | None = None
    loss_limit_day: int | None = None
    loss_limit_week: int | None = None
    loss_limit_month: int | None = None


class Losses(msgspec.Struct, frozen=True, gc=False):
    """Stakes - refunds - wins of the current day, week (from Monday) and month, in UTC.

    Periods are ordinals.
    """

    day: int = 0
    day_net: int = 0
    week: int = 0
    week_net: int = 0
    month: int = 0
    month_net: int = 0

    def at(self, moment: datetime) -> Losses:
        """The same with every period that is over set to zero."""
        day, week, month = periods(moment)
        return Losses(
            day,
            self.day_net if self.day == day else 0,
            week,
            self.week_net if self.week == week else 0,
            month,
            self.month_net if self.month == month else 0,
        )

    def add(self, moment: datetime, amount: int) -> Losses:
        """``amount`` more lost at ``moment``."""
        now = self if self.day == moment.toordinal() else self.at(moment)
        return Losses(
            now.day,
            now.day_net + amount,
            now.week,
            now.week_net + amount,
            now.month,
            now.month_net + amount,
        )


def periods(moment: datetime) -> tuple[int, int, int]:
    """Ordinals of the UTC day, the week from Monday and the month of a moment."""
    day = moment.toordinal()
    return day, day - moment.weekday(), moment.year * 12 + moment.month


class Player(msgspec.Struct, frozen=True, gc=False):
    """A player at a version of the stream; version 0 is a player who does not exist.

    ``rounds`` are the open ones, ``past_rounds`` and, closed since, ``last_rounds`` the others,
    keyed by `round_key`, oldest first; ``open_rounds`` counts all that are open, in memory or not.
    ``holds`` maps a withdrawal's key to its currency and amount. The names ``closed_rounds`` and
    ``just_closed`` are taken: snapshots of earlier releases hold something else under them.
    """

    player_id: str
    version: int = 0
    blocked: bool = False
    recorded_at: datetime | None = None
    wallets: dict[str, Wallet] = {}
    sessions: dict[str, Session] = {}
    rounds: dict[str, Round] = {}
    past_rounds: dict[str, _Packed] = {}
    last_rounds: dict[str, _Packed] = {}
    open_rounds: int = 0
    holds: dict[str, tuple[str, int]] = {}
    limits: dict[str, Limits] = {}
    losses: dict[str, Losses] = {}
    reality_check_min: int | None = None

    def round(self, integration: str, round_id: str) -> Round | None:
        """The round, if it is in memory."""
        return self.find_round(round_key(integration, round_id))

    def find_round(self, key: str) -> Round | None:
        """The round with this `round_key`, if it is in memory."""
        found = self.rounds.get(key)
        if found is None:
            kept = self.last_rounds.get(key) or self.past_rounds.get(key)
            found = None if kept is None else unpacked(kept)
        return found

    def rounds_of(self, movement_key: str) -> Iterator[Round]:
        """The rounds in memory that may hold a bet or a win of this key, newest first."""
        yield from reversed(self.rounds.values())
        wanted = _packed(movement_key)
        for closed in (self.last_rounds, self.past_rounds):
            for kept in reversed(closed.values()):
                if wanted in kept:
                    yield unpacked(kept)


PlayerEvent: TypeAlias = (
    PlayerRegistered
    | WalletOpened
    | SessionOpened
    | SessionClosed
    | PlayerBlocked
    | PlayerUnblocked
    | RealityCheckAcknowledged
    | LimitsSet
    | Deposited
    | Withdrawn
    | WithdrawalHeld
    | WithdrawalConfirmed
    | WithdrawalCancelled
    | BonusGranted
    | BonusConverted
    | BonusForfeited
    | BalanceAdjusted
    | BetPlaced
    | WinCredited
    | BetRefunded
    | RefundRepeated
    | RefundTombstoned
    | WinReversed
    | WinReversalRepeated
    | RoundClosed
)
"""Every event of a player's stream."""


_packed: Final = msgspec.msgpack.Encoder().encode
unpacked: Final = msgspec.msgpack.Decoder(Round).decode
"""A closed round as it was."""


def round_key(integration: str, round_id: str) -> str:
    """Where a round is kept in `Player.rounds`; an integration's name holds no slash."""
    return f"{integration}/{round_id}"


def own_round(key: str) -> str:
    """The round of a movement that names none, by its key; no provider names its rounds so."""
    return f"movement:{key}"


def evolve(  # noqa: C901, PLR0911, PLR0912 - one case an event
    player: Player, event: PlayerEvent
) -> Player:
    """The player's state after the event."""
    match event:
        case BetPlaced():
            return _bet_placed(player, event)
        case WinCredited():
            return _win_credited(player, event)
        case BetRefunded():
            return _bet_refunded(player, event)
        case WinReversed():
            return _win_reversed(player, event)
        case RoundClosed():
            return _close_round(_advance(player, event), event)
        case SessionOpened():
            return _session_opened(player, event)
        case SessionClosed():
            closed = replace(
                player.sessions[event.session], closed=True, closed_by=event.movement_id
            )
            return _advance(player, event, sessions=player.sessions | {event.session: closed})
        case RefundRepeated() | WinReversalRepeated() | RefundTombstoned():
            after = _advance(player, event)
            return _close_round(after, event) if event.closes_round else after
        case PlayerRegistered():
            return _advance(player, event)
        case WalletOpened():
            return _advance(player, event, wallets=player.wallets | {event.currency: Wallet()})
        case (
            Deposited()
            | Withdrawn()
            | BonusGranted()
            | BonusConverted()
            | BonusForfeited()
            | BalanceAdjusted()
        ):
            return _advance(player, event, wallets=_wallets(player, event))
        case WithdrawalHeld():
            holds = player.holds | {event.key: (event.currency, -event.real)}
            return _advance(
                player, event, wallets=_wallets(player, event, -event.real), holds=holds
            )
        case WithdrawalConfirmed() | WithdrawalCancelled():
            holds = {key: hold for key, hold in player.holds.items() if key != event.refers_to}
            return _advance(player, event, wallets=_wallets(player, event, event.held), holds=holds)
        case PlayerBlocked():
            return _advance(player, event, blocked=True)
        case PlayerUnblocked():
            return _advance(player, event, blocked=False)
        case RealityCheckAcknowledged():
            return _advance(player, event, sessions=_clocks_cleared(player.sessions))
        case LimitsSet():
            return _limits_set(player, event)
        case _:
            assert_never(event)


def readmit(player: Player, found: Round) -> Player:
    """The same player with a round that was read back from the log; nothing is booked by it.

    It replaces an older form of the round that may be in memory.
    """
    key = round_key(found.integration, found.round_id)
    return replace(player, **_placed(player, key, found))


def fold_round(player_id: str, events: list[PlayerEvent]) -> Round | None:
    """The round that these events, all of one round in order, leave behind.

    None if none of them opened it.
    """
    player = Player(player_id)
    for event in events:
        player = evolve(player, event)
    kept = player.rounds | player.past_rounds | player.last_rounds
    return player.find_round(next(iter(kept))) if kept else None


def _advance(player: Player, event: PlayerEvent, **changes: object) -> Player:
    return replace(player, version=player.version + 1, recorded_at=event.recorded_at, **changes)


def _wallets(player: Player, event: Movement, held: int = 0) -> dict[str, Wallet]:
    before = player.wallets.get(event.currency)
    now_held = held if before is None else before.held + held
    return player.wallets | {
        event.currency: Wallet(event.balance_real, event.balance_bonus, now_held)
    }


def _losses(player: Player, event: Movement) -> dict[str, Losses]:
    before = player.losses.get(event.currency) or Losses()
    lost = -(event.real + event.bonus)
    return player.losses | {event.currency: before.add(event.recorded_at, lost)}


def _bet_placed(player: Player, event: BetPlaced) -> Player:
    def with_bet(found: Round) -> Round:
        bet = Bet(event.key, -event.real, -event.bonus, game=_other_game(found, event))
        return replace(found, bets=(*found.bets, bet))

    sessions = player.sessions
    session = sessions.get(event.session) if event.session else None
    if session is not None:
        first_bet_at = session.first_bet_at or event.recorded_at
        live = replace(session, last_bet_at=event.recorded_at, first_bet_at=first_bet_at)
        sessions = sessions | {session.session: live}
    return _booked(player, event, with_bet, sessions=sessions)


def _other_game(found: Round, event: GameMovement) -> str | None:
    return None if event.game == found.game else event.game


def _win_credited(player: Player, event: WinCredited) -> Player:
    def with_win(found: Round) -> Round:
        covers = len(found.bets) if event.refers_to is None or event.closes_round else 0
        game = _other_game(found, event)
        win = Win(event.key, event.real, event.bonus, event.refers_to, covers, game=game)
        return replace(found, wins=(*found.wins, win))

    return _booked(player, event, with_win)


def _bet_refunded(player: Player, event: BetRefunded) -> Player:
    def refunded(found: Round) -> Round:
        bets = tuple(
            replace(bet, refunded=True) if bet.key == event.refers_to else bet for bet in found.bets
        )
        return replace(found, bets=bets)

    return _booked(player, event, refunded)


def _win_reversed(player: Player, event: WinReversed) -> Player:
    def reversed_(found: Round) -> Round:
        wins = tuple(
            replace(win, reversed=True) if win.key == event.refers_to else win for win in found.wins
        )
        return replace(found, wins=wins)

    return _booked(player, event, reversed_)


def _booked(
    player: Player,
    event: GameMovement,
    change: Callable[[Round], Round],
    *,
    sessions: dict[str, Session] | None = None,
) -> Player:
    """Book a movement and change its round.

    A round that fell out of memory has nothing to change.
    """
    assert event.round_id is not None
    key = round_key(event.integration, event.round_id)
    found = player.find_round(key)
    if found is None and event.opens_round:
        found = _opened(event, event.round_id)
    placed: dict[str, object] = {}
    if found is not None:
        found = change(found)
        if event.closes_round:
            found = replace(found, closed=True)
        placed = _placed(player, key, found)
    return replace(
        player,
        version=player.version + 1,
        recorded_at=event.recorded_at,
        wallets=_wallets(player, event),
        sessions=player.sessions if sessions is None else sessions,
        open_rounds=player.open_rounds + event.opens_round - event.closes_round,
        losses=_losses(player, event),
        **placed,
    )


def _opened(event: GameMovement, round_id: str) -> Round:
    """A new round; players may leave millions open, which share what is the same in many."""
    game = None if event.game is None else intern(event.game)
    return Round(event.integration, round_id, intern(event.currency), game, event.recorded_at)


def _placed(player: Player, key: str, found: Round) -> dict[str, object]:
    """The fields of the player that change when the round is put where it belongs."""
    if not found.closed:
        return {"rounds": _bounded(player.rounds | {key: found}, OPEN_ROUNDS_MAX)}
    if key in player.past_rounds:
        return {"past_rounds": player.past_rounds | {key: _packed(found)}}
    last_rounds = player.last_rounds | {key: _packed(found)}
    placed: dict[str, object] = {"last_rounds": last_rounds}
    if len(last_rounds) > LAST_ROUNDS_MAX:
        past_rounds = player.past_rounds | last_rounds
        placed = {"past_rounds": _bounded(past_rounds, PAST_ROUNDS_MAX), "last_rounds": {}}
    if key in player.rounds:
        placed["rounds"] = {other: held for other, held in player.rounds.items() if other != key}
    return placed


def _close_round(player: Player, event: GameMovement) -> Player:
    """Close the event's round, which was open; one that fell out of memory is only counted."""
    assert event.round_id is not None
    key = round_key(event.integration, event.round_id)
    found = player.rounds.get(key)
    placed = {} if found is None else _placed(player, key, replace(found, closed=True))
    return replace(player, open_rounds=player.open_rounds - 1, **placed)


_Kept = TypeVar("_Kept", Round, _Packed)


def _bounded(rounds: dict[str, _Kept], most: int) -> dict[str, _Kept]:
    while len(rounds) > most:
        del rounds[next(iter(rounds))]
    return rounds


def _session_opened(player: Player, event: SessionOpened) -> Player:
    """A new session also starts the reality check's clock anew (rule 3)."""
    sessions = _clocks_cleared(player.sessions)
    sessions[event.session] = Session(
        event.session,
        event.integration,
        event.game,
        event.currency,
        event.recorded_at,
        event.parent,
    )
    while len(sessions) > SESSIONS_MAX:
        del sessions[min(sessions, key=lambda key: _use(sessions[key]))]
    return _advance(player, event, sessions=sessions)


def _use(session: Session) -> tuple[bool, datetime]:
    """Sorts sessions: closed ones first, then by their last use, oldest first."""
    return not session.closed, session.last_bet_at or session.opened_at


def _clocks_cleared(sessions: dict[str, Session]) -> dict[str, Session]:
    return {
        key: replace(session, first_bet_at=None) if session.first_bet_at else session
        for key, session in sessions.items()
    }


def _limits_set(player: Player, event: LimitsSet) -> Player:
    limits = player.limits
    if event.currency is not None:
        limits = limits | {
            event.currency: Limits(
                event.max_bet,
                event.loss_limit_day,
                event.loss_limit_week,
                event.loss_limit_month,
            )
        }
    return _advance(player, event, limits=limits, reality_check_min=event.reality_check_min)
