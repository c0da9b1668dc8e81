"""The views as the operator API reads them: reports and rounds of the service's database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapters.settings import Settings
from projections.reports.asked import Filters
from projections.reports.period import Period
from projections.reports.report import Report
from projections.reports.rounds import RoundFilters, RoundKey, RoundRow, Rounds
from projections.reports.service import Reports

ROWS_MAX: Final = 50_000
"""Rows of one report at most; the command line has no such limit."""


class DatabaseViews:
    """Reads the views of the configured database."""

    def __init__(self, url: str, settings: Settings) -> None:
        partitions = settings.database.partitions
        self._rounds = Rounds(url, partitions)
        self._reports = Reports(
            url,
            partitions,
            settings.currencies,
            large_wins=settings.reports.large_wins,
            rows_max=ROWS_MAX,
        )

    async def report(self, name: str, period: Period, filters: Filters) -> Report:
        """The report of that name; see `Reports.make`."""
        return await self._reports.make(name, period, filters)

    async def rounds(
        self, filters: RoundFilters, after: RoundKey, limit: int
    ) -> Sequence[RoundRow]:
        """A page of rounds; see `Rounds.page`."""
        return await self._rounds.page(filters, after, limit)
