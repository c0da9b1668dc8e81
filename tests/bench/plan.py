"""Which scenarios a run consists of: starts what the chosen parts need, and draws the figures."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from tests.bench.bare_sql import BareSql, prepare_bare_sql
from tests.bench.databases import Postgres
from tests.bench.history import History
from tests.bench.measures import Figure, Sample, Scenario, disturbed, find, medians
from tests.bench.open_loop import OpenLoop
from tests.bench.options import Options
from tests.bench.over_http import SIDE_LEVELS, library_server, null_server, signed_server
from tests.bench.providers import Providers
from tests.bench.provision import take_seats
from tests.bench.report import BARE_SQL, SIDE_LEVEL
from tests.bench.scenarios import Alone, SlowCommits, bets, rounds
from tests.bench.service import Service, Shape, running_service

SLOW_AIM = 8_000


class Plan:
    """The scenarios of one run; servers live until the given stack is closed."""

    def __init__(
        self, options: Options, postgres: Postgres, stack: ExitStack, say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._postgres = postgres
        self._stack = stack
        self._say = say
        self._services: list[Service] = []
        self._slow: list[Scenario] = []
        self._providers = Providers(options, postgres, stack, say)

    def prepare(self) -> list[Scenario]:
        """Start what is needed; returns the scenarios in the order of each round."""
        parts = self._options.parts
        scenarios: list[Scenario] = []
        if parts & set("ade"):
            scenarios += self._bare_sql()
        if "b" in parts:
            scenarios += self._handlers()
        if "c" in parts:
            self._say("opening the library's wallets")
            server = library_server(self._postgres.directory, self._postgres)
            scenarios.append(self._stack.enter_context(server))
        if parts & set("deh"):
            for shape in self._options.shapes:
                scenarios += self._service(shape)
        if "p" in parts:
            scenarios += self._providers.scenarios()
        return [*scenarios, *self._slow]

    def figures(self, samples: Sequence[Sample]) -> list[Figure]:
        """The single figures with their aims, from the samples of every round."""
        figures: list[Figure] = []
        if "e" in self._options.parts:
            figures += self._slow_figures(medians(samples))
        if "p" in self._options.parts:
            figures += self._providers.figures(samples)
        if "h" in self._options.parts:
            for service in self._services:
                memory = service.peak_memory_bytes() / 2**20
                figures.append(Figure(f"peak memory of {service.shape}", memory, "MiB"))
                figures.append(Figure(f"start to answer of {service.shape}", service.start_s, "s"))
        if "o" in self._options.parts:
            open_loop = OpenLoop(self._options, self._postgres, self._stack, self._say)
            figures += open_loop.figures()
        if self._options.parts & set("fgrv"):
            history = History(self._options, self._postgres, self._stack, self._say)
            figures += history.figures()
        return figures

    def headline(self, middle: Sequence[Sample]) -> str:
        """The name of the service's best shape, its views included, by bets at 64 in flight."""
        names = [_bets_name(shape) for shape in self._options.shapes if shape.views]
        return max(names, key=lambda name: _per_second(find(middle, name, SIDE_LEVEL)))

    def _bare_sql(self) -> list[Scenario]:
        prepare_bare_sql(self._postgres)
        plain = BareSql(
            self._postgres,
            name=BARE_SQL,
            script="bare_statements.sql",
            levels=self._options.levels,
        )
        function = BareSql(
            self._postgres,
            name=f"{BARE_SQL}, one function call",
            script="bare_function.sql",
            levels=SIDE_LEVELS,
        )
        if "e" in self._options.parts:
            self._slow.append(SlowCommits(plain, self._postgres, (1, *SIDE_LEVELS)))
        return [plain, function] if "a" in self._options.parts else []

    def _handlers(self) -> list[Scenario]:
        directory = self._postgres.directory
        return [
            self._stack.enter_context(null_server(directory)),
            self._stack.enter_context(signed_server(directory)),
        ]

    def _service(self, shape: Shape) -> list[Scenario]:
        self._say(f"starting the service, workers/partitions {shape}")
        database = f"wallet_{len(self._services)}"
        service = self._stack.enter_context(
            running_service(self._postgres, self._postgres.directory, shape, database=database)
        )
        self._services.append(service)
        self._say(f"seating {self._options.players} players")
        seats = take_seats(
            service.port, (f"player-{number}" for number in range(self._options.players))
        )
        levels = self._options.levels
        measured = Alone(bets(service, seats, levels, name=_bets_name(shape)), service)
        played = rounds(service, seats, SIDE_LEVELS, name=f"service {shape}, rounds")
        service.halt()
        if "e" in self._options.parts:
            self._slow.append(SlowCommits(measured, self._postgres, SIDE_LEVELS))
        if not self._options.parts & set("dh"):
            return []
        return [measured, Alone(played, service)]

    def _slow_figures(self, middle: Sequence[Sample]) -> list[Figure]:
        names = [f"{_bets_name(shape)}, 2 ms commits" for shape in self._options.shapes]
        found = [find(middle, name, SIDE_LEVEL) for name in names]
        best = max((sample for sample in found if sample), key=lambda sample: sample.per_second)
        met = best.per_second >= SLOW_AIM
        aim = f">= {SLOW_AIM:,}"
        name = "bets at 64, 2 ms commits"
        return [Figure(name, best.per_second, "/s", aim, met, disturbed(best))]


def _bets_name(shape: Shape) -> str:
    return f"service {shape}, bets"


def _per_second(sample: Sample | None) -> float:
    return 0.0 if sample is None else sample.per_second
