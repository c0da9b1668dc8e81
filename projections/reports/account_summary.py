"""Account summary: all players' money over a period, from opening to closing balance.

What regulators ask for each day (reliability.md 5). A row a player and currency. Balances are real,
bonus and held money; what moved is signed, and together it leads from one to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

from ledger.events import BonusConverted
from projections.entries import names_of
from projections.reports.asked import Asked
from projections.reports.kind import ReportKind
from projections.reports.player_statement import SUMS
from projections.reports.report import Row, Table, amount, columns
from projections.reports.rounds_open import open_rounds
from projections.reports.source import Snapshot

Accounts: TypeAlias = dict[tuple[str, str], list[int]]
"""What an account comes to, as `_SUMMED` names it, in ledger units, by player and currency."""

_KINDS: Final = {name: sorted(names_of(*kinds)) for name, kinds in SUMS.items()} | {
    "conversions": sorted(names_of(BonusConverted))
}
_SUMMED: Final = columns(
    active="count",
    opening_balance="amount",
    deposits="amount",
    withdrawals="amount",
    bonuses="amount",
    adjustments="amount",
    stakes="amount",
    refunds="amount",
    wins="amount",
    reversals="amount",
    closing_balance="amount",
    win_loss="amount",
    bonus_stakes="amount",
    bonuses_forfeited="amount",
    bonuses_converted="amount",
    closing_real="amount",
    closing_bonus="amount",
    closing_held="amount",
    opening_open_stakes="amount",
    closing_open_stakes="amount",
)
"""``active``: whether money moved; of the totals, on how many accounts it did."""
_OPENING_STAKES: Final = len(_SUMMED) - 2
_CLOSING_STAKES: Final = len(_SUMMED) - 1


async def read(asked: Asked, snapshot: Snapshot) -> Accounts:
    """The accounts of a partition that hold or held anything.

    Raises `BadRequest` for too many of them and for a time to come.
    """
    asked.check_begun()
    ended_at = asked.ended_at
    rows = await snapshot.rows(
        "accounts",
        {
            "begins": asked.period.begins or "-infinity",
            "ends": ended_at or "infinity",
            "currency": asked.filters.currency,
            "player_id": asked.filters.player_id,
            "most": asked.rows_most,
            **_KINDS,
        },
    )
    asked.check_rows(len(rows))
    found = {(row[0], row[1]): [*map(int, row[2:]), 0, 0] for row in rows}
    if asked.period.begins is not None:
        await _add_stakes(found, asked, snapshot, asked.period.begins, _OPENING_STAKES)
    await _add_stakes(found, asked, snapshot, ended_at, _CLOSING_STAKES)
    return found


def build(asked: Asked, parts: Sequence[Accounts]) -> tuple[Table, Table]:
    """A row an account; totals by currency, with how many accounts there are."""
    accounts = sorted(item for part in parts for item in part.items())
    asked.check_rows(len(accounts))
    sums: dict[str, list[int]] = {}
    counts: dict[str, int] = {}
    for (_, code), cells in accounts:
        summed = sums.setdefault(code, [0] * len(_SUMMED))
        for at, units in enumerate(cells):
            summed[at] += units
        counts[code] = counts.get(code, 0) + 1
    return (
        Table(
            (*columns(player_id="text", currency="text"), *_SUMMED),
            [(*key, *_shown(asked, key[1], cells)) for key, cells in accounts],
            sum(cells[0] for _, cells in accounts),
        ),
        Table(
            (*columns(currency="text", accounts="count"), *_SUMMED),
            [(code, counts[code], *_shown(asked, code, sums[code])) for code in sorted(sums)],
        ),
    )


async def _add_stakes(
    found: Accounts, asked: Asked, snapshot: Snapshot, at: datetime | None, place: int
) -> None:
    """Add the stakes in rounds that were open at a moment (None: are open now)."""
    async for each in open_rounds(asked, snapshot, at=at):
        if each.locked:
            cells = found.setdefault((each.player_id, each.currency), [0] * len(_SUMMED))
            cells[place] += each.locked


def _shown(asked: Asked, code: str, cells: Sequence[int]) -> Row:
    unit = asked.unit(code)
    return (cells[0], *(amount(units, unit) for units in cells[1:]))


ACCOUNT_SUMMARY: Final = ReportKind(
    name="account-summary",
    title="Account summary",
    version=1,
    views=("balances", "journal", "rounds"),
    filters=("player_id", "currency"),
    read=read,
    build=build,
)
"""The report `account-summary`."""
