"""Ten thousand bent calls a provider (`soak`), three hundred in every run.

Whatever comes, the answer is the protocol's own, a refusal leaves no event, and nothing is logged
as an error of ours. FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import logging
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import pytest_asyncio
import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ledger.commands import BlockPlayer, CloseSession
from ledger.service import token_hash
from tests.acceptance.conformance.configuration import PROTOCOLS, configure, write_keys
from tests.acceptance.conformance.expected import TABLES, expected
from tests.acceptance.conformance.service import Service, serving
from tests.acceptance.conformance.wire import Answer
from tests.acceptance.conformance.wires import WIRES
from tests.acceptance.fuzzing import Bent, Cast, bent

SEED = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(2**32))
EXAMPLES = 300
EXAMPLES_SOAK = 10_000

_COMMON: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "phases": (Phase.generate, Phase.shrink),
    "suppress_health_check": list(HealthCheck),
}


@dataclass
class Target:
    """The service under fire, and what is watched while it is."""

    service: Service
    casts: dict[str, Cast]
    connection: psycopg.Connection[Any]
    lines: list[Any]
    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {protocol: Counter() for protocol in PROTOCOLS}
    )

    def head(self) -> int:
        """The last event of all players."""
        query = "SELECT coalesce(max(notification_id), 0) FROM ledger_p00.events"
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    async def fire(self, call: Bent, cast: Cast) -> None:
        """Send a call, and hold its answer and what it left against the promises."""
        before = self.head()
        answer = await cast.wire.send(call.request, **call.headers)
        counts = self.counts[cast.wire.protocol]
        counts.update(("calls", call.kind, "refused" if answer.error else "accepted"))
        if answer.error is None:
            return
        assert answer.status < 500, answer.raw
        assert answer.refusal in _known(cast.wire.protocol), answer.raw
        if not _may_bury(cast.wire.protocol, answer):
            assert self.head() == before, answer.raw

    def complaints(self) -> list[Any]:
        """What was logged as an error."""
        return [*self.lines, *self.service.errors()]


def _known(protocol: str) -> set[tuple[int, Any]]:
    return {*TABLES[protocol].values(), (200, "BONUS_ERROR")}


def _may_bury(protocol: str, answer: Answer) -> bool:
    """Whether the refusal may be that of an unknown bet's refund, which leaves a tombstone."""
    operation = "refund" if protocol == "betbrothers" else "rollback"
    return answer.refusal == expected(protocol, "original_not_found", operation)


class _Errors(logging.Handler):
    """Collects what libraries log as errors."""

    def __init__(self, lines: list[Any]) -> None:
        super().__init__(logging.ERROR)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self._lines.append(record.getMessage())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(postgres, databases, template_database, tmp_path_factory) -> AsyncIterator[Target]:
    """The service with four players at each provider."""
    directory = tmp_path_factory.mktemp("fuzz")
    write_keys(directory)
    lines: list[Any] = []
    handler = _Errors(lines)
    logging.getLogger().addHandler(handler)
    with (
        databases.fresh(template_database) as name,
        psycopg.connect(postgres.url(name), autocommit=True) as connection,
        structlog.testing.capture_logs() as captured,
    ):
        async with serving(configure(directory), postgres.url(name), directory / "log") as service:
            casts = {protocol: await _cast(service, protocol) for protocol in PROTOCOLS}
            made = Target(service, casts, connection, lines)
            yield made
            print(f"\nFUZZ_SEED={SEED}")
            for protocol, counts in made.counts.items():
                print(protocol, dict(counts))
                if counts:  # the workers of a run share the protocols
                    _was_not_in_vain(counts)
            assert not made.complaints()
        lines += [line for line in captured if line["log_level"] in {"error", "critical"}]
        assert not lines
    logging.getLogger().removeHandler(handler)


def _was_not_in_vain(counts: Counter[str]) -> None:
    """Some calls were booked, some refused, and not all were bent."""
    assert counts["calls"] >= EXAMPLES
    assert {"accepted", "refused"} <= set(counts)
    assert {"nothing", "field", "bytes"} & set(counts)


async def _cast(service: Service, protocol: str) -> Cast:
    wire = WIRES[protocol](service, protocol)
    guests = [await service.guest(wire, real="100000", bonus="1000") for _ in range(3)]
    await service.do(BlockPlayer(player_id=guests[1].player_id))
    await service.do(
        CloseSession(player_id=guests[2].player_id, session=token_hash(guests[2].launch))
    )
    yen = await service.guest(wire, real="100000", currency="JPY")
    return Cast(wire, (guests[0], *guests, yen))


async def _bombard(target: Target, protocol: str, data: st.DataObject) -> None:
    cast = target.casts[protocol]
    await target.fire(bent(data.draw, cast), cast)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("protocol", PROTOCOLS)
@seed(SEED)
@settings(**_COMMON, max_examples=EXAMPLES)
@given(data=st.data())
async def test_bent_calls_get_the_protocols_own_answer(target, protocol, data):
    """The short form: enough to notice on every run that something gave way."""
    await _bombard(target, protocol, data)


@pytest.mark.soak
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("protocol", PROTOCOLS)
@seed(SEED)
@settings(**_COMMON, max_examples=EXAMPLES_SOAK)
@given(data=st.data())
async def test_ten_thousand_bent_calls_get_the_protocols_own_answer(target, protocol, data):
    """The long form."""
    await _bombard(target, protocol, data)
