"""The projections beside the service: keeps them running, and knows how far every view is.

Money does not depend on views: whatever goes wrong here is logged, shown and tried again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog
import uvloop

from adapters.children import NICENESS, stop_signals, stop_without
from adapters.metrics import Metrics
from adapters.telemetry import configure_logging
from ledger.endpoints import StoreUnavailable
from projections.runner import Runner, RunnerLimits
from projections.status import StatusReader, ViewStatus

log = structlog.get_logger(__name__)

LAG_MAX_S: Final = 10.0
"""A view whose oldest missing event is older than this is called behind."""

_WATCH_S: Final = 1.0
_AGAIN_S: Final = 5.0


def project_as_child(url: str, partitions: int, parent: int) -> None:
    """Run the views in a process of the service's; ends when the service is gone."""
    configure_logging()
    os.nice(NICENESS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_project_under(parent, url, partitions))


async def _project_under(parent: int, url: str, partitions: int) -> None:
    stopped = stop_signals()
    helper = asyncio.create_task(stop_without(parent, stopped))
    await keep_views(url, partitions, stopped)
    helper.cancel()


async def keep_views(url: str, partitions: int, stopped: asyncio.Event) -> None:
    """Run the views of every partition until then.

    Raises what ended one of them for good: no process may live on without its views.
    """
    async with asyncio.TaskGroup() as tasks:
        keeping = [
            tasks.create_task(_keep(url, partition), name=f"projections-{partition:02d}")
            for partition in range(partitions)
        ]
        await stopped.wait()
        for task in keeping:
            task.cancel()


async def _keep(url: str, partition: int) -> None:
    """Keep a partition's views running; what their runner did not expect must not end them."""
    while True:
        try:
            await Runner(url, partition, limits=RunnerLimits()).run()
        except Exception:
            # The outermost loop of a partition's views: logged, and tried again.
            log.exception("projections_failed", partition=partition, again_in_s=_AGAIN_S)
        await asyncio.sleep(_AGAIN_S)


class ViewWatch:
    """Looks how far the views of every partition are, whoever runs them, and keeps what it saw."""

    def __init__(self, url: str, partitions: int, metrics: Metrics) -> None:
        self._url = url
        self._partitions = partitions
        self._metrics = metrics
        self._statuses: dict[int, Sequence[ViewStatus]] = {}
        self._looked_at: datetime | None = None

    async def run(self) -> None:
        """Look once a second; only cancelling ends it."""
        readers = [StatusReader(self._url, partition) for partition in range(self._partitions)]
        try:
            while True:
                for partition, reader in enumerate(readers):
                    await self._look(partition, reader)
                await asyncio.sleep(_WATCH_S)
        finally:
            for reader in readers:
                await reader.close()

    def summary(self) -> dict[str, Any]:
        """For readiness: one word, when that was, and every view."""
        statuses = [each for _, found in sorted(self._statuses.items()) for each in found]
        return {
            "projections": _word(statuses),
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
                for each in statuses
            ],
        }

    async def _look(self, partition: int, reader: StatusReader) -> None:
        try:
            found = await reader.read()
            self._statuses[partition] = found
            self._looked_at = datetime.now(UTC)
            self._count(found)
        except StoreUnavailable:
            pass  # readiness says so already
        except Exception:
            # Looking is all that failed; the views go on, and the next look is a second away.
            log.exception("view_status_failed", partition=partition)

    def _count(self, found: Sequence[ViewStatus]) -> None:
        for status in found:
            self._metrics.projection(
                status.view,
                f"{status.partition:02d}",
                position=status.position,
                lag_events=status.lag_events,
                lag_seconds=status.lag_s,
                stopped=status.error is not None,
            )


def _word(statuses: Sequence[ViewStatus]) -> str:
    if not statuses:
        return "unknown"
    if any(each.error is not None for each in statuses):
        return "stopped"
    return "behind" if any(each.lag_s > LAG_MAX_S for each in statuses) else "ok"
