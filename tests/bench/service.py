"""The service under test: configured, started, stopped, watched, on a database of its own."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import betbrothers, fizzybubbly, gpas, marbles
from tests.bench.databases import Postgres
from tests.bench.processes import (
    ROOT,
    START_TIMEOUT_S,
    BenchmarkError,
    free_port,
    peak_memory_bytes,
    stop,
)
from tests.bench.traffic import Request

OPERATOR_TOKEN = "benchmark-operator-token-that-guards-nothing"
SEAL_KEY = ROOT / "deploy" / "demo" / "seals-private.pem"
COMMAND = Path(sys.executable).with_name("wallet-ledger")


@dataclass(frozen=True, slots=True)
class Shape:
    """How many processes serve, over how many partitions, and whether they run views and seals.

    Without them it is the money alone, as where `wallet-ledger project` and `wallet-ledger seal`
    run on another machine.
    """

    workers: int
    partitions: int
    views: bool = True

    def __str__(self) -> str:
        return f"{self.workers}/{self.partitions}{'' if self.views else ' without views'}"


@dataclass(slots=True)
class Service:
    """`wallet-ledger serve` with one configuration; can be stopped and started again."""

    postgres: Postgres
    shape: Shape
    database: str
    directory: Path
    port: int = field(default_factory=free_port)
    start_s: float = 0.0
    memory_bytes: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The root of the service's processes."""
        if self._process is None:
            raise BenchmarkError("the service is not running")
        return self._process.pid

    def start(self) -> None:
        """Start serving; `start_s` is then the time from the start to the first answer."""
        self._write_configuration()
        began = time.monotonic()
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(COMMAND), "serve", "--config", str(self.configuration)],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait_for_answer(began)
        self.start_s = time.monotonic() - began

    def initialise(self) -> None:
        """Create the ledger's schema in the database."""
        self._write_configuration()
        command = [str(COMMAND), "init", "--config", str(self.configuration)]
        outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if outcome.returncode != 0:
            raise BenchmarkError(f"wallet-ledger init: {outcome.stdout}{outcome.stderr}")

    def halt(self) -> None:
        """Freeze all its processes, until `go_on`: even an idle service looks at its views."""
        os.killpg(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let its processes run again."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop serving; what it used of memory at most is kept in `memory_bytes`."""
        if self._process is not None:
            self.go_on()
            self.memory_bytes = max(self.memory_bytes, self.peak_memory_bytes())
            stop(self._process)
            self._process = None

    def kill(self) -> None:
        """End all its processes at once, as a machine that dies; the database lives on."""
        os.killpg(self.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def peak_memory_bytes(self) -> int:
        """The sum of the peak resident sizes of the service's processes so far."""
        return peak_memory_bytes(self.pid)

    def booked(self) -> int:
        """How many transactions the ledger's tables hold, over all partitions."""
        counts = " + ".join(
            f"(SELECT count(*) FROM ledger_p{number:02d}.transactions)"
            for number in range(self.shape.partitions)
        )
        return int(self.postgres.value(f"SELECT {counts}", database=self.database))

    def call(self, request: Request) -> tuple[int, bytes]:
        """One request on a connection of its own: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            return exchange(connection, request)
        finally:
            connection.close()

    @property
    def configuration(self) -> Path:
        """Its configuration file, once it was initialised."""
        return self.directory / f"{self.database}.toml"

    @property
    def _log(self) -> Path:
        return self.directory / f"{self.database}.log"

    def _write_configuration(self) -> None:
        tables: dict[str, dict[str, object]] = {
            "server": {"host": "127.0.0.1", "port": self.port, "workers": self.shape.workers},
            "database": {
                "url": self.postgres.service_url(self.database),
                "migrate_url": self.postgres.url(self.database),
                "partitions": self.shape.partitions,
            },
            "projections": {"in_serve": self.shape.views},
            "seals": {"key": f"file:{SEAL_KEY}", "in_serve": self.shape.views},
        }
        for provider in (betbrothers, marbles, gpas, fizzybubbly):
            settings = provider.integration()
            tables[f"integrations.{settings['protocol']}"] = settings
        lines = []
        for table, settings in tables.items():
            lines.append(f"[{table}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        token = f'{{ name = "bench", role = "admin", token = "{OPERATOR_TOKEN}" }}'
        lines += ["[operator]", f"tokens = [{token}]", ""]
        self.configuration.write_text("\n".join(lines))
        self.configuration.chmod(0o600)

    def _wait_for_answer(self, began: float) -> None:
        probe = Request("GET", "/health/ready", (), b"")
        while time.monotonic() - began < START_TIMEOUT_S:
            if self._process is not None and self._process.poll() is not None:
                break
            with suppress(OSError, http.client.HTTPException):
                status, _ = self.call(probe)
                if status == 200:
                    return
            time.sleep(0.01)
        tail = self._log.read_text(errors="replace")[-3000:]
        raise BenchmarkError(f"the service did not become ready:\n{tail}")


def exchange(connection: http.client.HTTPConnection, request: Request) -> tuple[int, bytes]:
    """One request on an open connection: status and body."""
    connection.request(request.method, request.path, request.body, dict(request.headers))
    answer = connection.getresponse()
    return answer.status, answer.read()


@contextmanager
def running_service(
    postgres: Postgres, directory: Path, shape: Shape, *, database: str
) -> Iterator[Service]:
    """The service on a new, empty database of the shared PostgreSQL; stopped at the end."""
    postgres.create_database(database)
    service = Service(postgres, shape, database, directory)
    service.initialise()
    try:
        service.start()
        yield service
    finally:
        service.stop()
