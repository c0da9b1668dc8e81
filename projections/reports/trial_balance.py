"""Trial balance: what every account was debited and credited. Over all accounts the sum is zero.

Whole hours come from the journal's sums by hour, what is left at the edges from the journal itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from projections.reports.asked import Asked
from projections.reports.kind import ReportKind
from projections.reports.period import hour_begin, is_whole_hour
from projections.reports.report import Table, amount, columns
from projections.reports.source import Snapshot

Accounts: TypeAlias = dict[tuple[str, str], tuple[int, int]]
"""Debit and credit in ledger units by account and currency."""

_HOUR: Final = timedelta(hours=1)
_AMOUNTS: Final = columns(debit="amount", credit="amount", balance="amount")


async def read(asked: Asked, snapshot: Snapshot) -> Accounts:
    """The accounts of a partition over the period."""
    period = asked.period
    return await accounts(snapshot, period.begins, period.ends, asked.filters.currency)


async def accounts(
    snapshot: Snapshot, begins: datetime | None, ends: datetime | None, currency: str | None
) -> Accounts:
    """What the accounts were moved by in that time; None: since ever, and until now."""
    found: Accounts = {}
    inner_begins = None if begins is None else _next_hour(begins)
    inner_ends = None if ends is None else hour_begin(ends)
    if begins is not None and ends is not None and inner_begins >= inner_ends:  # type: ignore[operator]
        edges = [(begins, ends)]
    else:
        whole = {"begins": inner_begins, "ends": inner_ends, "currency": currency}
        _add(found, await snapshot.rows("account_hours", whole))
        edges = [
            (since, until)
            for since, until in ((begins, inner_begins), (inner_ends, ends))
            if since is not None and until is not None and since < until
        ]
    for since, until in edges:
        edge = {"begins": since, "ends": until, "currency": currency}
        _add(found, await snapshot.rows("account_postings", edge))
    return found


def build(asked: Asked, parts: Sequence[Accounts]) -> tuple[Table, Table]:
    """A row an account and currency; totals by currency."""
    together: Accounts = {}
    totals: dict[str, tuple[int, int]] = {}
    for part in parts:
        _add(together, [(*key, *sums) for key, sums in part.items()])
    for (_, code), (debit, credit) in together.items():
        before = totals.get(code, (0, 0))
        totals[code] = before[0] + debit, before[1] + credit
    asked.check_rows(len(together))
    rows = [
        (account, code, *_shown(asked, code, sums))
        for (account, code), sums in sorted(together.items())
    ]
    sums = [(code, *_shown(asked, code, moved)) for code, moved in sorted(totals.items())]
    return (
        Table((*columns(account="text", currency="text"), *_AMOUNTS), rows),
        Table((*columns(currency="text"), *_AMOUNTS), sums),
    )


def _shown(asked: Asked, code: str, sums: tuple[int, int]) -> tuple[str, str, str]:
    debit, credit = sums
    unit = asked.unit(code)
    return amount(debit, unit), amount(credit, unit), amount(credit - debit, unit)


def _add(found: Accounts, rows: Sequence[Sequence[object]]) -> None:
    for account, code, debit, credit in rows:
        key = (str(account), str(code))
        before = found.get(key, (0, 0))
        found[key] = before[0] + int(debit), before[1] + int(credit)  # type: ignore[call-overload]


def _next_hour(moment: datetime) -> datetime:
    return moment if is_whole_hour(moment) else hour_begin(moment) + _HOUR


TRIAL_BALANCE: Final = ReportKind(
    name="trial-balance",
    title="Trial balance",
    version=1,
    views=("journal",),
    filters=("currency",),
    read=read,
    build=build,
)
"""The report `trial-balance`."""
