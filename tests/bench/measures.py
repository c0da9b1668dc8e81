"""What one measurement yields, how it is metered, and the medians over several rounds."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from tests.bench.processes import cpu_seconds, machine_cpu_seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one scenario at one number of requests in flight.

    Processor shares are in cores (1.0 = one core busy all the time); `others` is everything on the
    machine that is no part of the benchmark.
    """

    scenario: str
    in_flight: int
    per_second: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    failures: int = 0
    cores: dict[str, float] = field(default_factory=dict)

    @property
    def cpu_us(self) -> float:
        """Processor time that server and database spent on one operation, in microseconds."""
        spent = self.cores.get("service", 0.0) + self.cores.get("database", 0.0)
        return spent / self.per_second * 1e6 if self.per_second else 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A single figure of a run, with what it should reach where there is an aim.

    `disturbed`: other work on the machine took part, so that a miss proves nothing.
    """

    name: str
    value: float
    unit: str
    aim: str = ""
    met: bool | None = None
    disturbed: bool = False


class Scenario(Protocol):
    """Something that can be measured again and again, and that keeps nothing busy in between."""

    name: str
    levels: tuple[int, ...]

    def measure(self, in_flight: int, seconds: float) -> Sample:
        """One measurement; raises BenchmarkError where the figure could not be trusted."""


OTHERS_MAX = 0.25
"""Cores that the rest of the machine may use before a measurement counts as disturbed."""


def measured(scenario: Scenario, in_flight: int, seconds: float, *, tries: int) -> Sample:
    """A measurement, made again (up to `tries`) while others use the machine; the calmest one."""
    samples = []
    for _ in range(tries):
        samples.append(scenario.measure(in_flight, seconds))
        if not disturbed(samples[-1]):
            break
    return min(samples, key=_others)


def disturbed(sample: Sample) -> bool:
    """Whether other work on the machine took so much that the figure is too low."""
    return _others(sample) > OTHERS_MAX


def _others(sample: Sample) -> float:
    return sample.cores.get("others", 0.0)


class Meter:
    """Processor time of named process trees and of the rest of the machine over a block."""

    def __init__(self, trees: dict[str, int]) -> None:
        self._trees = trees
        self._ended: dict[str, float] = {}
        self.cores: dict[str, float] = {}

    def add(self, name: str, seconds: float) -> None:
        """Processor time of a part that has ended before the block does (the load generator)."""
        self._ended[name] = seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Meter what happens inside the block; afterwards `cores` holds the shares."""
        began = time.monotonic()
        machine_before = machine_cpu_seconds()
        before = {name: cpu_seconds(pid) for name, pid in self._trees.items()}
        yield
        elapsed = time.monotonic() - began
        used = {name: cpu_seconds(pid) - before[name] for name, pid in self._trees.items()}
        used |= self._ended
        others = machine_cpu_seconds() - machine_before - sum(used.values())
        self.cores = {name: round(seconds / elapsed, 3) for name, seconds in used.items()}
        self.cores["others"] = round(max(0.0, others) / elapsed, 3)


def medians(samples: Iterable[Sample]) -> list[Sample]:
    """One sample for each scenario and level: the median of every figure, the sum of failures."""
    groups: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.scenario, sample.in_flight), []).append(sample)
    return [_median_of(group) for group in groups.values()]


def _median_of(group: list[Sample]) -> Sample:
    return Sample(
        scenario=group[0].scenario,
        in_flight=group[0].in_flight,
        per_second=median(sample.per_second for sample in group),
        p50_ms=_median_known(sample.p50_ms for sample in group),
        p99_ms=_median_known(sample.p99_ms for sample in group),
        failures=sum(sample.failures for sample in group),
        cores={name: median(sample.cores[name] for sample in group) for name in group[0].cores},
    )


def _median_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def rates(samples: Iterable[Sample], scenario: str, in_flight: int) -> list[float]:
    """What a scenario did a second at a level, round by round."""
    return [
        sample.per_second
        for sample in samples
        if sample.scenario == scenario and sample.in_flight == in_flight
    ]


def share(part: Sequence[float], whole: Sequence[float]) -> float:
    """The median over the rounds of the ratio within a round.

    A machine's speed may change by half from one round to the next, which the ratio of two medians
    would show as if it were the scenarios'.
    """
    return median(one / other for one, other in zip(part, whole, strict=True))


def find(samples: Iterable[Sample], scenario: str, in_flight: int) -> Sample | None:
    """The sample of a scenario at a level, or None where it was not measured."""
    for sample in samples:
        if sample.scenario == scenario and sample.in_flight == in_flight:
            return sample
    return None
