"""The facts of the ledger, in the past tense, as they are stored for ever.

An event is never changed and never removed; a new need gets a new versioned name. Amounts are
ledger units: ``real`` and ``bonus`` are what the event changed (signed), ``balance_real`` and
``balance_bonus`` what the wallet held after it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What every event carries.

    ``recorded_at`` is UTC and never goes back within a player's stream. ``movement_id`` is that of
    the command: where one books several events they share it.
    """

    NAME: ClassVar[str]
    """The versioned name under which the event is stored."""

    movement_id: str
    recorded_at: datetime
    integration: str = "operator"
    operation: str
    actor: str | None = None
    reason: str | None = None


# --- the player ---------------------------------------------------------------


class PlayerRegistered(Event, frozen=True, kw_only=True, gc=False):
    """The player's stream begins; no wallet yet."""

    NAME = "player_registered.v1"

    player_id: str


class WalletOpened(Event, frozen=True, kw_only=True, gc=False):
    """The player got a wallet in a currency, empty."""

    NAME = "wallet_opened.v1"

    currency: str


class SessionOpened(Event, frozen=True, kw_only=True, gc=False):
    """A game session began.

    ``session`` is the SHA-256 of its token in hex; the token itself is kept nowhere.

    ``parent`` is the launch session from which the provider opened this one (gpas).
    """

    NAME = "session_opened.v1"

    session: str
    game: str
    currency: str
    parent: str | None = None


class SessionClosed(Event, frozen=True, kw_only=True, gc=False):
    """A session was ended by the operator or by the provider."""

    NAME = "session_closed.v1"

    session: str


class PlayerBlocked(Event, frozen=True, kw_only=True, gc=False):
    """Bets are refused from here on; wins and refunds are still booked (rule 4)."""

    NAME = "player_blocked.v1"


class PlayerUnblocked(Event, frozen=True, kw_only=True, gc=False):
    """Bets are accepted again."""

    NAME = "player_unblocked.v1"


class RealityCheckAcknowledged(Event, frozen=True, kw_only=True, gc=False):
    """The player has seen the reality check (rule 3)."""

    NAME = "reality_check_acknowledged.v1"


class LimitsSet(Event, frozen=True, kw_only=True, gc=False):
    """Limits after the change, and before it under ``previous``.

    None = no limit. Amounts in ledger units.
    """

    NAME = "limits_set.v1"

    currency: str | None = None
    max_bet: int | None = None
    loss_limit_day: int | None = None
    loss_limit_week: int | None = None
    loss_limit_month: int | None = None
    reality_check_min: int | None = None
    previous: dict[str, Any] = {}


# --- money ---------------------------------------------------------------


class Movement(Event, frozen=True, kw_only=True, gc=False):
    """An event that carries a transaction key, and so is booked once for ever (rule 1).

    ``key`` is the idempotency key within the integration, ``transaction_id`` the id as the caller
    sent it, ``fingerprint`` the SHA-256 (hex) of the content that a repetition must match.
    """

    key: str
    transaction_id: str
    fingerprint: str
    currency: str
    real: int = 0
    bonus: int = 0
    balance_real: int
    balance_bonus: int


class Deposited(Movement, frozen=True, kw_only=True, gc=False):
    """Real money came in."""

    NAME = "deposited.v1"


class Withdrawn(Movement, frozen=True, kw_only=True, gc=False):
    """Real money went out, at once and finally."""

    NAME = "withdrawn.v1"


class WithdrawalHeld(Movement, frozen=True, kw_only=True, gc=False):
    """Real money was set aside for a withdrawal: no longer playable, not yet paid out."""

    NAME = "withdrawal_held.v1"


class WithdrawalConfirmed(Movement, frozen=True, kw_only=True, gc=False):
    """Held money was paid out. ``held`` is the change of what is held."""

    NAME = "withdrawal_confirmed.v1"

    refers_to: str
    held: int


class WithdrawalCancelled(Movement, frozen=True, kw_only=True, gc=False):
    """Held money became playable again. ``held`` is the change of what is held."""

    NAME = "withdrawal_cancelled.v1"

    refers_to: str
    held: int


class BonusGranted(Movement, frozen=True, kw_only=True, gc=False):
    """Bonus money was given."""

    NAME = "bonus_granted.v1"


class BonusConverted(Movement, frozen=True, kw_only=True, gc=False):
    """Bonus money became real money."""

    NAME = "bonus_converted.v1"


