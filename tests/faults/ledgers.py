"""Ledgers, players and commands for tests below HTTP: the service without its server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from ledger.commands import (
    CreditWin,
    Deposit,
    OpenSession,
    PlaceBet,
    Policy,
    RefundBet,
    RegisterPlayer,
    ReverseWin,
)
from ledger.committer import CommitterLimits
from ledger.forwarding import ALONE, Place
from ledger.refusals import Refusal, Refused
from ledger.service import Accepted, Ledger, Outcome, token_hash

CENT = 1_000
"""Ledger units of a cent."""


@dataclass
class Counts:
    """An observer that counts."""

    batches: list[int] = field(default_factory=list)
    conflicts: int = 0
    unknowns: int = 0
    reconnects: int = 0

    def batch(self, size: int, seconds: float) -> None:
        """A batch was committed."""
        self.batches.append(size)

    def conflict(self) -> None:
        """A batch had to be decided again."""
        self.conflicts += 1

    def unknown(self) -> None:
        """A commit's outcome was not known."""
        self.unknowns += 1

    def reconnected(self) -> None:
        """A connection was made anew."""
        self.reconnects += 1


class Process:
    """One process of the service on a database."""

    def __init__(self, ledger: Ledger, counts: Counts) -> None:
        self.ledger = ledger
        self.counts = counts

    async def player(self, player_id: str = "ann", money: int = 1000) -> str:
        """Register a player with ``money`` cents and open a session; the session's hash."""
        await self.accepted(RegisterPlayer(player_id=player_id, currency="EUR"))
        if money:
            await self.deposit(player_id, money, f"first-{player_id}")
        return await self.session(player_id)

    async def session(self, player_id: str = "ann") -> str:
        """Open a session; its hash."""
        session = token_hash(self.ledger.mint_token(player_id))
        await self.accepted(
            OpenSession(
                player_id=player_id,
                session=session,
                integration="test",
                game="roulette",
                currency="EUR",
            )
        )
        return session

    async def deposit(self, player_id: str, money: int, reference: str) -> Accepted:
        """Give a player ``money`` cents."""
        return await self.accepted(
            Deposit(
                player_id=player_id,
                operation="deposit",
                key=f"deposit:{reference}",
                transaction_id=reference,
                amount=money * CENT,
                currency="EUR",
            )
        )

    async def accepted(self, command: Any) -> Accepted:
        """Execute a command that must be accepted."""
        outcome = await self.ledger.execute(command)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    async def refused(self, command: Any) -> Refusal:
        """Execute a command that must be refused; why."""
        outcome = await self.ledger.execute(command)
        assert isinstance(outcome, Refused), outcome
        return outcome.refusal

    async def insist(self, command: Any) -> Outcome:
        """Execute a command, again and again while the database is away, as a provider does."""
        while True:
            outcome = await self.ledger.execute(command)
            if not isinstance(outcome, Refused) or outcome.refusal is not Refusal.UNAVAILABLE:
                return outcome


@asynccontextmanager
async def opened(
    url: str, *, partitions: int = 1, place: Place = ALONE, **limits: Any
) -> AsyncIterator[Process]:
    """A process of the service, until the block ends; a patient one, unless told otherwise."""
    limits = {"queue_wait_s": 30.0, "answer_s": 40.0} | limits
    counts = Counts()
    async with Ledger(url, partitions, counts, CommitterLimits(**limits), place) as ledger:
        yield Process(ledger, counts)


def bet(session: str, key: str, amount: int = 100, **other: Any) -> PlaceBet:
    """A stake of ``amount`` cents of ann's, in a round of its own unless told."""
    return PlaceBet(amount=amount * CENT, **_call("bet", session, key, **other))


def win(session: str, key: str, amount: int, **other: Any) -> CreditWin:
    """A win of ``amount`` cents."""
    return CreditWin(amount=amount * CENT, **_call("win", session, key, **other))


def refund(session: str, key: str, original: str, **other: Any) -> RefundBet:
    """A refund of the bet ``original``."""
    fields = {"round_id": f"round-{original}", **other}
    return RefundBet(original_key=original, **_call("refund", session, key, **fields))


def reversal(session: str, key: str, original: str, **other: Any) -> ReverseWin:
    """A reversal of the win ``original``."""
    return ReverseWin(original_key=original, **_call("reverse", session, key, **other))


def _call(operation: str, session: str, key: str, **other: Any) -> dict[str, Any]:
    return {
        "player_id": "ann",
        "integration": "test",
        "operation": operation,
        "key": key,
        "transaction_id": key,
        "policy": Policy(),
        "session": session,
        "game": "roulette",
        "round_id": f"round-{key}",
        "currency": "EUR",
        **other,
    }


def cents(outcome: Accepted) -> int:
    """The player's balance after a command."""
    return outcome.player.wallets["EUR"].total // CENT


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What is in the database, past all caches."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def booked(url: str, name: str = "bet_placed.v1") -> int:
    """How many events of a name the log holds."""
    found = query(url, f"SELECT count(*) FROM ledger_p00.events WHERE topic = '{name}'")
    return int(found[0][0])
