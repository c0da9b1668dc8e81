"""Amounts of the operator API: decimal strings in main units, exact or malformed."""

from __future__ import annotations

from adapters.operator.problems import malformed
from ledger.money import Currency, MalformedAmount, parse_decimal


def parse_amount(name: str, text: str, unit: Currency) -> int:
    """Ledger units of an amount of 0 or more. Ends the call as malformed, naming the field."""
    if text.startswith("-"):  # -0 as well
        malformed(f"{name}: expected 0 or more")
    return _parse(name, text, unit)


def parse_positive(name: str, text: str, unit: Currency) -> int:
    """Ledger units of an amount above 0. Ends the call as malformed, naming the field."""
    amount = _parse(name, text, unit)
    return amount if amount > 0 else malformed(f"{name}: expected more than 0")


def parse_change(name: str, text: str, unit: Currency) -> int:
    """Ledger units of an amount of either sign. Ends the call as malformed, naming the field."""
    return _parse(name, text, unit) or malformed(f"{name}: expected anything but 0")


def _parse(name: str, text: str, unit: Currency) -> int:
    try:
        return parse_decimal(text, unit, negative=True)
    except MalformedAmount as error:
        malformed(f"{name}: {str(error).removeprefix('amount ')}")
