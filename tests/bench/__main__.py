"""`python -m tests.bench`: run the suite, print the figures, keep them as JSON in var/bench."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import strftime

from tests.bench.bare_sql import BareSql, prepare_bare_sql
from tests.bench.databases import Postgres, running_postgres
from tests.bench.measures import Sample, Scenario, medians
from tests.bench.over_http import library_server, null_server, signed_server
from tests.bench.processes import ROOT, BenchmarkError, machine
from tests.bench.report import print_report, write_json

LEVELS = (1, 8, 32, 64, 128)
QUICK_LEVELS = (1, 64)
PARTS = "abcdefgh"


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short form, for smoke use")
    parser.add_argument("--only", default=PARTS, help="parts to run, e.g. a,b,d")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 3, quick 1)")
    parser.add_argument("--seconds", type=float, help="per measurement (default 5, quick 2)")
    chosen = parser.parse_args()
    chosen.only = set(chosen.only.replace(",", ""))
    if not chosen.only <= set(PARTS):
        parser.error(f"--only takes letters of {PARTS}")
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 3)
    chosen.seconds = chosen.seconds or (2.0 if chosen.quick else 5.0)
    return chosen


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does, so that everything that was started is stopped."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def scenarios(
    stack: ExitStack, postgres: Postgres, directory: Path, chosen: argparse.Namespace
) -> list[Scenario]:
    """Start what the chosen parts need."""
    levels = QUICK_LEVELS if chosen.quick else LEVELS
    started: list[Scenario] = []
    if "a" in chosen.only:
        prepare_bare_sql(postgres)
        for name, script, at in (
            ("bare SQL", "bare_statements.sql", levels),
            ("bare SQL, one function call", "bare_function.sql", (64,)),
        ):
            started.append(BareSql(postgres, name=name, script=script, levels=at))
    if "b" in chosen.only:
        started.append(stack.enter_context(null_server(directory)))
        started.append(stack.enter_context(signed_server(directory)))
    if "c" in chosen.only:
        say("opening the library's wallets")
        started.append(stack.enter_context(library_server(directory, postgres)))
    return started


def measure(measured: list[Scenario], *, rounds: int, seconds: float) -> list[Sample]:
    """All scenarios at all their levels, round after round."""
    samples = []
    for number in range(1, rounds + 1):
        for scenario in measured:
            for level in scenario.levels:
                sample = scenario.measure(level, seconds)
                samples.append(sample)
                say(
                    f"round {number}/{rounds}  {sample.scenario:28} x{sample.in_flight:<4}"
                    f" {sample.per_second:9,.0f}/s  {sample.cores}"
                )
    return samples


def run(chosen: argparse.Namespace) -> None:
    """The whole run, from an empty directory to the report."""
    directory = ROOT / "var" / "bench" / f"run-{strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    directory.mkdir(parents=True)
    with ExitStack() as stack:
        say("starting PostgreSQL")
        postgres = stack.enter_context(running_postgres(directory / "postgres"))
        postgres.require_durable()
        about = machine() | {"database": postgres.value("SELECT version()").split(" on ")[0]}
        measured = scenarios(stack, postgres, directory, chosen)
        samples = measure(measured, rounds=chosen.rounds, seconds=chosen.seconds)
    about["load at end"] = " ".join(f"{load:.1f}" for load in os.getloadavg())
    about["method"] = f"medians of {chosen.rounds} interleaved rounds of {chosen.seconds:g} s"
    figures = medians(samples)
    print_report(about, figures)
    say(f"written to {write_json(directory, about, samples, figures)}")


def main() -> int:
    """Run the suite; 0 done, 1 a figure cannot be trusted, 130 interrupted."""
    chosen = options()
    try:
        with stopped_by_signals():
            run(chosen)
    except BenchmarkError as problem:
        say(f"benchmark failed: {problem}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
