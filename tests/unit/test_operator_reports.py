"""Reports and rounds over the operator API: what is passed on, and what is answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import msgspec
import pytest

from adapters.operator.auth import utc_now
from adapters.operator.gpas_report import provider_code
from adapters.operator.rounds import ROUNDS_PAGE_MAX
from adapters.settings import ReportSettings
from projections.reports.asked import Filters
from projections.reports.errors import AppendUnderWay, UnsoundEvents
from projections.reports.period import Period, read_period
from projections.reports.report import Report, Table, columns
from projections.reports.rounds import RoundRow
from tests.unit.operator_fakes import SETTINGS, Desk, MemoryViews, running

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
REPORT = Report(
    name="totals",
    title="Totals",
    version="1",
    period=Period("UTC", None, None),
    generated_at=NOON,
    filters={},
    table=Table(columns(game="text", ggr="amount"), [("=g", "-1.50")]),
    totals=Table(columns(ggr="amount"), [("-1.50",)]),
)
ROUND = RoundRow(
    player_id="p1",
    integration="slots",
    round_id="r/1",
    game="g1",
    currency="EUR",
    status="open",
    opened_at=NOON,
    closed_at=None,
    closed_reason=None,
    last_activity_at=NOON,
    bet_count=2,
    stakes=1_000_000,
    refund_count=1,
    refunds=250_000,
    win_count=1,
    wins=500_000,
    reversal_count=1,
    reversals=12_345,
)


async def test_a_report_is_passed_on_with_its_period_and_filters():
    """What is asked for is what is made."""
    views = MemoryViews(made=REPORT)
    query = "from=2030-01-31&to=2030-01-31&tz=Asia/Kolkata&game=g1&by=day,game&currency=EUR"
    async with running(views=views) as desk:
        answer = await desk.get(f"/reports/totals?{query}", role="viewer")
    assert answer.status == 200
    assert list(answer.json) == [
        "title",
        "version",
        "period",
        "generated_at",
        "filters",
        "rows",
        "totals",
    ]
    assert answer.json["rows"] == [{"game": "=g", "ggr": "-1.50"}]
    ((name, period, filters),) = views.asked
    assert name == "totals"
    assert period.begins == datetime(2030, 1, 30, 18, 30, tzinfo=UTC)
    assert period.ends == datetime(2030, 1, 31, 18, 30, tzinfo=UTC)
    assert filters == Filters(game="g1", by="day,game", currency="EUR")


@pytest.mark.parametrize(
    ("wanted", "kind", "beginning"),
    [
        ("csv", "text/csv; charset=utf-8", "game,ggr\r\n'=g,-1.50\r\n"),
        ("parquet", "application/vnd.apache.parquet", "PAR1"),
    ],
)
async def test_a_report_can_be_downloaded(wanted, kind, beginning):
    """With a name that says what it is."""
    async with running(views=MemoryViews(made=REPORT)) as desk:
        answer = await desk.get(f"/reports/totals?format={wanted}", errors="replace")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == kind
    name = f'attachment; filename="totals.{wanted}"'
    assert answer.headers["Content-Disposition"] == name
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.text.startswith(beginning)


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/reports/totals?from=2030-02-30", "from: '2030-02-30' is neither a date"),
        ("/reports/totals?to=20300201", "to: '20300201' is neither a date such as 2030-01-31"),
        ("/reports/totals?from=2030-02-02&to=2030-02-01", "from, to: the period ends before"),
        ("/reports/totals?tz=Mars/Olympus", "tz: 'Mars/Olympus' is no time zone"),
        ("/reports/totals?format=xlsx", "format: expected one of csv, json, parquet"),
        ("/reports/totals?colour=red", "Object contains unknown field `colour`"),
        ("/reports/open-rounds?older_than_h=-1", "older_than_h: expected a whole number from 0"),
        ("/reports/open-rounds?older_than_h=soon", "older_than_h: expected a whole number from 0"),
        ("/reports/open-rounds?older_than_h=1.5", "older_than_h: expected a whole number from 0"),
        ("/rounds?older_than_h=1.5", "older_than_h: expected a whole number from 0 to 87840"),
        ("/reports/totals?from=a&from=b", "query: a parameter comes twice"),
        ("/rounds?status=lost", "status: expected one of closed, open"),
        ("/rounds?limit=0", "limit: expected a whole number from 1 to 1000"),
        ("/rounds?after=xyz", "after: expected the next of the page before"),
        ("/rounds/slots/r1?limit=1001", "limit: expected a whole number from 1 to 1000"),
        ("/rounds/slots/r1?after=xyz", "after: expected the next of the page before"),
        ("/rounds/slots/r1?status=open", "Object contains unknown field `status`"),
        ("/rounds?after=WzFd", "after: expected the next of the page before"),
        ("/rounds?after=WyJhXHUwMDAwIiwiYiIsImMiXQ==", "after: expected the next"),
    ],
)
async def test_bad_input_is_said_in_words(path, detail):
    """Whoever builds on this reads the answer, not our code."""
    async with running(views=MemoryViews(made=REPORT)) as desk:
        answer = await desk.get(path)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert answer.json["detail"].startswith(detail)


async def test_an_unknown_report_is_not_found_and_the_others_are_named():
    """The name is a part of the path."""
    async with running(views=MemoryViews(made=REPORT)) as desk:
        answer = await desk.get("/reports/profits")
    assert (answer.status, answer.code) == (404, "not_found")
    expected = "'profits' is no report; there are totals, trial-balance"
    assert answer.json["detail"].startswith(expected)


@pytest.mark.parametrize("path", ["/reports/totals"])
async def test_a_report_of_views_that_are_behind_is_refused_for_now(path):
    """An incomplete report is a wrong one; a while later it can be made."""
    async with running() as desk:
        answer = await desk.get(path)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.json["detail"] == "the view totals is 3 events behind the log"
    assert answer.headers["Retry-After"] == "1"


async def test_a_report_of_what_is_not_committed_yet_is_refused_for_now():
    """A while later a standby is there again."""

    class Waiting(MemoryViews):
        async def report(self, name, period, filters, finish):
            raise AppendUnderWay(3)

    async with running(views=Waiting()) as desk:
        answer = await desk.get("/reports/totals?to=2030-01-31")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "an append to partition 3 that may belong to the period" in answer.json["detail"]


async def test_a_report_over_altered_events_is_a_problem_that_says_where():
    """A second try helps nobody; the player and the version do."""

    class Altered(MemoryViews):
        async def report(self, name, period, filters, finish):
            raise UnsoundEvents("the statement of player ann does not add up at version 4")

    async with running(views=Altered()) as desk:
        answer = await desk.get("/reports/player-statement?player_id=ann")
    assert (answer.status, answer.code) == (500, "internal")
    assert answer.json["detail"] == "the statement of player ann does not add up at version 4"


async def test_rounds_are_shown_with_exact_amounts():
    """GGR = stakes - refunds - wins + reversals."""
    views = MemoryViews(kept=[ROUND])
    async with running(views=views) as desk:
        answer = await desk.get("/rounds?status=open&older_than_h=2&integration=slots")
    assert answer.json["next"] is None
    (shown,) = answer.json["rounds"]
    assert shown == {
        "integration": "slots",
        "round_id": "r/1",
        "player_id": "p1",
        "game": "g1",
        "currency": "EUR",
        "status": "open",
        "opened_at": "2030-01-31T12:00:00Z",
        "closed_at": None,
        "closed_reason": None,
        "last_activity_at": "2030-01-31T12:00:00Z",
        "bet_count": 2,
        "stakes": "10.00",
        "refund_count": 1,
        "refunds": "2.50",
        "win_count": 1,
        "wins": "5.00",
        "reversal_count": 1,
        "reversals": "0.12345",
        "ggr": "2.62345",
    }
    ((filters, after, limit),) = views.asked
    assert (filters.integration, filters.is_open, after, limit) == (
        "slots",
        True,
        ("", "", ""),
        101,
    )
    assert abs(utc_now() - timedelta(hours=2) - filters.opened_before) < timedelta(minutes=1)


async def test_rounds_page_by_page_with_ids_of_any_kind():
    """`next` leads on, and is null at the end."""
    ids = ["", "a b", 'c"d', "é=ç", "後"]
    kept = [
        msgspec.structs.replace(ROUND, player_id=f"p{number}", round_id=round_id)
        for number, round_id in enumerate(ids)
    ]
    seen = []
    async with running(views=MemoryViews(kept=kept)) as desk:
        path = "/rounds?limit=2"
        while path:
            answer = await desk.get(path)
            seen += [each["round_id"] for each in answer.json["rounds"]]
            following = answer.json["next"]
            path = following and f"/rounds?limit=2&after={quote(following)}"
        assert (await desk.get("/rounds?limit=5")).json["next"] is None
    assert seen == ids


async def test_days_are_those_of_the_configured_zone_where_a_call_does_not_say():
    """Malta's casino day is not UTC's."""
    views = MemoryViews(made=REPORT)
    zone = replace(SETTINGS, reports=ReportSettings(time_zone="Asia/Kolkata"))
    async with running(views=views, settings=zone) as desk:
        await desk.get("/reports/totals?to=2030-01-31")
    ((_, period, _),) = views.asked
    assert period == read_period(None, "2030-01-31", "Asia/Kolkata")


async def test_a_round_by_its_id_and_one_that_is_not_there():
    """One a player: providers number rounds as they like."""
    views = MemoryViews(kept=[ROUND])
    async with running(views=views) as desk:
        answer = await desk.get("/rounds/slots/r%2F1")
        assert [each["player_id"] for each in answer.json["rounds"]] == ["p1"]
        assert views.asked[0][0].round_id == "r/1"
        views.kept = ()
        gone = await desk.get("/rounds/slots/r2")
    assert (gone.status, gone.code) == (404, "not_found")


async def seen_by_page(desk: Desk, path: str, limit: int | None = None) -> list[list[str]]:
    """The players of every page, as `next` leads on."""
    query = {} if limit is None else {"limit": str(limit)}
    pages = []
    while True:
        answer = await desk.get(f"{path}?{urlencode(query)}")
        assert answer.status == 200
        pages.append([each["player_id"] for each in answer.json["rounds"]])
        if answer.json["next"] is None:
            return pages
        query["after"] = answer.json["next"]


async def test_a_round_that_thousands_share_comes_page_by_page():
    """A live table's round is everybody's: none of its players may be left out unsaid."""
    players = [f"p{number:04}" for number in range(ROUNDS_PAGE_MAX + 1)]
    kept = [msgspec.structs.replace(ROUND, player_id=player_id) for player_id in players]
    views = MemoryViews(kept=kept)
    async with running(views=views) as desk:
        whole = await seen_by_page(desk, "/rounds/slots/r%2F1")
        halves = await seen_by_page(desk, "/rounds/slots/r%2F1", limit=600)
    assert whole == [players[:ROUNDS_PAGE_MAX], players[ROUNDS_PAGE_MAX:]]
    assert halves == [players[:600], players[600:]]
    assert {(filters.integration, filters.round_id) for filters, _, _ in views.asked} == {
        ("slots", "r/1")
    }


async def test_behind_the_last_player_of_a_round_the_page_is_empty():
    """The round is there all the same: only a first page without anybody is no round."""
    views = MemoryViews(kept=[ROUND, msgspec.structs.replace(ROUND, player_id="p2")])
    async with running(views=views) as desk:
        behind = (await desk.get("/rounds/slots/r%2F1?limit=1")).json["next"]
        views.kept = [ROUND]
        rest = await desk.get(f"/rounds/slots/r%2F1?after={quote(behind)}")
    assert (rest.status, rest.json) == (200, {"rounds": [], "next": None})


@pytest.mark.parametrize(
    ("game", "code"), [("agt-54", "AGT"), ("agt-53rr-x", "AGT"), ("dice", "DICE"), ("", "")]
)
def test_the_provider_behind_gpas_is_in_the_games_id(game, code):
    """As in GPAS's own examples."""
    assert provider_code(game) == code
