"""Reports as Parquet: amounts are decimals, exactly; what the report is about is in the metadata.

Needs pyarrow, the extra ``parquet``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from projections.reports.errors import BadRequest
from projections.reports.report import Kind, Report, view

try:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter
except ModuleNotFoundError:
    pa = None

_PRECISION: Final = 38
_RATIO_DIGITS: Final = 6


def parquet(report: Report, scale: int) -> bytes:
    """The report as a file. Raises `BadRequest` where pyarrow is not installed."""
    if pa is None:
        raise BadRequest(
            "format: parquet needs pyarrow: install wallet-ledger with the extra parquet"
        )
    types: dict[Kind, Any] = {
        "text": pa.string(),
        "count": pa.int64(),
        "amount": pa.decimal128(_PRECISION, scale),
        "ratio": pa.decimal128(_PRECISION, _RATIO_DIGITS),
        "day": pa.date32(),
        "moment": pa.timestamp("us", tz="UTC"),
    }
    columns = report.table.columns
    cells = zip(*report.table.rows, strict=True) if report.table.rows else [()] * len(columns)
    arrays = [
        pa.array([_value(column.kind, cell) for cell in each], type=types[column.kind])
        for column, each in zip(columns, cells, strict=True)
    ]
    fields = [pa.field(column.name, types[column.kind]) for column in columns]
    schema = pa.schema(fields)
    sink = io.BytesIO()
    # Without Arrow's copy of the schema: Parquet's own types say it all, in the same bytes always.
    with ParquetWriter(sink, schema, store_schema=False) as writer:
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        writer.add_key_value_metadata(_about(report))
    return sink.getvalue()


def _about(report: Report) -> dict[str, bytes]:
    """Everything but the rows, as JSON by name."""
    about = msgspec.structs.asdict(view(report))
    del about["rows"]
    return {name: msgspec.json.encode(value) for name, value in about.items()}


def _value(kind: Kind, cell: Any) -> Any:
    return None if cell is None else _CONVERSIONS.get(kind, _same)(cell)


def _text(cell: str) -> str:
    return cell.encode("utf-8", "backslashreplace").decode()


def _same(cell: Any) -> Any:
    return cell


_CONVERSIONS: Final[dict[Kind, Callable[[Any], Any]]] = {
    "text": _text,
    "amount": Decimal,
    "ratio": Decimal,
}
