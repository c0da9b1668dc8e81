"""The account summary over the story of `report_story`, against figures worked out by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from ledger import commands as c
from projections.reports.errors import UnknownPlayer
from tests.integration.report_story import EUR, at, money, tell
from tests.integration.test_reports import append, make, picked

DAYS = ("2024-01-29", "2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02")
MOVED = (
    *("opening_balance", "deposits", "withdrawals", "bonuses", "adjustments", "stakes", "refunds"),
    *("wins", "reversals", "closing_balance"),
)
"""What the account summary and the totals of a player's statement have in common."""


@pytest.fixture(scope="module")
def url(postgres, databases, template_database) -> Iterator[str]:
    """A database in which the story was told, its views at the head."""
    with databases.fresh(template_database) as name:
        asyncio.run(append(postgres.url(name), asyncio.run(tell())))
        yield postgres.url(name)


async def test_a_day_of_every_account(url):
    """From opening to closing balance, with what moved in between."""
    report = await make(url, "account-summary", "2024-01-31", "2024-01-31")
    assert picked(report, "player_id", "currency", "active", *MOVED) == [
        (
            *("anna", "EUR", 1, "135.00", "0.00", "0.00", "0.00", "0.00"),
            *("-10.00", "5.00", "0.00", "0.00", "130.00"),
        ),
        (
            *("ben", "EUR", 1, "0.00", "40.00", "-14990.00", "0.00", "0.00"),
            *("-40.00", "0.00", "15000.00", "-10.00", "0.00"),
        ),
    ]
    funds = ("win_loss", "opening_open_stakes", "closing_open_stakes")
    assert picked(report, *funds) == [("-5.00", "5.00", "2.00"), ("14950.00", "0.00", "40.00")]
    (totals,) = report.totals.records()
    assert (totals["currency"], totals["accounts"], totals["active"]) == ("EUR", 2, 2)
    assert [totals[name] for name in MOVED] == [
        *("135.00", "40.00", "-14990.00", "0.00", "0.00", "-50.00", "5.00", "15000.00", "-10.00"),
        "130.00",
    ]
    assert [totals[name] for name in funds] == ["14945.00", "5.00", "42.00"]


async def test_an_account_on_which_nothing_moved_is_there_for_what_it_holds(url):
    """Ben has nothing but his stake in a round that is open; chi, whose day is over, has money."""
    report = await make(url, "account-summary", "2024-02-02", "2024-02-02")
    names = ("player_id", "active", "opening_balance", "closing_balance", "closing_open_stakes")
    assert picked(report, *names) == [
        ("anna", 0, "98.75", "98.75", "2.00"),
        ("ben", 0, "0.00", "0.00", "40.00"),
        ("chi", 0, "959.5", "959.5", "100.5"),
    ]
    assert [
        (each["currency"], each["accounts"], each["active"]) for each in report.totals.records()
    ] == [("EUR", 2, 0), ("JPY", 1, 0)]
    assert report.table.is_idle


async def test_bonus_money_is_told_apart(postgres, databases, template_database):
    """Given, staked, forfeited, and turned into real money."""
    with databases.fresh(template_database) as name:
        url = postgres.url(name)
        story = await tell()
        await story.tell(at("02-01", "13:00"), money(c.ConvertBonus, "anna", 4 * EUR))
        await story.tell(at("02-01", "13:01"), money(c.ForfeitBonus, "anna", 5 * EUR))
        await append(url, story)
        report = await make(url, "account-summary", "2024-02-01", "2024-02-01")
    names = ("player_id", "bonuses", "bonuses_forfeited", "bonuses_converted", "bonus_stakes")
    assert picked(report, *names) == [
        ("anna", "-5.00", "-5.00", "4.00", "0.00"),
        ("ben", "0.00", "0.00", "0.00", "0.00"),
        ("chi", "60", "0", "0", "-60"),
    ]
    closing = ("closing_real", "closing_bonus", "closing_held", "closing_balance")
    assert picked(report, *closing)[0] == ("92.75", "1.00", "0.00", "93.75")


async def test_held_money_is_the_players_until_it_is_paid_out(url):
    """At half past nine the withdrawal is held and not confirmed."""
    report = await make(
        url, "account-summary", "2024-02-01", "2024-02-01T09:30:00Z", player_id="anna"
    )
    closing = ("closing_real", "closing_bonus", "closing_held", "closing_balance", "withdrawals")
    assert picked(report, *closing) == [("90.00", "10.00", "30.00", "130.00", "0.00")]


@pytest.mark.parametrize("player_id", ["anna", "ben", "chi"])
@pytest.mark.parametrize(("begin", "end"), [*((day, day) for day in DAYS), (None, None)])
async def test_it_says_what_the_players_statements_say(url, player_id, begin, end):
    """Which are read from the events, and not from views."""
    statement = await make(url, "player-statement", begin, end, player_id=player_id)
    summary = await make(url, "account-summary", begin, end, player_id=player_id)
    stated = [{name: each[name] for name in MOVED} for each in statement.totals.records()]
    found = [dict(zip(MOVED, row, strict=True)) for row in picked(summary, *MOVED)]
    assert [each for each in found if _has_money(each)] == [
        each for each in stated if _has_money(each)
    ]


def _has_money(sums: dict[str, Any]) -> bool:
    return any(float(each) for each in sums.values())


async def test_a_day_closes_with_what_the_next_one_opens_with(url):
    """On every account (P12), and in sum with what is owed to the players."""
    before: dict[Any, str] = {}
    for day in DAYS:
        report = await make(url, "account-summary", day, day)
        accounts = picked(report, "player_id", "opening_balance", "closing_balance")
        assert before == {
            each: opening for each, opening, _ in accounts if each in before or float(opening)
        }
        before = {each: closing for each, _, closing in accounts}
        owed = await make(url, "liabilities", end=day)
        parts = ("real", "bonus", "held", "open_stakes")
        assert [
            [each[f"closing_{part}"] for part in parts] for each in report.totals.records()
        ] == [[each[part] for part in parts] for each in owed.totals.records()]
    assert len(before) == 3


async def test_filters_narrow_it_and_nobody_is_no_empty_summary(url):
    """By player, by currency; a mistyped player is refused."""
    assert picked(await make(url, "account-summary", currency="JPY"), "player_id") == [("chi",)]
    assert picked(await make(url, "account-summary", player_id="ben"), "player_id") == [("ben",)]
    assert not (await make(url, "account-summary", player_id="ben", currency="JPY")).table.rows
    with pytest.raises(UnknownPlayer):
        await make(url, "account-summary", player_id="anne")
