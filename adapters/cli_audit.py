"""`wallet-ledger audit`: hold what is kept against the events it was made from."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
from rich.progress import Progress

from adapters.catching_up import catch_up
from adapters.command_line import DIFFERENCE, DONE, CommandError, config_option, progress_bars
from adapters.database import database_in_use, one_line_errors
from adapters.seal_copies import SealCopies, UnreadableCopy, read_copy
from adapters.settings import SealSettings, Settings
from adapters.verifying import verify_all
from ledger.audit import size
from ledger.audit_seals import SEALS, SealsVerified, verify_seals
from ledger.connections import ROLE as SERVICE_ROLE
from ledger.currencies import Currencies
from ledger.findings import Finding, Findings, told_error
from ledger.guards import GUARDS, verify_guards
from ledger.schema import check, check_currencies
from ledger.seals import Seal
from projections.audit import audit
from projections.feed import ROLE as VIEWS_ROLE
from projections.rebuild import Difference, RebuildBusy, Unfoldable, compare
from projections.registry import VIEW_NAMES
from projections.reports.errors import ViewsBehind

_QUICK = (
    "; compared were balances, the sums of rounds, totals, and the accounts of players and"
    " providers, as far as those views have not stopped, but not the exceptions, nor every row"
)
_CHAIN, _SEALS, _VIEWS = "chain", "seals", "views"


@click.command("audit")
@config_option
@click.argument("what", required=False, type=click.Choice([_CHAIN, _SEALS, _VIEWS, GUARDS]))
@click.option(
    "--quick", is_flag=True, help="Of the views: do not compare every row with a view made anew."
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=lambda: len(os.sched_getaffinity(0)),
    help="Chain: so many processes; without it as many as there are cores.",
)
@click.option(
    "--known",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Seals: a file of seals from elsewhere, that must be in the database; may be repeated.",
)
def command(
    *, settings: Settings, what: str | None, quick: bool, jobs: int, known: Sequence[Path]
) -> int:
    """Verify the log (chain, seals), its views and its guards; all, if none is named.

    The service may go on. Exits with 1 at any difference, and names it.

    chain: every event's hash over the one before it, its place in its stream, the balance it
    tells; that what is reversed is a movement before it, whole and once; that every idempotency
    key, session and snapshot is what its event says, and that none is without one.

    seals: every seal's signature and place, and that the events are those that it covered; that
    the seals in `seals.copy_to` and in the files of --known are there.

    views: balances and rounds of every player, totals, and the journal are folded by other code
    than that of the views. Then every row is compared with a view made anew. A view that has
    stopped is a difference, and an event that cannot be folded.

    guards: that what forbids changes is there as it was made: owners, rights, keys, checks,
    triggers and functions of the log's tables; and nobody else's rights.
    """
    findings: list[Finding] = []
    with one_line_errors(), database_in_use(settings) as addresses:
        url = addresses.url
        if what in (None, _CHAIN):
            findings += _chain(settings, url, jobs)
        if what in (None, _SEALS):
            findings += _seals(settings, url, known)
        if what in (None, _VIEWS):
            findings += _views(settings, url, quick=quick)
        if what in (None, GUARDS):
            findings += _guards(settings, url)
    return DIFFERENCE if findings else DONE


def _chain(settings: Settings, url: str, jobs: int) -> list[Finding]:
    partitions, currencies = settings.database.partitions, settings.currencies
    asyncio.run(_check(url, settings, ()))
    with progress_bars() as bars:
        bar = bars.add_task("events verified", total=asyncio.run(size(url, partitions)))
        outcome = verify_all(
            url, partitions, currencies, jobs, lambda done: bars.update(bar, completed=done)
        )
    findings = [finding for each in outcome.verified for finding in each.findings.told()]
    _list(findings)
    if outcome.error is not None:
        raise outcome.error
    events = sum(each.events for each in outcome.verified)
    streams = sum(each.streams for each in outcome.verified)
    click.echo(f"{_count(findings)} differences in {events} events (players and games: {streams})")
    return findings


def _seals(settings: Settings, url: str, known: Sequence[Path]) -> list[Finding]:
    partitions = range(settings.database.partitions)
    verified = [SealsVerified(Findings(partition)) for partition in partitions]
    try:
        asyncio.run(_verify_seals(settings, url, known, verified))
    except UnreadableCopy as error:
        raise CommandError(str(error)) from error
    finally:
        findings = [finding for each in verified for finding in each.findings.told()]
        _list(findings)
    click.echo(
        f"{_count(findings)} differences in {sum(each.seals for each in verified)} seals of"
        f" {sum(each.events for each in verified)} events"
        f" (known from elsewhere: {sum(each.known for each in verified)});"
        f" not sealed: {sum(each.unsealed for each in verified)} events"
    )
    return findings


async def _verify_seals(
    settings: Settings, url: str, known: Sequence[Path], verified: Sequence[SealsVerified]
) -> None:
    await _check(url, settings, ())
    with progress_bars() as bars:
        bar = bars.add_task("events under their seals", total=await size(url, len(verified)))

        def show() -> None:
            bars.update(bar, completed=sum(each.events for each in verified))

        for partition, each in enumerate(verified):
            series = [read_copy(file, partition) for file in known]
            copy = _copy_of(settings.seals, partition)
            if copy is not None:
                series.append(_read_own(copy, partition, each.findings))
            await verify_seals(
                url, partition, settings.seals.keys, each, known=series, progress=show
            )
            if copy is not None and each.seals and _is_missing(copy):
                each.findings.add(SEALS, f"{copy}: no copy of them is there")
    if known and not any(each.known for each in verified):
        raise CommandError("--known: there is no seal of this ledger in any of the files")


def _copy_of(settings: SealSettings, partition: int) -> Path | None:
    """Where the copies of a partition's seals are kept; None where that is not configured."""
    return None if settings.copy_to is None else SealCopies(settings.copy_to).file(partition)


