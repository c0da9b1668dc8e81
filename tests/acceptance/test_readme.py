"""The README's shell works, line by line, against a real service, and prints what stands there.

Blocks of `sh` are run in their order; a block of `text` behind one is what it must print: `...`
stands for anything within a line, alone on a line for any number of lines.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import psycopg
import pytest
from msgspec.structs import astuple

from ledger.commands import RegisterPlayer
from ledger.embedded import DATABASE, SUPERUSER, EmbeddedPostgres
from ledger.guards import expected
from ledger.postgres_programs import binaries
from ledger.schema import initialise
from tests.acceptance.service import free_port
from tests.faults.ledgers import opened

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
START_S = 60
BLOCK_S = 120
DONE = "----- done"
GUARDS = sum(map(len, astuple(expected())))
"""Of a ledger of one partition."""

pytestmark = [
    # The shell's tools are the reader's, not the product's: `make test` must pass without them.
    pytest.mark.skipif(
        not all(map(shutil.which, ("bash", "curl", "make", "openssl"))),
        reason="the README's shell needs bash, curl, make and openssl",
    ),
]


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


def blocks(file: Path, title: str) -> list[Block]:
    """The fenced blocks of a section, or of the whole file where ``title`` is empty."""
    text = file.read_text(encoding="utf-8")
    if title:
        found = re.search(
            rf"^(#+) {re.escape(title)}$\n(.*?)(?=^#+ [A-Z]|\Z)", text, re.MULTILINE | re.DOTALL
        )
        assert found, f"no section {title}"
        text = found[2]
    fences = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert fences, f"no blocks under {title}"
    return [Block(*fence) for fence in fences]


def with_output(found: Sequence[Block]) -> Iterator[tuple[Block, str | None]]:
    """Every block that is run, with what it must print, None where nothing is said of that."""
    for at, block in enumerate(found):
        if block.language != "text":
            following = found[at + 1 : at + 2]
            shown = [block.text for block in following if block.language == "text"]
            yield block, shown[0] if shown else None


def pattern(shown: str) -> str:
    """The regular expression that output has to match."""
    return "".join(
        r"(?:[^\n]*\n)*?"
        if line == "..."
        else re.escape(line).replace(re.escape("..."), r"[^\n]*") + r"\n"
        for line in shown.splitlines()
    )


def check(block: Block, shown: str | None, printed: str) -> None:
    """Compare what a block printed with what the page shows."""
    if shown is not None:
        assert re.fullmatch(pattern(shown), printed), f"{block.text}\nprinted\n{printed}"


class Shell:
    """One bash, so that what a block sets is there in the next."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["timeout", str(BLOCK_S), "bash"],
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str) -> str:
        """What the block prints; its last command must succeed."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"set -o pipefail\n{script}\necho '{DONE}' $?\n")
        self._bash.stdin.flush()
        printed: list[str] = []
        for line in self._bash.stdout:
            if line.startswith(DONE):
                assert line.split()[-1] == "0", f"{script}\nprinted\n{''.join(printed)}"
                return "".join(printed)
            printed.append(line)
        raise AssertionError(f"the shell ended in\n{script}\nafter\n{''.join(printed)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bash.communicate("exit\n", timeout=BLOCK_S)


@contextmanager
def directory() -> Iterator[Path]:
    """A directory with a short name, which PostgreSQL's own user can reach."""
    made = Path(tempfile.mkdtemp(prefix="wl-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Service:
    """The service as a person starts it in a terminal, and stops it there."""

    def __init__(self, command: Sequence[str], port: int, log: Path) -> None:
        self.port = port
        self.log = log
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C reaches every process of the terminal; so does this. The exit code."""
        if self._process is None:
            return 0
        os.killpg(self._process.pid, number)
        code = self._process.wait(timeout=START_S)
        self._process = None
        return code

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


class Demonstration:
    """The demonstration configuration, copied to where it disturbs nobody, and its service."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.config = place / "deploy" / "demo.toml"
        shutil.copytree(ROOT / "deploy", place / "deploy")
        port = free_port()
        text = self.config.read_text(encoding="utf-8").replace("8080", str(port))
        self.config.write_text(text, encoding="utf-8")
        command = ["make", "-o", ".venv/.installed", f"BIN={BIN}", f"CONFIG={self.config}", "run"]
        self.service = Service(command, port, place / "log")

    def here(self, script: str) -> str:
        """The script with this port, this configuration and this Python."""
        return (
            script.replace("127.0.0.1:8080", f"127.0.0.1:{self.service.port}")
            .replace("deploy/demo.toml", str(self.config))
            .replace(".venv/bin/", f"{BIN}/")
        )


@pytest.fixture
def demonstration() -> Iterator[Demonstration]:
    """What `make run` serves."""
    with directory() as place:
        made = Demonstration(place)
        yield made
        made.service.stop()


def test_the_tour_works_as_it_is_written(demonstration):
    """A newcomer's first five minutes decide whether there will be a sixth."""
    service = demonstration.service
    with Shell(ROOT, {}) as shell:
        for block, shown in with_output(blocks(ROOT / "README.md", "A tour in five minutes")):
            if block.text == "make run\n":
                service.stop()
                service.start()
            else:
                check(block, shown, shell.run(demonstration.here(block.text)))


def wait_for_example(log: Path) -> str:
    """The call to paste that `serve` prints, a moment after it is ready."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        printed = log.read_text()
        found = re.search(r"^curl .*\n.*\n.*'$", printed, re.MULTILINE)
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_the_printed_example_works_as_it_stands(demonstration):
    """It is the first call that anybody makes; pasted twice it is answered twice, booked once."""
    demonstration.service.start()
    example = wait_for_example(demonstration.service.log)
    with Shell(ROOT, {}) as shell:
        answers = [shell.run(f"{example}; echo") for _ in range(2)]
    assert answers[0] == answers[1]
    assert '"balance":99900' in answers[0]


def test_sigterm_stops_the_service_and_leaves_no_database_behind(demonstration):
    """A supervisor stops it so, every day, and the data directory must then be free."""
    demonstration.service.start()
    database = EmbeddedPostgres(demonstration.place / "var" / "postgres")
    assert database.is_running()
    demonstration.service.stop(signal.SIGTERM)
    assert not database.is_running()


def test_the_backup_of_the_runbook_can_be_started(demonstration):
    """A backup that was never restored is none."""
    demonstration.service.start()
    block, _ = blocks(ROOT / "deploy" / "runbooks" / "backup.md", "")
    packages = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
    script = block.text.replace(".venv/lib/python3*/site-packages", str(packages))
    with Shell(demonstration.place, {}) as shell:
        shell.run(script)
    demonstration.service.stop()
    backup = demonstration.place / "var" / "backup"
    owner = (demonstration.place / "var" / "postgres").stat()
    for path in (backup, *backup.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    with EmbeddedPostgres(backup) as restored, psycopg.connect(restored.migrate_url) as connection:
        rows = connection.execute("SELECT count(*) FROM ledger_p00.events").fetchone()
    assert rows is not None
    assert rows[0] >= 15  # five demonstration players: registered, given a wallet and a deposit


@contextmanager
def own_database() -> Iterator[tuple[Path, EmbeddedPostgres]]:
    """A server with nothing of the ledger's in it, as an operator has one."""
    with directory() as place, EmbeddedPostgres(place / "pg") as server:
        with psycopg.connect(server.url("postgres", SUPERUSER), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {DATABASE}".encode())
            connection.execute(b"DROP ROLE wallet_ledger, ledger_app")
        yield place, server


def execute(server: EmbeddedPostgres, database: str, user: str, script: str) -> None:
    """Run the statements of a block of SQL."""
    with psycopg.connect(server.url(database, user), autocommit=True) as connection:
        for statement in script.split(";"):
            if statement.strip():
                connection.execute(statement.encode())


def test_a_database_of_your_own_is_set_up_as_it_is_written():
    """Its rights are what stands between a stolen password of the service and the history."""
    port = free_port()
    (example,) = [
        block.text
        for block in blocks(ROOT / "README.md", "Configuration")
        if block.language == "toml"
    ]
    with own_database() as (place, server):
        config = place / "production.toml"
        here = {
            '"10.0.0.5"': f'"127.0.0.1"\nport = {port}',
            "/mnt/elsewhere/seals": str(place / "copies"),
            "env:WALLET_LEDGER_SEAL_KEY": "file:seals-private.pem",
        }
        for there, value in here.items():
            example = example.replace(there, value)
        config.write_text(example)
        environment = {
            "PATH": f"{BIN}:{binaries()}:{os.environ['PATH']}",
            "URL": server.url(user="wallet_app"),
            "WALLET_LEDGER_DATABASE_URL": server.url(user="wallet_app"),
            "WALLET_LEDGER_MIGRATE_URL": server.url(user="wallet_migrate"),
            "BACK_OFFICE_TOKEN": "one",
            "AUDITOR_TOKEN": "two",
            "BETBROTHERS_SECRET": "three",
        }
        make_key, *sealing = with_output(blocks(ROOT / "README.md", "Sealing the log"))
        evidence = with_output(blocks(ROOT / "README.md", "Evidence in a dispute"))
        steps = [
            make_key,
            *with_output(blocks(ROOT / "README.md", "A database of your own")),
            *with_output(blocks(ROOT / "README.md", "Old rounds")),
        ]
        where = iter([("postgres", SUPERUSER), (DATABASE, "wallet_migrate")])
        with Shell(place, environment) as shell:
            for block, shown in steps:
                if block.language == "sql":
                    execute(server, *next(where), block.text)
                else:
                    quiet = f"{block.text.rstrip()} 2>>log"
                    check(block, shown, shell.run(quiet))
            asyncio.run(register_some(environment["URL"], 4))
            for block, shown in (*sealing, *evidence):
                script = block.text.replace("deploy/", f"{ROOT}/deploy/")
                check(block, shown, shell.run("\n".join(_quiet(script))))
            shell.run(f"wallet-ledger audit guards --config {config} 2>>log")
        service = Service(
            [f"{BIN}/wallet-ledger", "serve", "--config", str(config)], port, place / "out"
        )
        service.start(environment)
        try:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                execute(server, DATABASE, "wallet_app", "DELETE FROM ledger_p00.events")
        finally:
            code = service.stop(signal.SIGTERM)
        assert code == 0


def test_the_runbook_moves_a_ledger_to_another_server():
    """The way to another major version: what stays behind is missed when the service starts."""
    _, move = blocks(ROOT / "deploy" / "runbooks" / "backup.md", "")
    roles, grant = (
        block.text
        for block in blocks(ROOT / "README.md", "A database of your own")
        if block.language == "sql"
    )
    with own_database() as (place, old), own_database() as (_, new):
        execute(old, "postgres", SUPERUSER, roles)
        asyncio.run(initialise(old.url(user="wallet_migrate"), 1))
        execute(old, DATABASE, "wallet_migrate", grant)
        asyncio.run(register("ann", old.url(user="wallet_app")))
        environment = {
            "PATH": f"{binaries()}:{BIN}:{os.environ['PATH']}",
            "OLD": server_url(old),
            "NEW": server_url(new),
            "URL": new.url(user="wallet_app"),
        }
        config = place / "moved.toml"
        config.write_text('[database]\nurl = "env:URL"\n')
        with Shell(place, environment) as shell:
            for line in move.text.splitlines():
                shell.run(line)
            said = shell.run(f"wallet-ledger audit --config {config} 2>>log")
        assert said.splitlines() == [
            "0 differences in 2 events (players and games: 1)",
            "0 differences in 0 seals of 0 events (known from elsewhere: 0); not sealed: 2 events",
            "0 differences between the views and the events",
            f"0 differences in {GUARDS} guards of the log",
        ]
        with psycopg.connect(environment["URL"]) as connection:
            rows = connection.execute("SELECT count(*) FROM ledger_p00.events").fetchall()
        assert rows == [(2,)]  # registered, given a wallet


def _quiet(script: str) -> list[str]:
    """Its lines, without warnings and progress."""
    return [f"{line} 2>>log" for line in script.splitlines()]


async def register_some(url: str, partitions: int) -> None:
    """Register players in every partition."""
    async with opened(url, partitions=partitions) as process:
        for number in range(20):
            await process.accepted(RegisterPlayer(player_id=f"player-{number}", currency="EUR"))


async def register(player_id: str, url: str) -> None:
    """Register a player."""
    async with opened(url) as process:
        await process.accepted(RegisterPlayer(player_id=player_id, currency="EUR"))


def server_url(server: EmbeddedPostgres) -> str:
    """A URL to which a database's name can be added."""
    return f"postgresql://{SUPERUSER}@{quote(str(server.socket_dir), safe='')}:5432"
