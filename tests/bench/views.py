"""What the views cost: catching up over a long log, lag under full load, building them anew.

The commands of the program itself are measured (`project`, `serve`, `rebuild --all`); the database
is asked how far the views are. One partition.
"""

import bisect
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import psycopg

from projections.registry import VIEWS
from tests.bench.measures import OTHERS_MAX, Figure, Meter, Scenario, disturbed, measured
from tests.bench.options import Options
from tests.bench.processes import ROOT, BenchmarkError, cpu_seconds, stop
from tests.bench.service import COMMAND, Service

IN_FLIGHT = 64
WARM_UP_S = 3.0
CATCH_UP_AIM = 3.0
"""Times the rate at which bets come in."""
LAG_AIM_S = 1.0
GROWTH_AIM = 1.1
"""What counts as flat: the same within what two passes differ by."""
EARLY, LATE = (0.05, 0.2), (0.85, 1.0)
"""Stretches of the log, as parts of its length, whose time per event is compared."""

_LOOK_S = 0.02
_DEADLINE_S = 600.0
_AT = """SELECT min(position), (SELECT coalesce(max(notification_id), 0) FROM ledger_p00.events)
    FROM ledger_p00.projections WHERE tables <> '{}'"""


@dataclass(frozen=True, slots=True)
class Look:
    """How far the log and the view furthest behind were, and when."""

    time: float
    position: int
    head: int


