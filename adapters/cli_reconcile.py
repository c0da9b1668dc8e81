"""`wallet-ledger reconcile`: a provider's statement against what the ledger booked."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

import click

from adapters.command_line import (
    DIFFERENCE,
    DONE,
    CommandError,
    config_option,
    progress_bars,
    write_output,
)
from adapters.database import database_in_use, one_line_errors
from adapters.reconciling import KEPT_MAX, configured_reconciler
from adapters.settings import Settings
from ledger.schema import check, check_currencies
from projections.reports.errors import ReportError
from projections.reports.period import read_period
from projections.statements.errors import UnreadableStatement
from projections.statements.findings import NOTED, Outcome
from projections.statements.form import Form, read_columns
from projections.statements.formats import Format, render
from projections.statements.service import EDGE_MAX_S, EDGE_S, Asked, Progress


@click.command("reconcile")
@config_option
@click.argument("statement", type=click.File("rb"))
@click.option("--integration", required=True, metavar="NAME", help="Whose statement it is.")
@click.option("--from", "begin", required=True, metavar="DATE", help="First day, or a moment.")
@click.option("--to", "end", required=True, metavar="DATE", help="Last day, or a moment: its end.")
@click.option("--tz", metavar="ZONE", help="Whose days; reports.time_zone where left out.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=HEADER",
    help="The file's HEADER of our column NAME; may be repeated.",
)
@click.option("--minor-units", is_flag=True, help="Amounts count subunits (cents).")
@click.option(
    "--edge",
    "edge_s",
    type=click.IntRange(0, EDGE_MAX_S),
    default=EDGE_S,
    help="Seconds at the period's edges in which the statement may lack a movement.",
)
@click.option("--format", "wanted", type=click.Choice(("json", "csv")), default="json")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def command(
    *,
    settings: Settings,
    statement: BinaryIO,
    integration: str,
    begin: str,
    end: str,
    tz: str | None,
    columns: tuple[str, ...],
    minor_units: bool,
    edge_s: int,
    wanted: Format,
    output: Path | None,
) -> int:
    """Compare the file STATEMENT of a provider with what was booked, and name what differs.

    Exits with 1 at any difference. Nothing is corrected: that is for people, by the operator API.
    """
    with one_line_errors(), database_in_use(settings) as addresses:
        try:
            asked = Asked(
                integration=integration,
                period=read_period(begin, end, tz or settings.reports.time_zone),
                form=Form(read_columns(columns), minor_units),
                edge_s=edge_s,
                kept_max=KEPT_MAX,
            )
            outcome = asyncio.run(_reconcile(settings, addresses.url, asked, statement))
        except UnreadableStatement as error:
            raise CommandError(f"{statement.name}: {error}") from error
        except OSError as error:
            raise CommandError(f"cannot read {statement.name}: {error.strerror}") from error
        except ReportError as error:
            raise CommandError(str(error)) from error
    write_output(render(outcome, wanted), output)
    click.echo(_summary(outcome), err=output is None)
    return DIFFERENCE if outcome.differ else DONE


async def _reconcile(settings: Settings, url: str, asked: Asked, file: BinaryIO) -> Outcome:
    reconciler = configured_reconciler(url, settings)
    reconciler.check(asked)
    await check(url, settings.database.partitions)
    await check_currencies(url, settings.currencies)
    with progress_bars() as bars:
        size = os.fstat(file.fileno()).st_size
        reading = bars.add_task("bytes of the statement", total=size or None)
        comparing = bars.add_task("movements of the ledger", total=None)
        progress = Progress(
            lambda done: bars.update(reading, completed=done),
            lambda done: bars.update(comparing, completed=done),
        )
        return await reconciler.reconcile(asked, file, progress)


def _summary(outcome: Outcome) -> str:
    """One line of figures."""
    named = [f"{kind} {count}" for kind, count in outcome.counts.items() if count]
    noted = [f"{name} {outcome.noted[name]}" for name in NOTED if outcome.noted[name]]
    differences = f"{outcome.differ} differences" + (f" ({', '.join(named)})" if named else "")
    parts = [f"{differences} in {outcome.statement.rows} rows", *noted]
    if outcome.left_out:
        parts.append(f"not listed: {outcome.left_out}")
    return "; ".join(parts)
