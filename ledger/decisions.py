"""What `decide` may answer, and what it may be told beyond the player's state."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from ledger.commands import Command, MoneyCommand, Stamp
from ledger.events import Event, Movement, RefundTombstoned
from ledger.money import UNITS_MAX
from ledger.player import Player, PlayerEvent, Session, Wallet
from ledger.refusals import Refusal, Refused

TOMBSTONE: Final = "tombstone"
"""Kind of the entry that keeps a refunded bet's key from ever being used (rule 8)."""

Key: TypeAlias = tuple[str, str]
"""Integration and idempotency key."""


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """A key that was used.

    By whom, at which version of the player's stream, and the event it stands for.

    ``kind`` is the event's stored name, or `TOMBSTONE` for the key of a bet that was refunded
    before it came.
    """

    player_id: str
    version: int
    kind: str
    event: Movement


class Recent(Protocol):
    """Keys used lately, with what became of them."""

    def __contains__(self, key: Key, /) -> bool: ...

    def get(self, key: Key, /) -> Transaction | None:
        """What became of a key; None where that is not known here."""


class Known(msgspec.Struct):
    """What is known beyond the player's state.

    ``recent`` are keys used lately. ``transactions``, ``absent_rounds`` and ``sessions`` hold what
    was looked up or happened within the batch; None in them, and a round in ``absent_rounds``,
    means: looked up, and not there.
    """

    recent: Recent
    transactions: dict[Key, Transaction | None] = {}
    absent_rounds: set[tuple[str, str, str]] = set()
    sessions: dict[str, tuple[str, Session] | None] = {}
    disabled_games: set[Key] = set()

    def transaction(self, key: Key) -> Transaction | None:
        """The transaction of a key, None when none is known."""
        return self.transactions.get(key) or self.recent.get(key)

    def is_settled(self, key: Key) -> bool:
        """Whether it is known for certain if the key was used."""
        return key in self.transactions or key in self.recent

    def learn(self, found: dict[Key, Transaction | None]) -> None:
        """Take in what was looked up; a key that the batch itself has used since stays used."""
        self.transactions = found | self.transactions


class Recall(msgspec.Struct, frozen=True):
    """What `decide` must know before it can judge.

    Keys, a round of the player (integration, round id), a session.
    """

    transaction: Key | None = None
    round: tuple[str, str] | None = None
    session: str | None = None


class Replayed(msgspec.Struct, frozen=True):
    """The command was executed before: the first answer again, and nothing is appended (rule 1)."""

    transaction: Transaction


Decision: TypeAlias = tuple[PlayerEvent, ...] | Refused | Replayed | Recall
"""Events to append (none: there is nothing to do), a refusal, a replay, or a question."""


def moment(player: Player, stamp: Stamp) -> datetime:
    """The time to record: never before what the player's stream holds already."""
    if player.recorded_at is not None and player.recorded_at > stamp.now:
        return player.recorded_at
    return stamp.now


def about(player: Player, command: Command, stamp: Stamp, operation: str) -> dict[str, Any]:
    """The fields that every event takes from its command."""
    return {
        "movement_id": stamp.movement_id,
        "recorded_at": moment(player, stamp),
        "operation": operation,
        "actor": command.actor,
        "reason": command.reason,
    }


def about_money(
    player: Player, command: MoneyCommand, stamp: Stamp, currency: str, change: Wallet
) -> dict[str, Any]:
    """The fields that every movement takes from its command.

    ``change`` is what it adds to the wallet (signed).
    """
    before = player.wallets[currency]
    return {
        "movement_id": stamp.movement_id,
        "recorded_at": moment(player, stamp),
        "operation": command.operation,
        "actor": command.actor,
        "reason": command.reason,
        "integration": command.integration,
        "key": command.key,
        "transaction_id": command.transaction_id,
        "fingerprint": command.fingerprint(),
        "currency": currency,
        "real": change.real,
        "bonus": change.bonus,
        "balance_real": before.real + change.real,
        "balance_bonus": before.bonus + change.bonus,
    }


def overflow(wallet: Wallet, amount: int) -> Refused | None:
    """A refusal if crediting ``amount`` would make a balance larger than the ledger can hold."""
    if max(wallet.real, 0) + wallet.bonus + wallet.held + amount > UNITS_MAX:
        return Refused(Refusal.MALFORMED_REQUEST, "the balance would be too large")
    return None


def first_answer(event: Event) -> Refused | None:
    """The refusal with which an event's call was answered.

    None for every event whose call succeeded (rule 8).
    """
    if isinstance(event, RefundTombstoned):
        return Refused(Refusal.ORIGINAL_NOT_FOUND, "the bet to refund is not known")
    return None
