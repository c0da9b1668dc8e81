"""`wallet-ledger seal`: sign, at intervals, how far the log went and what it held."""

from __future__ import annotations

import asyncio

import click
import structlog
import uvloop
from rich.progress import TaskID

from adapters.children import stop_signals
from adapters.command_line import CommandError, config_option, progress_bars
from adapters.database import Addresses, database_in_use, one_line_errors
from adapters.seal_copies import UnreadableCopy
from adapters.sealing import Sealing, keep_sealed
from adapters.settings import Settings
from adapters.telemetry import configure_logging
from ledger.schema import check
from ledger.sealing import ROLE, NotSealed, SealsDiffer
from ledger.seals import to_line

log = structlog.get_logger(__name__)


@click.command("seal")
@config_option
@click.option("--once", is_flag=True, help="Seal what is not sealed, print each newest seal, end.")
def command(*, settings: Settings, once: bool) -> None:
    """Seal the log of every partition at intervals, until SIGTERM or Ctrl-C.

    For a process of its own, on a machine of its own where that is possible, with `seals.in_serve =
    false`. Several may run: each goes on behind the others' seals, and keeps a copy of all.
    """
    if settings.seals.key is None:
        raise CommandError("seals.key: required: an Ed25519 private key")
    if not once:
        configure_logging()
    with (
        one_line_errors(),
        database_in_use(settings) as addresses,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(check(addresses.url, settings.database.partitions, (ROLE,)))
        runner.run(_once(settings, addresses) if once else _keep(settings, addresses))


async def _keep(settings: Settings, addresses: Addresses) -> None:
    stopped = stop_signals()
    embedded = addresses.embedded
    watching = None if embedded is None else asyncio.create_task(embedded.watch())
    log.info("sealing", partitions=settings.database.partitions)
    await keep_sealed(addresses.url, settings.database.partitions, settings.seals, stopped)
    log.info("stopping")
    if watching is not None:
        watching.cancel()


async def _once(settings: Settings, addresses: Addresses) -> None:
    with progress_bars() as bars:
        for partition in range(settings.database.partitions):
            bar = bars.add_task(f"events of partition {partition}", total=None)

            def show(done: int, total: int, bar: TaskID = bar) -> None:
                bars.update(bar, completed=done, total=total)

            sealing = Sealing(addresses.url, partition, settings.seals)
            try:
                newest = await sealing.seal(show)
                await sealing.copy()
            except (NotSealed, SealsDiffer, UnreadableCopy) as error:
                raise CommandError(f"partition {partition}: {error}") from error
            except OSError as error:
                raise CommandError(f"seals.copy_to: {error.filename}: {error.strerror}") from error
            finally:
                await sealing.close()
            if newest is not None:
                click.echo(to_line(newest))
