"""The list of what staff changed: by whom, why, and what there was before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest

from ledger import commands as c
from ledger.codec import partition_of
from ledger.currencies import Currencies
from ledger.refusals import Refused
from ledger.service import Ledger
from projections.reports.asked import Filters
from projections.reports.errors import BadRequest, UnknownPlayer
from projections.reports.interventions import INTERVENTIONS
from projections.reports.period import read_period
from projections.reports.queries import query
from projections.reports.report import NO_ACTIVITY, Report, view
from projections.reports.service import Reports
from tests.bench.load_history import Silent
from tests.integration.report_story import EUR, money
from tests.integration.test_reports import ANSWER_S, picked

PARTITIONS = 2
DORA: dict[str, Any] = {"actor": "dora", "reason": "asked by phone"}
ANNA, CHI = "anna", "chi"
"""One in each partition."""


@pytest.fixture(scope="module")
def url(postgres, databases) -> Iterator[str]:
    """A database in which staff did one thing after the other."""
    with databases.fresh(databases.template(PARTITIONS)) as name:
        asyncio.run(_done(postgres.url(name)))
        yield postgres.url(name)


async def _done(url: str) -> None:
    assert partition_of(ANNA, PARTITIONS) != partition_of(CHI, PARTITIONS)
    async with Ledger(url, PARTITIONS, Silent()) as ledger:
        for command in (
            c.RegisterPlayer(player_id=ANNA, currency="EUR"),
            c.RegisterPlayer(player_id=CHI, currency="EUR"),
            c.RegisterPlayer(player_id=CHI, currency="JPY"),
            money(c.Deposit, ANNA, 100 * EUR, actor="till"),
            money(c.GrantBonus, ANNA, 10 * EUR, actor="till"),
            money(c.AdjustBalance, ANNA, -EUR // 4, **DORA),
            money(c.ConvertBonus, ANNA, 4 * EUR, **DORA),
            c.SetLimits(player_id=ANNA, max_bet=5 * EUR, loss_limit_week=50 * EUR, **DORA),
            c.SetLimits(player_id=ANNA, max_bet=None, loss_limit_week=20 * EUR, **DORA),
            c.SetLimits(player_id=CHI, reality_check_min=60, **DORA),
            c.BlockPlayer(player_id=CHI, **DORA),
            c.BlockPlayer(player_id=CHI, **DORA),  # she is
            c.UnblockPlayer(player_id=CHI, actor="eve", reason="a mistake"),
        ):
            assert not isinstance(await ledger.execute(command), Refused)
        for enabled in (False, True):
            await ledger.set_game(
                c.SetGame(integration="slots", game="g1", enabled=enabled, **DORA)
            )


async def make(
    url: str, begin: str | None = None, end: str | None = None, **filters: Any
) -> Report:
    """The interventions."""
    reports = Reports(url, PARTITIONS, Currencies(), answer_s=ANSWER_S)
    return await reports.make("interventions", read_period(begin, end, "UTC"), Filters(**filters))


async def test_every_intervention_with_what_there_was_before_and_after(url):
    """In the order in which they were made; a game, switched in two partitions, once."""
    report = await make(url)
    assert picked(report, "type", "player_id", "game", "before", "after") == [
        (*("bonus_granted.v1", ANNA, None), *_texts(("100.00", "0.00"), ("100.00", "10.00"))),
        (*("balance_adjusted.v1", ANNA, None), *_texts(("100.00", "10.00"), ("99.75", "10.00"))),
        (*("bonus_converted.v1", ANNA, None), *_texts(("99.75", "10.00"), ("103.75", "6.00"))),
        (
            *("limits_set.v1", ANNA, None),
            "max_bet none, loss_limit_week none",
            "max_bet 5.00, loss_limit_week 50.00",
        ),
        (
            *("limits_set.v1", ANNA, None),
            "max_bet 5.00, loss_limit_week 50.00",
            "max_bet none, loss_limit_week 20.00",
        ),
        ("limits_set.v1", CHI, None, "reality_check_min none", "reality_check_min 60"),
        ("player_blocked.v1", CHI, None, "active", "blocked"),
        ("player_unblocked.v1", CHI, None, "blocked", "active"),
        ("game_disabled.v1", None, "g1", "enabled", "disabled"),
        ("game_enabled.v1", None, "g1", "disabled", "enabled"),
    ]
    assert picked(report, "actor", "reason")[6:8] == [
        ("dora", "asked by phone"),
        ("eve", "a mistake"),
    ]
    assert picked(report, "currency", "transaction_id", "player_version")[1] == (
        *("EUR", "adjustbalance:anna"),
        5,
    )
    assert len(set(picked(report, "movement_id"))) == len(report.table.rows)
    assert report.totals.rows == [
        ("balance_adjusted.v1", "dora", 1),
        ("bonus_converted.v1", "dora", 1),
        ("bonus_granted.v1", "till", 1),
        ("game_disabled.v1", "dora", 1),
        ("game_enabled.v1", "dora", 1),
        ("limits_set.v1", "dora", 3),
        ("player_blocked.v1", "dora", 1),
        ("player_unblocked.v1", "eve", 1),
    ]


def _texts(before: tuple[str, str], after: tuple[str, str]) -> tuple[str, str]:
    texts = ["real {}, bonus {}".format(*each) for each in (before, after)]
    return texts[0], texts[1]


async def test_its_period_is_exact(url):
    """The first moment counts, the last one does not."""
    moments = [row[0] for row in picked(await make(url), "recorded_at")]
    report = await make(url, moments[2].isoformat(), moments[7].isoformat())
    assert [row[0] for row in picked(report, "recorded_at")] == [
        each for each in moments if moments[2] <= each < moments[7]
    ]
    idle = view(await make(url, "2024-01-01", "2024-01-31"))
    assert (idle.rows, idle.note) == ([], NO_ACTIVITY)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": "player_blocked.v1,balance_adjusted.v1"}, ["adjusted", "blocked"]),
        ({"player_id": CHI}, ["set", "blocked", "unblocked"]),
        ({"player_id": ANNA, "type": "bonus_granted.v1,bonus_converted.v1"}, ["granted", "conver"]),
        ({"type": "game_enabled.v1"}, ["enabled"]),
    ],
)
async def test_filters_narrow_it(url, filters, expected):
    """To a player, to a kind."""
    types = [each for (each,) in picked(await make(url, **filters), "type")]
    assert len(types) == len(expected)
    assert all(part in name for part, name in zip(expected, types, strict=True))


async def test_what_nothing_bears_is_refused(url):
    """Payments are no interventions; a player who is not there has none."""
    with pytest.raises(BadRequest, match=r"'deposited.v1' is none of balance_adjusted\.v1, bo"):
        await make(url, type="deposited.v1")
    with pytest.raises(UnknownPlayer):
        await make(url, player_id="anne")


async def test_no_more_is_read_than_may_be_handed_out(url):
    """In a partition, and of all together."""
    reports = Reports(url, PARTITIONS, Currencies(), answer_s=ANSWER_S, rows_max=7)
    with pytest.raises(BadRequest, match="more than 7 rows"):
        await reports.make("interventions", read_period(None, None, "UTC"), Filters())


async def test_switches_are_found_without_reading_the_log(url):
    """They have no time in a table: an index of their own holds them."""
    statement = query("switches", "ledger_p00")
    with psycopg.connect(url) as connection:
        connection.execute("SET enable_seqscan = off")
        lines = connection.execute(
            b"EXPLAIN " + statement, {"types": [*INTERVENTIONS.types], "stream": None}
        ).fetchall()
    assert any("events_switches_idx" in line for (line,) in lines)


async def test_what_was_done_at_one_moment_stands_in_the_order_in_which_it_was_booked(
    postgres, databases, template_database
):
    """A batch has one time, and its movement ids may be of one millisecond."""
    with databases.fresh(template_database) as name:
        url = postgres.url(name)
        async with Ledger(url, 1, Silent()) as ledger:
            await ledger.execute(c.RegisterPlayer(player_id=ANNA, currency="EUR"))
            block, unblock = c.BlockPlayer(player_id=ANNA), c.UnblockPlayer(player_id=ANNA)
            await asyncio.gather(*(ledger.execute(each) for each in (block, unblock) * 20))
        reports = Reports(url, 1, Currencies(), answer_s=ANSWER_S)
        report = await reports.make("interventions", read_period(None, None, "UTC"), Filters())
    versions = [version for (version,) in picked(report, "player_version")]
    assert versions == sorted(versions)
    assert len(versions) == 40
    assert picked(report, "before", "after") == [("active", "blocked"), ("blocked", "active")] * 20


async def test_a_game_is_switched_in_one_period_only(url):
    """Each partition has its own time of it: the first one counts, whatever is asked for."""
    whole = picked(await make(url, type="game_disabled.v1"), "recorded_at", "movement_id")
    for edge in sorted(await _times_of_switches(url)):
        moment = edge.isoformat()
        parts = [
            await make(url, begin, end, type="game_disabled.v1")
            for begin, end in ((None, moment), (moment, None))
        ]
        assert [
            row for part in parts for row in picked(part, "recorded_at", "movement_id")
        ] == whole


async def _times_of_switches(url: str) -> set[datetime]:
    async with Ledger(url, PARTITIONS, Silent()) as ledger:
        histories = await ledger.game_events("slots", "g1")
    times = {event.recorded_at for history in histories for _, event, _ in history}
    assert len(histories) == PARTITIONS < len(times)
    return times
