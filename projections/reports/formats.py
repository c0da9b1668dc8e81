"""Reports as files: JSON, CSV for spreadsheets, Parquet for analysis. All are exact.

CSV is UTF-8 with a header, decimal points and ISO dates; times are UTC to the millisecond, as
spreadsheets read no finer ones. JSON and Parquet have them to the microsecond.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import msgspec

from ledger.money import Currency
from projections.reports.report import NO_ACTIVITY, Cell, Column, Report, view

Format: TypeAlias = Literal["json", "csv", "parquet"]

MEDIA_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
"""The media type of each format."""

FORMULA_BEGINNINGS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet may take for a formula; a text that begins so gets an apostrophe in front."""


def render(report: Report, wanted: Format, scale: int) -> bytes:
    """The report as a file. ``scale``: decimals of the finest currency, for Parquet's decimals.

    Takes its time: not for the event loop. Raises `BadRequest` where Parquet is not installed.
    """
    if wanted == "csv":
        return _csv(report)
    if wanted == "parquet":
        from projections.reports.parquet import parquet  # noqa: PLC0415 - an extra, and large

        return parquet(report, scale)
    return msgspec.json.encode(view(report)) + b"\n"


def finest(units: Iterable[Currency]) -> int:
    """Decimals of the finest of these currencies."""
    return max(unit.scale for unit in units)


def _csv(report: Report) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    columns = report.table.columns
    writer.writerow([column.name for column in columns])
    for row in report.table.rows:
        writer.writerow([_cell(*cell) for cell in zip(columns, row, strict=True)])
    if report.table.is_idle:
        writer.writerow([NO_ACTIVITY])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(column: Column, cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case datetime():
            utc = cell.astimezone(UTC).replace(tzinfo=None)
            return utc.isoformat(" ", "milliseconds")
        case str() if column.kind == "text" and cell.startswith(FORMULA_BEGINNINGS):
            return "'" + cell
        case _:
            return str(cell)
