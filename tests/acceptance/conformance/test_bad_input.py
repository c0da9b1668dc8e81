"""Bodies that are broken, too large, ambiguous, or of the wrong types: refused, never repaired."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.acceptance.conformance.bodies import (
    broken_bodies,
    odd_but_good_bodies,
    wrong_values,
)
from tests.acceptance.conformance.configuration import PROTOCOLS
from tests.acceptance.conformance.expected import expected
from tests.acceptance.conformance.service import Guest
from tests.acceptance.conformance.situations import WITH_WIN_REVERSAL
from tests.acceptance.conformance.wire import Request, Wire, unique
from tests.acceptance.conformance.wires import WIRES

pytestmark = pytest.mark.asyncio(loop_scope="session")

every_provider = pytest.mark.parametrize("protocol", PROTOCOLS)
OPERATIONS = [
    (protocol, operation) for protocol in PROTOCOLS for operation in WIRES[protocol].required
]


async def _calls(wire: Wire, guest: Guest) -> dict[str, Request]:
    """A good call of every operation, none of which was sent yet."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    win = wire.win(guest, bet)
    calls = [wire.bet(guest), win, wire.refund(guest, bet), wire.balance(guest)]
    if wire.protocol in WITH_WIN_REVERSAL:
        calls.append(wire.reverse_win(guest, win))
    return {call.operation: call for call in calls}


@pytest.mark.parametrize(("protocol", "operation"), OPERATIONS)
async def test_a_required_field_of_the_wrong_type_is_malformed(service, wire, guest, operation):
    """Guessing what a provider meant is how money goes astray."""
    call = (await _calls(wire, guest))[operation]
    said = expected(wire.protocol, "malformed_request", operation)
    async with service.untouched(guest):
        for path in wire.required[operation]:
            for value in wrong_values(wire, path):
                answer = await wire.send(call.but(**{path: value}))
                assert answer.refusal == said, (path, value)


_DATA = "payload__provider_transfer_data"
OPTIONAL_TEXTS = [
    *(
        ("betbrothers", f"{_DATA}__{path}")
        for path in (
            "table_reference",
            *("promo__type", "promo__id"),
            *(f"jackpot__jackpot_{name}" for name in ("id", "contribution", "details")),
            *(f"tournament__{name}" for name in ("tournament_id", "score", "place")),
            *(f"free_spin__{name}" for name in ("free_spin_id", "free_spin_details")),
            "free_spin__freespin_left",
        )
    ),
    ("marbles", "rewardUuid"),
    ("gpas", "description"),
    ("gpas", "tags__gpasSessionId"),
    ("gpas", "tags__closeRound"),
    ("fizzybubbly", "freeSpinsCampaignId"),
]
MARKS = {
    "promo": {},
    "jackpot": {"is_jackpot": True},
    "tournament": {"is_tournament": True},
    "free_spin": {"is_free_spin": True},
}
"""The marks of betbrothers, so that each counts."""


@pytest.mark.parametrize(("protocol", "path"), OPTIONAL_TEXTS)
async def test_an_optional_text_of_the_wrong_type_is_malformed(service, wire, guest, path):
    """What the vendor's page calls a string is checked to be one; null is none."""
    bet = wire.bet(guest)
    if wire.protocol == "betbrothers":
        bet = bet.but(**{f"{_DATA}__{mark}": counting for mark, counting in MARKS.items()})
    said = expected(wire.protocol, "malformed_request", bet.operation)
    async with service.untouched(guest):
        for value in ([], {}, [1], *(() if path == "tags__closeRound" else (True, False))):
            answer = await wire.send(bet.but(**{path: value}))
            assert answer.refusal == said, value
    assert (await wire.ok(bet.but(**{path: None}))).balance == 99
    assert (await wire.ok(wire.altered(bet.but(**{path: 5}), id=unique("t")))).balance == 98


@every_provider
async def test_a_broken_body_is_malformed(service, wire, guest):
    """In the protocol's own form, whatever was sent; the connection stays usable."""
    bet = wire.bet(guest)
    said = expected(wire.protocol, "malformed_request", bet.operation)
    async with service.untouched(guest):
        for fault, body in broken_bodies(bet, wire.field(bet, "id")).items():
            answer = await wire.send(replace(bet, body=body))
            assert answer.refusal == said, fault
    assert (await wire.ok(bet)).balance == 99


@every_provider
async def test_a_body_that_only_looks_odd_is_taken(service, wire, guest):
    """Strict is not narrow: unknown fields are the provider's next version."""
    for number, oddity in enumerate(odd_but_good_bodies(wire.bet(guest)), start=1):
        bet = wire.bet(guest)
        answer = await wire.ok(replace(bet, body=odd_but_good_bodies(bet)[oddity]))
        assert answer.balance == 100 - number, oddity


@every_provider
async def test_ids_that_are_json_integers_become_strings(service, wire, guest):
    """Seen on the wire: the same id as 6 and as "6" is one id."""
    number = 7_000_000_000_000_000_000_001
    as_integer = wire.altered(wire.bet(guest), id=number, round=12)
    first = await wire.ok(as_integer)
    as_text = wire.altered(as_integer, id=str(number), round="12")
    async with service.untouched(guest):
        assert (await wire.ok(as_text)).balance == first.balance == 99
    *_, booked = await service.events(guest)
    assert (booked.transaction_id, booked.round_id) == (str(number), "12")


@every_provider
async def test_a_body_that_does_not_end_is_given_up(service, wire, guest):
    """A stalled connection must not hold a call open for ever; nothing was decided: try again."""
    bet = wire.bet(guest)
    path = f"/{wire.integration}{bet.path}"
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    writer.write(head.encode() + b"{")
    try:
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
    status, _ = expected(wire.protocol, "unavailable", bet.operation)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/json" in answer


@every_provider
async def test_an_encoded_body_is_not_unpacked(service, wire, guest):
    """A small body that unpacks to a large one would pass the limit; what counts is the bytes."""
    bet = wire.bet(guest)
    assert (await wire.send(bet, Content_Encoding="gzip")).balance == 99


@every_provider
async def test_an_unknown_path_or_method_is_a_problem(service, wire, guest):
    """There is no protocol to answer in: problem+json, and never a page."""
    path = wire.bet(guest).path
    for method, url, status in (
        ("POST", f"/{wire.integration}/nowhere", 404),
        ("POST", f"/{wire.integration}{path}/", 404),
        ("POST", f"/nobody{path}", 404),
        ("DELETE", f"/{wire.integration}{path}", 405),
        ("HEAD", f"/{wire.integration}{wire.balance(guest).path}", 405),
    ):
        response = await service.client.request(method, url, data=b"{}")
        assert response.status == status, url
        assert response.headers["Content-Type"] == "application/problem+json"
