"""`wallet-ledger rebuild`: make a view anew from the whole log, to take the old one's place."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from adapters.command_line import CommandError, config_option, progress_bars
from adapters.database import database_in_use, one_line_errors
from adapters.settings import Settings
from ledger.connections import ROLE as SERVICE_ROLE
from ledger.schema import check
from projections.feed import ROLE as VIEWS_ROLE
from projections.rebuild import RebuildBusy, Unfoldable, rebuild
from projections.registry import VIEW_NAMES


@click.command("rebuild")
@config_option
@click.argument("view", required=False, type=click.Choice(VIEW_NAMES))
@click.option("--all", "all_views", is_flag=True, help="Every view, one after the other.")
@click.option("--partition", type=click.IntRange(min=0), help="One partition only.")
def command(
    *, settings: Settings, view: str | None, all_views: bool, partition: int | None
) -> None:
    """Build VIEW anew beside the live one, then let it take its place; the service goes on.

    A view that had stopped at an event moves again, if the event can be read now.
    """
    if (view is None) == (not all_views):
        raise click.UsageError("name one view, or give --all instead")
    names = VIEW_NAMES if view is None else (view,)
    partitions = settings.database.partitions
    if partition is not None and partition >= partitions:
        raise click.UsageError(f"--partition: there are {partitions}, counted from 0")
    wanted = range(partitions) if partition is None else (partition,)
    with one_line_errors(), database_in_use(settings) as addresses:
        try:
            asyncio.run(_rebuild(addresses.url, partitions, wanted, names))
        except RebuildBusy as error:
            raise CommandError(str(error)) from error
        except Unfoldable as error:
            reason = " ".join(str(error).split())
            raise CommandError(f"the view stays as it was: {reason}") from error


async def _rebuild(url: str, partitions: int, wanted: Sequence[int], names: Sequence[str]) -> None:
    await check(url, partitions, (SERVICE_ROLE, VIEWS_ROLE))
    for partition in wanted:
        for name in names:
            position = await _rebuild_one(url, partition, name)
            click.echo(f"{name}, partition {partition}: rebuilt up to event {position}")


async def _rebuild_one(url: str, partition: int, name: str) -> int:
    with progress_bars() as bars:
        bar = bars.add_task(f"{name}, partition {partition}", total=None)

        def show(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)

        return await rebuild(url, partition, name, show)
