"""What the operator API reads: strict JSON, named fields, exact amounts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from adapters.operator.gpas_report import GPAS_REPORT
from adapters.operator.parsing import convert_query, parse_moment
from adapters.operator.problems import ProblemFound
from adapters.operator.routes import ROUTES
from tests.unit.operator_fakes import MemoryLedger, running

GOOD = {"reference": "r1", "amount": "12.50", "currency": "EUR"}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "Object missing required field `reference`"),
        (b"[]", "body: expected an object, got a list"),
        (b"{", "body: not JSON"),
        (b"\xff", "body: not UTF-8"),
        (b'{"reference": "a", "reference": "b"}', "body: a key comes twice"),
        (b'{"amount": NaN}', "body: NaN is no number"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "body: nested deeper than 8"),
        (b'{"reference": "\\ud800"}', "reference: holds half a surrogate"),
        (b'{"reference": "' + b"r" * 70_000 + b'"}', "the body is over 65536 bytes"),
        (GOOD | {"reference": ""}, "reference: "),
        (GOOD | {"reference": "r" * 256}, "reference: "),
        (GOOD | {"reference": 7}, "reference: "),
        (GOOD | {"reference": None}, "reference: "),
        (GOOD | {"reference": "a\0b"}, "reference: holds NUL"),
        (GOOD | {"amuont": "1"}, "Object contains unknown field `amuont`"),
        (GOOD | {"hold": True}, "Object contains unknown field `hold`"),
        (GOOD | {"currency": "XYZ"}, "currency: XYZ is not known"),
        (GOOD | {"currency": "eur"}, "currency: eur is not known"),
        (GOOD | {"reason": ""}, "reason: expected more than blanks"),
        (GOOD | {"reason": "w" * 501}, "reason: Expected `str` of length <= 500"),
        (GOOD | {"amount": 12}, 'amount: expected a string (amounts are decimal strings such as "'),
        (GOOD | {"amount": 12.5}, "amount: expected a string"),
        (GOOD | {"amount": True}, "amount: "),
        (GOOD | {"amount": "0"}, "amount: expected more than 0"),
        (GOOD | {"amount": "0.00"}, "amount: expected more than 0"),
        (GOOD | {"amount": "-1"}, "amount: expected more than 0"),
        (GOOD | {"amount": "+1"}, "amount: is not a decimal number"),
        (GOOD | {"amount": "1e3"}, "amount: is not a decimal number"),
        (GOOD | {"amount": "1,5"}, "amount: is not a decimal number"),
        (GOOD | {"amount": " 1"}, "amount: is not a decimal number"),
        (GOOD | {"amount": "1."}, "amount: is not a decimal number"),
        (GOOD | {"amount": ""}, "amount: is not a decimal number"),
        (GOOD | {"amount": "NaN"}, "amount: is not a decimal number"),
        (GOOD | {"amount": "\u0661"}, "amount: is not a decimal number"),
        (GOOD | {"amount": "0.000001"}, "amount: is finer than 5 decimals"),
        (GOOD | {"amount": "92233720368547.75808"}, "amount: is too large"),
        (GOOD | {"amount": "1" * 65}, "amount: "),
    ],
)
async def test_a_bad_body_is_refused_and_the_field_is_named(body, detail):
    """Whoever integrates must see what is wrong; nothing is guessed where money is concerned."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        answer = await desk.post("/players/p1/deposits", body)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert answer.json["detail"].startswith(detail), answer.json["detail"]
    assert not ledger.commands


TAKES_REASON = [route for route in ROUTES if "reason" in route.takes.__struct_fields__]


@pytest.mark.parametrize("route", TAKES_REASON, ids=lambda route: route.name)
@pytest.mark.parametrize("reason", ["   ", "\t\n", "\u00a0\u2003"])
async def test_a_blank_reason_is_refused_by_every_call_that_takes_one(route, reason):
    """It would pass for an explanation in an audit; where none is required it is left out."""
    ledger = MemoryLedger()
    body = GOOD | {"enabled": True, "reason": reason}
    taken = {name: body[name] for name in route.takes.__struct_fields__ if name in body}
    path = route.path.format(player_id="p1", reference="r1", integration="slots", game="g1")
    async with running(ledger) as desk:
        answer = await desk.call(route.method, path, taken)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert answer.json["detail"] == "reason: expected more than blanks"
    assert not ledger.commands


@pytest.mark.parametrize("amount", ["92233720368547.75807", "0.00001", "007.50"])
async def test_an_amount_that_the_ledger_holds_exactly_is_taken(amount):
    """The whole range of a bigint, and every decimal of the scale."""
    async with running() as desk:
        await desk.player()
        answer = await desk.post("/players/p1/deposits", GOOD | {"amount": amount})
    assert answer.status == 201
    assert answer.json["real"].lstrip("0") == amount.lstrip("0")


