"""A report as it is handed out: columns with kinds, rows, totals, and what it is about.

Amounts are exact decimal strings in main units; times are UTC; a day is one of the period's zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from ledger.money import Currency, to_decimal_string
from projections.reports.period import Period

NO_ACTIVITY: Final = "No activity"
"""What an empty report says."""

Kind: TypeAlias = Literal["text", "count", "amount", "ratio", "day", "moment"]
Cell: TypeAlias = str | int | date | datetime | None
Row: TypeAlias = tuple[Cell, ...]


class Column(msgspec.Struct, frozen=True):
    """A column of a report."""

    name: str
    kind: Kind


class Table(msgspec.Struct, frozen=True):
    """Rows under columns."""

    columns: tuple[Column, ...]
    rows: Sequence[Row] = ()
    activity: int | None = None
    """How many rows tell of something that happened; None: all."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing happened."""
        return not (len(self.rows) if self.activity is None else self.activity)

    def records(self) -> list[dict[str, Cell]]:
        """Every row as a mapping."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole report. ``filters`` are those that were asked for, as texts.

    ``operator`` is the casino whose report it is (reliability.md 5); None: it was not configured.
    """

    name: str
    title: str
    operator: str | None = None
    version: str
    period: Period
    generated_at: datetime
    filters: dict[str, str]
    table: Table
    totals: Table


class ReportView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A report as JSON. `operator` where it is configured; `note` where nothing happened."""

    title: str
    operator: str | None = None
    version: str
    period: PeriodView
    generated_at: datetime
    filters: dict[str, str]
    rows: list[dict[str, Any]]
    totals: list[dict[str, Any]]
    note: str | None = None


class PeriodView(msgspec.Struct, frozen=True, kw_only=True):
    """`from` is included, `to` is not; null: since ever, until the time of generation."""

    begins: datetime | None = msgspec.field(name="from")
    ends: datetime | None = msgspec.field(name="to")
    time_zone: str


def file_name(report: Report, ending: str) -> str:
    """A name for the report as a file: of what, and from which day to which."""
    zone, begins, ends = ZoneInfo(report.period.zone), report.period.begins, report.period.ends
    edges = (begins, ends and ends - timedelta(microseconds=1))
    days = [str(edge.astimezone(zone).date()) for edge in edges if edge is not None]
    return "_".join((report.name, *days)) + "." + ending


def view(report: Report) -> ReportView:
    """The report for JSON."""
    return ReportView(
        title=report.title,
        operator=report.operator,
        version=report.version,
        period=PeriodView(
            begins=report.period.begins, ends=report.period.ends, time_zone=report.period.zone
        ),
        generated_at=report.generated_at,
        filters=report.filters,
        rows=report.table.records(),
        totals=report.totals.records(),
        note=NO_ACTIVITY if report.table.is_idle else None,
    )


def columns(**kinds: Kind) -> tuple[Column, ...]:
    """Columns by name, in order."""
    return tuple(Column(name, kind) for name, kind in kinds.items())


def amount(units: int | Decimal, unit: Currency) -> str:
    """An amount in main units; sums come from the database as whole decimals."""
    return to_decimal_string(int(units), unit)


def ratio(part: int, whole: int) -> str | None:
    """``part / whole`` with six decimals, half rounded to even; None where ``whole`` is 0."""
    if not whole:
        return None
    quotient, rest = divmod(abs(part) * 1_000_000, abs(whole))
    if 2 * rest > abs(whole) or (2 * rest == abs(whole) and quotient % 2):
        quotient += 1
    sign = "-" if quotient and (part < 0) != (whole < 0) else ""
    return f"{sign}{quotient // 1_000_000}.{quotient % 1_000_000:06d}"
