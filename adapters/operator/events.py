"""An event of the ledger as the operator API shows it: nothing is left out, sessions are hashes.

Amounts become signed decimal strings in main units of the event's currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ledger.currencies import Currencies
from ledger.events import Event, Movement
from ledger.money import Currency, to_decimal_string

AMOUNTS: Final = frozenset(
    {
        "held",
        "wire_amount",
        "shortfall",
        "max_bet",
        "loss_limit_day",
        "loss_limit_week",
        "loss_limit_month",
    }
)
"""Fields of events, beyond balances and their change, that hold ledger units."""


Moment = Annotated[datetime, Meta(tz=True)]
"""In ISO 8601, with its offset."""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Both balances of a wallet."""

    real: str
    bonus: str


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of a player's stream, or of a game's.

    `real` and `bonus` are what it changed, `balance` what the wallet held after it (null where no
    wallet was touched). The fields behind `hash` are there where this type of event has them.
    """

    version: int
    type: Annotated[str, Meta(description="Stored name.", examples=["bet_placed.v1"])]
    recorded_at: Moment
    integration: str
    operation: str
    transaction_id: Annotated[str | None, Meta(description="The provider's own id.")]
    movement_id: str
    round_id: str | None
    game: str | None
    currency: str | None
    real: str
    bonus: str
    balance: Balance | None
    hash: Annotated[str, Meta(description="SHA-256, hex: chained over the player's events.")]
    actor: Annotated[str | None, Meta(description="The token's name of the staff behind it.")]
    reason: str | None
    key: str | UnsetType = UNSET
    fingerprint: str | UnsetType = UNSET
    refers_to: str | UnsetType | None = UNSET
    keeps_out: Annotated[
        bool | UnsetType, Meta(description="Whether a bet of the id refers_to is refused from now.")
    ] = UNSET
    held: str | UnsetType = UNSET
    wire_amount: str | UnsetType | None = UNSET
    shortfall: str | UnsetType = UNSET
    session: Annotated[
        str | UnsetType | None, Meta(description="SHA-256 of the session's token, hex.")
    ] = UNSET
    parent: str | UnsetType | None = UNSET
    opens_round: bool | UnsetType = UNSET
    closes_round: bool | UnsetType = UNSET
    tags: dict[str, Any] | UnsetType = UNSET
    exceptions: list[str] | UnsetType = UNSET
    player_id: str | UnsetType = UNSET
    max_bet: str | UnsetType | None = UNSET
    loss_limit_day: str | UnsetType | None = UNSET
    loss_limit_week: str | UnsetType | None = UNSET
    loss_limit_month: str | UnsetType | None = UNSET
    reality_check_min: int | UnsetType | None = UNSET
    previous: dict[str, Any] | UnsetType = UNSET


SHOWN_OTHERWISE: Final = frozenset({"balance_real", "balance_bonus"})
"""Fields of events that the view has under another name."""


def event_view(currencies: Currencies, version: int, event: Event, link: str) -> EventView:
    """The event of that version; ``link`` is its hash in hex."""
    code = getattr(event, "currency", None)
    unit = None if code is None else currencies[code]
    held = {
        name: _shown(name, getattr(event, name), unit)
        for name in event.__struct_fields__
        if name not in SHOWN_OTHERWISE
    }
    absent = dict.fromkeys(("transaction_id", "round_id", "game", "currency"))
    fields: dict[str, Any] = {**absent, "real": _amount(0, unit), "bonus": _amount(0, unit), **held}
    return EventView(
        version=version, type=event.NAME, balance=_balance(event, unit), hash=link, **fields
    )


def _balance(event: Event, unit: Currency | None) -> Balance | None:
    if not isinstance(event, Movement):
        return None
    return Balance(real=_amount(event.balance_real, unit), bonus=_amount(event.balance_bonus, unit))


def _shown(name: str, value: Any, unit: Currency | None) -> Any:
    if name in ("real", "bonus") or (name in AMOUNTS and value is not None):
        return _amount(value, unit)
    if name == "previous":
        return _previous(value, unit)
    return value


def _previous(values: Mapping[str, Any], unit: Currency | None) -> dict[str, Any]:
    return {name: _shown(name, value, unit) for name, value in values.items()}


def _amount(units: int, unit: Currency | None) -> str:
    """The amount; where an event names no currency there is none, and 0 is all it can be."""
    return "0" if unit is None else to_decimal_string(units, unit)
