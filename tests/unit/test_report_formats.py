"""Reports as files: exact in every format, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from projections.reports import parquet as our_parquet
from projections.reports.errors import BadRequest
from projections.reports.formats import render
from projections.reports.period import Period
from projections.reports.report import Report, Row, Table, columns, file_name, ratio

COLUMNS = columns(
    day="day", id="text", count="count", ggr="amount", rtp="ratio", recorded_at="moment"
)
MOMENT = datetime(2024, 1, 31, 23, 59, 59, 123456, tzinfo=UTC)
ROW: Row = (date(2024, 1, 31), "x", 3, "-12.50", "0.950000", MOMENT)
EMPTY: Row = (None, None, None, None, None, None)


def report(*rows: Row) -> Report:
    """A report of these rows."""
    return Report(
        name="totals",
        title="Totals",
        version="1",
        period=Period("UTC", datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)),
        generated_at=datetime(2024, 2, 1, 4, tzinfo=UTC),
        filters={"currency": "EUR"},
        table=Table(COLUMNS, rows),
        totals=Table(columns(currency="text", ggr="amount"), [("EUR", "-12.50")]),
    )


def cells(made: Report) -> list[list[str]]:
    """The CSV, read back."""
    return list(csv.reader(io.StringIO(render(made, "csv", 5).decode())))


def test_csv_has_numbers_and_iso_dates():
    """What a spreadsheet reads as numbers and dates without being told."""
    assert cells(report(ROW, EMPTY)) == [
        ["day", "id", "count", "ggr", "rtp", "recorded_at"],
        ["2024-01-31", "x", "3", "-12.50", "0.950000", "2024-01-31 23:59:59.123"],
        ["", "", "", "", "", ""],
    ]


@pytest.mark.parametrize("beginning", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_text_in_csv_never_begins_a_formula(beginning):
    """A player's id is somebody else's text, and finance opens it with all rights."""
    made = report((None, beginning + "cmd|' /C calc'!A0", None, None, None, None))
    assert cells(made)[1][1] == "'" + beginning + "cmd|' /C calc'!A0"


def test_csv_quotes_what_would_break_its_lines():
    """Commas, quotes and line ends within an id stay within its cell."""
    made = report((None, 'a,"b"\nc', None, None, None, None))
    assert cells(made)[1][1] == 'a,"b"\nc'


def test_half_a_surrogate_in_an_id_does_not_break_a_file():
    """Such an id is refused on the wire; the files survive it all the same."""
    made = report((None, "a\ud800", None, None, None, None))
    assert cells(made)[1][1] == "a\\ud800"
    assert len(render(made, "parquet", 5)) > 100


def test_json_has_the_whole_envelope_and_amounts_as_strings():
    """A JSON number is a float to most who read it."""
    found = json.loads(render(report(ROW), "json", 5))
    assert found == {
        "title": "Totals",
        "version": "1",
        "period": {
            "from": "2024-01-31T00:00:00Z",
            "to": "2024-02-01T00:00:00Z",
            "time_zone": "UTC",
        },
        "generated_at": "2024-02-01T04:00:00Z",
        "filters": {"currency": "EUR"},
        "rows": [
            {
                "day": "2024-01-31",
                "id": "x",
                "count": 3,
                "ggr": "-12.50",
                "rtp": "0.950000",
                "recorded_at": "2024-01-31T23:59:59.123456Z",
            }
        ],
        "totals": [{"currency": "EUR", "ggr": "-12.50"}],
    }
    assert json.loads(render(report(), "json", 5))["note"] == "No activity"


def test_the_operator_is_named_where_it_is_configured():
    """A regulator's first question of a sheet: whose is it (reliability.md 5)."""
    made = msgspec.structs.replace(report(ROW), operator="Casino Example Ltd")
    assert json.loads(render(made, "json", 5))["operator"] == "Casino Example Ltd"
    table = parquet.read_metadata(io.BytesIO(render(made, "parquet", 5)))
    assert table.metadata[b"operator"] == b'"Casino Example Ltd"'


def test_parquet_has_exact_decimals_and_real_dates():
    """A float would round what the books say."""
    table = parquet.read_table(io.BytesIO(render(report(ROW, EMPTY), "parquet", 5)))
    assert table.schema.field("ggr").type == pa.decimal128(38, 5)
    assert table.schema.field("rtp").type == pa.decimal128(38, 6)
    assert table.schema.field("day").type == pa.date32()
    assert table.schema.field("count").type == pa.int64()
    assert table.schema.field("recorded_at").type == pa.timestamp("us", tz="UTC")
    (row, empty) = table.to_pylist()
    assert row == {
        "day": date(2024, 1, 31),
        "id": "x",
        "count": 3,
        "ggr": Decimal("-12.50"),
        "rtp": Decimal("0.95"),
        "recorded_at": MOMENT,
    }
    assert set(empty.values()) == {None}


def test_parquet_says_in_its_metadata_what_it_is():
    """A file outlives its name."""
    file = parquet.ParquetFile(io.BytesIO(render(report(), "parquet", 5)))
    about: dict[Any, Any] = {
        key.decode(): json.loads(value) for key, value in (file.metadata.metadata or {}).items()
    }
    assert about["title"] == "Totals"
    assert about["note"] == "No activity"
    assert about["period"]["from"] == "2024-01-31T00:00:00Z"
    assert about["totals"] == [{"currency": "EUR", "ggr": "-12.50"}]
    assert file.metadata.num_rows == 0


def test_without_pyarrow_parquet_is_refused_in_words(monkeypatch):
    """It is an extra: who asks for it learns how to get it."""
    monkeypatch.setattr(our_parquet, "pa", None)
    with pytest.raises(BadRequest, match="install wallet-ledger with the extra parquet"):
        render(report(), "parquet", 5)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 5, "0.000000"),
        (1, 3, "0.333333"),
        (2, 3, "0.666667"),
        (1, 2_000_000, "0.000000"),
        (3, 2_000_000, "0.000002"),
        (-1, 3, "-0.333333"),
        (1, -4, "-0.250000"),
        (-1, 3_000_000, "0.000000"),
        (15_000, 40, "375.000000"),
        (5, 0, None),
    ],
)
def test_a_ratio_has_six_decimals_and_no_float(part, whole, expected):
    """RTP is compared with what a game was certified for."""
    assert ratio(part, whole) == expected


def test_a_file_is_named_by_what_it_holds():
    """Downloads of many days lie in one folder."""
    assert file_name(report(), "csv") == "totals_2024-01-31_2024-01-31.csv"
