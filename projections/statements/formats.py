"""An outcome as a file: all of it as JSON, or its differences as CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from projections.reports.formats import FORMULA_BEGINNINGS
from projections.statements.findings import Difference, LedgerSide, Outcome, StatementSide

Format: TypeAlias = Literal["json", "csv"]

_SIDES: Final = (
    ("statement", StatementSide.__struct_fields__),
    ("ledger", LedgerSide.__struct_fields__),
    ("other", LedgerSide.__struct_fields__),
)


def render(outcome: Outcome, wanted: Format) -> bytes:
    """The outcome as JSON; as CSV its differences, a row each, with every cell of both sides."""
    if wanted == "csv":
        return _csv(outcome)
    return msgspec.json.encode(outcome) + b"\n"


def _csv(outcome: Outcome) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    heads = [f"{side}_{name}" for side, names in _SIDES for name in names]
    writer.writerow(["kind", "transaction_id", *heads, "first_line"])
    for each in outcome.differences:
        writer.writerow([_cell(cell) for cell in _cells(each)])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cells(each: Difference) -> list[Any]:
    sides = [getattr(getattr(each, side), name, None) for side, names in _SIDES for name in names]
    return [each.kind, each.transaction_id, *sides, each.first_line]


def _cell(cell: Any) -> str:
    """Text that a spreadsheet takes as it is meant."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")
    text = str(cell)
    return "'" + text if text.startswith(FORMULA_BEGINNINGS) else text
