"""Exceptions: what was booked and still deserves a look, in the order in which it came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from projections.reports.asked import Asked
from projections.reports.kind import ReportKind
from projections.reports.report import Row, Table, amount, columns
from projections.reports.source import Snapshot

_COLUMNS: Final = columns(
    recorded_at="moment",
    kind="text",
    player_id="text",
    integration="text",
    operation="text",
    transaction_id="text",
    movement_id="text",
    refers_to="text",
    round_id="text",
    game="text",
    currency="text",
    real="amount",
    bonus="amount",
    wire_amount="amount",
    shortfall="amount",
    actor="text",
    reason="text",
    player_version="count",
)
_CURRENCY: Final = 10
_AMOUNTS: Final = range(11, 15)


async def read(asked: Asked, snapshot: Snapshot) -> list[tuple[Any, ...]]:
    """The exceptions of a partition."""
    filters = asked.filters
    return await snapshot.rows(
        "exceptions",
        {
            "begins": asked.period.begins,
            "ends": asked.ends,
            "kind": filters.kind,
            "integration": filters.integration,
            "player_id": filters.player_id,
            "currency": filters.currency,
            "most": asked.rows_most,
        },
    )


def build(asked: Asked, parts: Sequence[list[tuple[Any, ...]]]) -> tuple[Table, Table]:
    """A row an event and kind; totals count them by kind."""
    found = sorted((row for part in parts for row in part), key=_order)
    asked.check_rows(len(found))
    counts = Counter(row[1] for row in found)
    return (
        Table(_COLUMNS, [_shown(asked, row) for row in found]),
        Table(columns(kind="text", count="count"), sorted(counts.items())),
    )


def _order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[0], row[2], row[-1], row[1]


def _shown(asked: Asked, row: tuple[Any, ...]) -> Row:
    unit = asked.unit(row[_CURRENCY])
    return tuple(
        amount(cell, unit) if at in _AMOUNTS and cell is not None else cell
        for at, cell in enumerate(row)
    )


EXCEPTIONS: Final = ReportKind(
    name="exceptions",
    title="Exceptions",
    version=1,
    views=("exceptions",),
    filters=("kind", "integration", "player_id", "currency"),
    read=read,
    build=build,
)
"""The report `exceptions`."""
