"""The OpenAPI document: complete, consistent, and made from what really runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.operator.bodies import EVENTS_PAGE_MAX
from adapters.operator.openapi import document, problem_codes
from adapters.operator.problems import PROBLEMS
from adapters.operator.routes import ROUTES
from projections.reports.registry import REPORTS
from tests.unit.operator_fakes import running

DOCUMENT = document(ROUTES)
CONTRACT = """
POST /players
GET /players/{}
POST /players/{}/sessions
DELETE /sessions/{}
POST /players/{}/deposits
POST /players/{}/withdrawals
POST /players/{}/withdrawals/{}/confirm
POST /players/{}/withdrawals/{}/cancel
POST /players/{}/bonuses
POST /players/{}/bonuses/convert
POST /players/{}/bonuses/forfeit
POST /players/{}/adjustments
POST /players/{}/block
POST /players/{}/unblock
POST /players/{}/reality-checks
PUT /players/{}/limits
GET /games/{}/{}
PUT /games/{}/{}
GET /players/{}/events
GET /players/{}/wallet
GET /transactions/{}/{}
GET /rounds
GET /rounds/{}/{}
GET /reports/{}
POST /reconciliations
GET /reconciliations/{}
GET /openapi.json
"""


def references(value: Any) -> Iterator[str]:
    """Every ``$ref`` below a value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of every call."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


@pytest.mark.parametrize("line", CONTRACT.split("\n")[1:-1])
def test_every_call_of_the_contract_is_there(line):
    """Users and their tests rely on these."""
    there = {f"{route.method} {re.sub(r'{.*?}', '{}', route.path)}" for route in ROUTES}
    assert line in there


async def test_the_document_that_is_served_is_the_one_of_the_table():
    """One declaration a route: nothing can drift."""
    async with running() as desk:
        answer = await desk.get("/openapi.json", role=None)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json == DOCUMENT


def test_every_route_is_documented_and_nothing_else():
    """A call that is not in the document is found by attackers only."""
    documented = {(method, path) for method, path, _ in operations()}
    assert documented == {(route.method, "/api" + route.path) for route in ROUTES}
    assert len(documented) == len(ROUTES)


def test_the_document_has_the_structure_of_openapi_3_1():
    """Generators of clients stop at the first thing out of place."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert {"title", "version"} <= set(DOCUMENT["info"])
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    for method, path, operation in operations():
        assert operation["summary"], path
        declared = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path))
        for parameter in operation["parameters"]:
            assert {"name", "in", "schema"} <= set(parameter)
        assert ("requestBody" in operation) == (method in ("POST", "PUT")), path
        assert operation["responses"]
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[2-5]\d\d", status)
            assert response["description"]


def test_every_reference_resolves_and_every_schema_is_used():
    """A broken reference breaks every generated client."""
    schemas = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert set(references(DOCUMENT)) == schemas


def test_a_call_that_takes_a_file_is_documented_with_its_query():
    """A generated client must send the file as it is, and knows what it must say of it."""
    operation = DOCUMENT["paths"]["/api/reconciliations"]["post"]
    assert operation["requestBody"]["required"] is True
    assert list(operation["requestBody"]["content"]) == ["text/csv", "application/x-ndjson"]
    required = {each["name"] for each in operation["parameters"] if each["required"]}
    assert required == {"integration", "from", "to"}
    assert {each["in"] for each in operation["parameters"]} == {"query"}


def test_a_report_is_documented_with_its_names_and_files():
    """A generated client must find the seven, and may ask for a spreadsheet."""
    operation = DOCUMENT["paths"]["/api/reports/{name}"]["get"]
    name = operation["parameters"][0]
    assert (name["name"], name["schema"]["enum"]) == ("name", list(REPORTS))
    files = ["application/json", "text/csv", "application/vnd.apache.parquet"]
    assert list(operation["responses"]["200"]["content"]) == files


def test_every_error_is_a_problem_with_a_code_of_the_list():
    """The codes are what programs decide by."""
    problem = DOCUMENT["components"]["schemas"]["Problem"]
    assert problem["properties"]["code"]["enum"] == sorted(PROBLEMS)
    for _, path, operation in operations():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], path
    for route in ROUTES:
        assert set(problem_codes(route)) <= set(PROBLEMS)


def test_every_call_but_the_document_itself_asks_for_a_token():
    """The document must not invite anybody to try without."""
    for _, path, operation in operations():
        public = path == "/api/openapi.json"
        assert operation["security"] == ([] if public else [{"token": []}]), path
        assert (operation["x-role"] is None) == public


def test_bodies_forbid_unknown_fields_and_describe_amounts():
    """What the document promises is what the parser does: both come from the same types."""
    schemas = DOCUMENT["components"]["schemas"]
    bodies = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for _, _, operation in operations()
        if "application/json" in operation.get("requestBody", {}).get("content", ())
    }
    for name in bodies:
        assert schemas[name]["additionalProperties"] is False
    assert schemas["MovementBody"]["properties"]["amount"]["type"] == "string"
    assert schemas["AdjustmentBody"]["required"] == ["reference", "amount", "currency", "reason"]


def test_a_query_is_documented_with_its_limits():
    """A page has a largest size, and who reads the document knows it."""
    events = DOCUMENT["paths"]["/api/players/{player_id}/events"]["get"]
    query = {each["name"]: each for each in events["parameters"] if each["in"] == "query"}
    assert set(query) == {"after", "limit"}
    assert query["limit"]["schema"]["maximum"] == EVENTS_PAGE_MAX
    assert not query["limit"]["required"]


@pytest.mark.parametrize(("name", "expected"), [("register_player", True), ("block_player", False)])
def test_a_body_without_required_fields_may_be_left_out(name, expected):
    """As the calls themselves have it."""
    found = next(each for _, _, each in operations() if each["operationId"] == name)
    assert found["requestBody"]["required"] is expected


def test_a_query_knows_no_null():
    """Whoever takes the document at its word would send the word null."""
    for _, path, operation in operations():
        for parameter in operation["parameters"]:
            assert "null" not in str(parameter["schema"]), (path, parameter)


def test_limits_are_documented_with_what_goes_together():
    """An empty body is refused, and so is a loss limit without its period."""
    body = DOCUMENT["components"]["schemas"]["LimitsBody"]
    assert {"required": ["max_bet"]} in body["anyOf"]
    assert body["dependentRequired"] == {"loss_limit": ["period"]}


def test_a_filter_names_the_reports_that_take_it():
    """There is one path for all of them."""
    operation = DOCUMENT["paths"]["/api/reports/{name}"]["get"]
    said = {each["name"]: each["schema"].get("description") for each in operation["parameters"]}
    assert "player-statement (required), large-wins" in said["player_id"]
    assert said["type"].endswith("Reports that take it: movements, interventions.")
    assert said["kind"].endswith("Reports that take it: exceptions.")
