"""Exact money: amounts as integers of a currency's ledger units, and their forms on the wire.

Nothing here ever touches a float, and nothing rounds on the way in: an amount that the ledger
cannot hold exactly is malformed. On the way out balances are rounded down, so that a player is
never shown money that is not there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

LEDGER_DIGITS: Final = 5
"""Fewest decimals of a ledger unit: 155.io (marbles) counts in 1/100 000 of the main unit."""

UNITS_MAX: Final = 2**63 - 1
"""Largest amount or balance: what a PostgreSQL bigint holds."""

# Enough for any bigint in any sane scale; a longer literal is refused before it is computed with.
_LITERAL_LENGTH_MAX: Final = 64
_DECIMAL_EXPONENT_MAX: Final = 64


class MalformedAmount(ValueError):
    """An amount that is negative, not finite, finer than the ledger's scale or beyond a bigint."""


class AmountTooLarge(MalformedAmount):
    """More than any wallet of the currency can hold: `UNITS_MAX`."""


class Currency(msgspec.Struct, frozen=True):
    """A currency as the ledger keeps it.

    ``exponent`` is the number of decimals people use (ISO 4217); ``scale`` the number the ledger
    keeps, at least as many.
    """

    code: str
    exponent: int
    scale: int


def currency(code: str, exponent: int, scale: int | None = None) -> Currency:
    """A currency; unless given, the scale is the larger of `LEDGER_DIGITS` and the exponent."""
    return Currency(code, exponent, max(LEDGER_DIGITS, exponent) if scale is None else scale)


def from_fixed(amount: int, digits: int, unit: Currency) -> int:
    """Ledger units of an integer that counts 10**-digits of the main unit.

    Raises `MalformedAmount`.
    """
    if amount < 0:
        raise MalformedAmount("amount is negative")
    if digits <= unit.scale:
        units: int = amount * 10 ** (unit.scale - digits)
    else:
        units, rest = divmod(amount, 10 ** (digits - unit.scale))
        if rest:
            raise MalformedAmount(f"amount is finer than {unit.scale} decimals")
    if units > UNITS_MAX:
        raise AmountTooLarge("amount is too large")
    return units


def to_fixed(units: int, digits: int, unit: Currency) -> int:
    """The integer that counts 10**-digits of the main unit, rounded towards minus infinity."""
    if digits >= unit.scale:
        return int(units * 10 ** (digits - unit.scale))
    return int(units // 10 ** (unit.scale - digits))


def from_subunits(amount: int, unit: Currency) -> int:
    """Ledger units of an integer of ISO 4217 subunits (cents). Raises `MalformedAmount`."""
    return from_fixed(amount, unit.exponent, unit)


def to_subunits(units: int, unit: Currency) -> int:
    """ISO 4217 subunits, rounded towards minus infinity."""
    return to_fixed(units, unit.exponent, unit)


def from_decimal(amount: Decimal, unit: Currency, *, negative: bool = False) -> int:
    """Ledger units of an exact decimal in main units.

    Raises `MalformedAmount`; a negative one only where allowed.
    """
    sign, digits, exponent = amount.as_tuple()
    if not isinstance(exponent, int):
        raise MalformedAmount("amount is not a finite number")
    if abs(exponent) > _DECIMAL_EXPONENT_MAX or len(digits) > _LITERAL_LENGTH_MAX:
        raise MalformedAmount("amount has too many digits")
    mantissa = int("".join(map(str, digits)))
    if sign and mantissa and not negative:
        raise MalformedAmount("amount is negative")
    if exponent >= 0:
        units = from_fixed(mantissa * 10**exponent, 0, unit)
    else:
        units = from_fixed(mantissa, -exponent, unit)
    return -units if sign else units


def parse_decimal(text: str, unit: Currency, *, negative: bool = False) -> int:
    """Ledger units of a decimal string in main units such as ``"12.50"``.

    Digits and one point, no exponent, no blanks.

    Raises `MalformedAmount`.
    """
    digits = text[1:] if negative and text.startswith("-") else text
    whole, point, fraction = digits.partition(".")
    if not (whole.isascii() and whole.isdigit()) or (
        point and not (fraction.isascii() and fraction.isdigit())
    ):
        raise MalformedAmount("amount is not a decimal number")
    if len(digits) > _LITERAL_LENGTH_MAX:
        raise MalformedAmount("amount has too many digits")
    return from_decimal(Decimal(text), unit, negative=negative)


def to_decimal_string(units: int, unit: Currency) -> str:
    """The exact amount in main units.

    The currency's ISO digits at least, and no idle zeros behind them.
    """
    sign = "-" if units < 0 else ""
    whole, fraction = divmod(abs(units), 10**unit.scale)
    digits = (
        f"{fraction:0{unit.scale}d}".rstrip("0").ljust(unit.exponent, "0") if unit.scale else ""
    )
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def floor_decimal_string(units: int, unit: Currency) -> str:
    """The amount in main units with exactly the currency's ISO digits.

    Rounded towards minus infinity.
    """
    subunits = to_subunits(units, unit)
    if not unit.exponent:
        return str(subunits)
    sign = "-" if subunits < 0 else ""
    whole, fraction = divmod(abs(subunits), 10**unit.exponent)
    return f"{sign}{whole}.{fraction:0{unit.exponent}d}"
