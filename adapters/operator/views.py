"""The views as the operator API reads them: reports and rounds of the service's database.

A report is made in a thread with an event loop of its own, so that no provider waits for its rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

from adapters.settings import Settings
from projections.reports.asked import Filters
from projections.reports.period import Period
from projections.reports.report import Report
from projections.reports.rounds import RoundFilters, RoundKey, RoundRow, Rounds
from projections.reports.service import Reports
from projections.reports.wallets import WalletsThen, wallets_at

ROWS_MAX: Final = 50_000
"""Rows of one report at most; the command line has no such limit."""

REPORT_TIMEOUT_S: Final = 60.0
"""How long the making of a report may take."""

_AT_ONCE: Final = 2


class DatabaseViews:
    """Reads the views of the configured database."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._partitions = partitions = settings.database.partitions
        integrations = tuple(settings.integrations)
        self._rounds = Rounds(url, partitions, integrations)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="reports")
        self._reports = Reports(
            url,
            partitions,
            settings.currencies,
            answer_s=settings.limits.answer_timeout_s,
            large_wins=settings.reports.large_wins,
            rows_max=ROWS_MAX,
            integrations=integrations,
        )

    async def report(self, name: str, period: Period, filters: Filters) -> Report:
        """The report of that name; see `Reports.make`. Raises TimeoutError."""

        async def make() -> Report:
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                return await self._reports.make(name, period, filters)

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: asyncio.run(make()))

    async def rounds(
        self, filters: RoundFilters, after: RoundKey, limit: int
    ) -> Sequence[RoundRow]:
        """A page of rounds; see `Rounds.page`."""
        return await self._rounds.page(filters, after, limit)

    async def wallets(self, player_id: str, at: datetime) -> WalletsThen:
        """The player's wallets as they stood then; see `wallets_at`."""
        return await wallets_at(self._url, self._partitions, player_id, at)
