"""How far the views are behind the log: for readiness, metrics and the console.

Read from the database, so that any process can tell, whoever runs the views.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from ledger.chain import HASH_SIZE
from ledger.endpoints import Reader
from ledger.sql import schema_name
from projections.ahead import ahead_of_log, gone
from projections.registry import VIEW_NAMES
from projections.sql import statement


class ViewStatus(msgspec.Struct, frozen=True):
    """A view of a partition.

    ``lag_s`` is the age of the oldest event that is not in the view yet, 0 when none is waiting.
    ``error`` is why the view stopped, at ``stopped_at``; None while it moves. Of one that nobody
    runs, and that is found ahead of its log, it is not known when.
    """

    view: str
    partition: int
    position: int
    head: int
    lag_events: int
    lag_s: float
    error: str | None = None
    stopped_at: datetime | None = None


class _Recorded(msgspec.Struct):
    recorded_at: datetime


_decode: Final = msgspec.json.Decoder(_Recorded).decode


class StatusReader:
    """Reads the statuses of a partition's views, in the service's role. `close` when done."""

    def __init__(self, url: str, partition: int) -> None:
        self._partition = partition
        self._schema = schema_name(partition)
        self._reader = Reader(url, f"view status {self._schema}")

    async def read(self) -> list[ViewStatus]:
        """Every view's status by name. Raises `ledger.endpoints.StoreUnavailable`."""
        now = datetime.now(UTC)
        found = [
            ViewStatus(
                view=view,
                partition=self._partition,
                position=position,
                head=head,
                lag_events=max(head - position, 0),
                lag_s=_age(now, oldest),
                error=error or ahead_of_log(view, position, head),
                stopped_at=stopped_at,
            )
            for view, position, stopped_at, error, head, oldest in await self._reader.fetch(
                statement("statuses", self._schema)
            )
        ]
        missing = set(VIEW_NAMES) - {status.view for status in found}
        lost = [
            ViewStatus(view, self._partition, 0, 0, 0, 0.0, gone(view, self._schema))
            for view in missing
        ]
        return sorted(found + lost, key=lambda status: status.view)

    async def close(self) -> None:
        """Close the connection."""
        await self._reader.close()


def _age(now: datetime, state: bytes | None) -> float:
    """The age of an event in seconds; of one that cannot be read 0: the view says what is wrong."""
    if state is None:
        return 0.0
    try:
        return max((now - _decode(state[HASH_SIZE:]).recorded_at).total_seconds(), 0.0)
    except msgspec.MsgspecError:
        return 0.0
