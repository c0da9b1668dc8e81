"""Reports are made in processes of their own, two at a time, and given up after a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from adapters.beside import Result, beside, in_time
from adapters.settings import Settings
from projections.reports.asked import Filters
from projections.reports.period import Period
from projections.reports.report import Report
from projections.reports.service import Reports

_AT_ONCE: Final = 2


def configured_reports(url: str, settings: Settings, *, rows_max: int | None = None) -> Reports:
    """The reports of this configuration; those of more than ``rows_max`` rows are refused."""
    return Reports(
        url,
        settings.database.partitions,
        settings.currencies,
        answer_s=settings.limits.answer_timeout_s,
        operator=settings.reports.operator,
        large_wins=settings.reports.large_wins,
        rows_max=rows_max,
        integrations=tuple(settings.integrations),
    )


class Reporting:
    """Makes reports with ``reports``, `_AT_ONCE` at a time; every worker has one of these."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def make(
        self, name: str, period: Period, filters: Filters, finish: Callable[[Report], Result]
    ) -> Result:
        """What ``finish`` makes of the report, in that process: a function of a module.

        Raises as `Reports.make`; `ReportProcessLost`, `ReportTooLong`.
        """
        self._reports.check(name, period, filters)  # here: what makes no sense need not wait
        await self._reports.settle(period)  # without a turn: others need not wait with it
        async with self._turns:
            return await beside(partial(_make, self._reports, name, period, filters, finish))


def _make(
    reports: Reports,
    name: str,
    period: Period,
    filters: Filters,
    finish: Callable[[Report], Result],
) -> Result:
    return finish(asyncio.run(in_time(reports.make(name, period, filters))))
