"""Periods: whole days of a time zone, exact moments, and what is no period at all."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from projections.reports.errors import BadRequest
from projections.reports.period import DAYS_MAX, day_of, day_starts, read_period


def utc(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("begin", "end", "zone", "begins", "ends"),
    [
        ("2024-01-31", "2024-01-31", "UTC", "2024-01-31T00:00", "2024-02-01T00:00"),
        ("2024-01-31", "2024-02-01", "Asia/Kolkata", "2024-01-30T18:30", "2024-02-01T18:30"),
        ("2024-03-31", "2024-03-31", "Europe/Malta", "2024-03-30T23:00", "2024-03-31T22:00"),
        ("2024-10-27", "2024-10-27", "Europe/Malta", "2024-10-26T22:00", "2024-10-27T23:00"),
        ("2024-01-31T12Z", "2024-02-01T12:30+01", "UTC", "2024-01-31T12:00", "2024-02-01T11:30"),
        ("2024-01-31T12", "2024-01-31T13", "Asia/Tokyo", "2024-01-31T03:00", "2024-01-31T04:00"),
        ("2024-01-31T12:00:00 01:00", "2024-02-01", "UTC", "2024-01-31T11:00", "2024-02-02T00:00"),
        # Midnight did not exist: clocks jumped from 23:59:59 to 01:00.
        ("2018-11-04", "2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00", "2018-11-05T02:00"),
    ],
)  # fmt: skip
def test_dates_are_days_of_the_zone_and_moments_are_exact(begin, end, zone, begins, ends):
    """A day of summer time's beginning has 23 hours, one of its end 25."""
    period = read_period(begin, end, zone)
    assert (period.begins, period.ends) == (utc(begins), utc(ends))


def test_a_period_may_be_open_at_both_ends():
    """Since ever, until now."""
    period = read_period(None, None, "UTC")
    now = utc("2024-01-31T12:00")
    assert (period.begins, period.ends, period.until(now)) == (None, None, now)
    assert read_period(None, "2024-01-30", "UTC").until(now) == utc("2024-01-31T00:00")
    assert read_period(None, "2024-01-31", "UTC").until(now) == now


@pytest.mark.parametrize(
    ("begin", "end", "zone", "message"),
    [
        ("2024-02-30", None, "UTC", "from: '2024-02-30' is neither a date"),
        ("2024-1-1", None, "UTC", "from: '2024-1-1' is neither a date"),
        (None, "yesterday", "UTC", "to: 'yesterday' is neither a date"),
        ("2024-02-01", "2024-01-31", "UTC", "from, to: the period ends before it begins"),
        (
            *("2024-01-31T12:00Z", "2024-01-31T13:00+01", "UTC"),
            "from, to: the period is empty: `to` is excluded (2024-01-31T12:00Z to 2024-01-31T13:",
        ),
        ("2024-02-01", "2024-02-01T00:00Z", "UTC", "from, to: the period is empty: `to` is excl"),
        ("0001-01-01", None, "Asia/Tokyo", "from: 0001-01-01 is out of range"),
        ("1969-12-30", None, "UTC", "from: 1969-12-30 is out of range"),
        (None, "9999-12-31", "UTC", "to: 9999-12-31 is out of range"),
        (None, None, "Europe/Atlantis", "tz: 'Europe/Atlantis' is no time zone"),
        (None, None, "../../etc/passwd", "tz: '../../etc/passwd' is no time zone"),
        (None, None, "Europe", "tz: 'Europe' is no time zone"),
        (None, None, "", "tz: '' is no time zone"),
        ("", None, "UTC", "from: '' is neither a date"),
    ],
)
def test_what_is_no_period_is_refused_by_field(begin, end, zone, message):
    """Whoever mistyped must not get a report of another time."""
    with pytest.raises(BadRequest) as found:
        read_period(begin, end, zone)
    assert str(found.value).startswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "20240301",
        "2024-W09-5",
        "2024W095",
        "2024-W09",
        "2024-061",
        "2024-03",
        "2024-03-01 ",
        "2024-03-01T",
        "2024-W09-5T12:00Z",
        "2024-03-01+01:00",
        "2024-03-01 01:00",
        "2024-03-01t12:00",
    ],
)
def test_a_date_has_one_form_and_a_moment_a_time(text):
    """Read as the midnight that a day begins with, `to` would leave out the whole day.

    An offset behind a date would be taken for a time of day.
    """
    message = f"{text!r} is neither a date such as 2030-01-31 nor a time such as"
    with pytest.raises(BadRequest, match=f"^from: {re.escape(message)}"):
        read_period(text, None, "UTC")
    with pytest.raises(BadRequest, match=f"^to: {re.escape(message)}"):
        read_period(None, text, "UTC")


def test_days_begin_at_local_midnight_whatever_the_clocks_do():
    """Days of 24, 23 and 25 hours follow each other without gap."""
    starts = day_starts(utc("2024-03-29T23:00"), utc("2024-04-01T22:00"), "Europe/Malta")
    assert starts == [utc("2024-03-29T23:00"), utc("2024-03-30T23:00"), utc("2024-03-31T22:00")]
    days = [str(day_of(start, "Europe/Malta")) for start in starts]
    assert days == ["2024-03-30", "2024-03-31", "2024-04-01"]


def test_a_day_that_a_country_skipped_is_not_there():
    """Samoa had no 30 December 2011."""
    starts = day_starts(utc("2011-12-29T10:00"), utc("2012-01-01T10:00"), "Pacific/Apia")
    days = [str(day_of(start, "Pacific/Apia")) for start in starts]
    assert days == ["2011-12-29", "2011-12-31", "2012-01-01"]


def test_an_hour_that_comes_again_over_midnight_is_the_new_days():
    """Newfoundland set its clocks back at 00:01: that day had begun, and goes on."""
    zone = "America/St_Johns"
    first = day_starts(utc("2010-11-06T02:30"), utc("2010-11-08T03:30"), zone)
    assert first == [utc("2010-11-06T02:30"), utc("2010-11-07T02:30")]
    for begins in ("2010-11-07T02:30", "2010-11-07T02:45", "2010-11-07T03:30", "2010-11-07T15:00"):
        assert day_starts(utc(begins), utc("2010-11-07T20:00"), zone) == [utc(begins)]
        assert str(day_of(utc(begins), zone)) == "2010-11-07"
    assert str(day_of(utc("2010-11-07T02:29"), zone)) == "2010-11-06"


def test_a_period_may_begin_within_a_day():
    """The first day then is a part of one."""
    starts = day_starts(utc("2024-01-30T15:00"), utc("2024-01-31T15:00"), "UTC")
    assert starts == [utc("2024-01-30T15:00"), utc("2024-01-31T00:00")]


def test_too_many_days_are_refused():
    """A limit on everything."""
    begins = utc("1990-01-01T00:00")
    with pytest.raises(BadRequest, match="more than 10000 days"):
        day_starts(begins, begins + timedelta(days=DAYS_MAX + 2), "UTC")
