"""`wallet-ledger audit`: hold what is kept against the events it was made from."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import click
from rich.progress import Progress

from adapters.catching_up import catch_up
from adapters.command_line import DIFFERENCE, DONE, CommandError, config_option, progress_bars
from adapters.database import database_in_use, one_line_errors
from adapters.settings import Settings
from ledger.connections import ROLE as SERVICE_ROLE
from ledger.currencies import Currencies
from ledger.schema import check, check_currencies
from projections.audit import Finding, audit
from projections.feed import ROLE as VIEWS_ROLE
from projections.rebuild import Difference, RebuildBusy, Unfoldable, compare
from projections.registry import VIEW_NAMES
from projections.reports.errors import ViewsBehind

_SHOWN = 20
_QUICK = (
    "; compared were balances, the sums of rounds, totals, and the accounts of players and"
    " providers, as far as those views have not stopped, but not the exceptions, nor every row"
)


class Audits(click.Group):
    """Makes every audit there is, which is that of the views, where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options without a name before them are those of `views`."""
        if args and args[0].startswith("-") and args[0] not in self.get_help_option_names(ctx):
            args = ["views", *args]
        return super().parse_args(ctx, args or ["views"])


@click.group("audit", cls=Audits)
def command() -> None:
    """Compare what is kept with what the events say; all of it where nothing is named.

    Options without a name before them are those of `views`.
    """


@command.command("views")
@config_option
@click.option("--quick", is_flag=True, help="Do not compare every row with a view made anew.")
def views(*, settings: Settings, quick: bool) -> int:
    """Compare every view with the events; the service may go on.

    Balances and rounds of every player, totals, and the journal are folded by other code than that
    of the views. Then every row is compared with a view made anew. Exits with 1 at any difference;
    a view that has stopped is one, and an event that cannot be folded.
    """
    findings: list[Finding] = []
    with one_line_errors(), database_in_use(settings) as addresses:
        try:
            asyncio.run(_audit(settings, addresses.url, findings, quick=quick))
        except (ViewsBehind, RebuildBusy) as error:
            raise CommandError(str(error)) from error
        finally:
            _list(findings)
    limits = _QUICK if quick else ""
    click.echo(f"{_count(findings)} differences between the views and the events{limits}")
    return DIFFERENCE if findings else DONE


async def _audit(settings: Settings, url: str, findings: list[Finding], *, quick: bool) -> None:
    """Add what is found, partition by partition; what keeps the rest from it takes nothing back."""
    partitions, currencies = settings.database.partitions, settings.currencies
    await check(url, partitions, (SERVICE_ROLE,) if quick else (SERVICE_ROLE, VIEWS_ROLE))
    await check_currencies(url, currencies)
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

    views: dict[str, list[Finding]] = {}
    for finding in await audit(url, partition, currencies, show):
        views.setdefault(finding.view, []).append(finding)
    return [each for view, found in views.items() for each in _shown(view, partition, found)]


def _shown(view: str, partition: int, found: Sequence[Finding]) -> list[Finding]:
    """The first of a view's findings, and how many more there are: none hides another view's."""
    rest = _count(found[_SHOWN:])
    more = [Finding(view, partition, f"{rest} more", rest)] if rest else []
    return [*found[:_SHOWN], *more]


async def _compare(url: str, partition: int, name: str, bars: Progress) -> list[Finding]:
    bar = bars.add_task(f"{name} of partition {partition}", total=None)

    def show(done: int, total: int) -> None:
        bars.update(bar, completed=done, total=total)

    try:
        differences = await compare(url, partition, name, show)
    except Unfoldable as error:
        return [Finding(name, partition, f"cannot be made anew: {' '.join(str(error).split())}")]
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
        click.echo(f"{finding.view}, partition {finding.partition}: {finding.what}")


def _count(findings: Sequence[Finding]) -> int:
    return sum(finding.count for finding in findings)
