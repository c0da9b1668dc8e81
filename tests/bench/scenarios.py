"""The scenarios of the service: bets and rounds at rising load, and the same with slow commits."""

from collections.abc import Iterator
from dataclasses import replace

from tests.bench.betbrothers import signed_bets, signed_rounds
from tests.bench.databases import Postgres
from tests.bench.measures import Sample, Scenario
from tests.bench.over_http import OverHttp
from tests.bench.processes import BenchmarkError
from tests.bench.service import Service
from tests.bench.traffic import Lanes, Request, Seat

RATE_MAX = 20_000
SLOW_COMMIT_US = 2_000
BETS = "service, bets"
ROUNDS = "service, rounds"


def bets(service: Service, seats: list[Seat], levels: tuple[int, ...], *, name: str) -> OverHttp:
    """Signed bets, each the only one of its round."""
    lanes = Lanes(service.directory / f"{service.database}-bets", signed_bets(seats, seed=4))
    return _over_http(service, lanes, levels, name=name)


def rounds(service: Service, seats: list[Seat], levels: tuple[int, ...], *, name: str) -> OverHttp:
    """Bets and, some time after each, the win that closes its round."""
    directory = service.directory / f"{service.database}-rounds"
    # one sender: over two, a win might overtake its bet
    lanes = Lanes(directory, signed_rounds(seats, seed=5), count=1)
    return _over_http(service, lanes, levels, name=name)


def provider_bets(
    service: Service,
    requests: Iterator[Request],
    levels: tuple[int, ...],
    *,
    name: str,
    rate_max: int = RATE_MAX,
) -> OverHttp:
    """Bets of any provider; `rate_max` of them are made in advance for each second."""
    lanes = Lanes(service.directory / name.replace("/", "-"), requests)
    return _over_http(service, lanes, levels, name=name, rate_max=rate_max)


def _over_http(
    service: Service,
    lanes: Lanes,
    levels: tuple[int, ...],
    *,
    name: str,
    rate_max: int = RATE_MAX,
) -> OverHttp:
    return OverHttp(
        name=name,
        levels=levels,
        port=service.port,
        trees=lambda: {"service": service.pid, "database": service.postgres.pid},
        lanes=lanes,
        rate_max=rate_max,
        booked=service.booked,
    )


class Alone:
    """A scenario whose service is frozen while others are measured; `Service.halt` it at first."""

    def __init__(self, scenario: Scenario, service: Service) -> None:
        self.name = scenario.name
        self.levels = scenario.levels
        self._scenario = scenario
        self._service = service

    def measure(self, in_flight: int, seconds: float) -> Sample:
        """The other scenario's figure."""
        self._service.go_on()
        try:
            return self._scenario.measure(in_flight, seconds)
        finally:
            self._service.halt()


class SlowCommits:
    """Another scenario while each commit waits 2 ms, as on a real disk or a synchronous standby."""

    def __init__(self, scenario: Scenario, postgres: Postgres, levels: tuple[int, ...]) -> None:
        self.name = f"{scenario.name}, 2 ms commits"
        self.levels = levels
        self._scenario = scenario
        self._postgres = postgres

    def measure(self, in_flight: int, seconds: float) -> Sample:
        """The other scenario's figure, with the delay on only while it is taken."""
        self._postgres.set_commit_delay(SLOW_COMMIT_US)
        try:
            sample = self._scenario.measure(in_flight, seconds)
        finally:
            self._postgres.set_commit_delay(0)
        if in_flight == 1 and sample.per_second > 1e6 / SLOW_COMMIT_US:
            raise BenchmarkError(f"{self.name}: commit_delay does not delay commits")
        return replace(sample, scenario=self.name)
