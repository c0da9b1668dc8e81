"""Errors of the operator API: every one of them has a code, a status and a body that says so."""

from __future__ import annotations

import psycopg
import pytest
from structlog.testing import capture_logs

from adapters.metrics import Metrics
from adapters.operator.problems import PROBLEMS, REFUSALS, problem
from ledger.refusals import Refusal
from tests.unit.operator_fakes import UNAVAILABLE, MemoryJournal, MemoryLedger, running

MOVEMENT = {"reference": "m-1", "amount": "1.00", "currency": "EUR"}


def test_every_refusal_has_a_status_and_a_title():
    """A refusal that nobody mapped would be answered as a fault of ours."""
    assert set(REFUSALS) == set(Refusal)
    assert all(400 <= status <= 599 and title for status, title in PROBLEMS.values())


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refusal.MALFORMED_REQUEST, 400),
        (Refusal.UNKNOWN_PLAYER, 404),
        (Refusal.UNKNOWN_SESSION, 404),
        (Refusal.ORIGINAL_NOT_FOUND, 404),
        (Refusal.DUPLICATE_CONFLICT, 409),
        (Refusal.ORIGINAL_SETTLED, 409),
        (Refusal.CURRENCY_MISMATCH, 422),
        (Refusal.INSUFFICIENT_FUNDS, 422),
        (Refusal.UNAVAILABLE, 503),
        (Refusal.INTERNAL, 500),
    ],
)
def test_a_refusal_keeps_its_status(refusal, status):
    """Programs decide by it whether to try again; it must not change."""
    assert REFUSALS[refusal][0] == status


async def test_a_refusal_is_answered_as_a_problem_with_its_name():
    """RFC 9457: type, title, status, detail; `code` is the refusal's name in every interface."""
    async with running(MemoryLedger(refusal=Refusal.UNKNOWN_PLAYER)) as desk:
        answer = await desk.get("/players/p1")
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {
        "type": "urn:wallet-ledger:problem:unknown_player",
        "title": "No such player",
        "status": 404,
        "detail": "as the test asked for",
        "code": "unknown_player",
    }


@pytest.mark.parametrize(
    "failure", [UNAVAILABLE, psycopg.OperationalError("gone"), TimeoutError()], ids=repr
)
async def test_an_absent_database_is_unavailable_and_worth_another_try(failure):
    """Nothing was done: the caller may repeat, and is told when."""
    async with running(MemoryLedger(failure=failure)) as desk:
        answer = await desk.get("/players/p1/events")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "1"


async def test_a_command_that_was_not_committed_is_unavailable():
    """The ledger's own deadline ends in the same answer as a database that is away."""
    body = {"player_id": "p1", "currency": "EUR"}
    async with running(MemoryLedger(refusal=Refusal.UNAVAILABLE)) as desk:
        answer = await desk.post("/players", body)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_a_fault_of_ours_says_nothing_but_is_logged():
    """What broke may hold anything; the caller learns only that it broke."""
    failure = RuntimeError("a secret detail")
    with capture_logs() as logs:
        async with running(MemoryLedger(failure=failure)) as desk:
            answer = await desk.get("/players/p1")
    assert (answer.status, answer.code) == (500, "internal")
    assert "secret" not in answer.text
    assert any(line["event"] == "operator_call_failed" for line in logs)


async def test_an_unknown_path_is_a_problem_too():
    """A client parses one kind of error only."""
    async with running() as desk:
        answer = await desk.get("/nothing/here")
    assert (answer.status, answer.code) == (404, "not_found")


async def test_a_wrong_method_names_the_right_ones():
    """RFC 9110 requires Allow."""
    async with running() as desk:
        answer = await desk.call("DELETE", "/players/p1/limits")
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, PUT"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "malformed_request"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "malformed_request"),
        (500, "internal"),
        (503, "unavailable"),
    ],
)
def test_the_servers_own_errors_get_a_code_of_the_same_list(status, code):
    """Outside of the operator API the server answers in the same form."""
    response = problem(status, "detail")
    assert response.status == status
    assert isinstance(response.body, bytes)
    assert f'"code":"{code}"'.encode() in response.body


async def test_a_call_leaves_one_log_line_that_shows_the_route_and_never_the_path():
    """A session token stands in a path; a log is read by many."""
    with capture_logs() as logs:
        async with running() as desk:
            await desk.call("DELETE", "/sessions/00canary")
            await desk.call("DELETE", "/sessions/00canary/more")
            await desk.get("/players/p1", role=None)
    assert "canary" not in str(logs)
    calls = [line for line in logs if line["event"] == "operator_call"]
    assert [(line["route"], line["outcome"], line["actor"]) for line in calls] == [
        ("/api/sessions/{token}", "unknown_session", "admin-1"),
        (None, "not_found", None),
        ("/api/players/{player_id}", "unauthorized", None),
    ]
    assert [line["log_level"] for line in calls] == ["info", "info", "warning"]


async def test_a_replay_is_logged_with_its_reference_and_counted():
    """Rule 1: who wonders why a deposit was sent twice finds both by their reference."""
    metrics = Metrics()
    with capture_logs() as logs:
        async with running(metrics=metrics) as desk:
            await desk.player()
            for _ in range(2):
                await desk.post("/players/p1/deposits", MOVEMENT)
            await desk.post("/players/p1/deposits", MOVEMENT | {"amount": "2.00"})
    booked = [
        (line["event"], line["outcome"], line["player_id"])
        for line in logs
        if line.get("transaction_id") == MOVEMENT["reference"]
    ]
    assert booked == [
        ("operator_call", "ok", "p1"),
        ("idempotency_hit", "replayed", "p1"),
        ("operator_call", "duplicate_conflict", "p1"),
    ]
    counted = 'wallet_ledger_idempotency_hits_total{integration="operator"} 1.0'
    assert counted in metrics.render().decode()


@pytest.mark.parametrize("path", ["deposits", "withdrawals"])
async def test_an_unsettled_movement_is_not_said_to_be_undone(path):
    """Staff that read "not executed" book it again, under another reference."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player(real="5")
        ledger.refusal = Refusal.UNAVAILABLE
        answer = await desk.post(f"/players/p1/{path}", MOVEMENT)
    assert (answer.status, answer.json["title"]) == (503, "Unavailable for now")
    assert "whether it was executed is not known" in answer.json["detail"]


async def test_an_absent_journal_is_unavailable():
    """Half an answer would look like a movement that no call had asked for."""

    class Broken(MemoryJournal):
        async def calls(self, integration, transaction_id):
            raise psycopg.OperationalError("gone")

    async with running(journal=Broken()) as desk:
        await desk.player(real="1")
        answer = await desk.get("/transactions/operator/first-p1")
    assert answer.code == "unavailable"
