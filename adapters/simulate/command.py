"""``wallet-ledger simulate``: play as the providers do, and check every answer and balance."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from adapters.command_line import (
    DIFFERENCE,
    DONE,
    CommandError,
    complain,
    config_option,
    progress_bars,
)
from adapters.settings import Settings
from adapters.simulate.client import Unplayable
from adapters.simulate.runner import Plan, Simulation
from adapters.simulate.situations import VACUITY_ROUNDS_MIN, enabled
from adapters.simulate.tally import Tally
from adapters.simulate.target import NoTarget, Target, target

DIFFERENCES_SHOWN = 20

CONNECT_TIMEOUT_S = 5.0

LINE_EVERY = 20
"""Without a terminal, progress is a line for each twentieth part."""


@click.command(name="simulate")
@config_option
@click.option("--players", type=click.IntRange(1, 99_999), default=200, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 10_000_000), default=20_000, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True, help="Decides what is played.")
@click.option("--all", "all_protocols", is_flag=True, help="Play every integration, mixed.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=32,
    show_default=True,
    help="Players at once.",
)
@click.option("--url", help="Where the server is, if not where the configuration says.")
@click.option("--report", type=click.Path(path_type=Path), help="Write all figures as JSON.")
def command(
    *,
    settings: Settings,
    players: int,
    rounds: int,
    seed: int,
    all_protocols: bool,
    concurrency: int,
    url: str | None,
    report: Path | None,
) -> int:
    """Play rounds as the providers do against a running server.

    Every answer and, at the end, every balance is compared with a model of its own. Exits with 1
    when anything differs, with 2 on wrong usage.
    """
    try:
        against = target(settings, url=url, all_protocols=all_protocols)
    except NoTarget as error:
        raise CommandError(str(error)) from error
    for name in against.left_out:
        complain(f"integration {name} is not played: the simulator does not know its protocol")
    if report is not None:
        _require_writable(report)
    _require_server(against.url)
    plan = Plan(players=players, rounds=rounds, seed=seed, concurrency=concurrency)
    try:
        tally, run_id = _run(against, plan)
    except Unplayable as error:
        raise CommandError(f"{against.url}: {error}") from error
    missing: list[str] = []
    if rounds >= VACUITY_ROUNDS_MIN:
        missing = tally.missing(enabled(against.wires, is_admin=against.is_admin))
    console = Console()
    _print(console, tally, missing)
    if report is not None:
        about = {"run_id": run_id, "seed": seed, "players": players, "rounds": rounds}
        figures = {**about, **tally.report(), "situations_missing": missing}
        report.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return DIFFERENCE if tally.differences or missing else DONE


def _require_writable(report: Path) -> None:
    """Say at once that the figures cannot be written, rather than when everything was played."""
    try:
        report.open("a").close()
    except OSError as error:
        raise CommandError(f"cannot write {report}: {error.strerror}") from error


def _require_server(url: str) -> None:
    """Say at once that nobody listens; once it has begun, a simulation outwaits a restart."""
    try:
        address = urlsplit(url)
        port = address.port or (443 if address.scheme == "https" else 80)
    except ValueError as error:
        raise CommandError(f"{url} is no URL: {error}") from error
    try:
        socket.create_connection((address.hostname or "", port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise CommandError(f"no server at {url}: {error.strerror or error}") from error


def _run(against: Target, plan: Plan) -> tuple[Tally, str]:
    with progress_bars() as bar:
        simulation = Simulation(against, plan, progress=_progress(bar))
        click.echo(f"run {simulation.run_id}, seed {plan.seed}, {against.url}", err=True)
        return uvloop.run(simulation.run()), simulation.run_id


def _progress(bar: Progress) -> Callable[[str, int, int], None]:
    """A bar for each phase on a terminal; else a line now and then."""
    tasks: dict[str, Any] = {}

    def show(phase: str, done: int, total: int) -> None:
        if bar.disable:
            if done == total or done % max(total // LINE_EVERY, 1) == 0:
                click.echo(f"{phase}: {done} of {total} players", err=True)
            return
        if phase not in tasks:
            tasks[phase] = bar.add_task(phase, total=total)
        bar.update(tasks[phase], completed=done)

    return show


def _print(console: Console, tally: Tally, missing: list[str]) -> None:
    for difference in tally.differences[:DIFFERENCES_SHOWN]:
        click.echo(f"difference: {difference}")
    for situation in missing:
        click.echo(f"never happened: {situation}")
    table = Table(title="Simulation")
    table.add_column("what")
    table.add_column("count", justify="right")
    rate = tally.requests / tally.duration_s if tally.duration_s else 0.0
    sections = [
        {"requests": f"{tally.requests}", "sent again while unavailable": f"{tally.repeated}"},
        {name: f"{count}" for name, count in sorted(tally.operations.items())},
        {name: f"{count}" for name, count in sorted(tally.situations.items())},
        {
            "events checked": f"{tally.events}",
            "duration": f"{tally.duration_s:.1f} s",
            "requests/s": f"{rate:.0f}",
        },
    ]
    for section in sections:
        for name, value in section.items():
            table.add_row(name, value)
        table.add_section()
    console.print(table)
    click.echo(f"{len(tally.differences)} differences")
