"""What the ledger can be asked to do, in the imperative, with everything that a decision needs.

Amounts are ledger units (`ledger.money`). A command is plain data: it knows no clock, no database
and no wire format.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, TypeAlias

import msgspec

OPERATOR = "operator"
"""The integration under which the operator's own movements are booked."""

_encode = msgspec.json.Encoder().encode


class Policy(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An integration's switches (rules 3, 5, 7, 8 and 10)."""

    session_ttl_s: int = 86_400
    late_bet: Literal["refuse", "accept"] = "refuse"
    late_win: Literal["refuse", "accept"] = "refuse"
    reversal_shortfall: Literal["negative", "clamp", "refuse"] = "negative"
    stake_order: Literal["real_first", "bonus_first"] = "real_first"


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """When a command is decided, and the movement id that all of its events get.

    Made outside `decide`.
    """

    now: datetime
    movement_id: str


class Wish(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    tag=True,
    tag_field="command",
    omit_defaults=True,
):
    """What the ledger is asked for. ``actor``: the member of staff behind it, None for a provider.

    Tagged, so that it can be handed to another process.
    """

    actor: str | None = None
    reason: str | None = None


class Command(Wish, frozen=True, kw_only=True, gc=False):
    """A wish about one player."""

    player_id: str


# --- the player ---------------------------------------------------------------


class RegisterPlayer(Command, frozen=True, kw_only=True, gc=False):
    """Create the player, or give an existing one a wallet in a further currency."""

    currency: str


class OpenSession(Command, frozen=True, kw_only=True, gc=False):
    """Begin a session whose token hashes to ``session`` (SHA-256, hex).

    With ``parent``, the provider opens it from a launch session, which must be live by ``policy``
    (gpas).
    """

    session: str
    integration: str
    game: str
    currency: str
    parent: str | None = None
    policy: Policy = Policy()


class CloseSession(Command, frozen=True, kw_only=True, gc=False):
    """End a session. ``with_children`` also ends those that were opened from it.

    ``strict``: one that is closed already is refused as session_expired (gpas); else nothing is
    done.
    """

    session: str
    integration: str = OPERATOR
    with_children: bool = True
    strict: bool = False


class BlockPlayer(Command, frozen=True, kw_only=True, gc=False):
    """Refuse the player's bets."""


class UnblockPlayer(Command, frozen=True, kw_only=True, gc=False):
    """Accept the player's bets again."""


class AcknowledgeRealityCheck(Command, frozen=True, kw_only=True, gc=False):
    """The player has seen the reality check."""


class SetLimits(Command, frozen=True, kw_only=True, gc=False):
    """Change limits.

    UNSET leaves one as it is, None removes it. ``max_bet`` and the loss limits are in ``currency``.
    """

    currency: str | None = None
    max_bet: int | msgspec.UnsetType | None = msgspec.UNSET
    loss_limit_day: int | msgspec.UnsetType | None = msgspec.UNSET
    loss_limit_week: int | msgspec.UnsetType | None = msgspec.UNSET
    loss_limit_month: int | msgspec.UnsetType | None = msgspec.UNSET
    reality_check_min: int | msgspec.UnsetType | None = msgspec.UNSET


class ReadPlayer(Command, frozen=True, kw_only=True, gc=False):
    """Ask for the player's state, as fresh as the database has it."""


# --- money ---------------------------------------------------------------


class MoneyCommand(Command, frozen=True, kw_only=True, gc=False):
    """A movement with a key, executed once for ever (rule 1).

    ``key`` is the idempotency key within ``integration``, ``transaction_id`` the caller's own id,
    ``operation`` its name.
    """

    integration: str = OPERATOR
    operation: str
    key: str
    transaction_id: str

    def content(self) -> tuple[Any, ...]:
        """What a repetition must repeat exactly.

        The fields that matter to money and identity (rule 1).
        """
        raise NotImplementedError

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the content, in an encoding without ambiguity."""
        return sha256(_encode((self.operation, self.player_id, *self.content()))).hexdigest()


class OperatorMovement(MoneyCommand, frozen=True, kw_only=True, gc=False):
    """The operator moves money of a player."""

    amount: int
    currency: str

    def content(self) -> tuple[Any, ...]:
        """Currency and amount."""
        return (self.currency, self.amount)


class Deposit(OperatorMovement, frozen=True, kw_only=True, gc=False):
    """Put in real money."""


class Withdraw(OperatorMovement, frozen=True, kw_only=True, gc=False):
    """Take out real money.

    At once, or with ``hold`` set aside until it is confirmed or cancelled.
    """

    hold: bool = False

    def content(self) -> tuple[Any, ...]:
        """Currency, amount and whether it is only held."""
        return (self.currency, self.amount, self.hold)


class GrantBonus(OperatorMovement, frozen=True, kw_only=True, gc=False):
    """Give bonus money."""


class ConvertBonus(OperatorMovement, frozen=True, kw_only=True, gc=False):
    """Turn bonus money into real money."""


class ForfeitBonus(OperatorMovement, frozen=True, kw_only=True, gc=False):
    """Take bonus money away."""


class AdjustBalance(OperatorMovement, frozen=True, kw_only=True, gc=False):
    """Correct real money either way: ``amount`` is signed; a reason is required."""


class SettleWithdrawal(MoneyCommand, frozen=True, kw_only=True, gc=False):
    """Confirm or cancel a held withdrawal, named by the key it was booked under."""

    withdrawal_key: str

    def content(self) -> tuple[Any, ...]:
        """The withdrawal."""
        return (self.withdrawal_key,)


class ConfirmWithdrawal(SettleWithdrawal, frozen=True, kw_only=True, gc=False):
    """The held money was paid out."""


class CancelWithdrawal(SettleWithdrawal, frozen=True, kw_only=True, gc=False):
    """The held money is playable again."""


# --- the game ---------------------------------------------------------------


class GameCommand(MoneyCommand, frozen=True, kw_only=True, gc=False):
    """A call of a game provider.

    ``session`` is the SHA-256 (hex) of the session token; None only where the protocol sends the
    call outside of sessions. ``tags`` are kept on the event; ``exceptions`` are what the adapter
    found odd.
    """

    policy: Policy
    session: str | None = None
    game: str | None = None
    round_id: str | None = None
    currency: str | None = None
    closes_round: bool = False
    tags: Mapping[str, Any] = {}
    exceptions: tuple[str, ...] = ()


class PlaceBet(GameCommand, frozen=True, kw_only=True, gc=False):
    """Take a stake of ``amount`` (0 included).

    ``currency`` and ``session`` are always known; without ``round_id`` it is a round by itself.
    """

    amount: int

    def content(self) -> tuple[Any, ...]:
        """Currency, amount, round and game."""
        return (self.currency, self.amount, self.round_id or self.key, self.game)


class CreditWin(GameCommand, frozen=True, kw_only=True, gc=False):
    """Pay a win of ``amount`` (0 = lost).

    ``bet_key`` is the key of the bet it names, where the protocol names one.

    Tags named in `BETLESS_TAGS` allow a win without a bet (rule 5), and so does naming neither bet
    nor round.
    """

    amount: int
    bet_key: str | None = None

    def content(self) -> tuple[Any, ...]:
        """Currency, amount, round, game and the bet."""
        return (self.currency, self.amount, self.round_id, self.game, self.bet_key)


BETLESS_TAGS = frozenset({"promo", "free_spin", "tournament", "jackpot"})
"""Tags under which a win needs no bet (rule 5)."""


class Reversal(GameCommand, frozen=True, kw_only=True, gc=False):
    """Undo an earlier movement, named by its key.

    ``amount`` and ``currency`` only where they are on the wire. ``acknowledged``: the protocol has
    no refusal for an original that is no bet of the player's, so that the refund is booked even
    where it gives nothing back, and ends its round if it says so.
    """

    original_key: str
    amount: int | None = None
    acknowledged: bool = False

    def content(self) -> tuple[Any, ...]:
        """Currency, amount, round, game and the original."""
        return (self.currency, self.amount, self.round_id, self.game, self.original_key)


class RefundBet(Reversal, frozen=True, kw_only=True, gc=False):
    """Give a bet's stake back."""


class ReverseWin(Reversal, frozen=True, kw_only=True, gc=False):
    """Take a win back."""


class RollbackMovement(Reversal, frozen=True, kw_only=True, gc=False):
    """Undo a bet or a win, whichever the key names (gpas); an unknown one is taken for a bet."""


class CloseRound(GameCommand, frozen=True, kw_only=True, gc=False):
    """Close an open round without moving money (staff, or rule 12).

    ``movements``: only one that still has so many bets and wins; None: whatever came to it.
    """

    movements: int | None = None

    def content(self) -> tuple[Any, ...]:
        """The round."""
        return (self.round_id,)


class ReadBalance(Command, frozen=True, kw_only=True, gc=False):
    """A provider's balance call.

    Needs a live session; ``currency`` is compared where it is on the wire.
    """

    integration: str
    session: str
    policy: Policy
    currency: str | None = None


# --- the games themselves ---------------------------------------------------------------


class SetGame(Wish, frozen=True, kw_only=True, gc=False):
    """Enable or disable a game of an integration for new bets."""

    integration: str
    game: str
    enabled: bool


AnyCommand: TypeAlias = (
    RegisterPlayer
    | OpenSession
    | CloseSession
    | BlockPlayer
    | UnblockPlayer
    | AcknowledgeRealityCheck
    | SetLimits
    | ReadPlayer
    | Deposit
    | Withdraw
    | GrantBonus
    | ConvertBonus
    | ForfeitBonus
    | AdjustBalance
    | ConfirmWithdrawal
    | CancelWithdrawal
    | PlaceBet
    | CreditWin
    | RefundBet
    | ReverseWin
    | RollbackMovement
    | CloseRound
    | ReadBalance
    | SetGame
)
"""Every command there is."""
