"""What calls of the operator API take: JSON bodies and queries. An unknown field is refused."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from adapters.providers.payload import ID_LENGTH_MAX

EVENTS_PAGE_MAX: Final = 1_000
"""Events on one page at most."""

PATH_LENGTH_MAX: Final = {"transaction_id": 3 * ID_LENGTH_MAX, "round_id": 2 * ID_LENGTH_MAX}
"""Characters that a variable of a path may have, where more than an id's: a key of ours may have a
player and a round in front, a round of ours is called after its movement's key."""

_NO_NUL: Final = {"pattern": r"^[^\x00]*$"}

Identifier = Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX, extra_json_schema=_NO_NUL)]
CurrencyCode = Annotated[
    str,
    Meta(min_length=2, max_length=12, description="ISO 4217 or configured.", examples=["EUR"]),
]


def _amount(which: str, example: str, before: str = "", *, max_length: int = 64) -> Meta:
    """A decimal string; ``before``: what its pattern has in front of the digits."""
    return Meta(
        max_length=max_length,
        description=f"Decimal in main units{which}, no finer than the currency's scale; a number"
        " is refused.",
        examples=[example],
        extra_json_schema={"pattern": rf"^{before}[0-9]+(\.[0-9]+)?$"},
    )


_NOT_ZERO: Final = "(?=.*[1-9])"

Amount = Annotated[str, _amount(", more than 0", "12.50", _NOT_ZERO)]
LimitAmount = Annotated[str, _amount("", "100.00")]
SignedAmount = Annotated[
    str, _amount(", negative to take away, not 0", "-12.50", f"{_NOT_ZERO}-?", max_length=65)
]
Reason = Annotated[
    str,
    Meta(pattern=r"\S", max_length=500, description="Why, not blank; it is kept on the event."),
]


Edge = Annotated[
    str,
    Meta(
        description="A date as YYYY-MM-DD (a whole day in the time zone), or a date with its time"
        " in ISO 8601.",
        examples=["2025-01-31"],
    ),
]
"""Where a period begins or ends."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call's input. ``SCHEMA``: what JSON Schema can say of it and its fields cannot."""

    SCHEMA: ClassVar[dict[str, Any]] = {}


class PlayerBody(Body, frozen=True, kw_only=True):
    """A player, or a further currency of one."""

    player_id: Identifier
    currency: CurrencyCode


class SessionBody(Body, frozen=True, kw_only=True):
    """Where a session is to be opened."""

    integration: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=ID_LENGTH_MAX,
            description="A configured integration.",
            extra_json_schema=_NO_NUL,
        ),
    ]
    game: Identifier
    currency: CurrencyCode


class ReasonBody(Body, frozen=True, kw_only=True):
    """Why, where somebody says so. The body may be left out."""

    reason: Reason | None = None


class MovementBody(Body, frozen=True, kw_only=True):
    """Money of a player. The same reference with the same content is executed once for ever."""

    reference: Identifier
    amount: Amount
    currency: CurrencyCode
    reason: Reason | None = None


class WithdrawalBody(MovementBody, frozen=True, kw_only=True):
    """A withdrawal of real money: final at once, or held until it is confirmed or cancelled."""

    hold: bool = False


class AdjustmentBody(Body, frozen=True, kw_only=True):
    """A correction of real money, either way."""

    reference: Identifier
    amount: SignedAmount
    currency: CurrencyCode
    reason: Reason


class LimitsBody(Body, frozen=True, kw_only=True):
    """The limits to change: null removes one, and what is left out stays as it is.

    `currency` may be left out where the player has one wallet only; `period` goes with
    `loss_limit`.
    """

    SCHEMA = {
        "anyOf": [{"required": [name]} for name in ("max_bet", "loss_limit", "reality_check_min")],
        "dependentRequired": {"loss_limit": ["period"]},
    }

    currency: CurrencyCode | None = None
    max_bet: LimitAmount | UnsetType | None = UNSET
    loss_limit: LimitAmount | UnsetType | None = UNSET
    period: Literal["day", "week", "month"] | None = None
    reality_check_min: (
        Annotated[int, Meta(ge=1, le=1440, description="Minutes.")] | UnsetType | None
    ) = UNSET
    reason: Reason | None = None


class GameBody(Body, frozen=True, kw_only=True):
    """Whether bets on the game are accepted."""

    enabled: bool
    reason: Reason


class EventsQuery(Body, frozen=True, kw_only=True):
    """Which page of a player's events."""

    after: Annotated[
        int, Meta(ge=0, le=2**62, description="Version behind which the page begins.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=EVENTS_PAGE_MAX)] = 100


class WalletQuery(Body, frozen=True, kw_only=True):
    """As it stood when; now, where left out."""

    at: Annotated[
        str | None,
        Meta(
            description="A date with its time in ISO 8601, UTC without an offset, or a date as"
            " YYYY-MM-DD: its first moment in UTC. Events at exactly that moment are included."
            " More than a minute ahead is refused.",
            examples=["2025-01-31T12:00:00Z"],
        ),
    ] = None
