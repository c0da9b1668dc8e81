"""Every report over the story of `report_story`, against figures worked out by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any, cast

import msgspec
import psycopg
import pytest

from ledger import commands as c
from ledger.currencies import Currencies
from ledger.money import Currency
from ledger.player import Player, PlayerEvent, evolve
from ledger.service import token_hash
from ledger.store import Store
from projections.reports import known, source
from projections.reports.asked import Filters
from projections.reports.errors import (
    AppendUnderWay,
    BadRequest,
    UnknownPlayer,
    UnsoundEvents,
    ViewsBehind,
    ViewsStopped,
)
from projections.reports.formats import render
from projections.reports.period import Period, read_period
from projections.reports.registry import REPORTS
from projections.reports.report import NO_ACTIVITY, Report
from projections.reports.rounds import FIRST, RoundFilters, RoundRow, Rounds
from projections.reports.service import Reports
from projections.reports.wallets import wallets_at
from projections.runner import Runner
from tests.integration.report_story import EUR, JPY, Story, at, game, session, tell

ANSWER_S = 0.5
"""No append begins longer than that after its movements were decided."""


@pytest.fixture(scope="module")
def url(postgres, databases, template_database) -> Iterator[str]:
    """A database in which the story was told, its views at the head."""
    with databases.fresh(template_database) as name:
        asyncio.run(_told(postgres.url(name)))
        yield postgres.url(name)


async def _told(url: str) -> None:
    await append(url, await tell())


async def append(url: str, story: Story) -> None:
    """Append what of the story is not in the log yet, and bring the views to its head."""
    store = Store(url)
    await story.append(store)
    await store.close()
    runner = Runner(url, 0)
    await runner.catch_up()
    await runner.close()


async def make(
    url: str,
    name: str,
    begin: str | None = None,
    end: str | None = None,
    tz: str = "UTC",
    **filters: Any,
) -> Report:
    """A report over the story."""
    reports = Reports(url, 1, Currencies(), answer_s=ANSWER_S)
    return await reports.make(name, read_period(begin, end, tz), Filters(**filters))


def picked(report: Report, *names: str) -> list[tuple[Any, ...]]:
    """Some columns of every row."""
    return [tuple(record[name] for name in names) for record in report.table.records()]


GGR = ("day", "integration", "game", "currency", "bets", "refunds", "wins", "reversals", "ggr")


async def test_totals_by_day_provider_game_and_currency(url):
    """What the tax is paid on: every figure, and the counts behind it."""
    report = await make(url, "totals")
    found = [(str(day), *rest) for day, *rest in picked(report, *GGR, "rtp")]
    assert found == [
        (
            "2024-01-30",
            "slots",
            "g1",
            "EUR",
            "25.00",
            "0.00",
            "50.00",
            "0.00",
            "-25.00",
            "2.000000",
        ),
        (
            *("2024-01-31", "slots", "g1", "EUR", "40.00", "5.00", "15000.00", "15000.00"),
            *("35.00", "0.000000"),
        ),
        ("2024-01-31", "slots", "g2", "EUR", "10.00", "0.00", "0.00", "0.00", "10.00", "0.000000"),
        ("2024-02-01", "tables", "roulette", "JPY", "100.5", "0", "0", "0", "100.5", "0.000000"),
    ]
    counts = ("bet_count", "refund_count", "win_count", "reversal_count")
    assert picked(report, *counts) == [(2, 0, 1, 0), (1, 1, 1, 1), (2, 0, 1, 0), (1, 0, 0, 0)]
    assert picked(report, "bets_bonus", "shortfalls")[-1] == ("60", "0")
    assert picked(report, "shortfalls")[1] == ("14990.00",)
    totals = {record["currency"]: record for record in report.totals.records()}
    assert (totals["EUR"]["bets"], totals["EUR"]["ggr"]) == ("75.00", "20.00")
    assert totals["JPY"]["ggr"] == "100.5"


@pytest.mark.parametrize("end", [None, "2024-02-03T10:30:00Z"])
async def test_what_of_refunds_and_reversals_was_bonus_money(
    postgres, databases, template_database, end
):
    """What was staked and won in real money is taxed apart: the bonus part of each must show."""
    tables = {"integration": "tables", "game": "roulette", "currency": "JPY"}
    bonus_first = {"policy": c.Policy(session_ttl_s=10_000_000, stake_order="bonus_first")}
    stake = {"amount": 80 * JPY, "round_id": "r6", **bonus_first}
    commands = (
        game(c.RefundBet, "chi", "f5", original_key="b5", round_id="r5", **tables),
        game(c.PlaceBet, "chi", "b6", **stake, **tables),
        game(c.CreditWin, "chi", "w6", amount=40 * JPY, round_id="r6", **tables),
        game(c.ReverseWin, "chi", "v6", original_key="w6", round_id="r6", **tables),
    )
    with databases.fresh(template_database) as name:
        story = await tell()
        for command in commands:
            await story.tell(at("02-03", "10:10"), command)
        await append(postgres.url(name), story)
        report = await make(postgres.url(name), "totals", "2024-02-03", end)
    (row,) = report.table.records()
    assert (row["bets"], row["bets_bonus"]) == ("80", "60")
    assert (row["refunds"], row["refunds_bonus"]) == ("100.5", "60")
    assert (row["wins"], row["wins_bonus"]) == ("40", "30")
    assert (row["reversals"], row["reversals_bonus"]) == ("40", "30")


@pytest.mark.parametrize("begin", [None, "2024-01-30"])
async def test_a_day_ends_at_midnight_of_the_zone_even_where_that_is_half_past(url, begin):
    """The operator's day is not UTC's: 18:20 and 18:40 UTC are two days in Kolkata."""
    report = await make(url, "totals", begin, "2024-02-01", "Asia/Kolkata")
    found = [(str(day), *rest) for day, *rest in picked(report, "day", "game", "bets", "ggr")]
    assert found == [
        ("2024-01-30", "g1", "20.00", "-30.00"),
        ("2024-01-31", "g1", "45.00", "40.00"),
        ("2024-01-31", "g2", "8.00", "8.00"),
        ("2024-02-01", "g2", "2.00", "2.00"),
        ("2024-02-01", "roulette", "100.5", "100.5"),
    ]


@pytest.mark.parametrize(
    ("begin", "end", "bets"),
    [
        ("2024-01-31T18:20:00Z", "2024-01-31T18:40:00Z", ["8.00"]),
        ("2024-01-31T18:20:00.000001Z", "2024-01-31T18:40:00.000001Z", ["2.00"]),
        ("2024-01-31T18:00:00Z", "2024-01-31T19:00:00Z", ["10.00"]),
        ("2024-01-31T19:00:00+01:00", "2024-01-31T19:30:00+01:00", ["8.00"]),
        ("2024-01-31T18:41:00Z", "2024-01-31T18:59:00Z", []),
    ],
)
async def test_totals_of_any_moment_to_any_other_are_exact(url, begin, end, bets):
    """The first moment counts, the last one does not: nothing is counted in two periods."""
    report = await make(url, "totals", begin, end)
    assert picked(report, "bets") == [(each,) for each in bets]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("provider", [("slots", "EUR", "20.00"), ("tables", "JPY", "100.5")]),
        ("day,provider", [("slots", "EUR", "-25.00"), ("slots", "EUR", "45.00")]),
    ],
)
async def test_totals_may_be_told_apart_by_less(url, by, expected):
    """Sub-totals are sums of the same figures."""
    report = await make(url, "totals", by=by)
    assert picked(report, "integration", "currency", "ggr")[:2] == expected


async def test_filters_narrow_the_totals(url):
    """And nothing else changes."""
    assert picked(await make(url, "totals", game="g2"), "ggr") == [("10.00",)]
    assert picked(await make(url, "totals", currency="JPY"), "ggr") == [("100.5",)]
    assert picked(await make(url, "totals", integration="tables"), "ggr") == [("100.5",)]
    kolkata = {"tz": "Asia/Kolkata", "begin": "2024-01-31", "end": "2024-01-31"}
    assert picked(await make(url, "totals", game="g2", **kolkata), "bets") == [("8.00",)]


BALANCES = [
    ("adjustments", "EUR", "0.00", "1.25", "1.25"),
    ("bonus_cost", "EUR", "10.00", "0.00", "-10.00"),
    ("bonus_cost", "JPY", "60", "0", "-60"),
    ("deposits", "EUR", "140.00", "0.00", "-140.00"),
    ("deposits", "JPY", "1000", "0", "-1000"),
    ("player:bonus", "EUR", "0.00", "10.00", "10.00"),
    ("player:bonus", "JPY", "60", "60", "0"),
    ("player:held", "EUR", "30.00", "30.00", "0.00"),
    ("player:real", "EUR", "15106.25", "15195.00", "88.75"),
    ("player:real", "JPY", "40.5", "1000", "959.5"),
    ("provider:slots:g1", "EUR", "15055.00", "15065.00", "10.00"),
    ("provider:slots:g2", "EUR", "0.00", "10.00", "10.00"),
    ("provider:tables:roulette", "JPY", "0", "100.5", "100.5"),
    ("shortfalls", "EUR", "14990.00", "0.00", "-14990.00"),
    ("withdrawals", "EUR", "0.00", "15020.00", "15020.00"),
]


async def test_the_trial_balance_over_everything(url):
    """Double entry: what every account stands at, and that together they stand at zero."""
    report = await make(url, "trial-balance")
    assert picked(report, "account", "currency", "debit", "credit", "balance") == BALANCES
    totals = [(record["currency"], record["balance"]) for record in report.totals.records()]
    assert totals == [("EUR", "0.00"), ("JPY", "0")]


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (
            "2024-01-31T18:30:00Z",
            "2024-01-31T18:50:00Z",
            [("player:real", "-2.00"), ("provider:slots:g2", "2.00")],
        ),
        (
            "2024-01-31T18:30:00Z",
            "2024-02-01T09:30:00Z",
            [("player:held", "30.00"), ("player:real", "-32.00"), ("provider:slots:g2", "2.00")],
        ),
        (
            "2024-01-30",
            "2024-01-30",
            [
                ("bonus_cost", "-10.00"),
                ("deposits", "-100.00"),
                ("player:bonus", "10.00"),
                ("player:real", "125.00"),
                ("provider:slots:g1", "-25.00"),
            ],
        ),
    ],
)
async def test_the_trial_balance_of_any_period(url, begin, end, expected):
    """Whole hours and their edges come from two tables; together they are exact."""
    report = await make(url, "trial-balance", begin, end)
    assert picked(report, "account", "balance") == expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2024-01-30", [("EUR", "125.00", "10.00", "0.00", "5.00", "140.00")]),
        ("2024-01-31", [("EUR", "120.00", "10.00", "0.00", "42.00", "172.00")]),
        ("2024-02-01T09:30:00Z", [("EUR", "90.00", "10.00", "30.00", "42.00", "172.00")]),
        (
            None,
            [
                ("EUR", "88.75", "10.00", "0.00", "42.00", "140.75"),
                ("JPY", "959.5", "0", "0", "100.5", "1060.0"),
            ],
        ),
    ],
)
async def test_what_is_owed_to_players_at_an_instant(url, moment, expected):
    """Balances, held money and stakes in open rounds, as they were then."""
    report = await make(url, "liabilities", end=moment)
    names = ("currency", "real", "bonus", "held", "open_stakes", "total")
    found = picked(report, *names)
    assert [(*row[:-1], float(row[-1])) for row in found] == [
        (*row[:-1], float(row[-1])) for row in expected
    ]
    assert report.totals.records() == [
        {name: record[name] for name in names} for record in report.table.records()
    ]


async def test_liabilities_of_a_period_show_its_begin_too(url):
    """Funds on games at the start and at the end of the day."""
    report = await make(url, "liabilities", "2024-01-31", "2024-01-31")
    assert picked(report, "at", "total") == [
        (at("01-31", "00:00"), "140.00"),
        (at("02-01", "00:00"), "172.00"),
    ]


async def test_open_rounds_now_and_at_the_end_of_a_day(url):
    """A round that was closed or refunded since was open then, with what was in it then."""
    names = ("round_id", "player_id", "stakes", "refunds", "funds_locked", "age_h", "age_band")
    then = await make(url, "open-rounds", end="2024-01-30")
    assert picked(then, *names) == [("r2", "anna", "5.00", "0.00", "5.00", 0, "under 1 h")]
    assert picked(then, "last_activity_at") == [(at("01-30", "23:50"),)]
    evening = await make(url, "open-rounds", end="2024-01-31T18:45:00Z")
    assert [row[:5] for row in picked(evening, *names)] == [
        ("r2", "anna", "5.00", "5.00", "0.00"),
        ("r9", "ben", "40.00", "0.00", "40.00"),
        ("r3", "anna", "8.00", "0.00", "8.00"),
        ("r4", "anna", "2.00", "0.00", "2.00"),
    ]
    ends = await make(url, "open-rounds", end="2024-01-31T19:00:00Z")  # `to` is excluded
    assert [row[0] for row in picked(ends, *names)] == ["r2", "r9", "r3", "r4"]
    now = await make(url, "open-rounds")
    assert [row[0] for row in picked(now, *names)] == ["r2", "r9", "r4", "r5"]
    assert {row[-1] for row in picked(now, *names)} == {"over 30 d"}


@pytest.mark.parametrize(
    ("end", "band"),
    [
        ("2024-01-31T00:49:59Z", "under 1 h"),
        ("2024-01-31T00:50:00Z", "1 h to 24 h"),
        ("2024-01-31T23:50:00Z", "24 h to 72 h"),
        ("2024-02-02T23:50:00Z", "72 h to 30 d"),
        ("2024-02-29T23:50:00Z", "over 30 d"),
    ],
)
async def test_a_round_grows_older_band_by_band(url, end, band):
    """Each band ends where the next begins."""
    report = await make(url, "open-rounds", end=end, player_id="anna")
    assert picked(report, "round_id", "age_band")[0] == ("r2", band)


async def test_only_rounds_older_than_asked_for(url):
    """Older than N hours: opened before that."""
    report = await make(url, "open-rounds", end="2024-01-31T19:00:00Z", older_than_h=1)
    assert picked(report, "round_id") == [("r2",), ("r9",)]
    sums = report.totals.records()
    assert [(each["age_band"], each["funds_locked"]) for each in sums] == [("1 h to 24 h", "40.00")]


STATEMENT = ("type", "real", "bonus", "held", "balance_real", "balance_bonus", "balance_held")


async def test_a_players_statement_of_a_day(url):
    """Opening balance, every movement, closing balance: what a player may ask for."""
    report = await make(url, "player-statement", "2024-02-01", "2024-02-01", player_id="anna")
    assert picked(report, *STATEMENT, "balance") == [
        ("opening_balance", None, None, None, "120.00", "10.00", "0.00", "130.00"),
        ("withdrawal_held.v1", "-30.00", "0.00", "30.00", "90.00", "10.00", "30.00", "130.00"),
        ("withdrawal_confirmed.v1", "0.00", "0.00", "-30.00", "90.00", "10.00", "0.00", "100.00"),
        ("balance_adjusted.v1", "-1.25", "0.00", "0.00", "88.75", "10.00", "0.00", "98.75"),
        ("closing_balance", None, None, None, "88.75", "10.00", "0.00", "98.75"),
    ]
    (totals,) = report.totals.records()
    assert totals == {
        "currency": "EUR",
        "opening_balance": "130.00",
        "deposits": "0.00",
        "withdrawals": "-30.00",
        "bonuses": "0.00",
        "adjustments": "-1.25",
        "stakes": "0.00",
        "refunds": "0.00",
        "wins": "0.00",
        "reversals": "0.00",
        "closing_balance": "98.75",
    }


async def test_the_closing_balance_of_a_day_is_the_opening_balance_of_the_next(url):
    """Otherwise money appeared or vanished at midnight."""
    closing = []
    opening = []
    for day in ("2024-01-29", "2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"):
        report = await make(url, "player-statement", day, day, player_id="anna")
        (totals,) = report.totals.records() or [
            {"opening_balance": "0.00", "closing_balance": "0.00"}
        ]
        opening.append(totals["opening_balance"])
        closing.append(totals["closing_balance"])
    assert closing == ["0.00", "135.00", "130.00", "98.75", "98.75"]
    assert opening[2:] == closing[1:-1]
    assert opening[1] == "0.00"


async def test_large_wins_by_threshold(url):
    """A significant event: from the threshold on, and not below it."""
    names = ("player_id", "win", "threshold", "currency", "round_id")
    report = await make(url, "large-wins")
    assert picked(report, *names) == [("ben", "15000.00", "10000.00", "EUR", "r9")]
    report = await make(url, "large-wins", threshold="50")
    assert picked(report, "win") == [("50.00",), ("15000.00",)]
    report = await make(url, "large-wins", threshold="5")  # a refund of 5.00 is no win
    assert picked(report, "win") == [("50.00",), ("15000.00",)]
    report = await make(url, "large-wins", threshold="50.01", end="2024-01-30")
    assert picked(report, "win") == []


async def test_exceptions_with_what_was_odd(url):
    """The reversed win that was spent is somebody's loss: it is listed until somebody looked."""
    report = await make(url, "exceptions", "2024-01-31", "2024-01-31")
    names = ("kind", "player_id", "transaction_id", "real", "shortfall", "recorded_at")
    assert picked(report, *names) == [
        ("reversal_shortfall", "ben", "v9", "-10.00", "14990.00", at("01-31", "09:20"))
    ]
    assert report.totals.records() == [{"kind": "reversal_shortfall", "count": 1}]


