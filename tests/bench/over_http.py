"""A server measured over HTTP with pre-signed requests: the same for the service and its rivals."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

from tests.bench.betbrothers import signed_bets
from tests.bench.databases import Postgres
from tests.bench.generator import LanesRanOut, Load, send
from tests.bench.measures import Meter, Sample
from tests.bench.processes import BenchmarkError, module_server
from tests.bench.traffic import Lanes, Seat

PLAYERS = 10_000
SIDE_LEVELS = (64,)
SETTLE_PAUSE_S = 0.25
SETTLE_TRIES = 40


class OverHttp:
    """wrk against one server; any answer but 2xx fails the run.

    `booked` counts what the server has kept: every answer must stand for one more booking, and
    nothing may be booked that was not sent.
    """

    def __init__(
        self,
        *,
        name: str,
        levels: tuple[int, ...],
        port: int,
        trees: Callable[[], dict[str, int]],
        lanes: Lanes,
        rate_max: int,
        seconds_max: float = inf,
        booked: Callable[[], int] | None = None,
    ) -> None:
        self.name = name
        self.levels = levels
        self._port = port
        self._trees = trees
        self._lanes = lanes
        self._rate_max = rate_max
        self._seconds_max = seconds_max
        self._booked = booked

    def measure(self, in_flight: int, seconds: float) -> Sample:
        """Answers per second and their latencies with that many requests in flight."""
        try:
            return self._measured(in_flight, min(seconds, self._seconds_max))
        except LanesRanOut:  # a faster machine than this was written on
            self._rate_max *= 2
            return self.measure(in_flight, seconds)

    def _measured(self, in_flight: int, seconds: float) -> Sample:
        # prepared before the meter runs: making requests is no part of sending them
        self._lanes.fill(round(self._rate_max * seconds), connections=in_flight)
        booked_before = self._settled()
        meter = Meter(self._trees())
        with meter.running():
            load = send(self._lanes, port=self._port, connections=in_flight, seconds=seconds)
            meter.add("generator", load.cpu_seconds)
        self._check(load, self._settled() - booked_before, in_flight)
        return Sample(
            scenario=self.name,
            in_flight=in_flight,
            per_second=load.per_second,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            failures=load.failures,
            cores=meter.cores,
        )

    def _settled(self) -> int:
        """What is booked once calls that nobody waits for any more have been worked off."""
        if self._booked is None:
            return 0
        booked = self._booked()
        for _ in range(SETTLE_TRIES):
            time.sleep(SETTLE_PAUSE_S)
            before, booked = booked, self._booked()
            if booked == before:
                return booked
        raise BenchmarkError(f"{self.name}: still booking long after the load ended")

    def _check(self, load: Load, booked: int, in_flight: int) -> None:
        if load.failures:
            raise BenchmarkError(
                f"{self.name} x{in_flight}: {load.failures} of {load.answers} calls failed"
            )
        if self._booked and not load.answers <= booked <= load.sent:
            raise BenchmarkError(
                f"{self.name} x{in_flight}: {load.sent} sent, {load.answers} answered, "
                f"{booked} booked"
            )


def _seats() -> list[Seat]:
    return [Seat(f"player-{number}", f"{number:064x}") for number in range(PLAYERS)]


@contextmanager
def null_server(directory: Path) -> Iterator[OverHttp]:
    """The generator's ceiling: a server that does nothing at all."""
    lanes = Lanes(directory / "null", signed_bets(_seats(), seed=1))
    with module_server("tests.bench.servers.null", log=directory / "null.log") as server:
        yield OverHttp(
            name="generator ceiling",
            levels=SIDE_LEVELS,
            port=server.port,
            trees=lambda: {"service": server.pid},
            lanes=lanes,
            rate_max=200_000,
            seconds_max=1.0,
        )


@contextmanager
def signed_server(directory: Path) -> Iterator[OverHttp]:
    """An aiohttp handler that verifies the signature and answers fixed JSON."""
    lanes = Lanes(directory / "signed", signed_bets(_seats(), seed=2))
    with module_server("tests.bench.servers.signed", log=directory / "signed.log") as server:
        yield OverHttp(
            name="signed handler",
            levels=SIDE_LEVELS,
            port=server.port,
            trees=lambda: {"service": server.pid},
            lanes=lanes,
            rate_max=40_000,
        )


@contextmanager
def library_server(directory: Path, postgres: Postgres) -> Iterator[OverHttp]:
    """The eventsourcing library used plainly, behind the same handler."""
    postgres.create_database("library")
    lanes = Lanes(directory / "library", signed_bets(_seats(), seed=3))
    arguments = ["--socket-directory", str(postgres.socket_directory), "--database", "library"]
    arguments += ["--players", str(PLAYERS)]
    log = directory / "library.log"
    with module_server("tests.bench.servers.plain_eventsourcing", *arguments, log=log) as server:
        yield OverHttp(
            name="library as it comes",
            levels=SIDE_LEVELS,
            port=server.port,
            trees=lambda: {"service": server.pid, "database": postgres.pid},
            lanes=lanes,
            rate_max=10_000,
        )
