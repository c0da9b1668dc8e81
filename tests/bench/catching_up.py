"""How fast the views catch up, and whether an event costs more late in a long log than early in it.

Two copies of one log, their views at different places, take short turns: a machine that others use
is now fast and now slow, and only what ran side by side can be compared.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psycopg

from projections.registry import VIEWS
from tests.bench.measures import OTHERS_MAX, Figure, Meter
from tests.bench.processes import ROOT, BenchmarkError, cpu_seconds, stop
from tests.bench.service import COMMAND, Service

GROWTH_AIM = 1.1
"""What counts as flat: the same within what turns differ by."""
EARLY, LATE = 0.1, 0.84
"""Where the turns begin, as parts of the log; the late ones go to its end."""
TURNS_MAX = 8
TURN_EVENTS = 40_000
"""A turn is so long at least, and never shorter than a batch of the views'."""

_LOOK_S = 0.01
_DEADLINE_S = 600.0
_POSITION = "SELECT min(position) FROM ledger_p00.projections WHERE tables <> '{}'"
_HEAD = "SELECT coalesce(max(notification_id), 0) FROM ledger_p00.events"


@dataclass(frozen=True, slots=True)
class Run:
    """Views moved on over some events: what it took of time and of processor time, in seconds."""

    events: int
    seconds: float
    cpu: float

    @property
    def per_second(self) -> float:
        """Events a second, all views."""
        return self.events / self.seconds

    @property
    def us(self) -> float:
        """Microseconds of an event."""
        return 1e6 * self.seconds / self.events

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time of an event, of the process and the database."""
        return 1e6 * self.cpu / self.events


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The way to where the late turns begin, and the turns."""

    way: Run
    early: Sequence[Run]
    late: Sequence[Run]
    noisy: bool

    def figures(self) -> list[Figure]:
        """The rate, and what an event costs early and late in the log: medians of the turns."""
        early_us, late_us = (median(run.us for run in runs) for runs in (self.early, self.late))
        early_cpu, late_cpu = (
            median(run.cpu_us for run in runs) for runs in (self.early, self.late)
        )
        ratio = late_us / early_us
        # of a short log a turn or two say nothing
        judged = len(self.early) == TURNS_MAX
        aim, met = (f"<= {GROWTH_AIM}", ratio <= GROWTH_AIM) if judged else ("", None)
        about = f", median of {len(self.early)} turns"
        return [
            Figure(f"views: catching up with {self.way.events:,}", self.way.per_second, "/s"),
            Figure("views: processor time of an event, catching up", self.way.cpu_us, "us"),
            Figure("views: time of an event, early in the log" + about, early_us, "us"),
            Figure("views: time of an event, late in the log" + about, late_us, "us"),
            Figure("views: late / early", ratio, "x", aim, met, self.noisy),
            Figure("views: late / early, in processor time", late_cpu / early_cpu, "x"),
        ]


class _Views:
    """`wallet-ledger project` on the database of a stopped service; it stands but for its moves."""

    def __init__(self, service: Service, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.database = service.postgres.pid
        self._service = service
        self._log = log

    @property
    def position(self) -> int:
        """How far all of them are."""
        return int(self._service.postgres.value(_POSITION, database=self._service.database))

    def move(self, position: int) -> Run:
        """Let the views come that far, and in any case a batch further."""
        url = self._service.postgres.url(self._service.database)
        before, cpu = self.position, self._cpu()
        with psycopg.connect(url, autocommit=True) as connection:
            began = time.monotonic()
            self.process.send_signal(signal.SIGCONT)
            while (reached := _reached(connection)) < max(position, before + 1):
                if self.process.poll() is not None or time.monotonic() > began + _DEADLINE_S:
                    tail = self._log.read_text(errors="replace")[-2000:]
                    raise BenchmarkError(f"the views stand at {reached}:\n{tail}")
                time.sleep(_LOOK_S)
            seconds = time.monotonic() - began
            self.process.send_signal(signal.SIGSTOP)
        return Run(reached - before, seconds, self._cpu() - cpu)

    def _cpu(self) -> float:
        return cpu_seconds(self.process.pid) + cpu_seconds(self.database)


def catch_up(service: Service, say: Callable[[str], None]) -> CaughtUp:
    """Bring the views of a stopped service from nothing to the head, with turns on the way."""
    postgres = service.postgres
    _empty(service)
    copy = Service(postgres, service.shape, f"{service.database}_early", service.directory)
    postgres.execute(f'CREATE DATABASE "{copy.database}" TEMPLATE "{service.database}"')
    try:
        copy.initialise()
        with _projecting(service) as late, _projecting(copy) as early:
            head = int(postgres.value(_HEAD, database=service.database))
            way = late.move(round(LATE * head))
            say(f"views caught up with {way.events:,} events, {way.per_second:,.0f}/s")
            early.move(round(EARLY * head))
            postgres.execute("CHECKPOINT")  # neither has a part of the other's before it
            return _turns(way, early, late, head, say)
    finally:
        postgres.execute(f'DROP DATABASE "{copy.database}" WITH (FORCE)')


def _turns(
    way: Run, early: _Views, late: _Views, head: int, say: Callable[[str], None]
) -> CaughtUp:
    begins = {early: early.position, late: late.position}
    rest = head - begins[late]
    turns = max(1, min(TURNS_MAX, rest // TURN_EVENTS))
    found: dict[_Views, list[Run]] = {early: [], late: []}
    meter = Meter(
        {"early": early.process.pid, "late": late.process.pid, "database": early.database}
    )
    with meter.running():
        for turn in range(1, turns + 1):
            for views in (early, late) if turn % 2 else (late, early):
                found[views].append(views.move(begins[views] + rest * turn // turns))
    for before, after in zip(found[early], found[late], strict=True):
        say(f"views: {before.us:.1f} us an event early, {after.us:.1f} late")
    return CaughtUp(way, found[early], found[late], noisy=meter.cores["others"] > OTHERS_MAX)


def _empty(service: Service) -> None:
    tables = ", ".join(f"ledger_p00.{table}" for view in VIEWS for table in view.tables)
    statement = f"TRUNCATE {tables}; UPDATE ledger_p00.projections SET position = 0"
    service.postgres.execute(statement, database=service.database)
    service.postgres.execute("CHECKPOINT")  # that of the loading is no part of it


@contextmanager
def _projecting(service: Service) -> Iterator[_Views]:
    """The views of a service, past their first batch, and from there to where they are moved."""
    log = service.directory / f"{service.database}-project.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(COMMAND), "project", "--config", str(service.configuration)],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    views = _Views(service, process, log)
    try:
        views.move(1)
        yield views
    finally:
        process.send_signal(signal.SIGCONT)
        stop(process)


def _reached(connection: psycopg.Connection) -> int:
    row = connection.execute(_POSITION.encode()).fetchone()
    if row is None:
        raise BenchmarkError("there are no views")
    return int(row[0])
