"""Maintenance of the ledger: rounds that nobody closes (rule 12)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from ledger.commands import CloseRound, Policy
from ledger.connections import connect
from ledger.events import BetPlaced, WinCredited
from ledger.refusals import Refused
from ledger.service import Ledger
from ledger.sql import schema_name, statement
from ledger.store import RoundName

EXPIRED: Final = "expired"
"""The reason on the event that closes a round."""

_MOVEMENTS: Final = frozenset({BetPlaced.NAME, WinCredited.NAME})


class Expiry(msgspec.Struct):
    """What an expiry did.

    Rounds closed, rounds that were played again since they were listed, and rounds that could not
    be closed, with the refusal.
    """

    closed: int = 0
    played: int = 0
    refused: list[tuple[RoundName, Refused]] = []


async def idle_rounds(url: str, partition: int, idle_since: datetime) -> list[RoundName]:
    """A partition's open rounds without activity since then, longest idle first.

    Reads the whole list of transactions: for a quiet hour. Raises `psycopg.Error`.
    """
    connection = await connect(url, "maintenance")
    async with connection:
        query = statement("idle_rounds", schema_name(partition))
        cursor = await connection.execute(query, (idle_since,))
        return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def expire_rounds(
    ledger: Ledger,
    rounds: list[RoundName],
    idle_since: datetime,
    done: Callable[[], None] = lambda: None,
) -> Expiry:
    """Close each round as expired, unless there was activity in it since the list was made.

    Raises `ledger.store.StoreUnavailable`.
    """
    expiry = Expiry()
    for player_id, integration, round_id in rounds:
        movements = await _movements_if_idle(ledger, (player_id, integration, round_id), idle_since)
        if movements is None:
            expiry.played += 1
            done()
            continue
        identity = f"expire:{len(player_id)}:{player_id}:{round_id}"  # both may hold colons
        command = CloseRound(
            player_id=player_id,
            reason=EXPIRED,
            integration=integration,
            operation="expire_round",
            key=identity,
            transaction_id=identity,
            policy=Policy(),
            round_id=round_id,
            movements=movements,
        )
        outcome = await ledger.execute(command)
        if isinstance(outcome, Refused):
            expiry.refused.append(((player_id, integration, round_id), outcome))
        elif outcome.event is None:
            expiry.played += 1  # between the look and the command
        else:
            expiry.closed += 1
        done()
    return expiry


async def _movements_if_idle(ledger: Ledger, name: RoundName, idle_since: datetime) -> int | None:
    """How many bets and wins a round has, None where there was activity in it since."""
    store = ledger.stores[ledger.partition_of(name[0])]
    booked = [entry for entry, _ in (await store.rounds([name])).get(name, [])]
    if any(entry.recorded_at >= idle_since for entry in booked):
        return None
    return sum(entry.kind in _MOVEMENTS for entry in booked)
