"""What the views cost beside the catching up: lag under full load, building them anew.

The commands of the program itself are measured (`serve`, `rebuild --all`); the database is asked
how far the views are. One partition.
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
from statistics import quantiles

import psycopg

from projections.registry import VIEWS
from tests.bench.catching_up import CaughtUp
from tests.bench.measures import Figure, Scenario, disturbed, measured
from tests.bench.options import Options
from tests.bench.processes import ROOT, BenchmarkError
from tests.bench.service import COMMAND, Service

IN_FLIGHT = 64
WARM_UP_S = 3.0
CATCH_UP_AIM = 3.0
"""Times the rate at which bets come in."""
LAG_AIM_S = 1.0

_LOOK_S = 0.02
_AT = """SELECT min(position), (SELECT coalesce(max(notification_id), 0) FROM ledger_p00.events)
    FROM ledger_p00.projections WHERE tables <> '{}'"""


@dataclass(frozen=True, slots=True)
class Look:
    """How far the log and the view furthest behind were, and when."""

    time: float
    position: int
    head: int


class Views:
    """Part v of the suite, on the database of a service that has a long history."""

    def __init__(self, options: Options, service: Service, say: Callable[[str], None]) -> None:
        self._options = options
        self._service = service
        self._say = say

    def figures(self, bets: Scenario, caught_up: CaughtUp) -> list[Figure]:
        """Of the catching up, of a load while the views are kept up, of a rebuild, of an audit."""
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
        ratio = caught_up.way.per_second / ingest
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
            elapsed = self._timed("rebuild", "--all")
            after = _look(connection)
        if after.position != after.head:
            raise BenchmarkError(f"wallet-ledger rebuild: {after}")
        name = f"views: rebuild --all of {after.head:,} events"
        return [
            Figure(name, elapsed, "s"),
            Figure(f"{name}, each of {len(VIEWS)} views", after.head / elapsed * len(VIEWS), "/s"),
            *self._verified(after.head),
        ]

    def _verified(self, events: int) -> list[Figure]:
        """`wallet-ledger audit chain`, by one process and by one a core, and `audit seals`."""
        return [
            Figure(f"audit {name}: events verified", events / self._timed(*audit), "/s")
            for name, audit in (
                ("chain, one process", ("audit", "chain", "--jobs", "1")),
                ("chain, one a core", ("audit", "chain")),
                ("seals", ("audit", "seals")),
            )
        ]

    def _timed(self, *arguments: str) -> float:
        """How many seconds a command of the program takes; it must succeed."""
        began = time.monotonic()
        outcome = subprocess.run(
            [str(COMMAND), *arguments, "--config", str(self._service.configuration)],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        elapsed = time.monotonic() - began
        if outcome.returncode != 0:
            raise BenchmarkError(f"wallet-ledger {arguments}: {outcome.stderr.decode()[-2000:]}")
        return elapsed

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        url = self._service.postgres.url(self._service.database)
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


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