@pytest.mark.parametrize("name", sorted(set(REPORTS) - {"liabilities", "open-rounds"}))
async def test_an_empty_day_says_no_activity(url, name):
    """A report that is not produced looks like one that was forgotten."""
    filters = {"player_id": "anna"} if name == "player-statement" else {}
    report = await make(url, name, "2024-02-02", "2024-02-02", **filters)
    for wanted in ("json", "csv", "parquet"):
        assert NO_ACTIVITY.encode() in render(report, wanted, 5)
    busy = await make(url, name, "2024-01-30", "2024-01-31", **filters)
    assert NO_ACTIVITY.encode() not in render(busy, "json", 5)


@pytest.mark.parametrize("name", sorted(REPORTS))
@pytest.mark.parametrize("wanted", ["json", "csv", "parquet"])
async def test_a_report_of_a_past_day_comes_out_the_same_again(url, name, wanted):
    """What was filed can be shown again, byte for byte, the time of its making apart."""
    filters = {"player_id": "anna"} if name == "player-statement" else {}
    period = ("2024-01-31", "2024-01-31", "Europe/Malta")
    first = await make(url, name, *period, **filters)
    second = await make(url, name, *period, **filters)
    assert first.generated_at < second.generated_at
    rendered = [
        render(report, wanted, 5).replace(_stamp(report.generated_at), b"")
        for report in (first, second)
    ]
    assert rendered[0] == rendered[1]


