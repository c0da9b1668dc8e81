"""`wallet-ledger init`: create the ledger's schemas, tables, functions and roles."""

from __future__ import annotations

import asyncio

import click

from adapters.command_line import config_option
from adapters.database import database_in_use, one_line_errors
from adapters.settings import Settings
from ledger.schema import check_currencies, initialise


async def _init(url: str, settings: Settings) -> None:
    await initialise(url, settings.database.partitions)
    await check_currencies(url, settings.currencies)


@click.command("init")
@config_option
def command(settings: Settings) -> None:
    """Create the ledger's schema or upgrade it; doing it twice is harmless."""
    partitions = settings.database.partitions
    with one_line_errors(), database_in_use(settings) as addresses:
        asyncio.run(_init(addresses.migrate_url, settings))
    click.echo(f"the ledger is ready: partitions {partitions}")
