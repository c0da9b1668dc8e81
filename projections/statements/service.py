"""Reconciles: reads the statement, then what was booked, and says what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import BinaryIO, Final

import msgspec

from ledger.codec import UnreadableEvent
from ledger.currencies import Currencies
from projections.reports.errors import BadRequest, UnsoundEvents
from projections.reports.period import Period
from projections.reports.report import PeriodView
from projections.reports.service import Reports
from projections.statements.booked import BookedInLedger, open_ledger
from projections.statements.bookings import Booking
from projections.statements.comparison import Comparison, KeyNames, Times
from projections.statements.findings import KINDS, NOTED, Findings, Outcome, StatementView
from projections.statements.form import Form
from projections.statements.reading import Statement

EDGE_S: Final = 300
"""How near the period's beginning or end a movement may be missing, where nobody says otherwise."""

EDGE_MAX_S: Final = 86_400

_LOOKED_UP: Final = 1_000
_TOLD_EVERY: Final = 1_000


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A reconciliation to be made."""

    integration: str
    period: Period
    form: Form = Form()
    edge_s: int = EDGE_S
    rows_max: int | None = None
    """A longer statement is refused; None: any length."""
    kept_max: int
    """Of how many differences of a kind both sides are kept; all are counted."""

    def check(self, keys_of: Mapping[str, KeyNames], now: datetime) -> None:
        """Raises `BadRequest` where such a reconciliation makes no sense."""
        if self.integration not in keys_of:
            known = ", ".join(keys_of)
            raise BadRequest(f"integration: {self.integration!r} is none of {known}")
        if self.period.begins is None or self.period.ends is None:
            raise BadRequest("from, to: both are needed")
        if self.period.begins > now:
            raise BadRequest("from: lies in the future")
        times = self.times(now)
        if times.edge_begins >= times.edge_ends:
            raise BadRequest(
                f"edge: {self.edge_s} s at both ends leave nothing of the period: say less"
            )

    def times(self, now: datetime) -> Times:
        """The period as far as it is over, and its edges."""
        begins, ends = self.period.begins, self.period.until(now)
        assert begins is not None
        edge = timedelta(seconds=self.edge_s)
        return Times(begins, ends, begins + edge, ends - edge)


class Progress(msgspec.Struct, frozen=True):
    """Who is told how far it is: bytes of the statement, then movements of the ledger."""

    read: Callable[[int], None] = lambda _bytes: None
    compared: Callable[[int], None] = lambda _movements: None


class Reconciler:
    """Reconciliations over all partitions of one database. One keeps the event loop busy."""

    def __init__(
        self,
        url: str,
        partitions: int,
        currencies: Currencies,
        keys_of: Mapping[str, KeyNames],
        reports: Reports,
    ) -> None:
        """``keys_of`` by integration: under which keys it books. ``reports`` know when to read."""
        self._url = url
        self._partitions = partitions
        self._currencies = currencies
        self._keys_of = keys_of
        self._reports = reports

    def check(self, asked: Asked) -> None:
        """Raises `BadRequest` where such a reconciliation makes no sense."""
        asked.check(self._keys_of, datetime.now(UTC))

    async def reconcile(
        self, asked: Asked, file: BinaryIO, progress: Progress | None = None
    ) -> Outcome:
        """What the statement in ``file`` and the ledger say differently.

        Raises `ReportError`, `UnreadableStatement` among them, and `psycopg.Error`. Right after an
        edge of the period it waits as a report does (P12).
        """
        progress = progress or Progress()
        now = datetime.now(UTC)
        asked.check(self._keys_of, now)
        times = asked.times(now)
        findings = Findings(self._currencies, asked.kept_max)
        comparison = Comparison(times, self._keys_of[asked.integration], findings)
        statement = Statement(file, asked.form, self._currencies, progress.read)
        for row in statement:
            comparison.add(row)
            if asked.rows_max is not None and statement.rows > asked.rows_max:
                raise BadRequest(
                    f"the statement has more than {asked.rows_max} rows: use the command line"
                )
        begun_by = await self._reports.settle(asked.period)
        opened = open_ledger(self._url, self._partitions, asked.integration, begun_by)
        async with opened as ledger:
            try:
                await _compare(comparison, ledger, times, progress)
            except UnreadableEvent as error:
                raise UnsoundEvents(f"{error}; wallet-ledger audit says which") from error
        return Outcome(
            integration=asked.integration,
            period=PeriodView(
                begins=times.begins, ends=asked.period.ends, time_zone=asked.period.zone
            ),
            read_at=now,
            statement=StatementView(
                sha256=statement.digest.hexdigest(), bytes=statement.bytes, rows=statement.rows
            ),
            counts={kind: findings.counts[kind] for kind in KINDS},
            noted={name: findings.noted[name] for name in NOTED},
            left_out=findings.left_out,
            totals=comparison.totals.rows(self._currencies),
            differences=findings.differences(),
            columns=dict(asked.form.columns),
            minor_units=asked.form.minor_units,
            edge_s=asked.edge_s,
        )


async def _compare(
    comparison: Comparison, ledger: BookedInLedger, times: Times, progress: Progress
) -> None:
    done = 0
    async for booked, twin in ledger.between(times.begins, times.ends):
        comparison.meet(booked, twin)
        done += 1
        if done % _TOLD_EVERY == 0:
            progress.compared(done)
    sought = comparison.sought()
    while wanted := dict(islice(sought, _LOOKED_UP)):
        keys = {key: transaction_id for transaction_id, names in wanted.items() for key in names}
        bookings: dict[str, list[Booking]] = {}
        for booked in await ledger.under(list(keys)):
            bookings.setdefault(keys[booked.key], []).append(booked)
        for transaction_id, found in bookings.items():
            comparison.found(transaction_id, found)
    comparison.finish()
    progress.compared(done)