def _stamp(moment: datetime) -> bytes:
    return moment.isoformat().replace("+00:00", "Z").encode()


@pytest.mark.parametrize(
    ("name", "filters", "message"),
    [
        ("totals", {"player_id": "anna"}, "player_id: the report totals knows"),
        ("totals", {"by": "hour"}, "by: 'hour' is none of day, provider, game"),
        ("totals", {"currency": "XXX"}, "currency: XXX is not known"),
        ("player-statement", {}, "player_id: the report player-statement needs it"),
        ("large-wins", {"threshold": ""}, "threshold: amount is not a decimal number"),
        ("large-wins", {"threshold": " "}, "threshold: amount is not a decimal number"),
        ("large-wins", {"threshold": "much"}, "threshold: amount is not a decimal number"),
        ("large-wins", {"threshold": "0.00"}, "threshold: expected more than 0"),
        ("large-wins", {"threshold": "-5"}, "threshold: amount is not a decimal number"),
        ("large-wins", {"threshold": "0.000001"}, "threshold: amount is finer than 5 decimals"),
    ],
)
async def test_what_makes_no_sense_is_said(url, name, filters, message):
    """A report of something else than was meant is worse than none."""
    with pytest.raises(BadRequest) as found:
        await make(url, name, **filters)
    assert str(found.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "filters"),
    [("liabilities", {}), ("player-statement", {"player_id": "anna"}), ("account-summary", {})],
)
async def test_what_is_owed_in_the_future_nobody_knows(url, name, filters):
    """Today's money under next year's date would be filed as next year's."""
    with pytest.raises(BadRequest, match=r"^from: lies in the future$"):
        await make(url, name, "2999-01-01", "2999-01-31", **filters)
    with pytest.raises(BadRequest, match=r"^from: lies in the future$"):
        await make(url, name, "2999-01-01", **filters)
    assert (await make(url, name, "2024-02-01", "2999-01-31", **filters)).table.rows
    assert (await make(url, name, None, "2999-01-31", **filters)).table.rows