def _is_missing(copy: Path) -> bool:
    try:
        return not copy.exists()
    except OSError:
        return False  # which was told of when it was to be read


def _read_own(copy: Path, partition: int, findings: Findings) -> Iterator[Seal]:
    """The seals of the configured copy; where it cannot be read, that is a difference."""
    try:
        if copy.exists():
            yield from read_copy(copy, partition)
    except (OSError, UnreadableCopy) as error:
        findings.add(SEALS, str(error))


def _guards(settings: Settings, url: str) -> list[Finding]:
    asyncio.run(_check(url, settings, ()))
    verified = asyncio.run(verify_guards(url, settings.database.partitions))
    _list(verified.findings)
    click.echo(f"{_count(verified.findings)} differences in {verified.guards} guards of the log")
    return verified.findings


async def _check(url: str, settings: Settings, roles: Sequence[str]) -> None:
    await check(url, settings.database.partitions, roles)
    await check_currencies(url, settings.currencies)


def _views(settings: Settings, url: str, *, quick: bool) -> list[Finding]:
    findings: list[Finding] = []
    try:
        asyncio.run(_audit(settings, url, findings, quick=quick))
    except (ViewsBehind, RebuildBusy) as error:
        raise CommandError(str(error)) from error
    finally:
        _list(findings)
    limits = _QUICK if quick else ""
    click.echo(f"{_count(findings)} differences between the views and the events{limits}")
    return findings


async def _audit(settings: Settings, url: str, findings: list[Finding], *, quick: bool) -> None:
    """Add what is found, partition by partition; what keeps the rest from it takes nothing back."""
    partitions, currencies = settings.database.partitions, settings.currencies
    await _check(url, settings, (SERVICE_ROLE,) if quick else (SERVICE_ROLE, VIEWS_ROLE))
    await catch_up(url, range(partitions))
    with progress_bars() as bars:
        for partition in range(partitions):
            findings += await _fold(url, partition, currencies, bars)
            for name in () if quick else VIEW_NAMES:
                findings += await _compare(url, partition, name, bars)


async def _fold(url: str, partition: int, currencies: Currencies, bars: Progress) -> list[Finding]:
    bar = bars.add_task(f"events of partition {partition}", total=None)

    def show(done: int, total: int) -> None:
        bars.update(bar, completed=done, total=total)

    return await audit(url, partition, currencies, show)


async def _compare(url: str, partition: int, name: str, bars: Progress) -> list[Finding]:
    bar = bars.add_task(f"{name} of partition {partition}", total=None)

    def show(done: int, total: int) -> None:
        bars.update(bar, completed=done, total=total)

    try:
        differences = await compare(url, partition, name, show)
    except Unfoldable as error:
        return [Finding(name, partition, f"cannot be made anew: {told_error(error)}")]
    told = [Finding(name, partition, _told(each)) for each in differences]
    shown = Counter(each.table for each in differences)
    every = {each.table: each.of for each in differences}
    more = [
        Finding(name, partition, f"{count} more rows of {table}", count)
        for table, of in every.items()
        if (count := of - shown[table])
    ]
    return told + more


def _told(each: Difference) -> str:
    return f"{each.table} {_cells(each.key)}: anew {_cells(each.fresh)}, view {_cells(each.live)}"


def _cells(row: Mapping[str, object] | None) -> str:
    return "nothing" if row is None else " ".join(f"{name} {cell!r}" for name, cell in row.items())


def _list(findings: Sequence[Finding]) -> None:
    for finding in findings:
        where = "" if finding.partition is None else f", partition {finding.partition}"
        click.echo(_visible(f"{finding.about}{where}: {finding.what}"))


def _visible(line: str) -> str:
    """One line, whatever ids hold that somebody may have forged: no line ends, nothing unseen."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in line
    )


def _count(findings: Sequence[Finding]) -> int:
    return sum(finding.count for finding in findings)
