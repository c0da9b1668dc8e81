"""The figures of a run, as tables to read (markdown) and as JSON to keep."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.measures import (
    OTHERS_MAX,
    Figure,
    Sample,
    disturbed,
    find,
    medians,
    rates,
    share,
)

BARE_SQL = "bare SQL"
LIBRARY = "library as it comes"
SIDE_LEVEL = 64


def tables(about: dict[str, str], samples: Sequence[Sample], figures: Sequence[Figure]) -> str:
    """Everything that a run found: machine and method, the measurements, the single figures.

    ``samples`` are those of every round.
    """
    parts = ["\n".join(f"{name}: {value}" for name, value in about.items())]
    if samples:
        parts.append(measurements(samples))
    if figures:
        parts.append(single_figures(figures))
    return "\n\n".join(parts)


def measurements(samples: Sequence[Sample]) -> str:
    """A row for each scenario and level: medians, and shares of bare SQL and the plain library."""
    header = ["scenario", "in flight", "per second", "p50 ms", "p99 ms", "non-200"]
    header += ["x bare SQL", "x library", "CPU us", "cores"]
    middle = medians(samples)
    table = _markdown(header, [_row(sample, samples) for sample in middle], text_columns=(0, 9))
    noisy = sum(disturbed(sample) for sample in middle)
    if noisy:
        table += f"\n\nOther work used more than {OTHERS_MAX} cores in {noisy} rows, marked (!)."
    return table


def single_figures(figures: Sequence[Figure]) -> str:
    """One row for each figure, with its aim and whether it was met."""
    rows = [
        [figure.name, f"{_number(figure.value)} {figure.unit}", figure.aim, _verdict(figure)]
        for figure in figures
    ]
    return _markdown(["figure", "value", "aim", ""], rows, text_columns=(0, 2, 3))


def readme_table(samples: Sequence[Sample], service: str) -> str:
    """Operations per second at each number of requests in flight: for the README."""
    levels = sorted({sample.in_flight for sample in samples})
    names = [BARE_SQL, LIBRARY, "signed handler", service]
    rows = []
    for name in names:
        found = [find(samples, name, level) for level in levels]
        if any(found):
            rows.append([name, *(_per_second(sample) for sample in found)])
    latencies = [find(samples, service, level) for level in levels]
    if any(latencies):
        rows.append(["p50 / p99 of the service, ms", *(_latency(sample) for sample in latencies)])
    return _markdown(["in flight", *(str(level) for level in levels)], rows, text_columns=(0,))


def write_json(
    file: Path,
    *,
    about: dict[str, str],
    samples: Sequence[Sample],
    medians: Sequence[Sample],
    figures: Sequence[Figure],
) -> None:
    """Keep the medians, the single figures and every single measurement."""
    content = {
        "about": about,
        "medians": [asdict(sample) for sample in medians],
        "figures": [asdict(figure) for figure in figures],
        "samples": [asdict(sample) for sample in samples],
    }
    file.write_text(json.dumps(content, indent=1) + "\n")


def _verdict(figure: Figure) -> str:
    verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
    return f"{verdict} (!)".strip() if figure.disturbed else verdict


def _row(sample: Sample, samples: Sequence[Sample]) -> list[str]:
    return [
        sample.scenario,
        str(sample.in_flight),
        f"{sample.per_second:,.0f}",
        _number(sample.p50_ms),
        _number(sample.p99_ms),
        str(sample.failures),
        _share(sample, rates(samples, BARE_SQL, sample.in_flight), samples),
        _share(sample, rates(samples, LIBRARY, SIDE_LEVEL), samples),
        f"{sample.cpu_us:.0f}",
        _cores(sample),
    ]


def _cores(sample: Sample) -> str:
    shares = ", ".join(f"{name} {share:.2f}" for name, share in sample.cores.items())
    return f"{shares} (!)" if disturbed(sample) else shares


def _share(sample: Sample, whole: Sequence[float], samples: Sequence[Sample]) -> str:
    part = rates(samples, sample.scenario, sample.in_flight)
    return f"{share(part, whole):.2f}" if whole else ""


def _per_second(sample: Sample | None) -> str:
    return "" if sample is None else f"{sample.per_second:,.0f}"


def _latency(sample: Sample | None) -> str:
    return "" if sample is None else f"{_number(sample.p50_ms)} / {_number(sample.p99_ms)}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.2f}"


def _markdown(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: Sequence[int]
) -> str:
    marks = ["---" if column in text_columns else "--:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows))
