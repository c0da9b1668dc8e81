"""Sessions over the operator API: a token is shown once and kept nowhere."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from ledger.commands import OpenSession
from ledger.service import token_hash
from tests.unit.operator_fakes import SETTINGS, SLOTS, MemoryLedger, running

BODY = {"integration": SLOTS, "game": "g1", "currency": "EUR"}


async def test_a_session_is_opened_for_its_integrations_time():
    """The token goes to the game; the ledger keeps its hash, and the integration's own policy."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player()
        answer = await desk.post("/players/p1/sessions", BODY)
    token = answer.json["session_token"]
    assert answer.status == 201
    assert answer.json == {"session_token": token, "expires_at": "2030-01-31T13:00:02Z"}
    assert answer.headers["Cache-Control"] == "no-store"
    assert ledger.commands[-1] == OpenSession(
        player_id="p1",
        actor="admin-1",
        session=token_hash(token),
        integration=SLOTS,
        game="g1",
        currency="EUR",
        policy=SETTINGS.integrations[SLOTS].policy,
    )


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"integration": "other"}, 400, "malformed_request"),
        ({"currency": "XYZ"}, 400, "malformed_request"),
        ({"currency": "USD"}, 422, "currency_mismatch"),
        ({"game": ""}, 400, "malformed_request"),
    ],
)
async def test_a_session_that_no_provider_could_use_is_refused(change, status, code):
    """An error at launch is seen by the operator; one in the game is seen by the player."""
    async with running() as desk:
        await desk.player()
        answer = await desk.post("/players/p1/sessions", BODY | change)
    assert (answer.status, answer.code) == (status, code)


async def test_a_session_of_an_unknown_player_is_not_found():
    """A launch must not create a player."""
    async with running() as desk:
        answer = await desk.post("/players/nobody/sessions", BODY)
    assert (answer.status, answer.code) == (404, "unknown_player")


async def test_a_session_is_closed_by_its_token_as_often_as_asked():
    """Closing what is closed is no error: the caller wants it closed."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player()
        token = (await desk.post("/players/p1/sessions", BODY)).json["session_token"]
        first = await desk.call("DELETE", f"/sessions/{token}")
        second = await desk.call("DELETE", f"/sessions/{token}")
    assert (first.status, first.text, second.status) == (204, "", 204)
    assert ledger.states["p1"].sessions[token_hash(token)].closed
    assert ledger.history["p1"][-1][1].actor == "admin-1"


async def test_an_unknown_token_closes_nothing():
    """A mistyped token must not look like success."""
    async with running() as desk:
        answer = await desk.call("DELETE", "/sessions/unknown")
    assert (answer.status, answer.code) == (404, "unknown_session")


async def test_a_token_is_in_no_log_no_error_and_no_event():
    """Whoever holds it can play with the player's money."""
    with capture_logs() as logs:
        async with running() as desk:
            await desk.player()
            token = (await desk.post("/players/p1/sessions", BODY)).json["session_token"]
            closed = await desk.call("DELETE", f"/sessions/{token}")
            unknown = await desk.call("DELETE", f"/sessions/{token}x")
            events = await desk.get("/players/p1/events")
    assert "canary" in token
    for text in (str(logs), closed.text, unknown.text, events.text):
        assert "canary" not in text
    opened = events.json["events"][2]
    assert (opened["type"], opened["session"]) == ("session_opened.v1", token_hash(token))