class BonusForfeited(Movement, frozen=True, kw_only=True, gc=False):
    """Bonus money was taken away."""

    NAME = "bonus_forfeited.v1"


class BalanceAdjusted(Movement, frozen=True, kw_only=True, gc=False):
    """Real money was corrected by staff, either way; the reason is on the event."""

    NAME = "balance_adjusted.v1"


# --- the game ---------------------------------------------------------------


class GameMovement(Movement, frozen=True, kw_only=True, gc=False):
    """A movement of a provider's game.

    ``tags`` are the provider's own marks (jackpot, promo, tournament, free spin, campaign);
    ``exceptions`` name what was odd about the call, for the list of exceptions. ``opens_round`` and
    ``closes_round``: what the movement did to its round.
    """

    round_id: str | None = None
    game: str | None = None
    session: str | None = None
    opens_round: bool = False
    closes_round: bool = False
    tags: dict[str, Any] = {}
    exceptions: tuple[str, ...] = ()


class BetPlaced(GameMovement, frozen=True, kw_only=True, gc=False):
    """A stake was taken; 0 is a stake too (rule 6)."""

    NAME = "bet_placed.v1"


class WinCredited(GameMovement, frozen=True, kw_only=True, gc=False):
    """A win was paid.

    0 is a lost round. ``refers_to`` is the key of the bet it names, if it names one.
    """

    NAME = "win_credited.v1"

    refers_to: str | None = None


class BetRefunded(GameMovement, frozen=True, kw_only=True, gc=False):
    """A stake went back in its exact split (rule 7).

    ``wire_amount``: what the call asked for, where it differs.
    """

    NAME = "bet_refunded.v1"

    refers_to: str
    wire_amount: int | None = None


class RefundRepeated(GameMovement, frozen=True, kw_only=True, gc=False):
    """A refund of a bet that was refunded already, under another id: moves nothing (rule 9)."""

    NAME = "refund_repeated.v1"

    refers_to: str


class RefundTombstoned(GameMovement, frozen=True, kw_only=True, gc=False):
    """A refund came for a bet that is not there.

    The bet is refused should it come later (rule 8). Not ``keeps_out``: the id is there, as that of
    something else (a win, another player's bet), which stays as it is.
    """

    NAME = "refund_tombstoned.v1"

    refers_to: str
    keeps_out: bool = True


class WinReversed(GameMovement, frozen=True, kw_only=True, gc=False):
    """A win was taken back (rule 10).

    ``shortfall``: what could not be taken because it was spent.
    """

    NAME = "win_reversed.v1"

    refers_to: str
    shortfall: int = 0
    wire_amount: int | None = None


class WinReversalRepeated(GameMovement, frozen=True, kw_only=True, gc=False):
    """A reversal of a win that was reversed already, under another id: moves nothing (rule 9)."""

    NAME = "win_reversal_repeated.v1"

    refers_to: str


class RoundClosed(GameMovement, frozen=True, kw_only=True, gc=False):
    """A round was closed without a movement, by staff or because it expired (rule 12)."""

    NAME = "round_closed.v1"


def in_its_round(event: GameMovement) -> bool:
    """Whether an event is one of the round that it names.

    A tombstone, whose bet never came, is where it closed the round.
    """
    return event.closes_round or not isinstance(event, RefundTombstoned)


# --- the games themselves ---------------------------------------------------------------


class GameEnabled(Event, frozen=True, kw_only=True, gc=False):
    """Bets on the game are accepted."""

    NAME = "game_enabled.v1"

    game: str


class GameDisabled(Event, frozen=True, kw_only=True, gc=False):
    """Bets on the game are refused."""

    NAME = "game_disabled.v1"

    game: str


EVENT_TYPES: dict[str, type[Event]] = {
    kind.NAME: kind
    for kind in (
        PlayerRegistered,
        WalletOpened,
        SessionOpened,
        SessionClosed,
        PlayerBlocked,
        PlayerUnblocked,
        RealityCheckAcknowledged,
        LimitsSet,
        Deposited,
        Withdrawn,
        WithdrawalHeld,
        WithdrawalConfirmed,
        WithdrawalCancelled,
        BonusGranted,
        BonusConverted,
        BonusForfeited,
        BalanceAdjusted,
        BetPlaced,
        WinCredited,
        BetRefunded,
        RefundRepeated,
        RefundTombstoned,
        WinReversed,
        WinReversalRepeated,
        RoundClosed,
        GameEnabled,
        GameDisabled,
    )
}
"""Every kind of event by its stored name."""
