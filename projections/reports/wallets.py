"""A player's wallets as they stood at a moment, read from the events around it.

Balances stand on the events; what is held is the sum of the withdrawals before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, cast

from ledger.codec import UnreadableEvent, open_state, partition_of, player_stream
from ledger.events import (
    Movement,
    WalletOpened,
    WithdrawalCancelled,
    WithdrawalConfirmed,
    WithdrawalHeld,
)
from ledger.player import Wallet
from projections.balances import held_change
from projections.entries import names_of
from projections.reports.source import Snapshot, open_snapshot

MOVEMENT_TYPES: Final = sorted(names_of(Movement))
"""The stored names of every movement."""

_HELD: Final = sorted(
    names_of(WalletOpened, WithdrawalHeld, WithdrawalConfirmed, WithdrawalCancelled)
)
_LEAST: Final = timedelta(microseconds=1)

WalletsThen: TypeAlias = tuple[int, dict[str, Wallet]]
"""The player's version, 0 where nothing was recorded yet, and the wallets, oldest first."""


async def wallets_at(url: str, partitions: int, player_id: str, at: datetime) -> WalletsThen:
    """The player's wallets with all that was recorded up to that moment, itself included.

    Raises `ledger.codec.UnreadableEvent` and `psycopg.Error`.
    """
    stream = player_stream(player_id)
    async with open_snapshot(url, partition_of(player_id, partitions), ()) as snapshot:
        head = await snapshot.value("stream_head", (stream,))
        behind = await first_since(snapshot, stream, at + _LEAST, head)
        return behind - 1, await wallets_before(snapshot, stream, behind)


async def first_since(snapshot: Snapshot, stream: str, moment: datetime, head: int) -> int:
    """The first version recorded at that moment or later; behind the head where there is none.

    Recorded time never goes back within a player, so that halving finds it.
    """
    low, high = 1, head + 1
    while low < high:
        middle = (low + high) // 2
        rows = await snapshot.rows("stream_event", (stream, middle))
        if not rows:
            raise UnreadableEvent(f"{stream} has no version {middle}")
        if open_state(*rows[0])[1].recorded_at < moment:
            low = middle + 1
        else:
            high = middle
    return low


async def wallets_before(snapshot: Snapshot, stream: str, before: int) -> dict[str, Wallet]:
    """The wallets as they stood before a version."""
    held: dict[str, int] = {}
    for name, state in await snapshot.rows("stream_of_kinds", (stream, before, _HELD)):
        event: Any = open_state(name, state)[1]
        change = held_change(event) if isinstance(event, Movement) else 0
        held[event.currency] = held.get(event.currency, 0) + change
    found: dict[str, Wallet] = {}
    for code, units in held.items():
        bears = f'"currency":"{code}"'.encode()
        rows = await snapshot.rows("stream_last_with", (stream, before, MOVEMENT_TYPES, bears))
        found[code] = Wallet(held=units)
        for name, state in rows:
            moved = cast("Movement", open_state(name, state)[1])
            found[code] = Wallet(moved.balance_real, moved.balance_bonus, units)
    return found
