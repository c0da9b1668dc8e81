"""`python -m tests.bench`: run the suite, print the figures, keep them as JSON in var/bench."""

import os
import sys
from contextlib import ExitStack
from time import strftime

import structlog

from tests.bench import report
from tests.bench.databases import Postgres, running_postgres
from tests.bench.measures import Figure, Sample, Scenario, measured, medians
from tests.bench.options import Options, parse
from tests.bench.plan import Plan
from tests.bench.processes import ROOT, BenchmarkError, Interrupted, machine, stopped_by_signals

WARM_UP_S = 1.0
RESULTS = ROOT / "var" / "bench"


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


def measure(scenarios: list[Scenario], options: Options) -> list[Sample]:
    """All scenarios at all their levels, round after round, each warmed up before the first."""
    for scenario in scenarios:
        scenario.measure(max(scenario.levels), WARM_UP_S)
    samples = []
    for number in range(1, options.rounds + 1):
        for scenario in scenarios:
            for level in scenario.levels:
                sample = measured(scenario, level, options.seconds, tries=options.tries)
                samples.append(sample)
                say(f"round {number}/{options.rounds}  {_line(sample)}")
    return samples


def _line(sample: Sample) -> str:
    p99 = "" if sample.p99_ms is None else f"p99 {sample.p99_ms:.1f} ms"
    cores = " ".join(f"{name} {share:.2f}" for name, share in sample.cores.items())
    level = f"x{sample.in_flight}"
    return f"{sample.scenario:34} {level:5} {sample.per_second:9,.0f}/s  {p99:14} {cores}"


def run(options: Options) -> None:
    """The whole run, from an empty directory to the report."""
    started = strftime("%Y%m%d-%H%M%S")
    directory = RESULTS / f"run-{started}-{os.getpid()}"
    with ExitStack() as stack:
        say("starting PostgreSQL")
        postgres = stack.enter_context(running_postgres(directory))
        postgres.require_durable()
        say("filling its write-ahead log")
        postgres.fill_wal()
        about = _about(postgres, options)
        plan = Plan(options, postgres, stack, say)
        samples = measure(plan.prepare(), options)
        figures: list[Figure] = plan.figures(samples)
    about["load at end"] = _load()
    middle = medians(samples)
    print(report.tables(about, samples, figures))
    if middle:
        print(f"\n{report.readme_table(middle, plan.headline(middle))}")
    file = RESULTS / f"{started}.json"
    report.write_json(file, about=about, samples=samples, medians=middle, figures=figures)
    say(f"written to {file.relative_to(ROOT)}")


def _about(postgres: Postgres, options: Options) -> dict[str, str]:
    database = postgres.value("SELECT version()").split(" on ")[0]
    return machine() | {
        "database": f"{database}, fsync and synchronous_commit on, Unix socket",
        "method": f"medians of {options.rounds} interleaved rounds of {options.seconds:g} s, "
        "shares within a round; "
        "database, service and load generator share the cores; closed loop but for part o; "
        "write-ahead log in use again, as after a day",
        "load at start": _load(),
    }


def _load() -> str:
    return " ".join(f"{load:.1f}" for load in os.getloadavg())


def main() -> int:
    """Run the suite; 0 done, 1 a figure cannot be trusted, 130 interrupted."""
    options = parse()
    # the report is what standard output holds: PostgreSQL's keeper logs beside it
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        with stopped_by_signals():
            run(options)
    except BenchmarkError as problem:
        say(f"benchmark failed: {problem}")
        return 1
    except Interrupted as signal:
        say(f"ended by {signal}; everything that was started is stopped")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
