"""What the operator API needs of the ledger, of the call journal and of a provider's adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, Protocol, TypeAlias

from ledger.commands import Command, SetGame
from ledger.events import Event
from ledger.player import Player
from ledger.service import Outcome
from ledger.store import SessionRow, TransactionRow


class Ledger(Protocol):
    """The ledger's service. Reads raise `ledger.store.StoreUnavailable`."""

    async def execute(self, command: Command) -> Outcome:
        """Execute a player's command; an answer is durable."""
        ...

    async def set_game(self, command: SetGame) -> Outcome:
        """Enable or disable a game."""
        ...

    async def session(self, token: str) -> SessionRow | None:
        """Whose session a token is, whatever its state; None for an unknown one."""
        ...

    def mint_token(self, player_id: str) -> str:
        """A new session token."""
        ...

    async def events(
        self, player_id: str, after: int, limit: int
    ) -> Sequence[tuple[int, Event, str]]:
        """The player's events behind version ``after`` with their versions and hashes (hex)."""
        ...

    async def player_at(self, player_id: str, at: datetime) -> Player:
        """The player as recorded up to that moment; version 0 where nothing was."""
        ...

    async def transactions(
        self, integration: str, keys: Sequence[str]
    ) -> Sequence[tuple[TransactionRow, Event, str]]:
        """What was booked under any of the keys, of all players: entry, event, hash (hex)."""
        ...


class Journal(Protocol):
    """The journal of provider calls."""

    async def calls(self, integration: str, transaction_id: str) -> Sequence[dict[str, Any]]:
        """Every call that carried the id, tokens and signatures blotted out."""
        ...


KeyNames: TypeAlias = Callable[[str], Sequence[str]]
"""Every idempotency key under which a provider's transaction id may have been booked."""


def key_names(provider: object) -> KeyNames:
    """The `keys_of` of the module that speaks the provider's protocol."""
    keys_of: KeyNames = import_module(type(provider).__module__).keys_of
    return keys_of
