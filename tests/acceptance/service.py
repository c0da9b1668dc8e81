"""The service as its users run it: a process with a configuration file, started and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("wallet-ledger")
SECRET = "test-betbrothers-secret"
OPERATOR_TOKEN = "test-admin-token"
START_S = 60.0
STOP_S = 30.0


WAIT_S = 30.0
"""How long a test waits for what must come true soon."""


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come true soon."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def write_configuration(file: Path, **sections: Mapping[str, Any]) -> Path:
    """Write a configuration with betbrothers, gpas and an operator; ``sections`` come on top.

    ``a__b`` names the section ``a.b``.
    """
    content: dict[str, dict[str, Any]] = {
        "server": {"host": "127.0.0.1", "port": 0},
        "operator": {"tokens": [{"name": "test", "role": "admin", "token": OPERATOR_TOKEN}]},
        "integrations.betbrothers": {"protocol": "betbrothers", "secrets": [SECRET]},
        "integrations.gpas": {
            "protocol": "gpas",
            "parent_system_id": "BL13GT",
            "secrets": ["test-gpas-secret"],
        },
    }
    for name, values in sections.items():
        section = content.setdefault(name.replace("__", "."), {})
        section.update(values)
    file.write_text("\n".join(f"[{name}]\n{_toml(content[name])}" for name in content))
    file.chmod(0o600)
    return file


def _toml(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(held)}" for name, held in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(held) for held in value) + "]"
    return json.dumps(value)


SEAL_KEY = (ROOT / "deploy" / "demo" / "seals-private.pem").read_text(encoding="utf-8")


def sealed(copies: Path) -> dict[str, Any]:
    """The section of a configuration that seals often, and keeps copies there."""
    return {"key": SEAL_KEY, "interval_s": 0.2, "copy_to": str(copies)}


class Service:
    """One `wallet-ledger serve` and what it wrote; may be killed and started again."""

    def __init__(
        self,
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
        through: Sequence[str] = (),
        **sections: Any,
    ) -> None:
        """``through``: a command that runs the one behind it."""
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        server = {"port": self.port, **sections.pop("server", {})}
        self._workers = server.get("workers", 1)
        self.file = write_configuration(directory / "service.toml", server=server, **sections)
        self.log_file = directory / "service.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = dict(environment or {})
        self._through = through

    @property
    def base_url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything that all its lives wrote to standard output and standard error."""
        return self.log_file.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The process that was started: the only worker, or the supervisor."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it and return when it is ready; fails with its last words."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it without waiting."""
        with self.log_file.open("ab") as output:
            self.process = subprocess.Popen(
                [*self._through, COMMAND, "serve", "--config", str(self.file)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | self._environment,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until every worker listens and one says that it is ready."""
        deadline = time.monotonic() + START_S
        while len(self._listening()) < self._workers or self.get("/health/ready")[0] != 200:
            assert self.process is not None
            assert self.process.poll() is None, f"it stopped: {self.log[-2000:]}"
            assert time.monotonic() < deadline, f"it is not ready: {self.log[-2000:]}"
            time.sleep(0.05)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET; status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(self.base_url + path, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def children(self) -> list[int]:
        """The processes that the supervisor has spawned."""
        return [pid for pid in _children(self.pid) if b"spawn_main" in _command_line(pid)]

    def workers(self) -> list[int]:
        """Those of them that listen."""
        listening = {f"socket:[{inode}]" for inode in self._listening()}
        return [pid for pid in self.children() if listening & _open_files(pid)]

    def _listening(self) -> list[str]:
        """The inodes of the sockets that listen on the port."""
        sockets = map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        wanted = f":{self.port:04X}"
        return [words[9] for words in sockets if words[1].endswith(wanted) and words[3] == "0A"]

    def signal(self, number: int) -> None:
        """Send the started process a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it ends."""
        assert self.process is not None
        return self.process.wait(STOP_S)

    def audit(self) -> int:
        """The exit code of an audit: 0 if the log is sound, and every view says what it says."""
        command: list[str | Path] = [COMMAND, "audit", "--config", self.file]
        return subprocess.run(command, cwd=ROOT, check=False).returncode

    def stop(self) -> int:
        """End it as an operator does; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill it and all its children at once, as a dying machine does; the database lives on."""
        for pid in [self.pid, *self.children()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """End it however it takes."""
        if self.process is None or self.process.poll() is not None:
            return
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def copied_seals(service: Service, copies: Path) -> int:
    """How many seals are outside the database; none may ever have been missing in it."""
    assert '"seals_differ"' not in service.log
    return sum(len(file.read_text().splitlines()) for file in copies.glob("*.jsonl"))


def is_alive(pid: int) -> bool:
    """Whether the process runs; a dead one that nobody has buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _open_files(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            found.add(str(entry.readlink()))
    return found


PATIENT = {"command_age_max_s": 30.0, "answer_timeout_s": 40.0}
"""Limits for tests that are not about them: a busy machine must not make an answer a 503."""


@contextmanager
def running(
    directory: Path,
    *,
    environment: Mapping[str, str] | None = None,
    through: Sequence[str] = (),
    **sections: Any,
) -> Iterator[Service]:
    """A service that is ready and patient, until the block ends."""
    sections["limits"] = PATIENT | sections.get("limits", {})
    service = Service(directory, environment=environment, through=through, **sections)
    try:
        service.start()
        yield service
    finally:
        service.close()
