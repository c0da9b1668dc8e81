"""What the call journal keeps of a provider's call: all that it said, and none of its tokens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.acceptance.conformance.configuration import PROTOCOLS
from tests.acceptance.conformance.expected import expected

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("protocol", PROTOCOLS),
]

WRITTEN_S = 5


async def test_a_call_is_kept_with_unknown_fields_and_without_its_token(service, wire, guest):
    """Evidence in a dispute: what we were told, and what we answered, accepted or refused."""
    bet = wire.bet(guest, "1").but(unheard_of={"of": ["the", "vendor"]})
    dear = wire.altered(bet, amount=wire.amount("2", "EUR"))
    answers = [await wire.send(bet), await wire.send(bet), await wire.send(dear)]
    calls = await _calls(service, wire.integration, bet.id, 3)
    assert [call["outcome"] for call in calls] == ["ok", "replayed", "duplicate_conflict"]
    assert [call["answer"] for call in calls] == [answer.raw for answer in answers]
    said = expected(wire.protocol, "duplicate_conflict", bet.operation)
    assert [call["status"] for call in calls] == [200, 200, said[0]]
    for call in calls:
        assert call["operation"] == bet.operation
        assert b'"unheard_of": {"of": ["the", "vendor"]}' in call["body"]
        for secret in (guest.session, guest.launch):
            assert secret.encode() not in call["body"]
            assert secret not in call["query"]


async def _calls(service, integration: str, transaction_id: str, count: int) -> list[Any]:
    """The journal is written in the background."""
    async with asyncio.timeout(WRITTEN_S):
        while True:
            calls, _ = await service.journal.calls(integration, transaction_id)
            if len(calls) >= count:
                return list(calls)
            await asyncio.sleep(0.05)
