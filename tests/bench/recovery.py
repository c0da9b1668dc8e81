"""How long until bets are booked again after a kill -9, on a ledger with a long history.

A kill tests what a process keeps in memory: a disk that forgets is another matter.
"""

import http.client
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from statistics import median

from ledger.postgres_programs import server_processes
from tests.bench.betbrothers import signed_bets
from tests.bench.measures import Figure
from tests.bench.options import Options
from tests.bench.processes import BenchmarkError
from tests.bench.service import Service
from tests.bench.traffic import Request, Seat

RESTART_AIM_S = 5.0
DATABASE_AIM_S = 2.0
_PAUSE_S = 0.01
_PATIENCE_S = 60.0


class Recovery:
    """Part r of the suite: each is killed ``rounds`` times, in turns."""

    def __init__(
        self, options: Options, service: Service, seats: Sequence[Seat], say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._service = service
        self._seats = seats
        self._say = say
        self._seed = 50_000

    def figures(self) -> list[Figure]:
        """Medians, and the slowest."""
        restarts, returns = [], []
        for _ in range(self._options.rounds):
            restarts.append(self._service_killed())
            returns.append(self._database_killed())
            self._say(f"first bet after a kill: {restarts[-1]:.2f} s, {returns[-1]:.2f} s")
        events = f"{self._service.booked():,} transactions"
        return [
            *_figures(f"service killed at {events}: start to first bet", restarts, RESTART_AIM_S),
            *_figures("database killed: its return to first bet", returns, DATABASE_AIM_S),
        ]

    def _service_killed(self) -> float:
        """From the start of the new process to its first bet."""
        self._bet()
        self._service.kill()
        began = time.monotonic()
        self._service.start()
        return self._bet() - began

    def _database_killed(self) -> float:
        """From the moment at which the server takes connections again to the first bet."""
        self._bet()
        embedded = self._service.postgres.embedded
        while pids := server_processes(embedded.data_dir):
            for pid in pids:
                with suppress(ProcessLookupError):  # gone with its parent
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_PAUSE_S)
        embedded._run()
        began = time.monotonic()
        return self._bet() - began

    def _bet(self) -> float:
        """When a bet was booked, repeated as providers do until it is."""
        self._seed += 1
        (bet,) = islice(signed_bets(self._seats, seed=self._seed), 1)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._booked(bet):
            if time.monotonic() > deadline:
                raise BenchmarkError("no bet is booked any more")
            time.sleep(_PAUSE_S)
        return time.monotonic()

    def _booked(self, bet: Request) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self._service.call(bet)[0] == http.client.OK
        return False


def _figures(name: str, seconds: Sequence[float], aim_s: float) -> list[Figure]:
    aim = f"<= {aim_s:g} s"
    return [
        Figure(
            f"{name}, median of {len(seconds)}", median(seconds), "s", aim, median(seconds) <= aim_s
        ),
        Figure(f"{name}, slowest", max(seconds), "s", aim, max(seconds) <= aim_s),
    ]
