"""The table of refusals, row by row and provider by provider, over HTTP on the real database.

Every refused call leaves no event and moves no balance.
"""

from __future__ import annotations

import pytest

from tests.acceptance.conformance.configuration import PROTOCOLS
from tests.acceptance.conformance.expected import expected
from tests.acceptance.conformance.situations import Situation, rows

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = [
    pytest.param(protocol, row, id=f"{protocol}-{row.refusal}-{row.call}")
    for protocol, row in rows()
]


@pytest.mark.parametrize(("protocol", "row"), ROWS)
async def test_a_refusal_is_said_in_the_protocols_own_words(service, wire, guest, row: Situation):
    """A provider acts on the code: a wrong one repeats a bet for ever, or loses a win."""
    request = await row.set_up(wire, guest)
    async with service.untouched(guest, events=row.events):
        answer = await wire.send(request)
    assert answer.refusal == expected(wire.protocol, row.refusal, request.operation)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("call", ["bet", "balance"])
async def test_a_call_signed_with_an_unknown_key_is_refused(service, wire, guest, make_wire, call):
    """Anyone can reach the port; only the provider knows the key."""
    stranger = make_wire(wire.protocol, key="wrong")
    request = stranger.bet(guest) if call == "bet" else stranger.balance(guest)
    async with service.untouched(guest):
        answer = await stranger.send(request)
    assert answer.refusal == expected(wire.protocol, "invalid_signature", request.operation)
