"""Rounds that nobody closes are closed by maintenance, as an event with that reason (rule 12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ledger.commands import CreditWin, Deposit, OpenSession, PlaceBet, Policy, RegisterPlayer
from ledger.events import RoundClosed
from ledger.maintenance import EXPIRED, expire_rounds, idle_rounds
from ledger.refusals import Refusal, Refused
from ledger.service import Accepted, Ledger, token_hash

_SESSION = token_hash("a token")


class _NobodyWatches:
    def batch(self, size: int, seconds: float) -> None:
        """Not counted."""

    def conflict(self) -> None:
        """Not counted."""

    def unknown(self) -> None:
        """Not counted."""

    def reconnected(self) -> None:
        """Not counted."""


def _bet(transaction_id: str, round_id: str, *, closes_round: bool = False) -> PlaceBet:
    return PlaceBet(
        player_id="p",
        integration="bb",
        operation="bet",
        key=f"bet:{transaction_id}",
        transaction_id=transaction_id,
        policy=Policy(),
        session=_SESSION,
        game="g",
        round_id=round_id,
        currency="EUR",
        closes_round=closes_round,
        amount=100,
    )


def _win(transaction_id: str, round_id: str) -> CreditWin:
    return CreditWin(
        player_id="p",
        integration="bb",
        operation="win",
        key=f"win:{transaction_id}",
        transaction_id=transaction_id,
        policy=Policy(),
        session=_SESSION,
        game="g",
        round_id=round_id,
        currency="EUR",
        amount=100,
    )


async def _play(ledger: Ledger) -> None:
    deposit = Deposit(
        player_id="p",
        operation="deposit",
        key="deposit:1",
        transaction_id="1",
        amount=1000,
        currency="EUR",
    )
    opened = OpenSession(
        player_id="p", session=_SESSION, integration="bb", game="g", currency="EUR"
    )
    for command in (
        RegisterPlayer(player_id="p", currency="EUR"),
        opened,
        deposit,
        _bet("1", "left open"),
        _bet("2", "closed by itself", closes_round=True),
    ):
        assert isinstance(await ledger.execute(command), Accepted)


async def test_only_rounds_that_nobody_closed_expire_and_only_once(database_url: str) -> None:
    """Finance must see that a round ended without a result, and a closed one must stay as it is."""
    async with Ledger(database_url, 1, _NobodyWatches()) as ledger:
        await _play(ledger)
        later = datetime.now(UTC) + timedelta(seconds=1)
        found = await idle_rounds(database_url, 0, later)
        assert found == [("p", "bb", "left open")]
        expiry = await expire_rounds(ledger, found)
        assert (expiry.closed, expiry.refused) == (1, [])
        event = (await ledger.events("p", 0, 100))[-1][1]
        assert isinstance(event, RoundClosed)
        assert (event.round_id, event.reason, event.real) == ("left open", EXPIRED, 0)
        assert await idle_rounds(database_url, 0, later) == []
        assert (await expire_rounds(ledger, found)).closed == 1
        assert len(await ledger.events("p", 0, 100)) == 7


async def test_a_round_with_recent_activity_does_not_expire(database_url: str) -> None:
    """A long game is not a forgotten one."""
    async with Ledger(database_url, 1, _NobodyWatches()) as ledger:
        await _play(ledger)
        assert await idle_rounds(database_url, 0, datetime.now(UTC) - timedelta(hours=1)) == []


async def test_a_win_after_the_expiry_is_late(database_url: str) -> None:
    """The provider that woke up must be told that the round is closed."""
    async with Ledger(database_url, 1, _NobodyWatches()) as ledger:
        await _play(ledger)
        await expire_rounds(ledger, [("p", "bb", "left open")])
        outcome = await ledger.execute(_win("1", "left open"))
        assert isinstance(outcome, Refused)
        assert outcome.refusal is Refusal.ROUND_CLOSED
