"""Calls about reconciliations: what is judged before a file is read, and what is told of one."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.operator import application, upload
from adapters.operator.upload import Upload
from adapters.reconciliation_store import LOST, Kept
from projections.reports.errors import ReportUnavailable
from projections.reports.report import PeriodView
from projections.statements.findings import KINDS, NOTED, Difference, Outcome, StatementView
from tests.unit.operator_fakes import START, MemoryViews, running

QUERY = "/reconciliations?integration=slots&from=2025-01-31&to=2025-01-31"
FILE = b"transaction_id,operation,amount,currency\nb1,bet,1,EUR\n"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files that are received stand meanwhile."""
    monkeypatch.setattr(tempfile, "mkstemp", partial(tempfile.mkstemp, dir=tmp_path))
    return tmp_path


@pytest.fixture
def limited(monkeypatch):
    """Uploads of at most 1000 bytes within a fifth of a second."""

    def limit(request: Any) -> Upload:
        return Upload(request, bytes_max=1_000, timeout_s=0.2)

    monkeypatch.setattr(application, "Upload", limit)


async def test_a_statement_is_received_whole_and_its_comparison_begun(temporary):
    """The query says what it is; by whom it was asked is the token's word, not the caller's."""
    views = MemoryViews()
    query = f"{QUERY}&tz=Europe/Malta&column=amount=Sum,reference=Ref&minor_units=true&edge=60"
    async with running(views=views) as desk:
        answer = await desk.post(query, FILE, role="operator")
    assert answer.status == 202
    assert answer.json == {"id": "reconciliation-1", "status": "running"}
    ((asked, received, by, content),) = views.asked
    assert content == FILE
    assert (received.sha256, received.bytes) == (sha256(FILE).hexdigest(), len(FILE))
    assert by == "operator-1"
    assert asked.form.columns == {"amount": "Sum", "reference": "Ref"}
    assert asked.form.minor_units is True
    assert asked.edge_s == 60
    assert str(asked.period.begins) == "2025-01-30 23:00:00+00:00"
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("?from=2025-01-31&to=2025-01-31", "integration"),
        ("?integration=slots&to=2025-01-31", "from"),
        ("?integration=slots&from=2025-01-31", "to"),
        ("?integration=nobody&from=2025-01-31&to=2025-01-31", "integration: 'nobody' is none of"),
        ("?integration=slots&from=2025-01-31&to=2025-01-30", "from, to: the period ends before"),
        ("?integration=slots&from=2999-01-31&to=2999-01-31", "from: lies in the future"),
        ("?integration=slots&from=2025-01-31&to=2025-01-31&tz=Mars", "tz: 'Mars' is no time zone"),
        ("?integration=slots&from=2025-01-31&to=2025-01-31&tz=", "tz: '' is no time zone"),
        ("?integration=slots&from=2025-01-31&to=2025-01-31&column=sum=S", "column: 'sum=S'"),
        ("?integration=slots&from=2025-01-31&to=2025-01-31&edge=-1", "edge: expected a whole"),
        (
            "?integration=slots&from=2025-01-31&to=2025-01-31&edge=43201",
            "edge: 43201 s at both ends leave nothing",
        ),
        (
            "?integration=slots&from=2025-01-31&to=2025-01-31&edge=43200",
            "edge: 43200 s at both ends leave nothing",
        ),
        ("?integration=slots&from=2025-01-31&to=2025-01-31&minor_units=1", "minor_units: expected"),
        ("?integration=slots&from=2025-01-31&to=2025-01-31&more=1", "more"),
    ],
)
async def test_what_makes_no_sense_is_said_before_the_file_is_read(query, detail, temporary):
    """Nobody uploads a quarter of a gigabyte to be told of a typing error."""

    async def never() -> AsyncIterator[bytes]:
        yield FILE
        await asyncio.sleep(60)

    async with running() as desk:
        answer = await asyncio.wait_for(desk.post("/reconciliations" + query, never()), 5)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert detail in answer.json["detail"]
    assert list(temporary.iterdir()) == []


async def test_roles_decide_before_the_file_is_read():
    """An auditor's token reads; whoever has none is no operator."""
    async with running() as desk:
        assert (await desk.post(QUERY, FILE, role="viewer")).code == "forbidden"
        assert (await desk.post(QUERY, FILE, role=None)).code == "unauthorized"
        assert (await desk.get("/reconciliations/x", role=None)).code == "unauthorized"


