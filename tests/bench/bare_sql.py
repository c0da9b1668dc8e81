"""The yardstick: pgbench doing what a bet needs in bare SQL, on the same PostgreSQL."""

import re
from pathlib import Path

from tests.bench.databases import Postgres, pgbench
from tests.bench.measures import Meter, Sample
from tests.bench.processes import BenchmarkError, run_tool

SQL = Path(__file__).parent / "sql"
DATABASE = "bare_sql"


class BareSql:
    """pgbench, prepared protocol, two threads, a random player of 10 000 a transaction."""

    def __init__(
        self, postgres: Postgres, *, name: str, script: str, levels: tuple[int, ...]
    ) -> None:
        self.name = name
        self.levels = levels
        self._postgres = postgres
        self._script = SQL / script

    def measure(self, in_flight: int, seconds: float) -> Sample:
        """Transactions per second with that many clients; a failed transaction fails the run."""
        meter = Meter({"database": self._postgres.pid})
        with meter.running():
            output, spent = run_tool(self._command(in_flight, seconds))
            meter.add("generator", spent)
        failures = int(_figure(r"number of failed transactions: (\d+)", output))
        if failures:
            raise BenchmarkError(f"{self.name}: {failures} failed transactions")
        return Sample(
            scenario=self.name,
            in_flight=in_flight,
            per_second=_figure(r"tps = ([\d.]+)", output),
            cores=meter.cores,
        )

    def _command(self, clients: int, seconds: float) -> list[str]:
        threads = min(2, clients)
        command = [str(pgbench()), "-n", "-M", "prepared", "-f", str(self._script)]
        command += ["-c", str(clients), "-j", str(threads), "-T", str(max(1, round(seconds)))]
        command += ["-h", str(self._postgres.socket_directory), "-U", "postgres", DATABASE]
        return command


def prepare_bare_sql(postgres: Postgres) -> None:
    """Create the database and the tables of the yardstick."""
    postgres.create_database(DATABASE)
    postgres.execute((SQL / "bare_schema.sql").read_text(), database=DATABASE)


def _figure(pattern: str, output: str) -> float:
    found = re.search(pattern, output)
    if found is None:
        raise BenchmarkError(f"pgbench did not report {pattern}:\n{output}")
    return float(found.group(1))
