"""Latencies as a casino sees them: calls come at a rate, however long the answers take.

The rate is a share of what the service did in a closed loop right before.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from tests.bench.betbrothers import signed_bets
from tests.bench.databases import Postgres
from tests.bench.generator import PacedLoad, send_paced
from tests.bench.measures import OTHERS_MAX, Figure, Meter
from tests.bench.options import Options
from tests.bench.over_http import SIDE_LEVELS
from tests.bench.processes import BenchmarkError
from tests.bench.provision import take_seats
from tests.bench.scenarios import bets
from tests.bench.service import Service, Shape, running_service
from tests.bench.traffic import Lanes

IN_FLIGHT = 64
SHARES = (0.5, 0.7)
AIMS_MS = {"p50": 10.0, "p99": 50.0, "p99.9": 200.0}
"""At the highest share."""
ROUNDS = 5
PACED_TIMES = 3
"""How many times as long as a measurement of the closed loop: p99.9 needs many calls."""
WARM_UP_S = 3.0


@dataclass(frozen=True, slots=True)
class Paced:
    """One run at a share of the closed loop."""

    rate: float
    load: PacedLoad
    cores: dict[str, float]


class OpenLoop:
    """Part o of the suite: one worker and one partition, with views and seals."""

    def __init__(
        self, options: Options, postgres: Postgres, stack: ExitStack, say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._postgres = postgres
        self._stack = stack
        self._say = say

    def figures(self) -> list[Figure]:
        """Medians over the rounds, each of which finds its own saturation first."""
        service = self._stack.enter_context(
            running_service(
                self._postgres, self._postgres.directory, Shape(1, 1), database="open_loop"
            )
        )
        players = self._options.players
        self._say(f"seating {players} players in {service.database}")
        seats = take_seats(service.port, (f"player-{number}" for number in range(players)))
        closed = bets(service, seats, SIDE_LEVELS, name="closed loop")
        lanes = Lanes(service.directory / "open-loop", signed_bets(seats, seed=6), count=1)
        closed.measure(IN_FLIGHT, WARM_UP_S)
        runs: dict[float, list[Paced]] = {share: [] for share in SHARES}
        for number in range(1, self._rounds + 1):
            saturated = closed.measure(IN_FLIGHT, self._options.seconds).per_second
            for share in SHARES:
                paced = self._paced(service, lanes, saturated * share)
                runs[share].append(paced)
                load = paced.load
                self._say(
                    f"round {number}/{self._rounds}  open loop at {share:.0%}, {paced.rate:,.0f}/s:"
                    f" p50 {load.p50_ms:.1f} p99 {load.p99_ms:.1f} p99.9 {load.p999_ms:.1f} ms"
                    f" {paced.cores}"
                )
        service.stop()
        return [figure for share in SHARES for figure in _figures(share, runs[share])]

    @property
    def _rounds(self) -> int:
        return self._options.rounds if self._options.quick else max(self._options.rounds, ROUNDS)

    def _paced(self, service: Service, lanes: Lanes, rate: float) -> Paced:
        seconds = self._options.seconds * PACED_TIMES
        lanes.fill(round(rate * seconds), connections=1)
        meter = Meter({"service": service.pid, "database": self._postgres.pid})
        with meter.running():
            load = send_paced(lanes, port=service.port, per_second=rate, seconds=seconds)
            meter.add("generator", load.cpu_seconds)
        if load.failures:
            raise BenchmarkError(f"open loop: {load.failures} of {load.sent} calls failed")
        return Paced(rate, load, meter.cores)


def _figures(share: float, runs: list[Paced]) -> list[Figure]:
    noisy = any(run.cores["others"] > OTHERS_MAX for run in runs)
    name = f"open loop at {share:.0%} of the closed one"
    figures = [Figure(f"{name}: calls", median(run.rate for run in runs), "/s")]
    for which, values in (
        ("p50", [run.load.p50_ms for run in runs]),
        ("p99", [run.load.p99_ms for run in runs]),
        ("p99.9", [run.load.p999_ms for run in runs]),
    ):
        value, aim = median(values), AIMS_MS[which]
        judged = (f"<= {aim:g}", value <= aim, noisy) if share == max(SHARES) else ("", None, noisy)
        figures.append(Figure(f"{name}: {which}", value, "ms", *judged))
    return figures
