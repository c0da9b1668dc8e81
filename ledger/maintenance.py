"""Maintenance of the ledger: rounds that nobody closes (rule 12)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from ledger.commands import CloseRound, Policy
from ledger.connections import connect
from ledger.refusals import Refused
from ledger.service import Ledger
from ledger.sql import schema_name, statement
from ledger.store import RoundName

EXPIRED: Final = "expired"
"""The reason on the event that closes a round."""


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
        if not await _is_idle(ledger, (player_id, integration, round_id), idle_since):
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
        )
        outcome = await ledger.execute(command)
        if isinstance(outcome, Refused):
            expiry.refused.append(((player_id, integration, round_id), outcome))
        else:
            expiry.closed += 1
        done()
    return expiry


async def _is_idle(ledger: Ledger, name: RoundName, idle_since: datetime) -> bool:
    store = ledger.stores[ledger.partition_of(name[0])]
    booked = (await store.rounds([name])).get(name, [])
    return all(entry.recorded_at < idle_since for entry, _ in booked)
