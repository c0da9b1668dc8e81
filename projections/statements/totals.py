"""Counts and sums of both sides by operation and currency: the variance against the provider."""

from __future__ import annotations

from typing import Final

from ledger.currencies import Currencies
from ledger.money import to_decimal_string
from projections.statements.findings import TotalsRow

_OPERATIONS: Final = ("bet", "win", "refund", "reversal")


class Totals:
    """Sums in ledger units; what moved nothing is counted on neither side."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], list[int]] = {}

    def statement(self, operation: str, currency: str, amount: int) -> None:
        """A row of the statement."""
        self._add(operation, currency, 0, amount)

    def ledger(self, operation: str, currency: str, amount: int) -> None:
        """What was booked in the period."""
        self._add(operation, currency, 2, amount)

    def accounted_for(self, operation: str, currency: str, amount: int) -> None:
        """So much more (less: negative) in the statement is no difference."""
        self._of(operation, currency)[4] += amount

    def rows(self, currencies: Currencies) -> list[TotalsRow]:
        """A row an operation and currency, in the order of currencies."""
        order = sorted(self._sums, key=lambda key: (key[1], _OPERATIONS.index(key[0])))
        return [self._row(*key, currencies) for key in order]

    def _row(self, operation: str, currency: str, currencies: Currencies) -> TotalsRow:
        told_count, told, booked_count, booked, accounted = self._sums[operation, currency]
        unit = currencies[currency]
        variance = told - booked
        return TotalsRow(
            operation=operation,
            currency=currency,
            statement_count=told_count,
            statement=to_decimal_string(told, unit),
            ledger_count=booked_count,
            ledger=to_decimal_string(booked, unit),
            variance=to_decimal_string(variance, unit),
            accounted_for=to_decimal_string(accounted, unit),
            unexplained=to_decimal_string(variance - accounted, unit),
        )

    def _add(self, operation: str, currency: str, place: int, amount: int) -> None:
        if amount:
            sums = self._of(operation, currency)
            sums[place] += 1
            sums[place + 1] += amount

    def _of(self, operation: str, currency: str) -> list[int]:
        # A rollback that was not found is taken for a refund: most are.
        name = "refund" if operation == "rollback" else operation
        return self._sums.setdefault((name, currency), [0] * 5)