@pytest.mark.parametrize(
    "name", sorted(set(REPORTS) - {"liabilities", "player-statement", "account-summary"})
)
async def test_nothing_has_happened_in_the_future_yet(url, name):
    """A list of what will be there is empty, and says so."""
    assert (await make(url, name, "2999-01-01", "2999-01-31")).table.is_idle


async def test_a_statement_of_nobody_is_no_empty_statement(url):
    """A mistyped id must not look like a player without money."""
    with pytest.raises(UnknownPlayer):
        await make(url, "player-statement", player_id="anne")


@pytest.mark.parametrize(
    ("name", "filters", "error", "message"),
    [
        ("totals", {"integration": "slot"}, BadRequest, "integration: 'slot' is none of dice, ope"),
        ("open-rounds", {"integration": "slot"}, BadRequest, "nothing was booked under it"),
        ("totals", {"game": "g3"}, BadRequest, "game: no movement ever named 'g3'"),
        ("open-rounds", {"game": ""}, BadRequest, "game: no movement ever named ''"),
        ("exceptions", {"kind": "late_wins"}, BadRequest, "kind: 'late_wins' is none of late_win,"),
        ("exceptions", {"player_id": "anne"}, UnknownPlayer, "there is no player anne"),
        ("large-wins", {"player_id": ""}, UnknownPlayer, "there is no player"),
    ],
)
async def test_a_name_that_nothing_bears_is_no_fact_about_it(url, name, filters, error, message):
    """A typing error that is answered with "no activity" is believed."""
    reports = Reports(url, 1, Currencies(), answer_s=ANSWER_S, integrations=("dice",))
    with pytest.raises(error, match=message):
        await reports.make(name, read_period(None, None, "UTC"), Filters(**filters))


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("totals", {"integration": "dice"}),
        ("totals", {"integration": "tables"}),
        ("totals", {"integration": "operator"}),
        ("totals", {"game": "g2"}),
        ("open-rounds", {"game": "roulette"}),
        ("exceptions", {"kind": "late_win"}),
        ("exceptions", {"kind": "reversal_shortfall", "player_id": "chi"}),
    ],
)
async def test_a_name_that_exists_and_did_nothing_is_no_activity(url, name, filters, monkeypatch):
    """Configured, or booked under once: whoever left the configuration is asked about for years."""
    monkeypatch.setattr(known, "KINDS", ("late_win",))
    reports = Reports(url, 1, Currencies(), answer_s=ANSWER_S, integrations=("dice",))
    report = await reports.make(
        name, read_period("2024-01-30", "2024-01-30", "UTC"), Filters(**filters)
    )
    assert report.table.is_idle