async def test_a_chunked_body_is_limited_too():
    """Without a Content-Length the limit must hold while reading."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000

    async with running() as desk:
        answer = await desk.post("/players", chunks())
    assert answer.json["detail"] == "the body is over 65536 bytes"


async def test_a_body_that_does_not_come_ends_the_call():
    """A stalled client must not hold a connection for ever."""

    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    async with running() as desk:
        answer = await desk.post("/players", stalled())
    assert (answer.status, answer.json["detail"]) == (503, "the body came too slowly")


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/players/" + "p" * 256, "player_id: longer than 255 characters"),
        ("/rounds/slots/" + "r" * 511, "round_id: longer than 510 characters"),
        ("/transactions/slots/" + "t" * 766, "transaction_id: longer than 765 characters"),
        ("/players/a%00b", "player_id: holds NUL"),
        ("/players/p1?x=1", "Object contains unknown field `x`"),
        ("/players/p1/events?after=-1", "after: "),
        ("/players/p1/events?after=x", "after: "),
        ("/players/p1/events?after=99999999999999999999", "after: "),
        ("/players/p1/events?limit=0", "limit: "),
        ("/players/p1/events?limit=1e2", "limit: "),
        ("/players/p1/events?limit=null", "limit: "),
        ("/players/p1/events?limit=%FF", "query: not UTF-8"),
        ("/rounds?status=null", "status: expected one of closed, open"),
        ("/players/%FF/events", "path: not UTF-8"),
        ("/players/%ED%A0%80", "path: not UTF-8"),
        ("/players/p1/events?limit=1001", "limit: "),
        ("/players/p1/events?limit=1&limit=2", "query: a parameter comes twice"),
        ("/players/p1/wallet?at=yesterday", "at: expected a time in ISO 8601"),
        ("/players/p1/wallet?at=", "at: expected a time in ISO 8601"),
    ],
)
async def test_a_bad_path_or_query_is_refused_and_the_field_is_named(path, detail):
    """A misspelt filter that is ignored would show somebody the wrong figures."""
    async with running() as desk:
        answer = await desk.get(path)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert answer.json["detail"].startswith(detail), answer.json["detail"]


PARAMETERS = [
    (route.takes, field.encode_name)
    for route in (*ROUTES, GPAS_REPORT)
    if route.method == "GET"
    for field in msgspec.structs.fields(route.takes)
]


def said_of(given: dict[str, Any], query: type[msgspec.Struct]) -> str | None:
    """What a call with these parameters is refused for; None: they are taken."""
    try:
        convert_query(given, query)
    except ProblemFound as found:
        return found.detail
    return None


@pytest.mark.parametrize(("query", "name"), PARAMETERS)
def test_a_bad_parameter_is_explained_in_words_whichever_it_is(query, name):
    """Whoever reads the answer knows neither the parser nor the types of its language."""
    values = {"date_from": "2030-01-01", "date_to": "2030-01-01"} | {name: "1.5"}
    given = {each: values[each] for each in values if each in query.__struct_encode_fields__}
    detail = said_of(given, query)
    assert detail is None or re.fullmatch(rf"{name}: expected (one of [a-z, ]+|a [^`]+)", detail)


async def test_a_word_that_a_body_does_not_know_is_answered_with_those_it_does():
    """As in a query."""
    async with running() as desk:
        body = {"loss_limit": "5", "period": "year"}
        answer = await desk.put("/players/p1/limits", body)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert answer.json["detail"] == "period: expected one of day, month, week"


async def test_ids_in_a_path_may_hold_any_character():
    """Ids are the operator's and the providers' own."""
    async with running() as desk:
        await desk.post("/players", {"player_id": "a/b c\u00e9?#%", "currency": "EUR"})
        answer = await desk.get("/players/a%2Fb%20c%C3%A9%3F%23%25")
    assert answer.json["player_id"] == "a/b c\u00e9?#%"


@pytest.mark.parametrize("player_id", ["%FF", "%ED%A0%80", "%", "..%2F..", "%2e%2e", "\u00e9"])
async def test_a_path_that_is_no_text_is_no_fault_of_ours(player_id):
    """Scanners send these all day; none of them may look like a bug."""
    async with running() as desk:
        assert (await desk.get(f"/players/{player_id}")).status in (400, 404)


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31T12:00:00Z",
        "2030-01-31T12:00:00",
        "2030-01-31T12:00:00.000000+00:00",
        "2030-01-31T13:00:00 01:00",
        "2030-01-31T07:00-05:00",
        "20300131T120000Z",
    ],
)
def test_a_moment_is_read_whatever_its_form(text):
    """A plus that was not percent-encoded arrives as a blank; without an offset it is UTC."""
    assert parse_moment("at", text) == datetime(2030, 1, 31, 12, tzinfo=UTC)


def test_a_date_is_its_first_moment():
    """As where a report begins; the answer says which moment was read."""
    assert parse_moment("at", "2030-01-31") == datetime(2030, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("12", "now", "0001-01-01T00:00:00+23:00", "2030-13-01"),
        *("20300131", "2030-W05-4", "2030W054", "2030-01-31+01:00", "2030-01-31 01:00"),
    ],
)
def test_a_moment_that_is_none_is_refused(text):
    """A wallet at a guessed moment would be worse than none."""
    with pytest.raises(ProblemFound, match="or a date such as 2030-01-31 for its first moment"):
        parse_moment("at", text)
