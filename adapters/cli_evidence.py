"""`wallet-ledger evidence`: what a player's dispute is about, in one file that verifies offline."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO

import click

from adapters.command_line import (
    DIFFERENCE,
    DONE,
    CommandError,
    complain,
    config_option,
    progress_bars,
)
from adapters.database import database_in_use, one_line_errors
from adapters.evidence import Bundle, configured_bundles
from adapters.settings import Settings
from ledger.evidence import NoSuchEvents, Wanted
from ledger.schema import check, check_currencies
from projections.reports.errors import BadRequest
from projections.reports.period import read_period


@click.command("evidence")
@config_option
@click.argument("player_id")
@click.option("--integration", metavar="NAME", help="Only what came from there.")
@click.option("--round", "round_id", metavar="ID", help="Only this round.")
@click.option("--transaction", "transaction_id", metavar="ID", help="Only the provider's id.")
@click.option("--from", "begin", metavar="DATE", help="First day, or a moment in ISO 8601.")
@click.option("--to", "end", metavar="DATE", help="Last day, or the moment at which it ends.")
@click.option("--tz", metavar="ZONE", help="Whose days; reports.time_zone where left out.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def command(
    *,
    settings: Settings,
    player_id: str,
    integration: str | None,
    round_id: str | None,
    transaction_id: str | None,
    begin: str | None,
    end: str | None,
    tz: str | None,
    output: Path | None,
) -> int:
    """Write the evidence about PLAYER_ID: events, the seals that cover them, and calls.

    All of the player's events, or those from the first to the last that fit what is given, with
    all between them; where a time is given, with the one before it and the one behind it. Without
    FILE it goes to standard output. `deploy/verify_evidence.py` verifies it with nothing but the
    public key of the seals.

    Exits with 1 where events or seals do not fit together; the file holds them all the same.
    """
    with one_line_errors(), database_in_use(settings) as addresses:
        try:
            period = read_period(begin, end, tz or settings.reports.time_zone)
            wanted = Wanted(
                begins=period.begins,
                ends=period.ends,
                integration=integration,
                round_id=round_id,
                transaction_id=transaction_id,
            )
            with TemporaryFile() as file:  # whole, or nothing that could be taken for evidence
                bundle = asyncio.run(_write(settings, addresses.url, player_id, wanted, file))
                file.seek(0)
                _hand_over(file, output)
        except (BadRequest, NoSuchEvents) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            where = output or "to standard output"
            raise CommandError(f"cannot write {where}: {error.strerror}") from error
    for line in bundle.wrong:
        complain(line)
    complain(_summary(bundle))
    return DIFFERENCE if bundle.wrong else DONE


def _hand_over(file: IO[bytes], output: Path | None) -> None:
    if output is None:
        copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with output.open("wb") as copy:
        copyfileobj(file, copy)


async def _write(
    settings: Settings, url: str, player_id: str, wanted: Wanted, file: IO[bytes]
) -> Bundle:
    await check(url, settings.database.partitions, ())
    await check_currencies(url, settings.currencies)
    with progress_bars() as bars:
        bar = bars.add_task("events", total=None)
        return await configured_bundles(url, settings).write(
            player_id,
            wanted,
            file,
            progress=lambda done, total: bars.update(bar, completed=done, total=total),
        )


def _summary(bundle: Bundle) -> str:
    """One line of figures."""
    stretch, counts = bundle.stretch, bundle.counts
    unsealed = stretch.last - max(bundle.sealed, stretch.first - 1)
    return (
        f"{counts.events} events (versions {stretch.first} to {stretch.last}),"
        f" {counts.seals} seals, {counts.calls} calls; not sealed: {unsealed} events"
    )
