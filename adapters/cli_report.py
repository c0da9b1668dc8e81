"""`wallet-ledger report`: the reports of the operator API, of any size, to a file or a pipe."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from adapters.catching_up import catch_up
from adapters.command_line import CommandError, config_option, write_output
from adapters.database import database_in_use, one_line_errors
from adapters.reporting import configured_reports
from adapters.settings import Settings
from ledger.schema import check, check_currencies
from projections.reports.asked import Filters
from projections.reports.errors import ReportError
from projections.reports.formats import Format, finest, render
from projections.reports.period import Period, read_period
from projections.reports.registry import REPORTS
from projections.reports.report import Report


@click.command("report")
@config_option
@click.argument("name", type=click.Choice(tuple(REPORTS)))
@click.option("--from", "begin", metavar="DATE", help="First day, or a moment in ISO 8601.")
@click.option("--to", "end", metavar="DATE", help="Last day, or the moment at which it ends.")
@click.option("--tz", metavar="ZONE", help="Whose days; reports.time_zone where left out.")
@click.option("--format", "wanted", type=click.Choice(("json", "csv", "parquet")), default="json")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--integration")
@click.option("--game")
@click.option("--currency")
@click.option("--player-id")
@click.option("--kind", help="Of exceptions.")
@click.option("--type", help="Any types of events, as deposited.v1,withdrawn.v1.")
@click.option("--threshold", help="Of large wins and movements, in main units.")
@click.option("--older-than-h", type=click.IntRange(0, 24 * 3_660), help="Of open rounds.")
@click.option("--by", help="Totals by any of day,provider,game.")
def command(  # noqa: PLR0917 - click passes by name
    settings: Settings,
    name: str,
    begin: str | None,
    end: str | None,
    tz: str | None,
    wanted: Format,
    output: Path | None,
    **filters: Any,
) -> None:
    """Make the report NAME; without FILE it goes to standard output.

    Where no service runs, the views are brought up to date first.
    """
    if wanted == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("parquet is no text: name a file with -o, or use a pipe")
    with one_line_errors(), database_in_use(settings) as addresses:
        try:
            period = read_period(begin, end, tz or settings.reports.time_zone)
            report = asyncio.run(_make(settings, addresses.url, name, period, Filters(**filters)))
            content = render(report, wanted, finest(settings.currencies.values()))
        except ReportError as error:
            raise CommandError(str(error)) from error
    write_output(content, output)


async def _make(
    settings: Settings, url: str, name: str, period: Period, filters: Filters
) -> Report:
    partitions = settings.database.partitions
    reports = configured_reports(url, settings)
    reports.check(name, period, filters)
    await check(url, partitions)
    await check_currencies(url, settings.currencies)
    await catch_up(url, range(partitions))
    return await reports.make(name, period, filters)
