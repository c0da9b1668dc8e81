"""The simulator's own little table of currencies, so that a mistake in the ledger's is seen.

An amount is an int in hundred-thousandths of the main unit, whatever the currency.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

SCALE = 5
"""Decimals of an amount: enough for the currencies below and for the provider that sends five."""

MAIN_UNIT = 10**SCALE

EXPONENTS = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
"""Decimals that ISO 4217 gives to the currencies that are played in."""


def subunit(currency: str) -> int:
    """One cent, yen or fils as an amount."""
    return int(10 ** (SCALE - EXPONENTS[currency]))


def subunits_down(amount: int, currency: str) -> int:
    """The amount in whole subunits, rounded towards minus infinity."""
    return amount // subunit(currency)


def main_units(amount: int) -> Decimal:
    """The amount in main units, exactly."""
    return Decimal(amount).scaleb(-SCALE)


def shown(amount: int, currency: str) -> Decimal:
    """The amount in main units with no more decimals than the currency has, rounded down."""
    return Decimal(subunits_down(amount, currency)).scaleb(-EXPONENTS[currency])


def parse(text: str) -> int:
    """The amount that a decimal string in main units means. Raises ValueError when it is finer."""
    try:
        scaled = Decimal(text).scaleb(SCALE)
        amount = int(scaled)
    except (InvalidOperation, OverflowError) as error:
        raise ValueError(f"{text!r} is no amount") from error
    if amount != scaled:
        raise ValueError(f"{text} has more than {SCALE} decimals")
    return amount
