"""How far the seals are behind the log: for readiness and metrics.

Read from the database, so that any process can tell, whoever seals.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from ledger.codec import age_s
from ledger.endpoints import Reader
from ledger.sql import schema_name, statement


class SealStatus(msgspec.Struct, frozen=True):
    """A partition's newest seal, all zero where there is none, and what it does not cover.

    ``age_s`` is the age of the oldest event that is not sealed yet, 0 when none is waiting.
    """

    partition: int
    number: int
    through_id: int
    sealed_at: datetime | None
    unsealed_events: int
    age_s: float


async def read_seal_status(reader: Reader, partition: int) -> SealStatus:
    """As of now. Raises `ledger.endpoints.StoreUnavailable`."""
    now = datetime.now(UTC)
    rows = await reader.fetch(statement("seal_status", schema_name(partition)))
    ((number, through_id, sealed_at, head, oldest),) = rows
    return SealStatus(
        partition=partition,
        number=number or 0,
        through_id=through_id or 0,
        sealed_at=sealed_at,
        unsealed_events=max(head - (through_id or 0), 0),
        age_s=age_s(now, oldest),
    )
