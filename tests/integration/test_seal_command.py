"""`wallet-ledger seal`: once for whoever keeps the seals himself, or until it is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters import cli
from adapters.seal_copies import SealCopies
from ledger.embedded import SUPERUSER
from ledger.seals import from_line, to_line
from ledger.store import Store
from tests.acceptance.service import COMMAND, ROOT, until
from tests.faults.ledgers import query
from tests.integration.seal_stories import PEM, Log, all_seals, lines_of, sealed
from tests.integration.tampering import superuser

SEALS = "SELECT count(*) FROM ledger_p00.seals"


class Command:
    """`wallet-ledger` on one database, with the key of this run."""

    key = f'key = """{PEM}"""'
    partitions = 1

    def __init__(self, directory: Path, url: Callable[..., str], capfd: Any) -> None:
        self.file = directory / "wallet-ledger.toml"
        self.copies = directory / "copies"
        self._url = url
        self._capfd = capfd

    def __call__(self, *arguments: str, login: str = "wallet_ledger") -> tuple[int, list[str], str]:
        """Run it: its exit code, its lines, and what it complained of."""
        self.write(login)
        self._capfd.readouterr()
        code = cli.run([*arguments, "--config", str(self.file)])
        out, err = self._capfd.readouterr()
        return code, out.splitlines(), err

    def write(self, login: str = "wallet_ledger") -> None:
        """The configuration."""
        self.file.write_text(
            f'[database]\nurl = "{self._url(login)}"\npartitions = {self.partitions}\n'
            f'[seals]\n{self.key}\ncopy_to = "copies"\ninterval_s = 0.1\n'
        )
        self.file.chmod(0o600)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """`seal` as a process, killed at the end of the block where it has not ended."""
        self.write()
        with (self.file.parent / "log").open("ab") as log:
            process = subprocess.Popen(
                [COMMAND, "seal", "--config", self.file], cwd=ROOT, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self.file.parent / "log").read_text()

    def copied(self) -> int:
        """How many seals the copy holds."""
        file = self.copies / "seals-00.jsonl"
        return len(lines_of(file)) if file.exists() else 0


@pytest.fixture
def command(postgres, database, tmp_path, capfd) -> Command:
    """On the test's database."""
    return Command(tmp_path, partial(postgres.url, database), capfd)


@pytest.fixture
def log(store: Store) -> Log:
    """The log of the test's database."""
    return Log(store)


async def run(command: Command, *arguments: str) -> tuple[int, list[str], str]:
    """It has a loop of its own."""
    return await asyncio.to_thread(command, *arguments)


async def test_once_prints_a_line_that_the_audit_takes(log, command, database_url, tmp_path):
    """A seal on paper, or in a mail, is what nobody can rewrite."""
    await log.append(3)
    code, lines, complaint = await run(command, "seal", "--once")
    assert code == 0
    assert "sealed" in complaint
    (seal,) = await all_seals(database_url)
    assert [from_line(line.encode()) for line in lines] == [seal]
    assert json.loads(lines[0])["through_id"] == 3
    assert lines_of(command.copies / "seals-00.jsonl") == [seal]
    assert await run(command, "seal", "--once") == (0, lines, "")
    kept = tmp_path / "kept"
    kept.write_text(lines[0] + "\n")
    said = "0 differences in 1 seals of 3 events (known from elsewhere: 2); not sealed: 0 events"
    assert await run(command, "audit", "seals", "--known", str(kept)) == (0, [said], "")


async def test_once_prints_a_line_of_each_partition_that_has_one(
    postgres, databases, command, capfd, tmp_path
):
    """One file holds them all."""
    template = await asyncio.to_thread(databases.template, 3)
    with databases.fresh(template) as name:
        with psycopg.connect(postgres.url(name, SUPERUSER)) as connection:
            for partition in (0, 2):
                connection.execute(
                    f"INSERT INTO ledger_p0{partition}.events VALUES"
                    " ('player:ann', 1, 'x.v1', sha256('')|| '{}')".encode()
                )
        several = Command(tmp_path, partial(postgres.url, name), capfd)
        several.partitions = 3
        code, lines, _ = await run(several, "seal", "--once")
        assert code == 0
        assert [from_line(line.encode()).partition for line in lines] == [0, 2]
        kept = tmp_path / "kept"
        kept.write_text("\n".join(lines) + "\n")
        code, lines, _ = await run(several, "audit", "seals", "--known", str(kept))
        assert (code, lines[-1]) == (
            0,
            "0 differences in 2 seals of 2 events (known from elsewhere: 4); not sealed: 0 events",
        )


def test_once_prints_nothing_where_there_is_nothing(command):
    """An empty log has no seal."""
    assert command("seal", "--once") == (0, [], "")


