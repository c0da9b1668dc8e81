"""Part p: bets of every provider against one service, compared with those of The Bet Brothers.

Each provider has players of its own, so that what one leaves behind is no burden to another's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from tests.bench import betbrothers, fizzybubbly, gpas, marbles
from tests.bench.databases import Postgres
from tests.bench.marbles import RsaPrice, rsa_price
from tests.bench.measures import (
    Figure,
    Sample,
    Scenario,
    disturbed,
    find,
    medians,
    rates,
    share,
)
from tests.bench.options import Options
from tests.bench.processes import BenchmarkError
from tests.bench.provision import Launch, take_seats
from tests.bench.scenarios import RATE_MAX, Alone, provider_bets
from tests.bench.service import Service, Shape, running_service
from tests.bench.traffic import Request, Seat

SHAPE = Shape(1, 1)
IN_FLIGHT = 64
RATIO_AIM = 0.8
YARDSTICK = "betbrothers"
# requests made in advance, over the rate that RSA leaves possible: the first price may be too high
MARGIN = 1.5


class SignedBets(Protocol):
    """A provider's bets without end."""

    def __call__(self, seats: Sequence[Seat], *, seed: int) -> Iterator[Request]:
        """The same requests for the same seed and seats."""


@dataclass(frozen=True, slots=True)
class Row:
    """A provider: its integration's name, its bets, and how a game starts where not at once."""

    integration: str
    signed_bets: SignedBets
    launch: Launch | None = None


ROWS = (
    Row(YARDSTICK, betbrothers.signed_bets),
    Row("marbles", marbles.signed_bets),
    Row("gpas", gpas.signed_bets, Launch(gpas.opening, gpas.balance)),
    Row("fizzybubbly", fizzybubbly.signed_bets),
)


class Providers:
    """Part p of the suite."""

    def __init__(
        self, options: Options, postgres: Postgres, stack: ExitStack, say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._postgres = postgres
        self._stack = stack
        self._say = say
        self._prices: list[RsaPrice] = []

    def scenarios(self) -> list[Scenario]:
        """A service with all the integrations, and bets of each."""
        self._say(f"starting the service for every provider, workers/partitions {SHAPE}")
        directory = self._postgres.directory
        service = self._stack.enter_context(
            running_service(self._postgres, directory, SHAPE, database="providers")
        )
        scenarios = [self._scenario(service, row, seed) for seed, row in enumerate(ROWS, start=10)]
        service.halt()
        return [Alone(scenario, service) for scenario in scenarios]

    def figures(self, samples: Sequence[Sample]) -> list[Figure]:
        """Each provider's bets as a share of the yardstick's; of marbles also without its RSA."""
        figures = []
        for row in ROWS:
            if row.integration == "marbles":
                figures += self._marbles_figures(samples)
            elif row.integration != YARDSTICK:
                measured = rates(samples, _name(row.integration), IN_FLIGHT)
                figures.append(_share_figure(samples, row.integration, row.integration, measured))
        return figures

    def _scenario(self, service: Service, row: Row, seed: int) -> Scenario:
        players = max(IN_FLIGHT, self._options.players // len(ROWS))
        self._say(f"seating {players} players of {row.integration}")
        names = (f"{row.integration}-{number}" for number in range(players))
        seats = take_seats(service.port, names, integration=row.integration, launch=row.launch)
        requests = row.signed_bets(seats, seed=seed)
        name = _name(row.integration)
        if row.integration != "marbles":
            return provider_bets(service, requests, (IN_FLIGHT,), name=name)
        rate_max = min(RATE_MAX, round(MARGIN / rsa_price().sign_s))
        signed = provider_bets(service, requests, (IN_FLIGHT,), name=name, rate_max=rate_max)
        return _Priced(signed, self._prices)

    def _marbles_figures(self, samples: Sequence[Sample]) -> list[Figure]:
        """The price of RSA comes off the time of a call: one process does all of them in turn."""
        sign_s = median(price.sign_s for price in self._prices)
        verify_s = median(price.verify_s for price in self._prices)
        measured = rates(samples, _name("marbles"), IN_FLIGHT)
        rest_s = [1 / rate - sign_s - verify_s for rate in measured]
        if min(rest_s) <= 0:
            raise BenchmarkError("marbles: RSA alone takes longer than the calls that contain it")
        bare_us = _middle(samples, "marbles").cpu_us - (sign_s + verify_s) * 1e6
        name = f"bets at {IN_FLIGHT}, marbles / {YARDSTICK}"
        ratio = share(measured, rates(samples, _name(YARDSTICK), IN_FLIGHT))
        without = [1 / rest for rest in rest_s]
        return [
            Figure(f"{name}, as measured", ratio, "x"),
            Figure("RSA-2048, one signature", sign_s * 1e6, "us"),
            Figure("RSA-2048, one verification", verify_s * 1e6, "us"),
            _share_figure(samples, "marbles", "marbles without RSA", without),
            Figure("processor time of a bet, marbles without RSA", bare_us, "us"),
        ]


class _Priced:
    """The marbles scenario, with what RSA costs taken beside each of its measurements."""

    def __init__(self, scenario: Scenario, prices: list[RsaPrice]) -> None:
        self.name = scenario.name
        self.levels = scenario.levels
        self._scenario = scenario
        self._prices = prices

    def measure(self, in_flight: int, seconds: float) -> Sample:
        """The other scenario's figure; the price is that of a moment before."""
        self._prices.append(rsa_price())
        return self._scenario.measure(in_flight, seconds)


def _name(integration: str) -> str:
    return f"service {SHAPE}, {integration} bets"


def _middle(samples: Sequence[Sample], integration: str) -> Sample:
    found = find(medians(samples), _name(integration), IN_FLIGHT)
    if found is None:
        raise BenchmarkError(f"{integration} was not measured")
    return found


def _share_figure(
    samples: Sequence[Sample], integration: str, about: str, measured: Sequence[float]
) -> Figure:
    """What was ``measured`` of an integration, round by round, as a share of the yardstick's."""
    ratio = share(measured, rates(samples, _name(YARDSTICK), IN_FLIGHT))
    noisy = any(disturbed(_middle(samples, name)) for name in (integration, YARDSTICK))
    name = f"bets at {IN_FLIGHT}, {about} / {YARDSTICK}"
    return Figure(name, ratio, "x", f">= {RATIO_AIM}", ratio >= RATIO_AIM, noisy)
