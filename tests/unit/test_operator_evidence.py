"""The call for evidence: what it asks for, what comes back, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger.evidence import NoSuchEvents, NoSuchPlayer, Wanted
from projections.reports.errors import BadRequest, ReportTooLong
from tests.unit.operator_fakes import MemoryViews, running

PATH = "/players/ann/evidence"


async def test_everything_that_can_be_asked_for_is() -> None:
    """A dispute is about a round, a provider's id, or days in the casino's time zone."""
    query = "?from=2030-01-01&to=2030-01-31&tz=Europe/Malta&integration=slots"
    views = MemoryViews()
    async with running(views=views) as desk:
        answer = await desk.get(f"{PATH}{query}&round_id=r1&transaction_id=t1", role="viewer")
    assert (answer.status, answer.text) == (200, '{"record":"evidence"}\n')
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="evidence.jsonl"'
    wanted = Wanted(
        begins=datetime(2029, 12, 31, 23, tzinfo=UTC),
        ends=datetime(2030, 1, 31, 23, tzinfo=UTC),
        integration="slots",
        round_id="r1",
        transaction_id="t1",
    )
    assert views.asked == [("ann", wanted)]


async def test_without_a_question_it_is_the_whole_history() -> None:
    """As a regulator asks."""
    views = MemoryViews()
    async with running(views=views) as desk:
        assert (await desk.get(PATH, role="viewer")).status == 200
    assert views.asked == [("ann", Wanted())]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("from=yesterday", "from: 'yesterday' is neither a date"),
        ("from=2030-02-02&to=2030-02-01", "from, to: the period ends before"),
        ("tz=Mars/Olympus", "tz: 'Mars/Olympus' is no time zone"),
        ("round=r1", "Object contains unknown field `round`"),
        ("round_id=", "round_id: Expected"),
    ],
)
async def test_what_makes_no_sense_is_refused(query: str, detail: str) -> None:
    """Evidence about something else than was meant would be worse than none."""
    views = MemoryViews()
    async with running(views=views) as desk:
        answer = await desk.get(f"{PATH}?{query}", role="viewer")
    assert (answer.status, answer.json["code"]) == (400, "malformed_request")
    assert answer.json["detail"].startswith(detail)
    assert views.asked == []


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (NoSuchPlayer("no such player"), 404, "unknown_player"),
        (NoSuchEvents("the player has no event of round_id 'r1'"), 404, "not_found"),
        (BadRequest("more than 32 MiB: narrow what is asked for"), 400, "malformed_request"),
        (ReportTooLong("not made within 60 s"), 503, "unavailable"),
    ],
)
async def test_what_cannot_be_made_says_why(failure: Exception, status: int, code: str) -> None:
    """A support agent has to know what to ask for in its place."""
    async with running(views=MemoryViews(failure=failure)) as desk:
        answer = await desk.get(PATH, role="viewer")
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.json["detail"] == str(failure)
