"""The comparison itself: a statement held in memory, and movements that come by once.

Pure: no input, no output, no clock. What it holds grows with the statement, never with the ledger.
Its steps: `add` every row; `meet` every movement of the period; `sought` says which rows were not
met, `found` takes what was booked under their keys at other times; `finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from projections.statements.bookings import TOMBSTONE, Booking, fits
from projections.statements.errors import UnreadableStatement
from projections.statements.findings import AT_THE_EDGE, OUTSIDE, Findings
from projections.statements.form import Row
from projections.statements.totals import Totals

KeyNames = Callable[[str], Sequence[str]]
"""Every idempotency key under which a provider's transaction id may have been booked."""

CONTRADICTING_MAX: Final = 100
"""Rows of one transaction id that contradict one another: with more it is no transaction's id."""

_LEARNT: Final = ("player_id", "round_id", "reference")


class Times(msgspec.Struct, frozen=True):
    """The period, ``ends`` excluded, and what is so near its edges that clocks decide."""

    begins: datetime
    ends: datetime
    edge_begins: datetime
    edge_ends: datetime

    def within(self, moment: datetime) -> bool:
        """Whether it is in the period."""
        return self.begins <= moment < self.ends

    def at_the_edge(self, moment: datetime) -> bool:
        """Whether it is near the period's beginning or end."""
        return moment < self.edge_begins or moment >= self.edge_ends