async def test_rounds_of_nobody_are_no_empty_page(url):
    """As in the reports; the last page of somebody's is empty all the same."""
    rounds = Rounds(url, 1, ("dice",))
    with pytest.raises(UnknownPlayer, match="there is no player anne"):
        await rounds.page(RoundFilters(player_id="anne"), FIRST, 100)
    with pytest.raises(BadRequest, match="integration: 'slot' is none of dice, operator"):
        await rounds.page(RoundFilters(integration="slot"), FIRST, 100)
    assert not await rounds.page(RoundFilters(integration="dice"), FIRST, 100)
    assert not await rounds.page(RoundFilters(player_id="anna"), ("z", "", ""), 100)


async def test_more_rows_than_allowed_are_refused_with_a_way_out(url):
    """The service answers providers meanwhile; the command line may take its time."""
    reports = Reports(url, 1, Currencies(), answer_s=ANSWER_S, rows_max=3)
    with pytest.raises(BadRequest, match="more than 3 rows: narrow the period"):
        await reports.make("totals", read_period(None, None, "UTC"), Filters())


async def test_a_report_waits_for_views_and_is_refused_where_they_do_not_come(
    postgres, databases, template_database, monkeypatch
):
    """An incomplete report is a wrong one."""
    monkeypatch.setattr(source, "CATCH_UP_S", 0.1)
    with databases.fresh(template_database) as name:
        url = postgres.url(name)
        store = Store(url)
        await (await tell()).append(store)
        await store.close()
        with pytest.raises(ViewsBehind, match="29 events behind the log"):
            await make(url, "totals")
        with psycopg.connect(postgres.url(name, "postgres")) as connection:
            connection.execute(
                "UPDATE ledger_p00.projections SET stopped_at = now(), error = 'event 7: broken'"
            )
        with pytest.raises(
            ViewsBehind, match="the view totals of partition 0 has stopped: event 7"
        ):
            await make(url, "totals")
        assert (await make(url, "player-statement", player_id="ben")).table.rows


