"""The load generator: wrk with a script that sends each pre-signed request once (closed loop)."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import BenchmarkError, run_tool
from tests.bench.traffic import Lanes

SCRIPT = Path(__file__).with_name("send_once.lua")


class LanesRanOut(BenchmarkError):
    """Too few requests were made in advance: a repeated one would be a duplicate."""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: answers per second, latencies, and everything that was not a plain success."""

    answers: int
    sent: int
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    failures: int
    cpu_seconds: float


def send(lanes: Lanes, *, port: int, connections: int, seconds: float) -> Load:
    """Keep `connections` requests in flight for that long, with what the lanes hold.

    Raises LanesRanOut; what was sent until then counts as taken.
    """
    threads = lanes.senders(connections)
    positions = [str(position) for position in lanes.positions[:threads]]
    command = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{round(seconds)}s"]
    command += ["--timeout", "10s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}", "--"]
    command += [str(lanes.directory), *positions]
    output, cpu = run_tool(command)
    report = json.loads(output.rsplit("RESULT ", 1)[1])
    for number, (sent, position) in enumerate(report["lanes"]):
        lanes.taken(number, requests=sent, position=position)
    if report["exhausted"]:
        raise LanesRanOut("the prepared requests ran out before the time did")
    return Load(
        answers=report["answers"],
        sent=sum(sent for sent, _ in report["lanes"]),
        per_second=report["answers"] / (report["duration_us"] / 1e6),
        p50_ms=report["p50_us"] / 1e3,
        p99_ms=report["p99_us"] / 1e3,
        max_ms=report["max_us"] / 1e3,
        failures=report["refused"] + report["broken"] + report["timeouts"],
        cpu_seconds=cpu,
    )
