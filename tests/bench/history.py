"""What a long history costs: throughput after millions of events, first calls, kills, the views.

Two services on two databases: one empty, one that was given a history of real bets before.
"""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from statistics import median

from tests.bench.betbrothers import signed_bets
from tests.bench.catching_up import catch_up
from tests.bench.databases import Postgres
from tests.bench.measures import (
    OTHERS_MAX,
    Figure,
    Meter,
    Sample,
    Scenario,
    disturbed,
    measured,
    medians,
    rates,
    share,
)
from tests.bench.options import Options
from tests.bench.processes import ROOT, BenchmarkError
from tests.bench.provision import send_all, take_seats
from tests.bench.recovery import Recovery
from tests.bench.scenarios import bets
from tests.bench.service import Service, Shape, exchange, running_service
from tests.bench.traffic import Seat
from tests.bench.views import Views

LOADERS = 2
IN_FLIGHT = 64
RATIO_AIM = 0.9
# at full speed long enough that most index pages were written once since the checkpoint before it
WARM_UP_S = 20.0
COLD_AIM_MS = 10.0


class History:
    """Parts f, g, r and v of the suite: they share the loading."""

    def __init__(
        self, options: Options, postgres: Postgres, stack: ExitStack, say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._postgres = postgres
        self._stack = stack
        self._say = say

    def figures(self) -> list[Figure]:
        """Load the history, then measure what the chosen parts ask for."""
        grown, seats, heavy = self._grown()
        # without the backlog of the loading: it would be worked off while others are measured
        caught_up = catch_up(grown, self._say)
        self._postgres.execute("CHECKPOINT")
        grown.start()
        figures: list[Figure] = []
        played = bets(grown, seats, (IN_FLIGHT,), name="after the history")
        if "g" in self._options.parts:
            figures += self._first_calls(grown, seats, heavy)
        figures.append(self._all_first_calls(grown, seats))
        if "f" in self._options.parts:
            figures += self._throughput(played)
        if "v" in self._options.parts:
            figures += Views(self._options, grown, self._say).figures(played, caught_up)
        figures.append(Figure("start to answer with the history", grown.start_s, "s"))
        if "r" in self._options.parts:
            figures += Recovery(self._options, grown, seats, self._say).figures()
        return figures

    def _service(self, database: str) -> Service:
        server = running_service(
            self._postgres, self._postgres.directory, Shape(1, 1), database=database
        )
        return self._stack.enter_context(server)

    def _seats(self, service: Service) -> list[Seat]:
        self._say(f"seating {self._options.players} players in {service.database}")
        names = (f"player-{number}" for number in range(self._options.players))
        return take_seats(service.port, names)

    def _grown(self) -> tuple[Service, list[Seat], list[Seat]]:
        """A stopped service with the whole history, its players, and the few with the most."""
        service = self._service("grown")
        seats = self._seats(service)
        names = (f"heavy-{number}" for number in range(self._options.heavy_players))
        heavy = take_seats(service.port, names)
        service.stop()
        self._load(service, seats, heavy)
        return service, seats, heavy

    def _load(self, service: Service, seats: list[Seat], heavy: list[Seat]) -> None:
        options = self._options
        rest = max(0, options.history_events - options.heavy_events * len(heavy))
        shares = [(seat, options.heavy_events) for seat in heavy]
        shares += [(seat, -(-rest // len(seats))) for seat in seats]
        self._say(f"booking {sum(bets for _, bets in shares):,} bets")
        began = time.monotonic()
        _run_loaders(
            [_order(service, shares[number::LOADERS], number) for number in range(LOADERS)]
        )
        events = service.booked()
        rate = events / (time.monotonic() - began)
        self._say(f"{events:,} transactions booked, {rate:,.0f}/s")

    def _first_calls(
        self, service: Service, seats: Sequence[Seat], heavy: Sequence[Seat]
    ) -> list[Figure]:
        """One bet of each player that this service process has never seen, one at a time."""
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        # the service's own first call (connections, prepared statements) is no player's
        _call_ms(connection, seats[0], seed=1_000)
        meter = Meter({"service": service.pid, "database": self._postgres.pid})
        with meter.running():
            first = [_call_ms(connection, seat, seed=2_000 + at) for at, seat in enumerate(heavy)]
        second = [_call_ms(connection, seat, seed=3_000 + at) for at, seat in enumerate(heavy)]
        connection.close()
        return self._cold_figures(first, second, noisy=meter.cores["others"] > OTHERS_MAX)

    def _cold_figures(
        self, first: Sequence[float], second: Sequence[float], *, noisy: bool
    ) -> list[Figure]:
        name = f"first call of a player with {self._options.heavy_events:,} events"
        aim = f"< {COLD_AIM_MS:g} ms"
        figures = [
            (f"{name}, median of {len(first)}", median(first)),
            (f"{name}, worst", max(first)),
        ]
        return [
            *(
                Figure(about, found, "ms", aim, found < COLD_AIM_MS, noisy)
                for about, found in figures
            ),
            Figure("second call of such a player, median", median(second), "ms"),
        ]

    def _all_first_calls(self, service: Service, seats: Sequence[Seat]) -> Figure:
        """One bet of every player, whose wallets the service has to load; then all are in memory.

        What is measured after it is the ledger with a history, not a service that has just started.
        """
        requests = [
            request
            for at, seat in enumerate(seats)
            for request in islice(signed_bets([seat], seed=10_000 + at), 1)
        ]
        began = time.monotonic()
        send_all(service.port, requests)
        rate = len(requests) / (time.monotonic() - began)
        return Figure(f"first calls of {len(seats):,} players after a restart", rate, "/s")

    def _throughput(self, played: Scenario) -> list[Figure]:
        empty = self._service("empty")
        scenarios = {
            "empty store": bets(empty, self._seats(empty), (IN_FLIGHT,), name="empty store"),
            "after the history": played,
        }
        for name, scenario in scenarios.items():
            cold = scenario.measure(IN_FLIGHT, WARM_UP_S)
            self._say(f"{name}, warming up: {cold.per_second:,.0f}/s")
        samples = [
            self._measured(scenario)
            for _ in range(self._options.rounds)
            for scenario in scenarios.values()
        ]
        return self._growth_figures(samples)

    def _measured(self, scenario: Scenario) -> Sample:
        options = self._options
        sample = measured(scenario, IN_FLIGHT, options.seconds, tries=options.tries)
        self._say(f"{sample.scenario}: {sample.per_second:,.0f}/s {sample.cores}")
        return sample

    def _growth_figures(self, samples: Sequence[Sample]) -> list[Figure]:
        empty, grown = medians(samples)
        ratio = share(
            rates(samples, grown.scenario, IN_FLIGHT), rates(samples, empty.scenario, IN_FLIGHT)
        )
        noisy = disturbed(empty) or disturbed(grown)
        events = f"{self._options.history_events:,} events"
        aim = f">= {RATIO_AIM}"
        return [
            Figure("bets at 64, empty store", empty.per_second, "/s"),
            Figure(f"bets at 64, after {events}", grown.per_second, "/s"),
            Figure(f"after {events} / empty store", ratio, "x", aim, ratio >= RATIO_AIM, noisy),
            Figure("processor time of a bet, empty store", empty.cpu_us, "us"),
            Figure(f"processor time of a bet, after {events}", grown.cpu_us, "us"),
        ]


def _call_ms(connection: http.client.HTTPConnection, seat: Seat, *, seed: int) -> float:
    (request,) = islice(signed_bets([seat], seed=seed), 1)
    began = time.perf_counter()
    status, body = exchange(connection, request)
    elapsed = time.perf_counter() - began
    if status != 200:
        raise BenchmarkError(f"a call of {seat.player_id}: {status} {body!r}")
    return elapsed * 1_000


def _order(service: Service, shares: Sequence[tuple[Seat, int]], seed: int) -> bytes:
    return json.dumps(
        {
            "url": service.postgres.service_url(service.database),
            "partitions": service.shape.partitions,
            "shares": [[seat.player_id, seat.session_token, bets] for seat, bets in shares],
            "seed": seed,
        }
    ).encode()


def _run_loaders(orders: Sequence[bytes]) -> None:
    command = [sys.executable, "-m", "tests.bench.load_history"]
    loaders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
        for _ in orders
    ]
    try:
        for loader, order in zip(loaders, orders, strict=True):
            assert loader.stdin is not None
            loader.stdin.write(order)
            loader.stdin.close()
            loader.stdin = None
        for loader in loaders:
            _, problem = loader.communicate()
            if loader.returncode != 0:
                raise BenchmarkError(f"loading the history: {problem.decode()[-2000:]}")
    finally:
        for loader in loaders:
            loader.kill()
            loader.wait()
