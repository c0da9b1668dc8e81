"""The list of movements over the story of `report_story`, against figures worked out by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ledger.currencies import Currencies
from projections.reports.asked import Filters
from projections.reports.errors import BadRequest, UnknownPlayer
from projections.reports.period import read_period
from projections.reports.service import Reports
from tests.integration.report_story import at, tell
from tests.integration.test_reports import ANSWER_S, append, make, picked

CHANGE = ("type", "player_id", "total_before", "real", "bonus", "total_after", "held")


@pytest.fixture(scope="module")
def url(postgres, databases, template_database) -> Iterator[str]:
    """A database in which the story was told, its views at the head."""
    with databases.fresh(template_database) as name:
        asyncio.run(append(postgres.url(name), asyncio.run(tell())))
        yield postgres.url(name)


async def test_every_movement_of_a_day_with_what_there_was_before_and_after(url):
    """Bet and deposit, correction and withdrawal: whatever moved money, in its order."""
    report = await make(url, "movements", "2024-02-01", "2024-02-01")
    assert picked(report, *CHANGE) == [
        ("withdrawal_held.v1", "anna", "130.00", "-30.00", "0.00", "100.00", "30.00"),
        ("withdrawal_confirmed.v1", "anna", "100.00", "0.00", "0.00", "100.00", "-30.00"),
        ("deposited.v1", "chi", "0", "1000", "0", "1000", "0"),
        ("bonus_granted.v1", "chi", "1000", "0", "60", "1060", "0"),
        ("bet_placed.v1", "chi", "1060", "-40.5", "-60", "959.5", "0"),
        ("balance_adjusted.v1", "anna", "100.00", "-1.25", "0.00", "98.75", "0.00"),
    ]
    voided = await make(url, "movements", type="bet_refunded.v1,win_reversed.v1")
    assert picked(voided, "transaction_id", "refers_to") == [("f2", "b2"), ("v9", "w9")]
    names = ("integration", "operation", "transaction_id", "round_id", "game", "currency")
    assert picked(report, *names)[4] == ("tables", "placebet", "b5", "r5", "roulette", "JPY")
    assert picked(report, "recorded_at", "actor", "reason", "round_id")[5] == (
        *(at("02-01", "12:00"), "dora", "a mistake", None),
    )
    assert report.totals.rows == [
        ("balance_adjusted.v1", "EUR", 1, "-1.25", "0.00", "0.00"),
        ("bet_placed.v1", "JPY", 1, "-40.5", "-60", "0"),
        ("bonus_granted.v1", "JPY", 1, "0", "60", "0"),
        ("deposited.v1", "JPY", 1, "1000", "0", "0"),
        ("withdrawal_confirmed.v1", "EUR", 1, "0.00", "0.00", "-30.00"),
        ("withdrawal_held.v1", "EUR", 1, "-30.00", "0.00", "30.00"),
    ]


async def test_what_one_movement_leaves_the_next_one_finds(url):
    """Each player's rows are one line of balances, from nothing to what is there now."""
    rows = picked(await make(url, "movements"), "player_id", "currency", *CHANGE[2:6])
    left = {("anna", "EUR"): "0.00", ("ben", "EUR"): "0.00", ("chi", "JPY"): "0"}
    for player_id, currency, before, _, _, after in rows:
        assert float(left[player_id, currency]) == float(before)
        left[player_id, currency] = after
    assert [float(each) for each in left.values()] == [98.75, 0.0, 959.5]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": "balance_adjusted.v1"}, ["adjustbalance:anna"]),
        ({"type": "bet_refunded.v1,win_reversed.v1"}, ["f2", "v9"]),
        ({"type": "bet_placed.v1", "player_id": "anna"}, ["b1", "b2", "b3", "b4"]),
        ({"integration": "tables"}, ["b5"]),
        ({"currency": "JPY", "type": "deposited.v1"}, ["deposit:chi"]),
        ({"threshold": "14990.00"}, ["w9", "withdraw:ben"]),
        ({"threshold": "14990.01"}, ["w9"]),
        ({"threshold": "30", "player_id": "anna", "type": "withdrawal_held.v1"}, ["withdraw:anna"]),
        ({"threshold": "100.5", "type": "bet_placed.v1"}, ["b5"]),
        ({"threshold": "100.50001", "type": "bet_placed.v1"}, []),
    ],
)
async def test_filters_narrow_it(url, filters, expected):
    """To corrections, to voided stakes, to what is large: stake, bonus and held money together."""
    report = await make(url, "movements", **filters)
    assert [each for (each,) in picked(report, "transaction_id")] == expected


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        ({"type": "deposit"}, BadRequest, "type: 'deposit' is none of balance_adjusted.v1, bet_"),
        ({"type": ""}, BadRequest, "type: '' is none of"),
        ({"type": "deposited.v1,"}, BadRequest, "type: '' is none of"),
        ({"type": "player_blocked.v1"}, BadRequest, "type: 'player_blocked.v1' is none of"),
        ({"threshold": "0"}, BadRequest, "threshold: expected more than 0"),
        ({"player_id": "anne"}, UnknownPlayer, "there is no player anne"),
        ({"game": "g1"}, BadRequest, "game: the report movements knows type, threshold,"),
    ],
)
async def test_what_nothing_bears_is_refused(url, filters, error, message):
    """An empty list of corrections would be believed."""
    with pytest.raises(error, match=message):
        await make(url, "movements", **filters)


async def test_no_more_is_read_than_may_be_handed_out(url):
    """A casino's day is millions of them, and any viewer may ask."""
    reports = Reports(url, 1, Currencies(), answer_s=ANSWER_S, rows_max=2)
    period = read_period(None, None, "UTC")
    assert (await reports.make("movements", period, Filters(type="bet_refunded.v1"))).table.rows
    with pytest.raises(BadRequest, match="more than 2 rows"):
        await reports.make("movements", period, Filters())
