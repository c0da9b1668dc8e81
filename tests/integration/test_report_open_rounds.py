"""Open rounds and the players' money in them, which is a part of what is owed to players."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from projections.reports.report import Report
from tests.integration.test_reports import _told, make, picked


@pytest.fixture(scope="module")
def url(postgres, databases, template_database) -> Iterator[str]:
    """A database in which the story was told, its views at the head."""
    with databases.fresh(template_database) as name:
        asyncio.run(_told(postgres.url(name)))
        yield postgres.url(name)


def sums(report: Report, name: str) -> dict[Any, float]:
    """An amount of the report's totals by currency, where it is not zero."""
    found: dict[Any, float] = {}
    for record in report.totals.records():
        code = record["currency"]
        found[code] = found.get(code, 0) + float(str(record[name]))
    return {code: value for code, value in found.items() if value}


async def agree(url: str, begin: str | None, end: str | None) -> Report:
    """The open rounds of a period, which hold what is owed in them by the other report."""
    report = await make(url, "open-rounds", begin, end)
    owed = await make(url, "liabilities", begin, end)
    assert sums(report, "funds_locked") == sums(owed, "open_stakes")
    return report


@pytest.mark.parametrize(
    ("day", "open_then"),
    [
        ("2024-01-30", ["r2"]),
        ("2024-01-31", ["r2", "r9", "r4"]),
        ("2024-02-01", ["r2", "r9", "r4", "r5"]),
        ("2024-02-10", ["r2", "r9", "r4", "r5"]),
    ],
)
async def test_a_daily_list_of_open_rounds_has_the_old_ones_too(url, day, open_then):
    """A round left open last week never came into any daily list; its stake was owed every day."""
    report = await agree(url, day, day)
    assert [round_id for (round_id,) in picked(report, "round_id")] == open_then


async def test_no_round_is_open_at_the_end_of_a_future_day(url):
    """What is open now need not be open then: a list of it would be a guess."""
    assert (await make(url, "open-rounds", "2999-01-01", "2999-01-01")).table.is_idle
