"""The currencies the ledger keeps: ISO 4217, plus what the configuration adds or makes finer.

A currency's decimals must never change once a database knows it: amounts are stored in its units,
and providers send them in its subunits. `ledger.schema.record_currencies` sees to that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import iso4217

from ledger.money import Currency, currency

# ISO lists metals, funds and test codes without an exponent: no money is kept in those.
_ISO = {
    entry.code: currency(entry.code, entry.exponent)
    for entry in iso4217.Currency
    if entry.exponent is not None
}


class UnknownCurrency(KeyError):
    """The code is neither in ISO 4217 (with an exponent) nor in the configuration."""


def iso_exponent(code: str) -> int | None:
    """Decimals that ISO 4217 gives the currency, None where ISO does not know it or gives none."""
    known = _ISO.get(code)
    return None if known is None else known.exponent


class Currencies(Mapping[str, Currency]):
    """Every currency by its code; ``overrides`` win over ISO 4217."""

    __slots__ = ("_known",)

    def __init__(self, overrides: Mapping[str, Currency] | None = None) -> None:
        self._known = {**_ISO, **(overrides or {})}

    def __getitem__(self, code: str) -> Currency:
        """The currency of that code. Raises `UnknownCurrency`."""
        try:
            return self._known[code]
        except KeyError:
            raise UnknownCurrency(code) from None

    def __contains__(self, code: object) -> bool:
        return code in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
