"""What a provider means by a call, in terms of the wallet and free of any wire format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Operation = Literal["balance", "bet", "win", "refund", "reverse_win", "close_session"]


@dataclass(eq=False, slots=True)
class Session:
    """A game session that the operator opened. Its tokens come later; the model reads none."""

    integration: str
    game: str
    currency: str
    opened: bool = True
    """False for a token that nobody ever gave out."""
    live: bool = True
    token: str = ""
    """What the provider's calls carry."""
    launch_token: str = ""
    """What the operator was given: ``token`` too, unless the provider opens its own sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a provider. ``amount`` is in hundred-thousandths of the main unit."""

    integration: str
    operation: Operation
    player_id: str
    session: Session
    currency: str
    game: str
    round_id: str = ""
    transaction_id: str = ""
    amount: int = 0
    refers_to: str = ""
    """The provider's id of the bet that a win names, or of the movement that is to be undone."""
    closes_round: bool = False
    tag: str = ""
    """jackpot, promo, tournament or free_spin."""

    def content(self) -> tuple[str | int, ...]:
        """What a repetition under the same id must repeat (rule 1)."""
        return (
            self.operation,
            self.player_id,
            self.currency,
            self.amount,
            self.round_id,
            self.game,
            self.refers_to,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """How one integration is configured to behave, and what its protocol can say."""

    name: str
    ids_per_operation: bool = False
    """The provider may use one transaction id for a bet and for its refund."""
    wins_name_bets: bool = True
    """A win carries the id of its bet, not only the round's."""
    replay_balance: str = "original"
    replay: str = "success"
    late_bet: str = "refuse"
    late_win: str = "refuse"
    reversal_shortfall: str = "negative"
    stake_order: str = "real_first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a call must be answered with: a refusal's name, or None and the balances to show."""

    refusal: str | None = None
    real: int = 0
    bonus: int = 0
    moved_bonus: int = 0
    """The bonus part of what moved, without sign."""
    movement: int | None = None
    """Number of the booked movement; every answer with one number carries the same movement id."""
    replayed: bool = False