class Comparison:
    """Compares; what it finds is in ``findings`` and ``totals`` after `finish`."""

    def __init__(self, times: Times, keys_of: KeyNames, findings: Findings) -> None:
        self.findings = findings
        self.totals = Totals()
        self._times = times
        self._keys_of = keys_of
        self._rows: dict[str, Row | list[Row]] = {}
        self._unpaired: dict[str, list[Booking]] = {}
        self._tombstones: dict[str, tuple[Row, Booking]] = {}
        self._twins: set[str] = set()

    # --- the statement ---------------------------------------------------------------

    def add(self, row: Row) -> None:
        """A row of the statement.

        One that contradicts an earlier one nowhere is its repetition, and adds what that left out.
        Raises `UnreadableStatement` where too many of one id contradict one another.
        """
        earlier = self._rows.get(row.transaction_id)
        if earlier is None:
            self._rows[row.transaction_id] = row
            return
        rows = earlier if isinstance(earlier, list) else [earlier]
        for each in rows:
            if _repeats(row, each):
                for name in _LEARNT:
                    setattr(each, name, getattr(each, name) or getattr(row, name))
                self.findings.add("repeated_in_statement", row, first_line=each.line)
                return
        if len(rows) == CONTRADICTING_MAX:
            problem = f"{row.transaction_id!r} is that of {len(rows)} other rows: no unique id"
            raise UnreadableStatement(row.line, f"transaction_id: {problem}")
        rows.append(row)
        self._rows[row.transaction_id] = rows

    # --- the ledger ---------------------------------------------------------------

    def meet(self, booked: Booking, twin: Booking | None = None) -> None:
        """A movement of the period; ``twin``: what another partition booked under its key."""
        self.totals.ledger(booked.operation, booked.currency, booked.amount)
        if booked.key in self._twins:
            return  # judged with its twin
        if twin is not None:
            self._twins.add(booked.key)
        group = self._group(booked.transaction_id)
        if self._judge(group, booked, twin):
            return
        self._add_two(None, booked, twin)
        if group:
            self._unpaired.setdefault(booked.transaction_id, []).append(booked)
        else:
            self._lack(booked)

    def sought(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Every transaction id with a row that nothing of the period met, and its keys."""
        for transaction_id in self._rows:
            if not all(row.met for row in self._group(transaction_id)):
                yield transaction_id, self._keys_of(transaction_id)

    def found(self, transaction_id: str, bookings: Iterable[Booking]) -> None:
        """What was booked at any time under the keys of a transaction id that was sought."""
        group = self._group(transaction_id)
        by_key: dict[str, list[Booking]] = {}
        for booked in bookings:
            by_key.setdefault(booked.key, []).append(booked)
        for booked, *twins in by_key.values():
            twin = next(iter(twins), None)
            if any(self._times.within(each.recorded_at) for each in (booked, *twins)):
                continue  # it came by already
            if not self._judge(group, booked, twin) and self._is_unique(transaction_id):
                self._unpaired.setdefault(transaction_id, []).append(booked)

    def finish(self) -> None:
        """Name what was met by nothing."""
        for transaction_id in self._rows:
            group = self._group(transaction_id)
            unmet = [row for row in group if not row.met]
            for row in unmet:
                if not (self._mispaired(row) or self._is_cancelled(row)):
                    self.findings.add("missing_in_ledger", row)
            for row in group:
                self.totals.statement(row.operation, row.currency, row.amount)
                self.findings.noted["without_player"] += row.player_id is None
                self.findings.noted["without_round"] += row.round_id is None
        for bookings in self._unpaired.values():
            for booked in bookings:
                if self._times.within(booked.recorded_at):
                    self._lack(booked)
        for row, booked in self._tombstones.values():
            self.findings.add("amount_mismatch", row, booked)

    # --- inside ---------------------------------------------------------------

    def _group(self, transaction_id: str) -> Sequence[Row]:
        rows = self._rows.get(transaction_id, ())
        return (rows,) if isinstance(rows, Row) else rows

    def _is_unique(self, transaction_id: str) -> bool:
        """Whether the provider uses an id for one operation only."""
        return len(self._keys_of(transaction_id)) == 1

    def _judge(self, group: Sequence[Row], booked: Booking, twin: Booking | None) -> bool:
        """Compare the rows of the booking's operation with it; whether there are any.

        Of two bookings of one key, that is compared which fits better.
        """
        rows = self._rows_of(group, booked)
        if not rows:
            return False
        if twin is not None and self._misfit(rows, twin) < self._misfit(rows, booked):
            booked, twin = twin, booked
        self._add_two(rows[0], booked, twin)
        outside = not self._times.within(booked.recorded_at)
        if outside:
            self.totals.accounted_for(booked.operation, booked.currency, booked.amount)
        fitting: list[Row] = []
        for row in rows:
            row.met = True
            row.operation = booked.operation
            kinds = self._mismatches(row, booked)
            if not kinds:
                fitting.append(row)
            if kinds == ["amount_mismatch"] and self._is_awaited(row, booked):
                continue
            for kind in kinds:
                self.findings.add(kind, row, booked)
        if fitting and outside:
            self.findings.add(OUTSIDE, fitting[0], booked)
        elif fitting:
            self.findings.noted["matched"] += 1
        return True

    def _rows_of(self, group: Sequence[Row], booked: Booking) -> Sequence[Row]:
        """The rows of the booking's operation that met none.

        Where the id has several operations a rollback that does not fit may be of another one.
        """
        rows = [row for row in group if not row.met and fits(row.operation, booked.operation)]
        if len(rows) < 2 or self._is_unique(booked.transaction_id):
            return rows
        own = [
            row for row in rows if row.operation != "rollback" or not self._mismatches(row, booked)
        ]
        return own or rows

    def _is_awaited(self, row: Row, booked: Booking) -> bool:
        """Whether it is the refund of a bet that never was booked: that bet may be in it, too."""
        bet_key = booked.refers_to
        if booked.type != TOMBSTONE or bet_key is None or bet_key in self._tombstones:
            return False
        self._tombstones[bet_key] = row, booked
        return True

    def _misfit(self, rows: Sequence[Row], booked: Booking) -> int:
        return min(len(self._mismatches(row, booked)) for row in rows)

    def _mismatches(self, row: Row, booked: Booking) -> list[str]:
        """What the row says otherwise, by kind; amounts of two currencies are not compared."""
        kinds = []
        if row.currency != booked.currency:
            kinds.append("currency_mismatch")
        elif row.amount != booked.amount:
            kinds.append("amount_mismatch")
        if row.player_id is not None and row.player_id != booked.player_id:
            kinds.append("player_mismatch")
        if row.round_id is not None and booked.told_round not in (None, row.round_id):
            kinds.append("round_mismatch")
        if (
            row.reference is not None
            and booked.refers_to is not None
            and booked.refers_to not in self._keys_of(row.reference)
        ):
            kinds.append("reference_mismatch")
        return kinds

    def _add_two(self, row: Row | None, booked: Booking, twin: Booking | None) -> None:
        if twin is not None:
            self.findings.add("two_in_ledger", row, booked, other=twin)

    def _lack(self, booked: Booking) -> None:
        """The statement does not have it; what moved nothing it need not have."""
        if not booked.amount:
            self.findings.noted["moved_nothing"] += 1
        elif self._times.at_the_edge(booked.recorded_at):
            self.totals.accounted_for(booked.operation, booked.currency, -booked.amount)
            self.findings.add(AT_THE_EDGE, None, booked)
        else:
            self.findings.add("missing_in_statement", None, booked)

    def _mispaired(self, row: Row) -> bool:
        """Whether its id was booked as another operation, which no row of the statement is."""
        bookings = self._unpaired.get(row.transaction_id, [])
        unique = self._is_unique(row.transaction_id)
        for booked in bookings:
            if unique or booked.amount:
                bookings.remove(booked)
                self.findings.add("operation_mismatch", row, booked)
                return True
        return False

    def _is_cancelled(self, row: Row) -> bool:
        """Whether it is a bet that never was booked, as its refund came first (rule 8).

        Where the statement has both with one amount and player, both sides agree that nothing
        moved.
        """
        if row.operation != "bet":
            return False
        for key in self._keys_of(row.transaction_id):
            if key not in self._tombstones:
                continue
            refund, booked = self._tombstones[key]
            same = (refund.amount, refund.currency) == (row.amount, row.currency)
            if same and row.player_id in (None, booked.player_id):
                del self._tombstones[key]
                self.findings.noted["cancelled_before_booking"] += 1
                self.totals.accounted_for("bet", row.currency, row.amount)
                self.totals.accounted_for(refund.operation, refund.currency, refund.amount)
                return True
        return False


def _repeats(row: Row, earlier: Row) -> bool:
    """Whether the row says what the earlier one says, as far as both say anything."""
    same = (row.amount, row.currency) == (earlier.amount, earlier.currency)
    operations = {row.operation, earlier.operation}
    is_one = len(operations) == 1 or ("rollback" in operations and not {"bet", "win"} & operations)
    told = ((getattr(row, name), getattr(earlier, name)) for name in _LEARNT)
    return same and is_one and all(None in pair or pair[0] == pair[1] for pair in told)
