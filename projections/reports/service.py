"""Makes reports: checks what was asked for, reads every partition, puts the parts together."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from typing import Any, Final

from ledger.codec import UnreadableEvent
from ledger.currencies import Currencies
from ledger.money import UNITS_MAX
from projections.reports.asked import Asked, Filters
from projections.reports.errors import BadRequest, UnsoundEvents
from projections.reports.kind import ReportKind
from projections.reports.known import check_names
from projections.reports.period import Period
from projections.reports.registry import REPORTS
from projections.reports.report import Report
from projections.reports.source import open_snapshot

LARGE_WIN: Final = 10_000
"""From how many main units on a win is large, where nobody said otherwise."""

CLOCKS_S: Final = 1.0
"""How far the clocks of the machines may differ without a report of the past missing anything."""


class Reports:
    """Reports over all partitions of one database. Making one keeps the event loop busy."""

    def __init__(
        self,
        url: str,
        partitions: int,
        currencies: Currencies,
        *,
        answer_s: float,
        operator: str | None = None,
        large_wins: Mapping[str, int] | None = None,
        rows_max: int | None = None,
        integrations: Collection[str] = (),
    ) -> None:
        """``answer_s``: the database gets nothing that was decided longer ago than that.

        ``operator``: whose reports they are. ``large_wins``: thresholds in ledger units by
        currency, instead of `LARGE_WIN`. A report of more than ``rows_max`` rows is refused.

        ``integrations`` are those that are configured: they are known before anything is booked.
        """
        self._url = url
        self._partitions = partitions
        self._currencies = currencies
        self._append_delay = timedelta(seconds=answer_s + CLOCKS_S)
        self._operator = operator
        self._large_wins = default_large_wins(currencies) | dict(large_wins or {})
        self._rows_max = rows_max
        self._integrations = integrations

    def check(self, name: str, period: Period, filters: Filters) -> None:
        """Raises `BadRequest` where such a report makes no sense."""
        _check(REPORTS[name], self._asked(period, filters))

    async def make(self, name: str, period: Period, filters: Filters) -> Report:
        """The report of that name. Raises `ReportError`, KeyError for an unknown name.

        `psycopg.Error` where the database cannot work. Right after an edge of the period it waits
        until all that was decided before is booked, or never will be (P12).
        """
        kind = REPORTS[name]
        asked = self._asked(period, filters)
        _check(kind, asked)
        begun_by = await self.settle(period)
        places = range(self._partitions)
        parts = [await self._read(kind, asked, place, begun_by) for place in places]
        table, totals = kind.build(asked, parts)
        if table.is_idle:
            await check_names(self._url, self._partitions, filters, self._integrations)
        return Report(
            name=kind.name,
            title=kind.title,
            operator=self._operator,
            version=f"{kind.version} (wallet-ledger {_software()})",
            period=period,
            generated_at=asked.now,
            filters=filters.given(),
            table=table,
            totals=totals,
        )

    async def settle(self, period: Period) -> datetime | None:
        """Wait until all that was decided before the period's last edge is with the database.

        Returns since when that is so; None where the period has no edge yet.
        """
        now = datetime.now(UTC)
        edge = period.last_edge(now)
        if edge is None:
            return None
        begun_by = edge + self._append_delay
        await asyncio.sleep((begun_by - now).total_seconds())
        return begun_by

    def _asked(self, period: Period, filters: Filters) -> Asked:
        return Asked(
            period=period,
            filters=filters,
            now=datetime.now(UTC),
            currencies=self._currencies,
            large_wins=self._large_wins,
            rows_max=self._rows_max,
        )

    async def _read(
        self, kind: ReportKind, asked: Asked, partition: int, begun_by: datetime | None
    ) -> Any:
        async with open_snapshot(self._url, partition, kind.views, begun_by) as snapshot:
            try:
                return await kind.read(asked, snapshot)
            except UnreadableEvent as error:
                raise UnsoundEvents(
                    f"partition {partition}: {error}; wallet-ledger audit says which"
                ) from error


def default_large_wins(currencies: Currencies) -> dict[str, int]:
    """`LARGE_WIN` in the ledger units of every currency."""
    return {code: min(LARGE_WIN * 10**unit.scale, UNITS_MAX) for code, unit in currencies.items()}


@cache
def _software() -> str:
    return version("wallet-ledger")


def _check(kind: ReportKind, asked: Asked) -> None:
    given = asked.filters.given()
    for name in given:
        if name not in kind.filters:
            known = ", ".join(kind.filters)
            raise BadRequest(f"{name}: the report {kind.name} knows {known} only")
    for name in kind.required:
        if name not in given:
            raise BadRequest(f"{name}: the report {kind.name} needs it")
    code = asked.filters.currency
    if code is not None and code not in asked.currencies:
        raise BadRequest(f"currency: {code} is not known")
    asked.groups()
    asked.thresholds()
    asked.types(kind.types)
