"""`wallet-ledger init`: create the ledger's schemas, tables, functions and roles."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import click
import psycopg

from adapters.command_line import CommandError, config_option
from adapters.settings import Settings
from ledger.embedded import EmbeddedPostgres
from ledger.schema import initialise


@click.command("init")
@config_option
def command(settings: Settings) -> None:
    """Create or upgrade the ledger's schema; doing it twice is harmless."""
    database = settings.database
    with ExitStack() as stack:
        url = database.migrate_url or database.url
        if url is None:
            embedded = stack.enter_context(EmbeddedPostgres(database.data_dir))
            address = embedded.url
        else:
            address = url.reveal()
        try:
            asyncio.run(initialise(address, database.partitions))
        except psycopg.OperationalError as error:
            raise CommandError(f"database: {' '.join(str(error).split())}") from error
    click.echo(f"the ledger is ready: {database.partitions} partition(s)")
