"""What all providers' modules share: asking the ledger, and what is noted on the call."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.providers.adapter import Adapter
from adapters.providers.protocol import RefusedCall
from ledger.commands import Policy, RefundBet
from ledger.refusals import Refusal, Refused
from tests.unit.provider_fakes import PLAYER, FakeLedger, accepted, call

NEW = accepted()
REPLAY = accepted(replayed=True)
LATE = accepted(replayed=True, key="the refund's")
REFUSED = Refused(Refusal.ORIGINAL_SETTLED, "too late")


@pytest.mark.parametrize(
    ("outcomes", "replayed"),
    [
        ([], None),
        ([NEW], False),
        ([REPLAY], True),
        ([LATE], False),
        ([REPLAY, REPLAY], True),
        ([NEW, REPLAY], False),
        ([REPLAY, NEW], False),
        ([REPLAY, NEW, REPLAY], False),
        ([LATE, REPLAY], False),
        ([REPLAY, REFUSED], False),
        ([REFUSED], False),
    ],
)
async def test_a_call_is_a_replay_only_where_each_of_its_bookings_was(
    outcomes: list[Any], replayed: bool | None
) -> None:
    """A bet and win in one call whose win is new moves money: no hit, whatever the bet was."""
    made = call("/play")
    ledger: Any = FakeLedger(list(outcomes))
    adapter = Adapter[Any]("a", None, ledger, {})
    refund = RefundBet(
        player_id=PLAYER,
        integration="a",
        operation="refund",
        key="key",
        transaction_id="key",
        policy=Policy(),
        original_key="bet",
    )
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            with pytest.raises(RefusedCall):
                await adapter.book(made, refund)
        else:
            await adapter.book(made, refund)
    assert made.replayed is replayed
