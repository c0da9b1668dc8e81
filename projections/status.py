"""How far the views are behind the log: for readiness, metrics and the console.

Read from the database, so that any process can tell, whoever runs the views.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from ledger.codec import age_s
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


async def read_statuses(reader: Reader, partition: int) -> list[ViewStatus]:
    """The status of every view of a partition, by name.

    Raises `ledger.endpoints.StoreUnavailable`.
    """
    now = datetime.now(UTC)
    schema = schema_name(partition)
    found = [
        ViewStatus(
            view=view,
            partition=partition,
            position=position,
            head=head,
            lag_events=max(head - position, 0),
            lag_s=age_s(now, oldest),
            error=error or ahead_of_log(view, position, head),
            stopped_at=stopped_at,
        )
        for view, position, stopped_at, error, head, oldest in await reader.fetch(
            statement("statuses", schema)
        )
    ]
    missing = set(VIEW_NAMES) - {status.view for status in found}
    lost = [ViewStatus(view, partition, 0, 0, 0, 0.0, gone(view, schema)) for view in missing]
    return sorted(found + lost, key=lambda status: status.view)