async def test_a_file_that_is_too_long_is_refused_by_its_announced_length(limited, temporary):
    """Before a byte of it is read."""
    async with running() as desk:
        answer = await desk.post(QUERY, b"x" * 1_001)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert answer.json["detail"] == "the body is over 1000 bytes"
    assert list(temporary.iterdir()) == []


async def test_a_file_that_is_longer_than_it_says_is_refused_too(limited, temporary):
    """A body in chunks announces no length."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    async with running() as desk:
        answer = await desk.post(QUERY, chunks())
        assert answer.json["detail"] == "the body is over 1000 bytes"
        assert (await desk.post(QUERY, b"x" * 1_000)).status == 202
    assert list(temporary.iterdir()) == []


async def test_a_file_that_comes_too_slowly_is_given_up(limited, temporary):
    """A half-sent body would stay open for ever, and its file with it."""

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(2)

    async with running() as desk:
        answer = await desk.post(QUERY, slow())
    assert (answer.status, answer.code) == (503, "unavailable")
    assert list(temporary.iterdir()) == []


async def test_a_write_that_outlasts_its_call_goes_into_no_other_file(
    limited, temporary, monkeypatch
):
    """A slow disk still writes when time is up: by then a descriptor may be a provider's call."""
    write, written = os.write, threading.Event()

    def slow(descriptor: int, piece: Any) -> int:
        time.sleep(0.5)
        try:
            return write(descriptor, piece)
        finally:
            written.set()

    monkeypatch.setattr(os, "write", slow)
    async with running() as desk:
        answer = await desk.post(QUERY, FILE)
        assert (answer.status, answer.code) == (503, "unavailable")
        others = [tempfile.TemporaryFile() for _ in range(20)]  # noqa: SIM115
        assert await asyncio.to_thread(written.wait, 5)
    for other in others:
        with other:
            assert os.fstat(other.fileno()).st_size == 0
    assert list(temporary.iterdir()) == []


