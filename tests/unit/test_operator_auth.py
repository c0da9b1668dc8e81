"""Who may call what of the operator API."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from adapters.keys import Secret
from adapters.operator.auth import RANKS, Gate
from adapters.operator.problems import ProblemFound
from adapters.operator.routes import ROUTES
from adapters.settings import OperatorToken
from tests.unit.operator_fakes import running

NOW = datetime(2030, 1, 31, tzinfo=UTC)
PROTECTED = [route for route in ROUTES if route.role is not None]


def token(name: str, expires: datetime | None = None) -> OperatorToken:
    """A viewer's token whose text is its name."""
    return OperatorToken(name=name, role="viewer", token=Secret(name), expires=expires)


def gate(*tokens: OperatorToken) -> Gate:
    """A gate at a fixed time."""
    return Gate(tokens, lambda: NOW)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic good",
        "good",
        "Bearer good extra",
        "Bearer \udcff",
        "Bearer expired",
        "Bearer expires-now",
    ],
)
def test_anything_but_a_live_token_gets_the_same_answer(header):
    """A caller who guesses must not learn whether a token exists, was right, or is only late."""
    doors = gate(
        token("good"),
        token("expired", expires=NOW - timedelta(days=1)),
        token("expires-now", expires=NOW),
    )
    with pytest.raises(ProblemFound) as found:
        doors.identify(header)
    assert (found.value.code, found.value.detail) == (
        "unauthorized",
        "a valid bearer token is required",
    )
    assert found.value.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Bearer good", "bearer good", "BEARER  good "])
def test_a_live_token_is_known_by_its_name(header):
    """The name is what an event keeps of a member of staff; the scheme has no case (RFC 9110)."""
    doors = gate(token("other"), token("good", expires=NOW + timedelta(seconds=1)))
    assert doors.identify(header).name == "good"


def test_no_token_configured_lets_nobody_in():
    """An empty configuration must not be an open door."""
    with pytest.raises(ProblemFound):
        gate().identify("Bearer ")


@pytest.mark.parametrize("role", ["viewer", "operator", "admin", None])
@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: route.name)
async def test_every_route_admits_its_role_and_those_above_it_only(route, role):
    """One route with the wrong role is enough to lose money by."""
    path = re.sub(r"\{\w+\}", "x", route.path)
    async with running() as desk:
        answer = await desk.call(route.method, path, role=role)
    if role is None:
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    elif RANKS[role] < RANKS[route.role]:
        assert (answer.status, answer.code) == (403, "forbidden")
        assert answer.json["detail"] == f"this needs the role {route.role}"
    else:
        assert answer.status not in (401, 403)


def test_roles_are_those_of_the_contract():
    """Viewers read, operators work, and what has no counterparty is the administrators'."""
    roles = {(route.method, route.path): route.role for route in PROTECTED}
    for (method, path), role in roles.items():
        if method == "GET":
            assert role == "viewer", path
    admin = {path for (_, path), role in roles.items() if role == "admin"}
    assert admin == {"/players/{player_id}/adjustments", "/games/{integration}/{game}", "/seals"}


async def test_the_description_of_the_api_is_public():
    """Tools read it without a token; nothing in it is secret."""
    async with running() as desk:
        assert (await desk.get("/openapi.json", role=None)).status == 200


async def test_a_refused_body_is_never_read():
    """Who is not let in cannot make the service read or parse anything."""
    async with running() as desk:
        answer = await desk.post("/players", b"{" * 1_000_000, role=None)
    assert answer.code == "unauthorized"
