"""What the operator API needs of the ledger, of the call journal and of a provider's adapter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

from adapters.reconciliation_store import Kept
from adapters.reconciling import Receive
from ledger.commands import Command, SetGame
from ledger.events import Event
from ledger.evidence import Wanted
from ledger.seals import Seal
from ledger.service import Outcome
from ledger.store import SessionRow, TransactionRow
from projections.reports.asked import Filters
from projections.reports.period import Period
from projections.reports.report import Report
from projections.reports.rounds import RoundFilters, RoundKey, RoundRow
from projections.reports.wallets import WalletsThen
from projections.statements.service import Asked

Result = TypeVar("Result")


class Ledger(Protocol):
    """The ledger's service. Reads raise `ledger.store.StoreUnavailable`."""

    def execute(self, command: Command) -> Awaitable[Outcome]:
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

    async def game_events(
        self, integration: str, game: str
    ) -> Sequence[Sequence[tuple[int, Event, str]]]:
        """The game's events in each partition, with their versions and hashes (hex)."""
        ...

    async def transactions(
        self, integration: str, keys: Sequence[str]
    ) -> Sequence[tuple[TransactionRow, Event, str]]:
        """What was booked under any of the keys, of all players: entry, event, hash (hex)."""
        ...


class Journal(Protocol):
    """The journal of provider calls."""

    async def calls(
        self, integration: str, transaction_id: str
    ) -> tuple[Sequence[dict[str, Any]], int]:
        """The calls that carried the id, tokens and signatures blotted out, oldest first.

        With how many were left out in the middle, where there are too many.
        """
        ...


class Views(Protocol):
    """What is read beside the ledger: reports, evidence, rounds, past wallets, seals and so on.

    They raise `projections.reports.errors.ReportError` and `psycopg.Error`; wallets of the past
    `ledger.codec.UnreadableEvent` too.
    """

    async def report(
        self, name: str, period: Period, filters: Filters, finish: Callable[[Report], Result]
    ) -> Result:
        """What a function of a module makes of the report of that name, beside the service."""
        ...

    async def evidence(self, player_id: str, wanted: Wanted) -> bytes:
        """A bundle of evidence about the player, made beside the service.

        Raises `ledger.evidence.NoSuchEvents`.
        """
        ...

    async def begin_reconciliation(self, asked: Asked, receive: Receive, by: str) -> str:
        """Receive the statement, and compare it beside the service; its name.

        What makes no sense, or finds no place, is refused before anything is received.
        """
        ...

    async def reconciliation(self, name: str, after: int, limit: int) -> Kept | None:
        """How it stands, with its differences behind a number; None: there is no such one."""
        ...

    async def reconciliations(
        self, integration: str | None, after: str | None, limit: int
    ) -> Sequence[Kept]:
        """The newest behind an id, without their differences."""
        ...

    async def rounds(
        self, filters: RoundFilters, after: RoundKey, limit: int
    ) -> Sequence[RoundRow]:
        """The next rounds behind ``after``."""
        ...

    async def wallets(self, player_id: str, at: datetime) -> WalletsThen:
        """The player's wallets as they stood at that moment."""
        ...

    async def newest_seals(self) -> Sequence[Seal]:
        """The newest seal of each partition that has one."""
        ...

    async def seals(self, partition: int, after: int, limit: int) -> Sequence[Seal]:
        """The next seals of a partition behind a number."""
        ...

    async def seal(self) -> Sequence[Seal]:
        """Seal what is not sealed; the newest seal of each partition.

        Raises `ledger.sealing.NotSealed` and `SealsDiffer`.
        """
        ...


KeyNames: TypeAlias = Callable[[str], Sequence[str]]
"""Every idempotency key under which a provider's transaction id may have been booked."""


class Keys(Protocol):
    """Of a provider's adapter: under which keys it books."""

    def keys_of(self, transaction_id: str) -> Sequence[str]:
        """Every idempotency key under which the provider's id may have been booked."""
        ...