@pytest.mark.parametrize("edge", ["begin", "end"])
async def test_a_report_waits_for_what_was_decided_before_its_periods_edge(
    postgres, databases, template_database, edge
):
    """Decided before, booked after it was asked for: made again, it came out otherwise (P12)."""
    with databases.fresh(template_database) as name:
        url = postgres.url(name)
        story = await tell()
        await append(url, story)
        over = datetime.now(UTC)
        before = over - timedelta(seconds=1)
        await story.tell(
            before, msgspec.structs.replace(session("anna"), session=token_hash("another"))
        )
        bet = game(
            c.PlaceBet, "anna", "late", amount=7 * EUR, round_id="r7", session=token_hash("another")
        )
        await story.tell(before, bet)
        asked = {edge: over.isoformat(), "player_id": "anna"}
        patient = Reports(url, 1, Currencies(), answer_s=3.0)
        period = read_period(asked.get("begin"), asked.get("end"), "UTC")
        first = asyncio.create_task(
            patient.make("player-statement", period, Filters(player_id="anna"))
        )
        await asyncio.sleep(ANSWER_S)
        await append(url, story)
        again = await make(url, "player-statement", **asked)
        assert (await first).totals.rows == again.totals.rows


async def test_a_dump_of_the_database_is_no_append_that_a_report_waits_for(
    postgres, url, monkeypatch
):
    """It holds every table for as long as it takes, and hinders nobody."""
    monkeypatch.setattr(source, "CATCH_UP_S", 0.1)
    database = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(postgres.url(str(database), "postgres")) as connection:
        connection.execute("LOCK TABLE ledger_p00.append_turn IN ACCESS SHARE MODE")
        assert (await make(url, "totals", "2024-01-30", "2024-01-31")).table.rows


async def test_an_append_whose_beginning_the_login_may_not_know_is_waited_for(
    postgres, url, monkeypatch
):
    """Another login's: it may have begun in the period, and be booked into it afterwards (P12)."""
    monkeypatch.setattr(source, "CATCH_UP_S", 0.1)
    database = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(postgres.url(str(database), "postgres")) as connection:
        connection.execute("LOCK TABLE ledger_p00.append_turn IN EXCLUSIVE MODE")
        with pytest.raises(AppendUnderWay):
            await make(url, "totals", "2024-01-30", "2024-01-31")
    assert (await make(url, "totals", "2024-01-30", "2024-01-31")).table.rows


