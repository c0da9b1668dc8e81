"""What was asked for: a report's name, its period and its filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from ledger.currencies import Currencies
from ledger.money import UNITS_MAX, AmountTooLarge, Currency, MalformedAmount, parse_decimal
from projections.reports.errors import BadRequest
from projections.reports.period import Period

GROUPS: Final = ("day", "provider", "game")
"""What totals may be told apart by, beside the currency."""


class Filters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What narrows a report. Which report takes which: `projections.reports.registry`."""

    integration: str | None = None
    game: str | None = None
    currency: str | None = None
    player_id: str | None = None
    kind: str | None = None
    type: str | None = None
    threshold: str | None = None
    older_than_h: int | None = None
    by: str | None = None

    def given(self) -> dict[str, str]:
        """Those that were asked for, as texts."""
        return {
            name: str(value)
            for name, value in msgspec.structs.asdict(self).items()
            if value is not None
        }


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A report to be made: of which time, narrowed by what, by whose clock and which money."""

    period: Period
    filters: Filters
    now: datetime
    currencies: Currencies
    large_wins: Mapping[str, int]
    """Threshold of a large win by currency, in ledger units."""
    rows_max: int | None
    """More rows than that are refused; None: any number."""

    @property
    def ends(self) -> datetime:
        """Where the period ends, now at the latest."""
        return self.period.until(self.now)

    @property
    def ended_at(self) -> datetime | None:
        """When the period ended, be it since it was asked for; None: it has not yet."""
        ends = self.period.ends
        return None if ends is None or ends > datetime.now(UTC) else ends

    def covers(self, moment: datetime) -> bool:
        """Whether a moment lies in the period, and not behind the time of asking."""
        begins = self.period.begins
        return (begins is None or begins <= moment) and moment < self.ends

    @property
    def is_ahead(self) -> bool:
        """Whether the period lies in the future."""
        return self.period.begins is not None and self.period.begins > self.now

    def check_begun(self) -> None:
        """Raises `BadRequest` where the period lies in the future: no money is known of then."""
        if self.is_ahead:
            raise BadRequest("from: lies in the future")

    def unit(self, code: str) -> Currency:
        """A currency that was booked in: it is known."""
        return self.currencies[code]

    @property
    def rows_most(self) -> int | None:
        """So many rows are worth reading: one more than may be handed out. None: all."""
        return None if self.rows_max is None else self.rows_max + 1

    def check_rows(self, count: int) -> None:
        """Raises `BadRequest` where there are too many rows to hand out at once."""
        if self.rows_max is not None and count > self.rows_max:
            raise BadRequest(
                f"more than {self.rows_max} rows: narrow the period or the filters, or use the"
                " command line"
            )

    def thresholds(self) -> dict[str, int]:
        """From which amount on, in ledger units by currency. Raises `BadRequest`.

        As asked for; where it was not, from which amount on a win is large.
        """
        code = self.filters.currency
        limits = self.large_wins if code is None else {code: self.large_wins[code]}
        text = self.filters.threshold
        if text is None:
            return {**limits}
        return {code: _threshold(text, self.unit(code)) for code in limits}

    def groups(self) -> tuple[str, ...]:
        """What totals are told apart by. Raises `BadRequest`."""
        if self.filters.by is None:
            return GROUPS
        wanted = [name for name in self.filters.by.split(",") if name]
        for name in wanted:
            if name not in GROUPS:
                raise BadRequest(f"by: {name!r} is none of {', '.join(GROUPS)}")
        return tuple(name for name in GROUPS if name in wanted)

    def types(self, known: Sequence[str]) -> Sequence[str]:
        """The names of the events that are wanted, of those that are known. Raises `BadRequest`."""
        if self.filters.type is None:
            return known
        wanted = self.filters.type.split(",")
        for name in wanted:
            if name not in known:
                raise BadRequest(f"type: {name!r} is none of {', '.join(known)}")
        return wanted


def _threshold(text: str, unit: Currency) -> int:
    try:
        units = parse_decimal(text, unit)
    except AmountTooLarge:
        return UNITS_MAX  # in this currency; in others there may be as much
    except MalformedAmount as error:
        raise BadRequest(f"threshold: {error}") from None
    if units == 0:
        raise BadRequest("threshold: expected more than 0")
    return units
