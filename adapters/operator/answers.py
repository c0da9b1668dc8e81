"""What the operator API answers, and how the ledger's state becomes it.

Amounts are exact decimal strings in main units, with the currency's ISO digits at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from adapters.operator.events import Balance, EventView, Moment
from ledger.currencies import Currencies
from ledger.money import to_decimal_string
from ledger.player import Limits, Player, Wallet


class WalletView(msgspec.Struct, frozen=True, kw_only=True):
    """A player's money in one currency.

    `total` can be played with; `held` is set aside for withdrawals and part of neither balance.
    """

    currency: str
    real: str
    bonus: str
    total: str
    held: str


class PlayerView(msgspec.Struct, frozen=True, kw_only=True):
    """A player as of `version`. `open_rounds` is how many rounds are open."""

    player_id: str
    status: Literal["active", "blocked"]
    version: int
    wallets: list[WalletView]
    open_rounds: int


class WalletsAt(msgspec.Struct, frozen=True, kw_only=True):
    """The player's wallets as they stood at a moment; version 0: nothing was recorded yet."""

    at: Moment
    version: int
    wallets: list[WalletView]


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A new session. The token is shown this once and kept nowhere."""

    session_token: str
    expires_at: Annotated[
        Moment, Meta(description="Unless bets prolong it: the time counts from the last one.")
    ]


class MovementView(msgspec.Struct, frozen=True, kw_only=True):
    """What was booked; a replay answers the same again. `wallet` is as the movement left it."""

    movement_id: str
    player_id: str
    operation: str
    reference: str
    version: int
    recorded_at: Moment
    currency: str
    real: str
    bonus: str
    balance: Balance
    wallet: WalletView


class CurrencyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in one currency; null = none."""

    currency: str
    max_bet: str | None
    loss_limit_day: str | None
    loss_limit_week: str | None
    loss_limit_month: str | None


class LimitsView(msgspec.Struct, frozen=True, kw_only=True):
    """A player's limits, in every currency that has a wallet."""

    player_id: str
    version: int
    reality_check_min: int | None
    limits: list[CurrencyLimits]


class GameView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether bets on a game are accepted."""

    integration: str
    game: str
    enabled: bool


class GameHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Whether bets on a game are accepted, and who switched it when and why, the oldest first.

    A game that nobody ever switched is enabled.
    """

    integration: str
    game: str
    enabled: bool
    events: list[EventView]


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events in order of their version. `next` is the `after` of the next page, null at the end."""

    events: list[EventView]
    next: int | None


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's call as it came and as it was answered, without tokens and signatures."""

    received_at: Annotated[
        Moment, Meta(description="When its last byte was there; answered duration_us later.")
    ]
    operation: str
    method: str
    path: str
    query: str
    body: str
    status: int
    answer: str
    outcome: Annotated[str, Meta(description="ok, replayed or the refusal.")]
    player_id: str | None
    duration_us: int
    remote: str | None
    key_id: str | None
    trace_id: str | None


class TransactionView(msgspec.Struct, frozen=True, kw_only=True):
    """A movement that bears the id, and the provider's calls that carried it."""

    operation: str
    player_id: str
    round_id: str | None
    event: EventView
    calls: list[CallView]


class TransactionsView(msgspec.Struct, frozen=True, kw_only=True):
    """Every movement that bears the id, and the provider's calls that carried it."""

    transactions: list[TransactionView]
    calls_left_out: Annotated[
        int,
        Meta(description="Of more than 100 calls only the first 50 and the last 50 are shown."),
    ]


def wallet_view(currencies: Currencies, code: str, wallet: Wallet) -> WalletView:
    """A wallet of that currency."""
    unit = currencies[code]
    return WalletView(
        currency=code,
        real=to_decimal_string(wallet.real, unit),
        bonus=to_decimal_string(wallet.bonus, unit),
        total=to_decimal_string(wallet.total, unit),
        held=to_decimal_string(wallet.held, unit),
    )


def wallet_views(currencies: Currencies, wallets: Mapping[str, Wallet]) -> list[WalletView]:
    """Every wallet, oldest first."""
    return [wallet_view(currencies, code, wallet) for code, wallet in wallets.items()]


def player_view(currencies: Currencies, player: Player) -> PlayerView:
    """The player."""
    return PlayerView(
        player_id=player.player_id,
        status="blocked" if player.blocked else "active",
        version=player.version,
        wallets=wallet_views(currencies, player.wallets),
        open_rounds=player.open_rounds,
    )


def limits_view(currencies: Currencies, player: Player) -> LimitsView:
    """The player's limits."""
    return LimitsView(
        player_id=player.player_id,
        version=player.version,
        reality_check_min=player.reality_check_min,
        limits=[
            _currency_limits(currencies, code, player.limits.get(code, Limits()))
            for code in player.wallets
        ],
    )


def _currency_limits(currencies: Currencies, code: str, limits: Limits) -> CurrencyLimits:
    unit = currencies[code]
    return CurrencyLimits(
        currency=code,
        **{
            name: None if value is None else to_decimal_string(value, unit)
            for name, value in msgspec.structs.asdict(limits).items()
        },
    )


def call_view(row: Mapping[str, Any]) -> CallView:
    """A row of the call journal."""
    fields = {name: row[name] for name in CallView.__struct_fields__}
    fields["received_at"] = row["received_at"].astimezone(UTC)
    for name in ("body", "answer"):
        fields[name] = row[name].decode(errors="backslashreplace")
    return CallView(**fields)
