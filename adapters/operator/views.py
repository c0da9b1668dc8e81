"""What the operator API reads beside the ledger: reports, evidence, past wallets, and seals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from adapters.beside import Result
from adapters.evidence import Evidences, configured_bundles
from adapters.reconciliation_store import Kept, ReconciliationStore
from adapters.reconciling import Receive, Reconciling, configured_reconciler
from adapters.reporting import Reporting, configured_reports
from adapters.sealing import seal_now
from adapters.settings import Settings
from ledger.evidence import Wanted
from ledger.sealing import newest_seals, seals_behind
from ledger.seals import Seal
from projections.reports.asked import Filters
from projections.reports.period import Period
from projections.reports.report import Report
from projections.reports.rounds import RoundFilters, RoundKey, RoundRow, Rounds
from projections.reports.wallets import WalletsThen, wallets_at
from projections.statements.service import Asked

ROWS_MAX: Final = 50_000
"""Rows of one report at most; the command line has no such limit."""


_READS_AT_ONCE: Final = 8


class DatabaseViews:
    """Reads the views of the configured database.

    Each read is a connection: more than `_READS_AT_ONCE` wait, as the ledger needs some, too.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._partitions = partitions = settings.database.partitions
        self._seals = settings.seals
        self._rounds = Rounds(url, partitions, tuple(settings.integrations))
        self._turns = asyncio.Semaphore(_READS_AT_ONCE)
        self._reconciliations = ReconciliationStore(url)
        self._reconciling = Reconciling(url, configured_reconciler(url, settings))
        self._evidences = Evidences(configured_bundles(url, settings))
        self._reporting = Reporting(configured_reports(url, settings, rows_max=ROWS_MAX))

    async def report(
        self, name: str, period: Period, filters: Filters, finish: Callable[[Report], Result]
    ) -> Result:
        """What becomes of the report of that name; see `Reporting.make`."""
        return await self._reporting.make(name, period, filters, finish)

    async def evidence(self, player_id: str, wanted: Wanted) -> bytes:
        """See `Evidences.make`."""
        return await self._evidences.make(player_id, wanted)

    async def begin_reconciliation(self, asked: Asked, receive: Receive, by: str) -> str:
        """See `Reconciling.begin`."""
        return await self._reconciling.begin(asked, receive, by)

    async def reconciliation(self, name: str, after: int, limit: int) -> Kept | None:
        """See `ReconciliationStore.read`."""
        async with self._turns:
            return await self._reconciliations.read(name, after, limit)

    async def reconciliations(
        self, integration: str | None, after: str | None, limit: int
    ) -> Sequence[Kept]:
        """See `ReconciliationStore.page`."""
        async with self._turns:
            return await self._reconciliations.page(integration, after, limit)

    async def close(self) -> None:
        """Give up the reconciliations that are under way."""
        await self._reconciling.close()

    async def rounds(
        self, filters: RoundFilters, after: RoundKey, limit: int
    ) -> Sequence[RoundRow]:
        """A page of rounds; see `Rounds.page`."""
        async with self._turns:
            return await self._rounds.page(filters, after, limit)

    async def wallets(self, player_id: str, at: datetime) -> WalletsThen:
        """The player's wallets as they stood then; see `wallets_at`."""
        async with self._turns:
            return await wallets_at(self._url, self._partitions, player_id, at)

    async def newest_seals(self) -> Sequence[Seal]:
        """See `ledger.sealing.newest_seals`."""
        async with self._turns:
            return await newest_seals(self._url, self._partitions)

    async def seals(self, partition: int, after: int, limit: int) -> Sequence[Seal]:
        """See `ledger.sealing.seals_behind`."""
        async with self._turns:
            return await seals_behind(self._url, partition, after, limit)

    async def seal(self) -> Sequence[Seal]:
        """The newest seal of each partition, made where there is something to seal."""
        async with self._turns:
            made = [
                await seal_now(self._url, partition, self._seals)
                for partition in range(self._partitions)
            ]
        return [seal for seal in made if seal is not None]