async def test_a_login_that_uses_its_role_only_where_it_says_so_gets_its_report(postgres, url):
    """GRANT ... WITH INHERIT FALSE, or NOINHERIT: the least that a service needs."""
    database = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
    with psycopg.connect(postgres.url(database, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN NOINHERIT IN ROLE ledger_app")
        try:
            report = await make(postgres.url(database, "reader"), "totals", end="2024-01-31")
        finally:
            connection.execute("DROP ROLE reader")
    assert report.table.rows == (await make(url, "totals", end="2024-01-31")).table.rows


async def test_a_list_without_an_end_ends_with_the_moment_that_it_states(
    postgres, databases, template_database
):
    """It held what came while it was made, and clocks of several machines differ."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    late = {"amount": 20_000 * EUR, "tags": {"jackpot": True}}
    bet = {"amount": 1, "round_id": "late", "session": token_hash("another")}
    with databases.fresh(template_database) as name:
        url = postgres.url(name)
        story = await tell()
        await story.tell(
            soon, msgspec.structs.replace(session("anna"), session=token_hash("another"))
        )
        await story.tell(soon, game(c.CreditWin, "anna", "late-win", **late))
        await story.tell(soon, game(c.PlaceBet, "anna", "late-bet", **bet))
        await story.tell(soon, game(c.RefundBet, "anna", "late-refund", original_key="none"))
        await append(url, story)
        for wanted, filters in (
            ("exceptions", {}),
            ("large-wins", {}),
            ("player-statement", {"player_id": "anna"}),
        ):
            report = await make(url, wanted, **filters)
            same = await make(url, wanted, None, report.generated_at.isoformat(), **filters)
            then = await make(url, wanted, None, (soon + timedelta(hours=2)).isoformat(), **filters)
            assert len(report.table.rows) == len(same.table.rows) == len(then.table.rows)
            assert report.totals.rows == same.totals.rows == then.totals.rows


async def test_open_rounds_of_now_are_all_that_the_view_holds(
    postgres, databases, template_database
):
    """It left out rounds opened while it was made, and summed what came to the others meanwhile."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    bet = {"amount": 1, "round_id": "late", "session": token_hash("another")}
    with databases.fresh(template_database) as name:
        story = await tell()
        await story.tell(
            soon, msgspec.structs.replace(session("anna"), session=token_hash("another"))
        )
        await story.tell(soon, game(c.PlaceBet, "anna", "late-bet", **bet))
        await append(postgres.url(name), story)
        report = await make(postgres.url(name), "open-rounds")
    assert ("late", 0) in picked(report, "round_id", "age_h")


async def test_a_report_rests_on_no_view_that_is_ahead_of_the_log(
    postgres, databases, template_database, monkeypatch
):
    """Such a view lacks what is booked next, and shows what may never have been booked."""
    monkeypatch.setattr(source, "_TRIES", 2)
    with databases.fresh(template_database) as name:
        url = postgres.url(name)
        await _told(url)
        for position in (40, 35):
            with psycopg.connect(postgres.url(name, "postgres")) as connection:
                connection.execute(
                    "UPDATE ledger_p00.projections SET position = %s WHERE view = 'rounds'",
                    (position,),
                )
            said = f"rounds stands at event {position}, the log ends at 29"
            for wanted in ("open-rounds", "liabilities"):
                with pytest.raises(ViewsStopped, match=said):
                    await make(url, wanted)
        assert (await make(url, "totals")).table.rows
        with psycopg.connect(postgres.url(name, "postgres")) as connection:
            connection.execute(
                "UPDATE ledger_p00.projections SET position = 29, stopped_at = now(),"
                " error = 'ahead of the log: x' WHERE view = 'rounds'"
            )
        with pytest.raises(ViewsStopped, match="the view rounds of partition 0 has stopped: ahead"):
            await make(url, "open-rounds")


async def test_views_that_do_not_come_together_are_named_with_their_places(url, monkeypatch):
    """Whoever reads it must know which view to look at."""

    async def apart(*_: object) -> list[source.ViewState]:
        return [source.ViewState("journal", 29, 30, None), source.ViewState("rounds", 30, 30, None)]

    monkeypatch.setattr(source, "_TRIES", 2)
    monkeypatch.setattr(source, "_states", apart)
    with pytest.raises(ViewsBehind, match="at one position: journal at 29, rounds at 30"):
        await make(url, "liabilities")


@pytest.mark.parametrize("player_id", ["anna", "ben", "chi"])
async def test_wallets_of_a_moment_are_what_the_events_up_to_it_fold_into(url, player_id):
    """Held money, bonus and every currency, at each event, before it and after it."""
    player = Player(player_id)
    assert await wallets_at(url, 1, player_id, at("01-01", "00:00")) == (0, {})
    events = [entry.event for entry in (await tell()).booked if entry.player_id == player_id]
    for event, following in zip_longest(events, events[1:]):
        player = evolve(player, cast("PlayerEvent", event))
        until = datetime.now(UTC) if following is None else following.recorded_at
        if event.recorded_at < until:
            for moment in (event.recorded_at, until - timedelta(microseconds=1)):
                found = await wallets_at(url, 1, player_id, moment)
                assert found == (player.version, player.wallets)


async def test_rounds_page_by_page(url):
    """Keyset paging: no round twice, none left out."""
    rounds = Rounds(url, 1)
    everything = await rounds.page(RoundFilters(), FIRST, 100)
    assert [row.round_id for row in everything] == ["r1", "r2", "r3", "r4", "r9", "r5"]
    seen: list[RoundRow] = []
    after = FIRST
    while page := await rounds.page(RoundFilters(), after, 2):
        seen += page
        after = page[-1].key
    assert seen == list(everything)
    open_ones = await rounds.page(RoundFilters(is_open=True, player_id="anna"), FIRST, 100)
    assert [row.round_id for row in open_ones] == ["r2", "r4"]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("large-wins", {}),
        ("totals", {"tz": "Asia/Kolkata"}),  # its days begin within hours: events are read for them
        ("open-rounds", {"end": "2024-01-30"}),
        ("liabilities", {"end": "2024-01-31"}),
        ("player-statement", {"player_id": "anna"}),
        ("account-summary", {"end": "2024-01-31"}),
        ("movements", {}),
    ],
)
async def test_every_report_says_that_an_event_cannot_be_read(database_url, admin_url, name, asked):
    """Whoever altered it, the software has no bug; some reports said that it had."""
    await _told(database_url)
    with psycopg.connect(admin_url) as connection:
        connection.execute("ALTER TABLE ledger_p00.events DISABLE TRIGGER ALL")
        connection.execute(
            "UPDATE ledger_p00.events SET state = substring(state FOR 32) || 'garbage'::bytea"
            " WHERE topic IN ('win_credited.v1', 'bet_placed.v1')"
        )
    with pytest.raises(UnsoundEvents, match=r"event (win_credited|bet_placed)\.v1: "):
        await make(database_url, name, **asked)


