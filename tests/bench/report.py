"""The figures of a run, as tables to read (markdown) and as JSON to keep."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measures import Sample, as_rows


def print_report(about: dict[str, str], figures: Sequence[Sample]) -> None:
    """The machine, the method, and one row for each scenario and level."""
    for name, value in about.items():
        print(f"{name}: {value}")
    print()
    print("| scenario | in flight | per second | p50 ms | p99 ms | cores used |")
    print("|---|--:|--:|--:|--:|---|")
    for sample in figures:
        cores = ", ".join(f"{name} {share:.2f}" for name, share in sample.cores.items())
        print(
            f"| {sample.scenario} | {sample.in_flight} | {sample.per_second:,.0f} "
            f"| {_milliseconds(sample.p50_ms)} | {_milliseconds(sample.p99_ms)} | {cores} |"
        )


def write_json(
    directory: Path, about: dict[str, str], samples: Sequence[Sample], figures: Sequence[Sample]
) -> Path:
    """Keep the medians and every single measurement; returns the file."""
    file = directory / "result.json"
    content = {"about": about, "medians": as_rows(figures), "samples": as_rows(samples)}
    file.write_text(json.dumps(content, indent=1))
    return file


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
