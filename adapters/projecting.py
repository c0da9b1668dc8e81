"""The projections beside the service: keeps them running.

Money does not depend on views: whatever goes wrong here is logged, shown and tried again.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

import structlog
import uvloop

from adapters.children import NICENESS, stop_signals, stop_without
from adapters.telemetry import configure_logging
from projections.runner import Runner, RunnerLimits

log = structlog.get_logger(__name__)

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