async def test_a_full_disk_is_unavailable_and_leaves_nothing_behind(temporary, monkeypatch):
    """It may have room again in an hour; half a statement would be compared as a whole one."""

    def full(_path: str, _piece: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(upload, "_write", full)
    async with running() as desk:
        answer = await desk.post(QUERY, FILE)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.json["detail"] == "the disk: No space left on device"
    assert list(temporary.iterdir()) == []


async def test_too_many_at_once_are_asked_to_come_again(temporary):
    """Each of them holds a statement in memory."""
    views = MemoryViews(failure=ReportUnavailable("4 reconciliations are under way: ask again"))
    async with running(views=views) as desk:
        answer = await desk.post(QUERY, FILE)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "ask again" in answer.json["detail"]
    assert list(temporary.iterdir()) == []


PERIOD = PeriodView(begins=START, ends=START + timedelta(days=1), time_zone="UTC")
STATEMENT = StatementView(sha256="ab" * 32, bytes=17, rows=None)
BEGUN = Kept(
    id="r1",
    begun_at=START,
    begun_by="operator-1",
    integration="slots",
    period=PERIOD,
    edge_s=300,
    statement=STATEMENT,
    finished_at=None,
    outcome=None,
    error=None,
)
OUTCOME = Outcome(
    integration="slots",
    period=PERIOD,
    read_at=START,
    statement=StatementView(sha256="ab" * 32, bytes=17, rows=5),
    counts=dict.fromkeys(KINDS, 0) | {"missing_in_ledger": 5},
    noted=dict.fromkeys(NOTED, 0),
    left_out=2,
    totals=[],
    differences=[],
)
DIFFERENCES = [
    (number, Difference(kind="missing_in_ledger", transaction_id=f"t{number}"))
    for number in (1, 2, 3)
]


async def test_one_that_goes_on_says_so_and_no_more():
    """Nothing is told of before all of it is known."""
    async with running(views=MemoryViews(reconciled={"r1": BEGUN})) as desk:
        shown = (await desk.get("/reconciliations/r1", role="viewer")).json
    assert (shown["id"], shown["status"], shown["by"]) == ("r1", "running", "operator-1")
    assert shown["statement"] == {"sha256": "ab" * 32, "bytes": 17, "rows": None}
    assert shown["period"]["from"] == "2030-01-31T12:00:00Z"
    unknown = ["finished_at", "error", "counts", "noted", "left_out", "totals", "next"]
    unknown += ["columns", "minor_units"]
    assert [shown[name] for name in unknown] == [None] * 9
    assert shown["differences"] == []


async def test_one_that_failed_says_why():
    """The line of the statement, mostly; or that nobody is left who could finish it."""
    kept = msgspec.structs.replace(BEGUN, error=LOST)
    async with running(views=MemoryViews(reconciled={"r1": kept})) as desk:
        shown = (await desk.get("/reconciliations/r1")).json
    assert (shown["status"], shown["error"]) == ("failed", LOST)


async def test_one_that_is_done_says_how_the_file_was_read():
    """With another column for the amounts it would have found something else: it is evidence."""
    told = msgspec.structs.replace(OUTCOME, columns={"amount": "Fee"}, minor_units=True, edge_s=300)
    kept = msgspec.structs.replace(BEGUN, outcome=told, finished_at=START)
    async with running(views=MemoryViews(reconciled={"r1": kept})) as desk:
        shown = (await desk.get("/reconciliations/r1")).json
    assert (shown["columns"], shown["minor_units"]) == ({"amount": "Fee"}, True)


def test_an_outcome_that_was_kept_before_it_said_so_is_read_all_the_same():
    """What was compared stays."""
    kept = json.loads(msgspec.json.encode(OUTCOME))
    for name in ("columns", "minor_units", "edge_s"):
        del kept[name]
    assert msgspec.convert(kept, Outcome) == OUTCOME


async def test_the_differences_come_page_by_page():
    """There may be thousands; their counts are always all of them."""
    done = msgspec.structs.replace(
        BEGUN, outcome=OUTCOME, differences=DIFFERENCES, finished_at=START
    )
    async with running(views=MemoryViews(reconciled={"r1": done})) as desk:
        first = (await desk.get("/reconciliations/r1?limit=2")).json
        second = (await desk.get(f"/reconciliations/r1?limit=2&after={first['next']}")).json
        whole = (await desk.get("/reconciliations/r1?limit=3")).json
    assert first["status"] == "done"
    assert (first["counts"]["missing_in_ledger"], first["left_out"]) == (5, 2)
    assert [each["transaction_id"] for each in first["differences"]] == ["t1", "t2"]
    assert [each["transaction_id"] for each in second["differences"]] == ["t3"]
    assert (first["next"], second["next"], whole["next"]) == (2, None, None)


async def test_an_id_that_nobody_was_given_is_not_found():
    """And a page has its limits."""
    async with running() as desk:
        assert (await desk.get("/reconciliations/r9")).code == "not_found"
        assert (await desk.get("/reconciliations/r9?limit=1001")).code == "malformed_request"
        assert (await desk.get("/reconciliations/r9?after=-1")).code == "malformed_request"


async def test_the_list_is_a_page_of_the_newest():
    """Whose client lost the id finds it again; an auditor sees what was compared, and what not."""
    kept = {
        name: msgspec.structs.replace(BEGUN, id=name, integration=whose, error=error)
        for name, whose, error in (
            ("r1", "slots", None),
            ("r2", "other", None),
            ("r3", "slots", LOST),
            ("r4", "slots", None),
        )
    }
    kept["r4"] = msgspec.structs.replace(kept["r4"], outcome=OUTCOME, finished_at=START)
    async with running(views=MemoryViews(reconciled=kept)) as desk:
        first = (await desk.get("/reconciliations?integration=slots&limit=2", role="viewer")).json
        rest = (await desk.get(f"/reconciliations?limit=2&after={first['next']}")).json
    told = [(each["id"], each["status"]) for each in first["reconciliations"]]
    assert told == [("r4", "done"), ("r3", "failed")]
    assert first["next"] == "r3"
    assert first["reconciliations"][0]["counts"] == OUTCOME.counts
    assert "differences" not in first["reconciliations"][0]
    assert [each["id"] for each in rest["reconciliations"]] == ["r2", "r1"]
    assert rest["next"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=", "integration=", "kind=x"])
async def test_a_page_that_makes_no_sense_is_refused(query):
    """As everywhere."""
    async with running() as desk:
        assert (await desk.get(f"/reconciliations?{query}")).code == "malformed_request"