@dataclass(frozen=True, slots=True)
class Mark:
    """When the views had come to a position, and the processor time it had taken."""

    position: int
    time: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Pass:
    """One catching up from empty views to the head."""

    marks: Sequence[Mark]
    """First batch; begin and end of the early stretch; begin and end of the late one."""
    noisy: bool

    @property
    def per_second(self) -> float:
        """Events a second, all views; the process's start is not counted."""
        return 1e6 / _per_event_us(self.marks[0], self.marks[-1])

    @property
    def cpu_us(self) -> float:
        """Processor time of an event."""
        return _cpu_us(self.marks[0], self.marks[-1])

    @property
    def early_us(self) -> float:
        """What an event costs early in the log."""
        return _per_event_us(*self.marks[1:3])

    @property
    def late_us(self) -> float:
        """What an event costs late in the log."""
        return _per_event_us(*self.marks[3:])

    @property
    def growth_in_cpu(self) -> float:
        """Late / early, in processor time."""
        return _cpu_us(*self.marks[3:]) / _cpu_us(*self.marks[1:3])


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Several passes over the same log: each is a minute of a machine that others use, too."""

    passes: Sequence[Pass]

    @property
    def per_second(self) -> float:
        """Events a second, all views: the median of the passes."""
        return median(each.per_second for each in self.passes)

    @property
    def noisy(self) -> bool:
        """Whether other work took part in most of them."""
        return sum(each.noisy for each in self.passes) * 2 > len(self.passes)

    def figures(self) -> list[Figure]:
        """The rate, and what an event costs early and late in the log: medians of the passes."""
        passes = self.passes
        _, begin, end, late_begin, last = (mark.position for mark in passes[0].marks)
        ratio = median(each.late_us / each.early_us for each in passes)
        growth = median(each.growth_in_cpu for each in passes)
        cpu = median(each.cpu_us for each in passes)
        early, late = (
            median(each.early_us for each in passes),
            median(each.late_us for each in passes),
        )
        name, aim = "views: time of an event, events {:,} to {:,}", f"<= {GROWTH_AIM}"
        about = f"views: late / early, median of {len(passes)}"
        return [
            Figure(f"views: catching up with {last:,} events", self.per_second, "/s"),
            Figure("views: processor time of an event, catching up", cpu, "us"),
            Figure(name.format(begin, end), early, "us"),
            Figure(name.format(late_begin, last), late, "us"),
            Figure(about, ratio, "x", aim, ratio <= GROWTH_AIM, self.noisy),
            Figure("views: late / early, in processor time", growth, "x"),
        ]


class Views:
    """Part v of the suite, on the database of a service that has a long history."""

    def __init__(self, options: Options, service: Service, say: Callable[[str], None]) -> None:
        self._options = options
        self._service = service
        self._say = say

    def catch_up(self) -> CaughtUp:
        """Catch up once a round."""
        return CaughtUp([self._pass() for _ in range(self._options.rounds)])

    def _pass(self) -> Pass:
        """Empty the views, and let `wallet-ledger project` bring them to the head."""
        self._empty()
        with self._connected() as connection, self._projecting() as process:
            meter = Meter({"views": process.pid, "database": self._service.postgres.pid})
            with meter.running():
                head = _look(connection).head
                parts = (0.0, *EARLY, *LATE)
                marks = [self._mark(connection, process, round(part * head)) for part in parts]
        made = Pass(marks, noisy=meter.cores["others"] > OTHERS_MAX)
        growth = made.late_us / made.early_us
        self._say(
            f"views caught up with {head:,}, {made.per_second:,.0f}/s, late/early {growth:.2f}"
        )
        return made

    def figures(self, bets: Scenario, caught_up: CaughtUp) -> list[Figure]:
        """Everything: of the catching up, of a load while the views are kept up, of a rebuild."""
        return [*caught_up.figures(), *self._under_load(bets, caught_up), *self._rebuilt()]

    def _under_load(self, bets: Scenario, caught_up: CaughtUp) -> list[Figure]:
        bets.measure(IN_FLIGHT, WARM_UP_S)
        samples, lags = [], []
        for _ in range(self._options.rounds):
            with self._connected() as connection, _watched(connection) as looks:
                options = self._options
                sample = measured(bets, IN_FLIGHT, options.seconds, tries=options.tries)
                samples.append(sample)
            lags += lags_s(looks)
            self._say(f"views under load: {sample.per_second:,.0f}/s {sample.cores}")
        ingest = sorted(sample.per_second for sample in samples)[len(samples) // 2]
        ratio = caught_up.per_second / ingest
        noisy = caught_up.noisy or any(map(disturbed, samples))
        aim = f">= {CATCH_UP_AIM:g}"
        return [
            Figure("views: bets at 64 while they are kept up", ingest, "/s"),
            Figure("views: catching up / bets", ratio, "x", aim, ratio >= CATCH_UP_AIM, noisy),
            *_lag_figures(lags, noisy=any(map(disturbed, samples))),
        ]

    def _rebuilt(self) -> list[Figure]:
        """`wallet-ledger rebuild --all`, beside the service, which has nothing to do."""
        with self._connected() as connection:
            began = time.monotonic()
            outcome = subprocess.run(
                self._command("rebuild", "--all"), cwd=ROOT, capture_output=True, check=False
            )
            elapsed = time.monotonic() - began
            after = _look(connection)
        if outcome.returncode != 0 or after.position != after.head:
            raise BenchmarkError(
                f"wallet-ledger rebuild: {after} {outcome.stderr.decode()[-2000:]}"
            )
        name = f"views: rebuild --all of {after.head:,} events"
        return [
            Figure(name, elapsed, "s"),
            Figure(f"{name}, each of {len(VIEWS)} views", after.head / elapsed * len(VIEWS), "/s"),
        ]

    def _empty(self) -> None:
        tables = ", ".join(f"ledger_p00.{table}" for view in VIEWS for table in view.tables)
        self._service.postgres.execute(
            f"TRUNCATE {tables}; UPDATE ledger_p00.projections SET position = 0",
            database=self._service.database,
        )
        self._service.postgres.execute("CHECKPOINT")  # that of the loading is no part of it

    def _command(self, *arguments: str) -> list[str]:
        return [str(COMMAND), *arguments, "--config", str(self._file(".toml"))]

    def _file(self, suffix: str) -> Path:
        return self._service.directory / f"{self._service.database}{suffix}"

    @contextmanager
    def _projecting(self) -> Iterator[subprocess.Popen[bytes]]:
        with self._file("-project.log").open("ab") as output:
            process = subprocess.Popen(
                self._command("project"),
                cwd=ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            stop(process)

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        url = self._service.postgres.url(self._service.database)
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection

    def _mark(
        self, connection: psycopg.Connection, process: subprocess.Popen[bytes], position: int
    ) -> Mark:
        """Wait until the views have come that far, past the first event at least."""
        deadline = time.monotonic() + _DEADLINE_S
        while (look := _look(connection)).position < max(position, 1):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self._file("-project.log").read_text(errors="replace")[-2000:]
                raise BenchmarkError(f"the views stand at {look.position}:\n{tail}")
            time.sleep(_LOOK_S)
        cpu = cpu_seconds(process.pid) + cpu_seconds(self._service.postgres.pid)
        return Mark(look.position, look.time, cpu)


def lags_s(looks: Sequence[Look]) -> list[float]:
    """How long after each growth of the log that was seen its last event was in every view."""
    positions = [look.position for look in looks]
    lags = []
    for before, look in pairwise(looks):
        if look.head > before.head:
            at = bisect.bisect_left(positions, look.head)
            if at == len(looks):
                raise BenchmarkError(f"event {look.head} never came to the views")
            lags.append(max(0.0, looks[at].time - look.time))
    return lags


def _lag_figures(lags: Sequence[float], *, noisy: bool) -> list[Figure]:
    cuts = quantiles(lags, n=100, method="inclusive")
    middle, p99 = cuts[49], cuts[98]
    name = "views: lag under load"
    aim = f"< {LAG_AIM_S:g} s"
    return [
        Figure(f"{name}, p50 of {len(lags):,} looks", middle, "s"),
        Figure(f"{name}, p99", p99, "s", aim, p99 < LAG_AIM_S, noisy),
        Figure(f"{name}, most", max(lags), "s"),
    ]


@contextmanager
def _watched(connection: psycopg.Connection) -> Iterator[list[Look]]:
    """Looks all the time, in a thread; and after the block until the views are at the head."""
    looks: list[Look] = []
    ended = threading.Event()

    def watch() -> None:
        deadline = sys.float_info.max
        while time.monotonic() < deadline:
            looks.append(_look(connection))
            if ended.is_set():
                deadline = min(deadline, time.monotonic() + 30.0)
                if looks[-1].position == looks[-1].head:
                    return
            time.sleep(_LOOK_S)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield looks
    finally:
        ended.set()
        watcher.join()


def _look(connection: psycopg.Connection) -> Look:
    row = connection.execute(_AT.encode()).fetchone()
    if row is None:
        raise BenchmarkError("there are no views")
    return Look(time.monotonic(), *row)


def _per_event_us(begin: Mark, end: Mark) -> float:
    """Time of an event between two marks; in a short log one batch may have passed both."""
    events = end.position - begin.position
    return (end.time - begin.time) / events * 1e6 if events else float("nan")


def _cpu_us(begin: Mark, end: Mark) -> float:
    """Processor time of an event between two marks, of the process and the database."""
    events = end.position - begin.position
    return (end.cpu - begin.cpu) / events * 1e6 if events else float("nan")
