"""What an audit finds: told as lines, the first of each thing only, but all of them counted."""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.currencies import Currencies
from ledger.money import to_decimal_string

EVENTS: Final = "events"
"""What findings about an event itself are about."""
SHOWN: Final = 20
"""So many findings about one thing of a partition are told one by one."""


class Finding(msgspec.Struct, frozen=True):
    """A difference: between what is kept and what the events say, or between the events themselves.

    ``about``: the table or view. ``partition`` None: of none alone. ``count``: how many differences
    it stands for.
    """

    about: str
    partition: int | None
    what: str
    count: int = 1


class Findings:
    """The findings in one partition; however many there are, few are kept."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._shown: dict[str, list[Finding]] = {}
        self._rest: dict[str, int] = {}

    def add(self, about: str, what: str) -> None:
        """One more."""
        shown = self._shown.setdefault(about, [])
        if len(shown) < SHOWN:
            shown.append(Finding(about, self._partition, what))
        else:
            self._rest[about] = self._rest.get(about, 0) + 1

    def join(self, other: Findings) -> None:
        """What somebody else has found in the same partition."""
        for about, shown in other._shown.items():
            for finding in shown:
                self.add(about, finding.what)
            self._rest[about] = self._rest.get(about, 0) + other._rest.get(about, 0)

    def told(self) -> list[Finding]:
        """The first about each thing, and how many more there are: none hides another thing's."""
        told: list[Finding] = []
        for about, shown in self._shown.items():
            told += shown
            if rest := self._rest.get(about):
                told.append(Finding(about, self._partition, f"{rest} more", rest))
        return told


def told_error(error: Exception) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def amount_told(units: int, code: str, currencies: Currencies) -> str:
    """Main units; a currency that nobody knows, as what is damaged may have it, has none."""
    unit = currencies.get(code)
    return f"{units} ledger units" if unit is None else to_decimal_string(units, unit)
