"""The time that a report is about, and its days in the reader's time zone.

Dates are whole days in that zone, both included; moments are exact, the last one excluded.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from projections.reports.errors import BadRequest

DAYS_MAX: Final = 10_000
"""Days that a report tells apart at most."""

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT: Final = re.compile(r"\d{4}(-?)\d{2}\1\d{2}T\d.*")
_EARLIEST: Final = datetime(1969, 12, 31, tzinfo=UTC)  # 1970 begins east of UTC
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)


class Period(msgspec.Struct, frozen=True):
    """``begins`` is included, ``ends`` is not; None: since ever, until now."""

    zone: str
    begins: datetime | None
    ends: datetime | None

    def until(self, now: datetime) -> datetime:
        """Where it ends, at ``now`` if it has not ended yet."""
        return now if self.ends is None else min(self.ends, now)

    def last_edge(self, now: datetime) -> datetime | None:
        """The later of its beginning and its end that lies in the past; None: neither does."""
        edges = (self.begins, self.ends)
        return max((edge for edge in edges if edge is not None and edge <= now), default=None)


def time_zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises `BadRequest`."""
    if name not in _zones():
        raise BadRequest(f"tz: {name!r} is no time zone; expected a name such as Europe/Malta")
    return ZoneInfo(name)


def read_period(begin: str | None, end: str | None, zone_name: str) -> Period:
    """The period from ``begin`` to ``end``: dates or moments in ISO 8601.

    Raises `BadRequest`.
    """
    zone = time_zone(zone_name)
    begins = None if begin is None else _read("from", begin, zone, days=0)
    ends = None if end is None else _read("to", end, zone, days=1)
    if begins is not None and ends is not None and begins >= ends:
        # A last day that ends where the first one begins is the day before.
        is_empty = begins == ends and not _DATE.fullmatch(end or "")
        problem = "is empty: `to` is excluded" if is_empty else "ends before it begins"
        raise BadRequest(f"from, to: the period {problem} ({begin} to {end})")
    return Period(zone_name, begins, ends)


def read_moment(text: str, zone: tzinfo, *, days: int = 0) -> datetime:
    """The moment in UTC that a date or a date with its time means; without an offset ``zone``'s.

    A date is its own first moment, or that of the day so many ``days`` on. It has one form,
    YYYY-MM-DD: others without a time are not guessed at. Raises ValueError and OverflowError.
    """
    if _DATE.fullmatch(text):
        return _midnight(date.fromisoformat(text) + timedelta(days=days), zone)
    # A plus that was not percent-encoded comes out of a query as a blank.
    written = text.strip().replace(" ", "+")
    if not _MOMENT.fullmatch(written):
        raise ValueError(f"{text!r} is neither a date nor a date with its time")
    moment = datetime.fromisoformat(written)
    return moment.replace(tzinfo=moment.tzinfo or zone).astimezone(UTC)


def day_starts(begins: datetime, ends: datetime, zone_name: str) -> list[datetime]:
    """Where the days between two moments begin, in UTC; the first is ``begins`` itself.

    Raises `BadRequest` for more than `DAYS_MAX` days.
    """
    zone = time_zone(zone_name)
    starts = [begins]
    day = day_of(begins, zone_name)
    while True:
        day += timedelta(days=1)
        start = _midnight(day, zone)
        if start >= ends:
            return starts
        if start > starts[-1]:
            starts.append(start)
        if len(starts) > DAYS_MAX:
            raise BadRequest(f"from, to: more than {DAYS_MAX} days")


def day_of(moment: datetime, zone_name: str) -> date:
    """The date of the day that a moment falls into.

    Where clocks are set back over midnight, the hour before it that comes again is the new day's.
    """
    zone = time_zone(zone_name)
    day = moment.astimezone(zone).date()
    following = day + timedelta(days=1)
    return following if _midnight(following, zone) <= moment else day


def place(starts: list[datetime], moment: datetime) -> int:
    """The number of the day that a moment falls into."""
    return bisect_right(starts, moment) - 1


def hour_begin(moment: datetime) -> datetime:
    """The beginning of the UTC hour that a moment falls into."""
    return moment.replace(minute=0, second=0, microsecond=0)


def is_whole_hour(moment: datetime) -> bool:
    """Whether a UTC hour begins then."""
    return moment == hour_begin(moment)


def _read(name: str, text: str, zone: ZoneInfo, *, days: int) -> datetime:
    try:
        moment = read_moment(text, zone, days=days)
    except OverflowError:
        raise _out_of_range(name, text) from None
    except ValueError:
        raise BadRequest(
            f"{name}: {text!r} is neither a date such as 2030-01-31"
            " nor a time such as 2030-01-31T12:00:00Z"
        ) from None
    if not _EARLIEST <= moment <= _LATEST:
        raise _out_of_range(name, text)
    return moment


def _out_of_range(name: str, text: str) -> BadRequest:
    return BadRequest(f"{name}: {text} is out of range")


def _midnight(day: date, zone: tzinfo) -> datetime:
    """The first moment of a day; where clocks jump over midnight, the moment after the jump."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


@cache
def _zones() -> frozenset[str]:
    # The machine's own zone is another on another machine.
    return frozenset(available_timezones() - {"localtime"})
