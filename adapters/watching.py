"""Looks how far views and seals are, whoever makes them, for readiness and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from adapters.metrics import Metrics
from adapters.settings import Settings
from ledger.endpoints import Reader, StoreUnavailable
from ledger.seal_status import SealStatus, read_seal_status
from ledger.sql import schema_name
from projections.status import ViewStatus, read_statuses

log = structlog.get_logger(__name__)

LAG_MAX_S: Final = 10.0
"""A view whose oldest missing event is older than this is called behind.

So are seals, where two intervals are not longer.
"""

_WATCH_S: Final = 1.0


class Watch:
    """Looks once a second at every partition, and keeps what it saw."""

    def __init__(self, url: str, settings: Settings, metrics: Metrics) -> None:
        self._url = url
        self._partitions = settings.database.partitions
        self._unsealed_max_s = max(LAG_MAX_S, 2 * settings.seals.interval_s)
        self._seals_here = settings.seals_in_serve
        self._metrics = metrics
        self._views: dict[int, Sequence[ViewStatus]] = {}
        self._seals: dict[int, SealStatus] = {}
        self._looked_at: datetime | None = None

    async def run(self) -> None:
        """Look; only cancelling ends it."""
        readers = [
            Reader(self._url, f"watch {schema_name(partition)}")
            for partition in range(self._partitions)
        ]
        try:
            while True:
                for partition, reader in enumerate(readers):
                    await self._look(partition, reader)
                await asyncio.sleep(_WATCH_S)
        finally:
            for reader in readers:
                await reader.close()

    def summary(self) -> dict[str, Any]:
        """For readiness: a word about the views and one about the seals, and how far each is."""
        views = [each for _, found in sorted(self._views.items()) for each in found]
        seals = [found for _, found in sorted(self._seals.items())]
        return {
            "projections": _views_word(views),
            "seals": self._seals_word(seals),
            "looked_at": self._looked_at,
            "views": [
                {
                    "view": each.view,
                    "partition": each.partition,
                    "position": each.position,
                    "lag_events": each.lag_events,
                    "lag_s": round(each.lag_s, 3),
                    "error": each.error,
                }
                for each in views
            ],
            "newest_seals": [
                {
                    "partition": each.partition,
                    "number": each.number,
                    "through_id": each.through_id,
                    "sealed_at": each.sealed_at,
                    "unsealed_events": each.unsealed_events,
                    "age_s": round(each.age_s, 3),
                }
                for each in seals
            ],
        }

    def _seals_word(self, statuses: Sequence[SealStatus]) -> str:
        if not statuses:
            return "unknown"
        if not self._seals_here and not any(each.number for each in statuses):
            return "none"
        is_behind = any(each.age_s > self._unsealed_max_s for each in statuses)
        return "behind" if is_behind else "ok"

    async def _look(self, partition: int, reader: Reader) -> None:
        try:
            self._views[partition] = await read_statuses(reader, partition)
            self._seals[partition] = await read_seal_status(reader, partition)
            self._looked_at = datetime.now(UTC)
            self._count(partition)
        except StoreUnavailable:
            pass  # readiness says so already
        except Exception:
            # Looking is all that failed; the next look is a second away.
            log.exception("status_failed", partition=partition)

    def _count(self, partition: int) -> None:
        label = f"{partition:02d}"
        for status in self._views[partition]:
            self._metrics.projection(
                status.view,
                label,
                position=status.position,
                lag_events=status.lag_events,
                lag_seconds=status.lag_s,
                stopped=status.error is not None,
            )
        seal = self._seals[partition]
        self._metrics.seal(
            label,
            number=seal.number,
            unsealed_events=seal.unsealed_events,
            age_seconds=seal.age_s,
        )


def _views_word(statuses: Sequence[ViewStatus]) -> str:
    if not statuses:
        return "unknown"
    if any(each.error is not None for each in statuses):
        return "stopped"
    return "behind" if any(each.lag_s > LAG_MAX_S for each in statuses) else "ok"
