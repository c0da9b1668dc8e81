"""Liabilities: what is owed to players, at the end of the period and, where it has one, its begin.

Balances, money held for withdrawals, and stakes of rounds that are still open, as far as
they are neither refunded nor settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

from projections.journal import PLAYER_BONUS, PLAYER_HELD, PLAYER_REAL
from projections.reports.asked import Asked
from projections.reports.kind import ReportKind
from projections.reports.report import Row, Table, amount, columns
from projections.reports.rounds_open import open_rounds
from projections.reports.source import Snapshot
from projections.reports.trial_balance import accounts

Owed: TypeAlias = dict[tuple[datetime, str], list[int]]
"""Real, bonus, held and open stakes in ledger units by moment and currency."""

_PARTS: Final = {PLAYER_REAL: 0, PLAYER_BONUS: 1, PLAYER_HELD: 2}
_OPEN: Final = 3
_COLUMNS: Final = columns(
    at="moment",
    currency="text",
    real="amount",
    bonus="amount",
    held="amount",
    open_stakes="amount",
    total="amount",
)


async def read(asked: Asked, snapshot: Snapshot) -> Owed:
    """What is owed to the players of a partition. Raises `BadRequest` for a time to come."""
    asked.check_begun()
    found: Owed = {}
    if asked.period.begins is not None:
        await _add(found, asked, snapshot, asked.period.begins, asked.period.begins)
    await _add(found, asked, snapshot, asked.ends, asked.ended_at)
    return found


def build(asked: Asked, parts: Sequence[Owed]) -> tuple[Table, Table]:
    """A row a moment and currency; the totals are those of the last moment."""
    together: Owed = {}
    for part in parts:
        for key, sums in part.items():
            held = together.setdefault(key, [0, 0, 0, 0])
            for at, units in enumerate(sums):
                held[at] += units
    rows: list[Row] = [
        (*key, *(amount(units, asked.unit(key[1])) for units in (*sums, sum(sums))))
        for key, sums in sorted(together.items())
    ]
    last = [row[1:] for row in rows if row[0] == asked.ends]
    return Table(_COLUMNS, rows), Table(_COLUMNS[1:], last)


async def _add(
    found: Owed, asked: Asked, snapshot: Snapshot, shown: datetime, at: datetime | None
) -> None:
    """Add what was owed at a moment (None: is owed now), under the moment that is shown."""
    currency = asked.filters.currency
    for (account, code), (debit, credit) in (await accounts(snapshot, None, at, currency)).items():
        if account in _PARTS:
            sums = found.setdefault((shown, code), [0, 0, 0, 0])
            sums[_PARTS[account]] += credit - debit
    async for each in open_rounds(asked, snapshot, at=at):
        found.setdefault((shown, each.currency), [0, 0, 0, 0])[_OPEN] += each.locked


LIABILITIES: Final = ReportKind(
    name="liabilities",
    title="Liabilities to players",
    version=2,
    views=("journal", "rounds"),
    filters=("currency",),
    read=read,
    build=build,
)
"""The report `liabilities`."""
