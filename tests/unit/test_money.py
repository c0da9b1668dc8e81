"""Amounts: exact on the way in, rounded down on the way out, never a float."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.money import (
    UNITS_MAX,
    Currency,
    MalformedAmount,
    currency,
    floor_decimal_string,
    from_decimal,
    from_fixed,
    from_subunits,
    parse_decimal,
    to_decimal_string,
    to_fixed,
    to_subunits,
)

EUR = currency("EUR", 2)
JPY = currency("JPY", 0)
CLF = currency("CLF", 4)
BTC = currency("BTC", 8)
COARSE = Currency("XXX", 2, 2)
WHOLE = Currency("WHO", 0, 0)
UNITS = st.integers(-UNITS_MAX, UNITS_MAX)
CURRENCIES = st.sampled_from([EUR, JPY, CLF, BTC, COARSE, WHOLE])


def test_a_currency_keeps_five_decimals_or_as_many_as_it_has():
    """155.io counts in 1/100 000; a currency with more decimals must fit exactly too."""
    assert [unit.scale for unit in (EUR, JPY, CLF, BTC)] == [5, 5, 5, 8]
    assert currency("EUR", 2) == Currency("EUR", 2, 5)
    assert currency("BTC", 8) == Currency("BTC", 8, 8)
    assert currency("EUR", 2, 7) == Currency("EUR", 2, 7)


@pytest.mark.parametrize(
    ("amount", "digits", "unit", "units"),
    [
        (0, 2, EUR, 0),
        (1000, 2, EUR, 1_000_000),
        (1_000_000, 5, EUR, 1_000_000),
        (120, 7, COARSE, None),
        (100_000, 7, COARSE, 1),
        (1, 6, EUR, None),
        (10, 6, EUR, 1),
        (-1, 2, EUR, None),
        (UNITS_MAX, 5, EUR, UNITS_MAX),
        (UNITS_MAX + 1, 5, EUR, None),
        (UNITS_MAX, 2, EUR, None),
    ],
)
def test_an_integer_is_taken_exactly_or_not_at_all(amount, digits, unit, units):
    """Rounding a provider's amount would make money or lose it."""
    if units is None:
        with pytest.raises(MalformedAmount):
            from_fixed(amount, digits, unit)
    else:
        assert from_fixed(amount, digits, unit) == units


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("0", 0),
        ("12.50", 1_250_000),
        ("0.00001", 1),
        ("0012.5", 1_250_000),
        ("1.0000000000", 100_000),
        ("92233720368547.75807", UNITS_MAX),
        ("0" * 64, 0),
    ],
)
def test_a_decimal_string_is_taken_exactly(text, units):
    """The operator API's amounts; idle zeros are no precision."""
    assert parse_decimal(text, EUR) == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".5",
        "1e2",
        "+1",
        "-1",
        " 1",
        "1 ",
        "1,5",
        "1_0",
        "0x1",
        "NaN",
        "Infinity",
        "0.000001",
        "92233720368547.75808",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "1.\N{ARABIC-INDIC DIGIT ONE}",
        "0" * 65,
        "1" * 100_000,
    ],
)
def test_anything_else_is_no_amount(text):
    """One notation, so that one amount has one meaning; and no literal that costs time."""
    with pytest.raises(MalformedAmount):
        parse_decimal(text, EUR)


def test_only_an_adjustment_may_be_negative():
    """A negative amount on the wire is an attack or a defect."""
    assert parse_decimal("-12.5", EUR, negative=True) == -1_250_000
    assert from_decimal(Decimal("-0.00"), EUR) == 0
    for text in ("--1", "-", "-.5"):
        with pytest.raises(MalformedAmount):
            parse_decimal(text, EUR, negative=True)


@pytest.mark.parametrize(
    ("literal", "units"),
    [
        ("42", 4_200_000),
        ("1E+2", 10_000_000),
        ("1.5E-3", 150),
        ("0E-64", 0),
        ("1." + "0" * 63, 100_000),
        ("1E-6", None),
        ("-1", None),
        ("NaN", None),
        ("Infinity", None),
        ("-Infinity", None),
        ("1E+64", None),
        ("1E+65", None),
        ("1E+999999", None),
        ("0E-65", None),
        ("1." + "0" * 64, None),
    ],
)
def test_a_json_number_is_read_as_an_exact_decimal(literal, units):
    """An exponent is allowed, one that would build a giant integer is not."""
    if units is None:
        with pytest.raises(MalformedAmount):
            from_decimal(Decimal(literal), EUR)
    else:
        assert from_decimal(Decimal(literal), EUR) == units


@pytest.mark.parametrize(
    ("units", "digits", "shown"),
    [(1_999, 2, 1), (-1, 2, -1), (-1_000, 2, -1), (1_999, 5, 1_999), (1_999, 7, 199_900)],
)
def test_a_balance_is_shown_rounded_down(units, digits, shown):
    """A player is never shown money that is not there; a debt is never shown smaller."""
    assert to_fixed(units, digits, EUR) == shown


@pytest.mark.parametrize(
    ("units", "unit", "exact", "floor"),
    [
        (1_250_000, EUR, "12.50", "12.50"),
        (1_250_001, EUR, "12.50001", "12.50"),
        (-1, EUR, "-0.00001", "-0.01"),
        (0, EUR, "0.00", "0.00"),
        (150_000, JPY, "1.5", "1"),
        (-150_000, JPY, "-1.5", "-2"),
        (100_000, JPY, "1", "1"),
        (7, WHOLE, "7", "7"),
        (-7, COARSE, "-0.07", "-0.07"),
    ],
)
def test_amounts_as_text(units, unit, exact, floor):
    """Exact for people and reports, rounded down where the wire has the ISO digits only."""
    assert to_decimal_string(units, unit) == exact
    assert floor_decimal_string(units, unit) == floor


@given(units=UNITS, unit=CURRENCIES)
def test_exact_text_comes_back_as_the_same_amount(units, unit):
    """What a report shows can be booked again without loss."""
    assert parse_decimal(to_decimal_string(units, unit), unit, negative=True) == units


@given(units=UNITS, unit=CURRENCIES)
def test_no_form_on_the_wire_shows_more_than_there_is(units, unit):
    """Neither subunits nor ISO digits round up, and they lose less than one subunit."""
    subunit = 10 ** (unit.scale - unit.exponent)
    shown = to_subunits(units, unit) * subunit
    assert shown <= units < shown + subunit
    assert Decimal(floor_decimal_string(units, unit)) == Decimal(to_subunits(units, unit)).scaleb(
        -unit.exponent
    )


@given(amount=st.integers(0, 10**12), unit=CURRENCIES)
def test_subunits_come_back_as_they_were(amount, unit):
    """A provider that counts in cents gets its own cents back."""
    assert to_subunits(from_subunits(amount, unit), unit) == amount
