"""kill -9 of the projections' process while events keep coming: the views stay the log's own fold.

A kill tests what a process keeps in memory, not what a disk keeps: it cannot prove fsync.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from projections.rebuild import rebuild
from projections.registry import VIEW_NAMES
from tests.acceptance.service import COMMAND, ROOT, write_configuration
from tests.faults.ledgers import query
from tests.integration.projection_history import images
from tests.integration.test_projection_runner import all_at, check_views, until

RATE = 1_500
"""Events a second that the load tries to append."""
WORKING_S = 0.8
"""A process is killed at a random moment of this time after it has taken its first view."""
AIMED = 0.5
"""Part of the kills that wait, after that time, for the next transaction."""
SMALL = "tests.integration.projection_process"
"""The same runner without its pauses and in small batches: nearly always inside one."""


@dataclass
class Moment:
    """What a process was at when it was killed."""

    position: int
    """Of the view that was furthest behind."""
    head: int
    writing: int
    """Views with a transaction open."""


class Prey:
    """Starts processes that run the views, and kills them."""

    def __init__(self, url: str, admin_url: str, directory: Path, chance: random.Random) -> None:
        file = write_configuration(directory / "project.toml", database={"url": url})
        self._commands = {
            "as operators run it": [str(COMMAND), "project", "--config", str(file)],
            "in small batches": [sys.executable, "-m", SMALL, url, "10"],
        }
        self._log = directory / "project.log"
        self._admin_url = admin_url
        self._chance = chance

    def strike(self, number: int) -> Moment:
        """Start a process, let it work for a random while, and kill it."""
        kind = list(self._commands)[number % 2]
        with (
            self.running(kind) as process,
            psycopg.connect(self._admin_url, autocommit=True) as connection,
        ):
            self._wait_for_work(connection, process)
            time.sleep(self._chance.random() * WORKING_S)
            moment = _look(connection)
            if self._chance.random() < AIMED:
                moment = _next_transaction(connection, moment)
            process.kill()
            process.wait()
        print(f"kill {number + 1}, {kind}: {moment}")
        return moment

    @contextmanager
    def running(self, kind: str = "as operators run it") -> Iterator[subprocess.Popen[bytes]]:
        """A process that runs the views; it does not outlive the block."""
        with self._log.open("ab") as output:
            process = subprocess.Popen(self._commands[kind], cwd=ROOT, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def listening(self) -> Iterator[subprocess.Popen[bytes]]:
        """A process as operators run it, which a signal ends in order: earlier it just kills it.

        What the views hold does not tell: a transaction may end after the process that began it.
        """
        before = self._log.stat().st_size
        with self.running() as process:
            deadline = time.monotonic() + 30.0
            while b'"event":"projecting"' not in self._log.read_bytes()[before:]:
                assert process.poll() is None, self._log.read_text()[-2000:]
                assert time.monotonic() < deadline, "it did not start"
                time.sleep(0.01)
            yield process

    def _wait_for_work(
        self, connection: psycopg.Connection, process: subprocess.Popen[bytes]
    ) -> None:
        deadline = time.monotonic() + 30.0
        while not _views_taken(connection):
            assert process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < deadline, "it took no view"
            time.sleep(0.01)


def _views_taken(connection: psycopg.Connection) -> bool:
    held = connection.execute(
        """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
        WHERE locktype = 'advisory' AND granted AND datname = current_database()"""
    ).fetchone()
    return bool(held and held[0])


def _next_transaction(connection: psycopg.Connection, moment: Moment) -> Moment:
    deadline = time.monotonic() + 2.0
    while not moment.writing and time.monotonic() < deadline:
        moment = _look(connection)
    return moment


def _look(connection: psycopg.Connection) -> Moment:
    row = connection.execute(
        """SELECT
            (SELECT min(position) FROM ledger_p00.projections),
            (SELECT max(notification_id) FROM ledger_p00.events),
            (
                SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND xact_start IS NOT NULL
                    AND application_name LIKE 'wallet-ledger view %'
            )"""
    ).fetchone()
    assert row is not None
    return Moment(*row)


@contextmanager
def load(url: str, seed: int) -> Iterator[list[int]]:
    """Appends all the time in a process of its own; afterwards the list holds how many."""
    command = [sys.executable, "-m", "tests.integration.projection_load", url, str(seed)]
    process = subprocess.Popen(
        [*command, str(RATE)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    appended: list[int] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "ready\n":
                break
        yield appended
        told, _ = process.communicate()
        assert process.returncode == 0
        appended.append(int(told.rsplit("appended ", 1)[1]))
    finally:
        process.kill()
        process.wait()


async def test_killed_under_load_the_views_are_what_a_fresh_rebuild_gives(
    database_url: str, admin_url: str, tmp_path: Path
) -> None:
    """Position and rows are one transaction: there is no moment at which a kill hurts."""
    await _survive(database_url, admin_url, tmp_path, kills=8)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_thirty_times_under_load_the_views_are_what_a_fresh_rebuild_gives(
    database_url: str, admin_url: str, tmp_path: Path, seed: int
) -> None:
    """The same for longer: 30 kills bound the chance of a difference at 10 % a kill (95 %)."""
    await _survive(database_url, admin_url, tmp_path, kills=30, seed=seed)


async def _survive(url: str, admin_url: str, directory: Path, kills: int, seed: int = 0) -> None:
    prey = Prey(url, admin_url, directory, random.Random(seed))
    began = time.monotonic()
    with load(url, seed) as appended:
        moments = [await asyncio.to_thread(prey.strike, number) for number in range(kills)]
    _check_moments(moments, appended[0] / (time.monotonic() - began))
    with prey.listening() as process:
        await until(lambda: all_at(url, appended[0]), 60.0)
        process.terminate()
        assert process.wait(10.0) == 0
    assert query(url, "SELECT count(*), max(notification_id) FROM ledger_p00.events") == [
        (appended[0], appended[0])
    ]
    await _check_rebuilt(url, appended[0])


def _check_moments(moments: list[Moment], rate: float) -> None:
    behind = sum(moment.position < moment.head for moment in moments)
    writing = sum(moment.writing > 0 for moment in moments)
    print(
        f"{len(moments)} kills: {behind} with events to process, {writing} inside a transaction; "
        f"{rate:.0f} events/s meanwhile"
    )
    assert behind >= len(moments) * 0.75, "most kills must fall while there is work to do"
    assert writing >= len(moments) * 0.25, "many kills must fall within a batch"
    positions = [moment.position for moment in moments]
    assert positions == sorted(positions), "a position went back"
    assert positions[-1] > positions[0]


async def _check_rebuilt(url: str, head: int) -> None:
    """What the live views hold, a comparison with a fold beside them, and a rebuild in place."""
    live = images(url)
    assert all(live.values())
    await check_views(url, head)
    for name in VIEW_NAMES:
        assert await rebuild(url, 0, name) == head
    rebuilt = images(url)
    assert {name for name in live if live[name] != rebuilt[name]} == set()
