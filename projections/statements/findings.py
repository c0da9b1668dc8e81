"""What a comparison finds: differences by kind, what is none and yet worth counting, and totals."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Final

import msgspec

from ledger.currencies import Currencies
from ledger.money import to_decimal_string
from projections.reports.report import PeriodView
from projections.statements.bookings import Booking
from projections.statements.form import Row

KINDS: Final = (
    "missing_in_ledger",
    "missing_in_statement",
    "amount_mismatch",
    "currency_mismatch",
    "player_mismatch",
    "round_mismatch",
    "reference_mismatch",
    "operation_mismatch",
    "repeated_in_statement",
    "two_in_ledger",
)
"""Every kind of difference, in the order in which they are listed."""

AT_THE_EDGE: Final = "at_the_edge"
"""Listed behind the differences, and none: of which period a movement is, two clocks decide."""

OUTSIDE: Final = "booked_outside_period"
"""Listed last, and none: a row that fits what was booked before or after the period."""

LISTED: Final = (AT_THE_EDGE, OUTSIDE)
"""What is no difference, and yet has to be looked for in another day's statement."""

NOTED: Final = (
    "matched",
    *LISTED,
    "cancelled_before_booking",
    "moved_nothing",
    "without_player",
    "without_round",
)
"""What is counted and is no difference."""

_ORDER: Final = {kind: place for place, kind in enumerate((*KINDS, *LISTED))}
_LAST: Final = 2**62


class StatementSide(msgspec.Struct, frozen=True, kw_only=True):
    """What the statement says. `line` counts from 1, the header's included."""

    line: int
    transaction_id: str
    operation: str
    amount: str
    currency: str
    player_id: str | None
    round_id: str | None
    reference: str | None


class LedgerSide(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says: `version` is that of the player's event, `type` the event's name."""

    player_id: str
    version: int
    movement_id: str
    recorded_at: datetime
    type: str
    operation: str
    transaction_id: str
    amount: str
    currency: str
    round_id: str | None
    refers_to: str | None
    partition: int


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A difference, and what both sides say; null: that side says nothing.

    `first_line` is where a repeated row came first, `other` the second booking of one key.
    """

    kind: str
    transaction_id: str
    statement: StatementSide | None = None
    ledger: LedgerSide | None = None
    other: LedgerSide | None = None
    first_line: int | None = None

    @property
    def order(self) -> tuple[Any, ...]:
        """By kind, then as the statement has them, then as they were booked."""
        line = _LAST if self.statement is None else self.statement.line
        side = self.ledger
        booked = () if side is None else (side.recorded_at, side.player_id, side.version)
        return (_ORDER[self.kind], line, booked, self.transaction_id)


class TotalsRow(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of an operation in a currency; what is counted moved more than 0.

    `variance` is the statement less the ledger. `accounted_for` is that part of it that is no
    difference: booked outside the period, at its edge, cancelled before it was booked.
    """

    operation: str
    currency: str
    statement_count: int
    statement: str
    ledger_count: int
    ledger: str
    variance: str
    accounted_for: str
    unexplained: str


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """The file that was compared, by its SHA-256."""

    sha256: str
    bytes: int
    rows: int | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """All that a comparison found; every kind has its count, also where it is 0.

    `left_out`: of how many differences only the count was kept. `read_at`: by when what was booked
    is in it. `columns`, `minor_units`, `edge_s`: how the file was read and compared, as it was
    asked for; null in those that were kept before this was.
    """

    integration: str
    period: PeriodView
    read_at: datetime
    statement: StatementView
    counts: dict[str, int]
    noted: dict[str, int]
    left_out: int
    totals: list[TotalsRow]
    differences: list[Difference]
    columns: dict[str, str] | None = None
    minor_units: bool | None = None
    edge_s: int | None = None

    @property
    def differ(self) -> int:
        """How many differences there are."""
        return sum(self.counts.values())


class Findings:
    """Gathers what is found; of each kind at most ``kept_max`` are kept, and all are counted."""

    def __init__(self, currencies: Currencies, kept_max: int) -> None:
        self._currencies = currencies
        self._kept_max = kept_max
        self._kept: list[Difference] = []
        self.counts = Counter[str]()
        self.noted = Counter[str]()

    def add(
        self,
        kind: str,
        row: Row | None = None,
        booked: Booking | None = None,
        *,
        other: Booking | None = None,
        first_line: int | None = None,
    ) -> None:
        """A difference, or one of what is `LISTED` besides."""
        counts = self.noted if kind in LISTED else self.counts
        counts[kind] += 1
        if counts[kind] > self._kept_max:
            return
        about = row or booked
        assert about is not None
        self._kept.append(
            Difference(
                kind=kind,
                transaction_id=about.transaction_id,
                statement=None if row is None else self._statement(row),
                ledger=None if booked is None else self._ledger(booked),
                other=None if other is None else self._ledger(other),
                first_line=first_line,
            )
        )

    def differences(self) -> list[Difference]:
        """What was kept, in order."""
        return sorted(self._kept, key=lambda each: each.order)

    @property
    def left_out(self) -> int:
        """How many were counted only."""
        counted = self.counts.total() + sum(self.noted[kind] for kind in LISTED)
        return counted - len(self._kept)

    def _amount(self, units: int, code: str) -> str:
        return to_decimal_string(units, self._currencies[code])

    def _statement(self, row: Row) -> StatementSide:
        return StatementSide(
            line=row.line,
            transaction_id=row.transaction_id,
            operation=row.operation,
            amount=self._amount(row.amount, row.currency),
            currency=row.currency,
            player_id=row.player_id,
            round_id=row.round_id,
            reference=row.reference,
        )

    def _ledger(self, booked: Booking) -> LedgerSide:
        return LedgerSide(
            player_id=booked.player_id,
            version=booked.version,
            movement_id=booked.movement_id,
            recorded_at=booked.recorded_at,
            type=booked.type,
            operation=booked.operation,
            transaction_id=booked.transaction_id,
            amount=self._amount(booked.amount, booked.currency),
            currency=booked.currency,
            round_id=booked.round_id,
            refers_to=booked.refers_to,
            partition=booked.partition,
        )
