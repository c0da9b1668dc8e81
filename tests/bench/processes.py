"""Child processes of a benchmark: started on loopback, measured, and always stopped again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ROOT = Path(__file__).resolve().parents[2]


class BenchmarkError(Exception):
    """The run cannot give a figure that may be trusted."""


class Interrupted(BaseException):
    """A signal told the run to end; the message is its name."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does: what was started is stopped."""

    def interrupt(number: int, _frame: object) -> None:
        raise Interrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Server:
    """A child process that answers HTTP on `port` of loopback."""

    pid: int
    port: int
    log: Path

    def tree(self) -> list[psutil.Process]:
        """The process and all its living descendants."""
        return process_tree(self.pid)


@contextmanager
def module_server(module: str, *arguments: str, log: Path) -> Iterator[Server]:
    """Run `python -m module --port PORT ...` until the block ends; yields when the port answers."""
    port = free_port()
    command = [sys.executable, "-m", module, "--port", str(port), *arguments]
    with child(command, port=port, log=log) as server:
        yield server


@contextmanager
def child(command: Sequence[str], *, port: int, log: Path) -> Iterator[Server]:
    """Run a command in a session of its own; stopped at the end, killed if it does not stop."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_for_port(process, port, log)
        yield Server(pid=process.pid, port=port, log=log)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, wait, then kill whatever is left of its tree."""
    tree = process_tree(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    for left in tree:
        with suppress(psutil.NoSuchProcess):
            left.kill()
    process.wait(STOP_TIMEOUT_S)


def _wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.02)
    tail = log.read_text(errors="replace")[-2000:]
    raise BenchmarkError(f"{process.args!r} did not open port {port}:\n{tail}")


def run_tool(command: Sequence[str]) -> tuple[str, float]:
    """Run a load generator to its end: its output, and the processor seconds it took."""
    before = os.times()
    try:
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BenchmarkError(f"{command[0]} is not installed") from None
    after = os.times()
    if outcome.returncode != 0:
        raise BenchmarkError(f"{command[0]}: {outcome.stdout}{outcome.stderr}")
    spent = after.children_user + after.children_system
    return outcome.stdout, spent - before.children_user - before.children_system


def process_tree(pid: int) -> list[psutil.Process]:
    """The process and all its living descendants; empty if it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pid: int) -> float:
    """Processor time of a process tree, children that its root has reaped included."""
    total = 0.0
    for index, process in enumerate(process_tree(pid)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
            if index == 0:
                total += times.children_user + times.children_system
    return total


def peak_memory_bytes(pid: int) -> int:
    """Sum of the peak resident sizes (VmHWM) over a process tree."""
    total = 0
    for process in process_tree(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1]) * 1024
    return total


def machine_cpu_seconds() -> float:
    """Busy processor time of the whole machine since it started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    memory_gib = psutil.virtual_memory().total / 2**30
    return {
        "processor": f"{os.cpu_count()} x {model}",
        "memory": f"{memory_gib:.0f} GiB",
        "system": f"{os.uname().sysname} {os.uname().release}",
        "python": sys.version.split()[0],
    }
