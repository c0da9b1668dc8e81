"""`wallet-ledger expire-rounds`: close the rounds that nobody closed (rule 12)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import click

from adapters.command_line import DIFFERENCE, DONE, config_option, progress_bars
from adapters.database import database_in_use, one_line_errors
from adapters.ledgers import configured_ledger
from adapters.metrics import Metrics
from adapters.settings import Settings
from ledger.maintenance import Expiry, expire_rounds, idle_rounds
from ledger.schema import check


@click.command("expire-rounds")
@config_option
@click.option(
    "--older-than-h",
    type=click.IntRange(1, 24 * 3_660),
    help="Hours without activity; without it limits.round_expiry_h of the configuration.",
)
@click.option("--dry-run", is_flag=True, help="Only say which rounds would be closed.")
def command(*, settings: Settings, older_than_h: int | None, dry_run: bool) -> int:
    """Close rounds that have been open without activity for too long, each as an event.

    May run beside the service, best in a quiet hour: it reads the whole list of transactions.
    Exits with 1 when a round could not be closed.
    """
    hours = older_than_h or settings.limits.round_expiry_h
    idle_since = datetime.now(UTC) - timedelta(hours=hours)
    with one_line_errors(), database_in_use(settings) as addresses:
        return asyncio.run(_expire(settings, addresses.url, idle_since, dry_run=dry_run))


async def _expire(settings: Settings, url: str, idle_since: datetime, *, dry_run: bool) -> int:
    partitions = settings.database.partitions
    await check(url, partitions)
    found = [
        name
        for partition in range(partitions)
        for name in await idle_rounds(url, partition, idle_since)
    ]
    if dry_run:
        for player_id, integration, round_id in found:
            click.echo(f"{integration} {round_id} of player {player_id}")
        click.echo(f"{len(found)} rounds would be closed")
        return DONE
    async with configured_ledger(url, settings, Metrics()) as ledger:
        with progress_bars() as progress:
            task = progress.add_task("closing rounds", total=len(found))
            expiry = await expire_rounds(ledger, found, idle_since, lambda: progress.advance(task))
    return _report(expiry)


def _report(expiry: Expiry) -> int:
    for (player_id, integration, round_id), refused in expiry.refused:
        reason = f"{refused.refusal.value}: {refused.detail}"
        click.echo(f"{integration} {round_id} of player {player_id} not closed: {reason}", err=True)
    played = f", {expiry.played} played meanwhile" if expiry.played else ""
    click.echo(f"{expiry.closed} rounds closed, {len(expiry.refused)} not{played}")
    return DIFFERENCE if expiry.refused else DONE