async def test_too_many_rows_are_refused_before_they_are_read(url, monkeypatch):
    """A threshold of a cent once took a gigabyte to be refused; any viewer could ask for it."""
    read: list[int] = []
    rows = source.Snapshot.rows

    async def counted(snapshot, *arguments):
        found = await rows(snapshot, *arguments)
        read.append(len(found))
        return found

    monkeypatch.setattr(source.Snapshot, "rows", counted)
    reports = Reports(url, 1, Currencies(), answer_s=ANSWER_S, rows_max=1)
    for name, filters in (
        ("large-wins", Filters(threshold="0.01")),
        ("account-summary", Filters()),
    ):
        with pytest.raises(BadRequest, match="more than 1 rows"):
            await reports.make(name, read_period(None, "2024-01-31", "UTC"), filters)
    assert max(read) == 2


async def test_large_wins_of_one_integration(url):
    """Another's are left out where they are looked for."""
    every = picked(await make(url, "large-wins", threshold="50"), "integration")
    for (integration,) in every:
        found = await make(url, "large-wins", threshold="50", integration=integration)
        assert picked(found, "integration") == [one for one in every if one == (integration,)]
    assert every


async def test_a_period_that_ends_while_the_report_waits_ends_there_all_the_same(
    postgres, databases, template_database
):
    """Asked for just before midnight, it counted in what came behind it."""
    ends = datetime.now(UTC) + timedelta(seconds=4)
    late = ends + timedelta(seconds=0.2)
    again = {"session": token_hash("another")}
    with databases.fresh(template_database) as name:
        url = postgres.url(name)
        story = await tell()
        await story.tell(late, msgspec.structs.replace(session("anna"), **again))
        await story.tell(
            late, game(c.PlaceBet, "anna", "late", amount=7 * EUR, round_id="r8", **again)
        )
        await append(url, story)
        period = Period("UTC", datetime.now(UTC), ends)
        waiting = Reports(url, 1, Currencies(), answer_s=4.0)
        at_once = Reports(url, 1, Currencies(), answer_s=ANSWER_S)
        wanted = ("account-summary", "liabilities", "open-rounds")
        first, second = [
            await asyncio.gather(*(each.make(name, period, Filters()) for name in wanted))
            for each in (waiting, at_once)
        ]
    assert all(report.generated_at < ends for report in first)
    assert [each.totals.rows for each in first] == [each.totals.rows for each in second]


@pytest.mark.parametrize("name", ["large-wins", "movements"])
async def test_a_threshold_is_one_of_every_currency_however_fine_it_is(url, name):
    """It was refused as too large for one whose scale leaves no room for such an amount."""
    currencies = Currencies({"ETH": Currency("ETH", 18, 18)})
    reports = Reports(url, 1, currencies, answer_s=ANSWER_S)
    report = await reports.make(name, read_period(None, None, "UTC"), Filters(threshold="15000"))
    assert picked(report, "transaction_id") == [("w9",)]