@pytest.mark.parametrize("options", [(), ("--once",)])
def test_without_a_key_it_does_not_start(options, command):
    """One line, and which setting is wanted."""
    command.key = ""
    assert command("seal", *options) == (
        2,
        [],
        "wallet-ledger: seals.key: required: an Ed25519 private key\n",
    )


async def test_a_seal_that_is_gone_is_named(log, command, database_url, admin_url):
    """The operator must know where to look."""
    await log.append(1)
    await run(command, "seal", "--once")
    with superuser(admin_url) as root:
        root.execute("DELETE FROM ledger_p00.seals")
    assert await run(command, "seal", "--once") == (
        2,
        [],
        "wallet-ledger: partition 0: seal 1 is known and not in the database\n",
    )
    assert await all_seals(database_url) == []


@pytest.mark.parametrize("spoil", ["garbage", "directory", "file"])
async def test_a_copy_that_cannot_be_kept_is_named(spoil, log, command):
    """In one line, whatever it is."""
    await log.append(1)
    if spoil == "file":
        command.copies.write_text("")
    else:
        command.copies.mkdir()
        file = command.copies / "seals-00.jsonl"
        file.mkdir() if spoil == "directory" else file.write_text("garbage\n")
    code, lines, complaint = await run(command, "seal", "--once")
    assert (code, lines) == (2, [])
    _, _, said = complaint.rpartition("wallet-ledger: ")
    assert said.count("\n") == 1
    assert "seals.copy_to: " in said or str(command.copies) in said


@pytest.mark.parametrize("options", [(), ("--once",)])
def test_a_login_that_may_not_seal_is_told_so(options, command, admin_url):
    """At the start, and not every five seconds of a night."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS no_seals")
        connection.execute("CREATE ROLE no_seals LOGIN IN ROLE ledger_app")
        try:
            code, lines, complaint = command("seal", *options, login="no_seals")
        finally:
            connection.execute("DROP ROLE no_seals")
    assert (code, lines) == (2, [])
    assert "ledger_seal" in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("strike", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_seals_what_comes_until_it_is_told_to_stop(
    strike, log, command, admin_url, database_url
):
    """It ends as one that was told to, and the copy is whole."""
    with command.running() as process:
        for number in (1, 2):
            await log.append(2)
            await _until(partial(_copied, command, number))
        process.send_signal(strike)
        assert await _ended(process) == 0
    assert query(admin_url, SEALS) == [(2,)]
    assert lines_of(command.copies / "seals-00.jsonl") == await all_seals(database_url)
    assert "Traceback" not in command.log


async def test_the_process_goes_on_when_the_database_is_back(
    log, command, database, postgres, admin_url
):
    """Nobody restarts it at night; nor where it was killed in between."""
    with command.running() as process:
        await log.append(1)
        await _until(lambda: command.copied() == 1)
        with psycopg.connect(postgres.url("postgres", SUPERUSER), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false".encode())
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                (database,),
            )
            await _until(lambda: "sealing_failed" in command.log)
            connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true".encode())
        await log.append(1)
        await _until(lambda: command.copied() == 2)
        os.kill(process.pid, signal.SIGKILL)
    await log.append(1)
    with command.running():
        await _until(lambda: command.copied() == 3)
    assert query(admin_url, SEALS) == [(3,)]
    assert "Traceback" not in command.log


async def test_two_processes_beside_each_other_keep_one_copy(log, command, admin_url, database_url):
    """While one is replaced by another."""
    with command.running(), command.running():
        for number in range(10):
            await log.append(1)
            await _until(partial(_made, admin_url, number + 1))
        await _until(lambda: command.copied() == 10)
    assert lines_of(command.copies / "seals-00.jsonl") == await all_seals(database_url)


async def test_the_process_says_that_a_seal_is_gone_and_makes_no_other(
    log, command, database_url, admin_url
):
    """Until somebody comes."""
    await log.append(1)
    first = await sealed(database_url)
    SealCopies(command.copies).add(0, [first])
    with superuser(admin_url) as root:
        root.execute("DELETE FROM ledger_p00.seals")
    with command.running() as process:
        await _until(lambda: "seals_differ" in command.log)
        process.terminate()
        assert await _ended(process) == 0
    assert query(admin_url, SEALS) == [(0,)]
    assert (command.copies / "seals-00.jsonl").read_bytes() == to_line(first) + b"\n"


async def _until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, condition)


async def _ended(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, 30)


def _copied(command: Command, number: int) -> bool:
    return command.copied() == number


def _made(url: str, number: int) -> bool:
    return query(url, SEALS) == [(number,)]
