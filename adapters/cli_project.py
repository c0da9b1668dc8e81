"""`wallet-ledger project`: keep the views up to date, apart from the service."""

from __future__ import annotations

import asyncio

import click
import structlog
import uvloop

from adapters.children import stop_signals
from adapters.command_line import config_option
from adapters.database import Addresses, database_in_use, one_line_errors
from adapters.projecting import keep_views
from adapters.settings import Settings
from adapters.telemetry import configure_logging
from ledger.connections import ROLE as SERVICE_ROLE
from ledger.schema import check
from projections.feed import ROLE as VIEWS_ROLE

log = structlog.get_logger(__name__)


@click.command("project")
@config_option
def command(settings: Settings) -> None:
    """Keep the views of every partition up to date until SIGTERM or Ctrl-C.

    For a process of its own, with `projections.in_serve = false`. Several may run: each view is
    moved by one of them, and another takes over where that one ends.
    """
    configure_logging()
    with (
        one_line_errors(),
        database_in_use(settings) as addresses,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_project(settings, addresses))


async def _project(settings: Settings, addresses: Addresses) -> None:
    partitions = settings.database.partitions
    await check(addresses.url, partitions, (SERVICE_ROLE, VIEWS_ROLE))
    stopped = stop_signals()
    embedded = addresses.embedded
    watching = None if embedded is None else asyncio.create_task(embedded.watch())
    log.info("projecting", partitions=partitions)
    await keep_views(addresses.url, partitions, stopped)
    log.info("stopping")
    if watching is not None:
        watching.cancel()
