"""Balances: what every wallet holds now.

Each event's balance is checked against the one before it, here within a batch and in the database
between batches.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from ledger import arrays
from ledger.events import (
    Movement,
    WalletOpened,
    WithdrawalCancelled,
    WithdrawalConfirmed,
    WithdrawalHeld,
)
from projections.entries import Entry, names_of, pick
from projections.writes import BrokenView, Change, Packed, Write, timestamps

_NAMES: Final = names_of(WalletOpened, Movement)
_LEAP: Final = "its balance does not follow from the one before it"


class _Wallet:
    __slots__ = (
        "bonus",
        "bonus_change",
        "held",
        "opened",
        "real",
        "real_change",
        "updated_at",
        "version",
    )

    def __init__(self, real: int, bonus: int, opened: bool) -> None:  # noqa: FBT001 - inner
        self.real = real
        self.bonus = bonus
        self.held = 0
        self.real_change = 0
        self.bonus_change = 0
        self.version = 0
        self.updated_at = 0
        self.opened = opened


class Balances:
    """One row a wallet."""

    name: Final = "balances"
    tables: Final = ("balances",)

    def fold(self, entries: Sequence[Entry]) -> list[Change]:
        """Wallets opened and moved. Raises `BrokenView` where balances do not follow."""
        wallets: dict[tuple[str, str], _Wallet] = {}
        for entry, event in pick(entries, _NAMES):
            key = (entry.player_id, event.currency)
            wallet = wallets.get(key)
            if isinstance(event, WalletOpened):
                if wallet is not None:
                    raise BrokenView(f"{entry}: the wallet is open already")
                wallets[key] = wallet = _Wallet(0, 0, opened=True)
            else:
                if wallet is None:
                    wallets[key] = wallet = _Wallet(
                        event.balance_real - event.real,
                        event.balance_bonus - event.bonus,
                        opened=False,
                    )
                _move(entry, wallet, event)
            wallet.version = entry.version
            wallet.updated_at = entry.moment
        return _changes(wallets)


def held_change(event: Movement) -> int:
    """What an event adds to the money held for withdrawals."""
    if isinstance(event, WithdrawalHeld):
        return -event.real
    if isinstance(event, WithdrawalConfirmed | WithdrawalCancelled):
        return event.held
    return 0


def _move(entry: Entry, wallet: _Wallet, event: Movement) -> None:
    wallet.real += event.real
    wallet.bonus += event.bonus
    if wallet.real != event.balance_real or wallet.bonus != event.balance_bonus:
        raise BrokenView(f"{entry}: {_LEAP}")
    wallet.real_change += event.real
    wallet.bonus_change += event.bonus
    wallet.held += held_change(event)


def _changes(wallets: dict[tuple[str, str], _Wallet]) -> list[Change]:
    opened = {key: wallet for key, wallet in wallets.items() if wallet.opened}
    moved = {key: wallet for key, wallet in wallets.items() if not wallet.opened}
    changes: list[Change] = []
    if opened:
        changes.append(Write("open_balances", _columns(opened, opened.values()), len(opened)))
    if moved:
        columns = _columns(moved, moved.values())
        columns.append(Packed(arrays.bigints([wallet.real_change for wallet in moved.values()])))
        columns.append(Packed(arrays.bigints([wallet.bonus_change for wallet in moved.values()])))
        changes.append(Write("move_balances", columns, len(moved), _leap(moved)))
    return changes


def _leap(moved: Collection[tuple[str, str]]) -> str:
    """What is wrong where the wallets do not stand where the events say; a single one is named."""
    if len(moved) > 1:
        return f"one of {len(moved)} wallets: {_LEAP}"
    ((player_id, currency),) = moved
    return f"{player_id} {currency}: {_LEAP}"


def _columns(keys: Collection[tuple[str, str]], wallets: Collection[_Wallet]) -> list[Packed]:
    return [
        Packed(arrays.texts([player_id for player_id, _ in keys])),
        Packed(arrays.texts([currency for _, currency in keys])),
        Packed(arrays.bigints([wallet.real for wallet in wallets])),
        Packed(arrays.bigints([wallet.bonus for wallet in wallets])),
        Packed(arrays.bigints([wallet.held for wallet in wallets])),
        Packed(arrays.bigints([wallet.version for wallet in wallets])),
        timestamps([wallet.updated_at for wallet in wallets]),
    ]
