"""Open rounds and the players' money in them, which is a part of what is owed to players."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest

from ledger import commands as c
from ledger.currencies import Currencies
from projections.reports import rounds_open
from projections.reports.asked import Filters
from projections.reports.errors import BadRequest
from projections.reports.period import read_period
from projections.reports.report import Report
from projections.reports.rounds_open import OpenRound
from projections.reports.service import Reports
from projections.reports.source import Snapshot
from tests.integration.report_story import EUR, Story, at, game, money, session, tell
from tests.integration.test_reports import ANSWER_S, append, make, picked


@pytest.fixture(scope="module")
def url(postgres, databases, template_database) -> Iterator[str]:
    """A database in which the story was told, its views at the head."""
    with databases.fresh(template_database) as name:
        asyncio.run(append(postgres.url(name), asyncio.run(tell())))
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


def _settling() -> list[tuple[datetime, c.Command]]:
    """Rounds that nobody closes: what of their stakes is settled is all that differs."""

    def bet(key: str, round_id: str, amount: int) -> c.Command:
        return game(c.PlaceBet, "bob", key, amount=amount * EUR, round_id=round_id)

    def win(key: str, round_id: str, amount: int, bet_key: str | None = None) -> c.Command:
        fields = {"amount": amount * EUR, "round_id": round_id, "bet_key": bet_key}
        return game(c.CreditWin, "bob", key, **fields)

    commands = [
        c.RegisterPlayer(player_id="bob", currency="EUR"),
        session("bob"),
        money(c.Deposit, "bob", 200 * EUR),
        bet("b-lost", "lost", 1),
        win("w-lost", "lost", 0),
        bet("b-won", "won", 2),
        win("w-won", "won", 50),
        bet("b-one", "one-of-two", 4),
        bet("b-two", "one-of-two", 8),
        win("w-one", "one-of-two", 3, "b-one"),
        bet("b-again", "again", 16),
        win("w-again", "again", 30),
        bet("b-after", "again", 32),
        bet("b-back", "reversed", 64),
        win("w-back", "reversed", 5),
    ]
    return [
        *((at("02-01", "10:00"), command) for command in commands),
        (
            at("02-02", "10:00"),
            game(c.ReverseWin, "bob", "v-back", original_key="w-back", round_id="reversed"),
        ),
    ]


SETTLED = {"lost": "0.00", "won": "0.00", "one-of-two": "8.00", "again": "32.00"}


@pytest.mark.parametrize(
    ("day", "reversed_win"), [("2024-02-01", "0.00"), ("2024-02-02", "64.00"), (None, "64.00")]
)
async def test_a_stake_that_a_win_has_settled_is_not_owed_to_the_player(
    postgres, databases, template_database, day, reversed_win
):
    """A lost stake would stay the player's, though no refund of it is taken any more (rule 9).

    A win that is reversed settles nothing: the day before it did.
    """
    story = Story()
    for moment, command in _settling():
        await story.tell(moment, command)
    with databases.fresh(template_database) as name:
        await append(postgres.url(name), story)
        report = await agree(postgres.url(name), day, day)
    locked = dict(picked(report, "round_id", "funds_locked"))
    assert locked == SETTLED | {"reversed": reversed_win}


async def test_the_rounds_are_read_page_by_page(url, monkeypatch):
    """A book of a million open rounds is not read into memory at once, nor is one forgotten."""
    pages: list[int] = []
    lock = rounds_open._lock

    async def counted(snapshot: Snapshot, rounds: Sequence[OpenRound], at: datetime | None) -> None:
        pages.append(len(rounds))
        await lock(snapshot, rounds, at)

    monkeypatch.setattr(rounds_open, "_lock", counted)
    monkeypatch.setattr(rounds_open, "_PAGE", 1)
    report = await agree(url, None, "2024-01-31T18:45:00Z")
    assert max(pages) == 1
    assert sum(pages) == 2 * len(report.table.rows)
    pages.clear()
    reports = Reports(url, 1, Currencies(), answer_s=ANSWER_S, rows_max=1)
    with pytest.raises(BadRequest, match="more than 1 rows"):
        await reports.make("open-rounds", read_period(None, "2024-01-31", "UTC"), Filters())
    assert sum(pages) == 2
