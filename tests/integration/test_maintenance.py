"""Rounds that nobody closes are closed by maintenance, as an event with that reason (rule 12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from ledger.commands import CreditWin, Deposit, OpenSession, PlaceBet, Policy, RegisterPlayer
from ledger.events import RoundClosed
from ledger.maintenance import EXPIRED, expire_rounds, idle_rounds
from ledger.refusals import Refusal, Refused
from ledger.service import Accepted, Ledger, token_hash

_SESSION = token_hash("p")


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


async def _play(ledger: Ledger, player_id: str = "p", left_open: str = "left open") -> None:
    """A player's first money and two bets, one in a round that stays open."""
    reference = f"{player_id}-1"
    deposit = Deposit(
        player_id=player_id,
        operation="deposit",
        key=f"deposit:{reference}",
        transaction_id=reference,
        amount=1000,
        currency="EUR",
    )
    session = token_hash(player_id)
    opened = OpenSession(
        player_id=player_id, session=session, integration="bb", game="g", currency="EUR"
    )
    by_player = {"player_id": player_id, "session": session}
    for command in (
        RegisterPlayer(player_id=player_id, currency="EUR"),
        opened,
        deposit,
        replace(_bet(reference, left_open), **by_player),
        replace(_bet(f"{player_id}-2", "closed by itself", closes_round=True), **by_player),
    ):
        assert isinstance(await ledger.execute(command), Accepted)


async def test_only_rounds_that_nobody_closed_expire_and_only_once(database_url: str) -> None:
    """Finance must see that a round ended without a result, and a closed one must stay as it is."""
    async with Ledger(database_url, 1, _NobodyWatches()) as ledger:
        await _play(ledger)
        later = datetime.now(UTC) + timedelta(seconds=1)
        found = await idle_rounds(database_url, 0, later)
        assert found == [("p", "bb", "left open")]
        expiry = await expire_rounds(ledger, found, later)
        assert (expiry.closed, expiry.refused) == (1, [])
        event = (await ledger.events("p", 0, 100))[-1][1]
        assert isinstance(event, RoundClosed)
        assert (event.round_id, event.reason, event.real) == ("left open", EXPIRED, 0)
        assert await idle_rounds(database_url, 0, later) == []
        assert (await expire_rounds(ledger, found, later)).closed == 1
        assert len(await ledger.events("p", 0, 100)) == 7


async def test_a_round_with_recent_activity_does_not_expire(database_url: str) -> None:
    """A long game is not a forgotten one."""
    async with Ledger(database_url, 1, _NobodyWatches()) as ledger:
        await _play(ledger)
        assert await idle_rounds(database_url, 0, datetime.now(UTC) - timedelta(hours=1)) == []


async def test_a_round_that_was_played_since_it_was_listed_does_not_expire(
    database_url: str,
) -> None:
    """A long list takes its time; the win of such a round would be refused."""
    async with Ledger(database_url, 1, _NobodyWatches()) as ledger:
        await _play(ledger)
        listed = datetime.now(UTC)
        found = await idle_rounds(database_url, 0, listed)
        assert isinstance(await ledger.execute(_bet("3", "left open")), Accepted)
        expiry = await expire_rounds(ledger, found, listed)
        assert (expiry.closed, expiry.played, expiry.refused) == (0, 1, [])
        assert isinstance(await ledger.execute(_win("1", "left open")), Accepted)


async def test_a_round_that_is_played_while_it_is_looked_at_does_not_expire(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However short the moment between the look and the close, a bet may come in it."""
    async with Ledger(database_url, 1, _NobodyWatches()) as ledger:
        await _play(ledger)
        listed = datetime.now(UTC)
        found = await idle_rounds(database_url, 0, listed)
        (store,) = ledger.stores
        look = store.rounds

        async def played_on(names):
            seen = await look(names)
            monkeypatch.setattr(store, "rounds", look)
            assert isinstance(await ledger.execute(_bet("3", "left open")), Accepted)
            return seen

        monkeypatch.setattr(store, "rounds", played_on)
        expiry = await expire_rounds(ledger, found, listed)
        assert (expiry.closed, expiry.played, expiry.refused) == (0, 1, [])
        assert isinstance(await ledger.execute(_win("1", "left open")), Accepted)


async def test_a_win_after_the_expiry_is_late(database_url: str) -> None:
    """The provider that woke up must be told that the round is closed."""
    async with Ledger(database_url, 1, _NobodyWatches()) as ledger:
        await _play(ledger)
        later = datetime.now(UTC) + timedelta(seconds=1)
        await expire_rounds(ledger, [("p", "bb", "left open")], later)
        outcome = await ledger.execute(_win("1", "left open"))
        assert isinstance(outcome, Refused)
        assert outcome.refusal is Refusal.ROUND_CLOSED


async def test_rounds_expire_whatever_colons_their_names_hold(database_url: str) -> None:
    """Player and round together are the key of an expiry: no two may read the same."""
    async with Ledger(database_url, 1, _NobodyWatches()) as ledger:
        await _play(ledger, "a", "b:c")
        await _play(ledger, "a:b", "c")
        later = datetime.now(UTC) + timedelta(seconds=1)
        found = await idle_rounds(database_url, 0, later)
        expiry = await expire_rounds(ledger, found, later)
        assert (expiry.closed, expiry.refused) == (2, [])
