"""The registry of currencies: ISO 4217's exponents, the ledger's scale, and what a file adds."""

import pytest

from ledger.currencies import Currencies, UnknownCurrency, iso_exponent
from ledger.money import Currency


@pytest.mark.parametrize(
    ("code", "exponent", "scale"), [("EUR", 2, 5), ("JPY", 0, 5), ("BHD", 3, 5), ("CLF", 4, 5)]
)
def test_a_currency_has_its_iso_exponent_and_five_digits_at_least(code, exponent, scale):
    """Every provider's precision must fit exactly, and subunits must be the provider's own."""
    assert Currencies()[code] == Currency(code, exponent, scale)


def test_what_is_no_currency_to_keep_money_in_is_unknown():
    """Gold has no exponent, a typo has no entry: neither may silently become a wallet."""
    known = Currencies()
    for code in ("XAU", "XXX", "EURO", "eur", ""):
        assert code not in known
        assert known.get(code) is None
        with pytest.raises(UnknownCurrency):
            known[code]


def test_an_override_wins_and_adds():
    """Tokens and finer scales come from the configuration; the rest stays ISO's."""
    token, fine = Currency("USDT", 6, 6), Currency("EUR", 2, 8)
    known = Currencies({"USDT": token, "EUR": fine})
    assert known["USDT"] == token
    assert known["EUR"] == fine
    assert known["USD"].scale == 5
    assert len(known) == len(Currencies()) + 1
    assert set(Currencies()) < set(known)


def test_iso_exponent_is_none_where_iso_gives_none():
    """The configuration asks it whether an exponent must be given."""
    assert iso_exponent("EUR") == 2
    assert iso_exponent("XAU") is None
    assert iso_exponent("USDT") is None
