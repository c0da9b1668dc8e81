"""The load generators: each pre-signed request is sent once.

Closed loop: wrk, with so many calls always in flight. Open loop: a program of our own (`paced.py`);
so many calls a second come, whether those before them are answered or not.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.processes import BenchmarkError, run_tool
from tests.bench.traffic import Lanes

CLOSED = Path(__file__).with_name("send_once.lua")
OPEN = Path(__file__).with_name("paced.py")


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
    report, cpu = _wrk(lanes, port=port, connections=connections, seconds=seconds)
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


@dataclass(frozen=True, slots=True)
class PacedLoad:
    """What an open loop saw; a latency counts from when its call was due."""

    answers: int
    sent: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    failures: int
    cpu_seconds: float


def send_paced(lanes: Lanes, *, port: int, per_second: float, seconds: float) -> PacedLoad:
    """Send so many calls a second of the only lane, evenly.

    Calls that are not answered are failures. The generator waits in whole milliseconds: a latency
    may be one too long.
    """
    lane = lanes.directory / "lane-0.bin"
    arguments = [port, lane, lanes.positions[0], per_second, seconds]
    output, cpu = run_tool([sys.executable, str(OPEN), *map(str, arguments)])
    report: dict[str, Any] = json.loads(output)
    lanes.taken(0, requests=report["sent"], position=report["position"])
    return PacedLoad(
        answers=report["answers"],
        sent=report["sent"],
        p50_ms=report["p50_us"] / 1e3,
        p99_ms=report["p99_us"] / 1e3,
        p999_ms=report["p999_us"] / 1e3,
        failures=report["refused"] + report["sent"] - report["answers"],
        cpu_seconds=cpu,
    )


def _wrk(
    lanes: Lanes, *, port: int, connections: int, seconds: float
) -> tuple[dict[str, Any], float]:
    """What the script reports, and the processor seconds that it took."""
    threads = lanes.senders(connections)
    command = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{round(seconds)}s"]
    command += ["--timeout", "10s", "-s", str(CLOSED), f"http://127.0.0.1:{port}", "--"]
    command += [str(lanes.directory), *map(str, lanes.positions[:threads])]
    output, cpu = run_tool(command)
    report: dict[str, Any] = json.loads(output.rsplit("RESULT ", 1)[1])
    for number, (sent, position) in enumerate(report["lanes"]):
        lanes.taken(number, requests=sent, position=position)
    if report["exhausted"]:
        raise LanesRanOut("the prepared requests ran out before the time did")
    return report, cpu
