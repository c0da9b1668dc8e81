"""Child processes of the service: what no machine and no child may do to their supervisor."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adapters import children, server
from adapters.children import Children
from adapters.database import Addresses
from adapters.settings import Projections, Settings

WAIT_S = 20.0
GRACE_S = 0.3
NO_FILES_LEFT = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that must come true soon."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - the system tells nobody
            await asyncio.sleep(0.01)


def live(_parent: int) -> None:
    """What the children do."""
    time.sleep(1000)


@asynccontextmanager
async def kept(family: Children) -> AsyncIterator[SpawnProcess]:
    """One child that lives and is kept running."""
    family.add(live)
    keeping = asyncio.create_task(family.keep())
    try:
        yield only(family)
        assert not keeping.done()
    finally:
        keeping.cancel()
        await family.stop(WAIT_S)


def only(family: Children) -> SpawnProcess:
    """The only child."""
    (process,) = family._processes
    assert process is not None
    return process


def alive(family: Children) -> bool:
    """Whether every child is there and lives."""
    return all(process is not None and process.is_alive() for process in family._processes)


async def freeze(process: SpawnProcess) -> None:
    """Stop it where it is, so that it hears no signal but the last."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    stat = Path(f"/proc/{process.pid}/stat")
    await until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_TICK_S", 0.02)


async def test_a_child_that_cannot_be_started_again_is_tried_until_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No file or memory to spare for a moment must not leave the service without it for ever."""
    died: list[int] = []
    failures = 3
    start = SpawnProcess.start

    def fail_at_first(process: SpawnProcess) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise NO_FILES_LEFT
        start(process)

    family = Children(died.append)
    with capture_logs() as logs:
        async with kept(family) as first:
            monkeypatch.setattr(SpawnProcess, "start", fail_at_first)
            first.kill()
            await until(lambda: not failures and alive(family))
    assert died == [first.pid], "told once, however often it is tried"
    said = [(line["event"], line.get("times")) for line in logs]
    assert said == [("worker_died", None), ("worker_not_replaced", 1)], "said once, then every 5 s"


async def test_a_child_is_started_again_whatever_becomes_of_the_word_that_it_died() -> None:
    """Tidying up after it touches files: that it fails is no reason to do without the child."""

    def fail(_process_id: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    family = Children(fail)
    with capture_logs() as logs:
        async with kept(family) as first:
            first.kill()
            await until(lambda: not first.is_alive() and alive(family))
    assert [line["event"] for line in logs] == ["worker_died", "worker_not_replaced"]


async def test_a_stop_while_a_child_is_still_to_be_started_again_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is nobody to wait for."""

    def fail(_process: SpawnProcess) -> None:
        raise NO_FILES_LEFT

    family = Children(lambda _process_id: None)
    async with kept(family) as first:
        monkeypatch.setattr(SpawnProcess, "start", fail)
        first.kill()
        await until(lambda: family._processes == [None])
        async with asyncio.timeout(WAIT_S):
            await family.stop(GRACE_S)


async def test_children_that_do_not_end_within_the_grace_are_killed() -> None:
    """All of them share the grace: a service manager kills everything soon after."""
    family = Children(lambda _process_id: None)
    for _ in range(3):
        family.add(live)
    stuck = [process for process in family._processes if process is not None]
    try:
        for process in stuck:
            await freeze(process)
        with capture_logs() as logs:
            await family.stop(GRACE_S)
        assert [process.exitcode for process in stuck] == [-signal.SIGKILL] * 3
        assert [line["event"] for line in logs] == ["worker_killed"] * 3
    finally:
        for process in stuck:
            process.kill()


STOPPING = """
import asyncio
from adapters.children import Children
from tests.integration.test_children import GRACE_S, freeze, live, only

async def main():
    family = Children(lambda _process_id: None)
    family.add(live)
    await freeze(only(family))
    print(only(family).pid, flush=True)
    await family.stop(GRACE_S)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_process_whose_child_is_stuck_ends_all_the_same(tmp_path: Path) -> None:
    """At its exit Python waits for every child it still has, and for ever."""
    script = tmp_path / "stopping.py"
    script.write_text(STOPPING)
    root = str(Path(__file__).parents[2])
    stopping = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert stopping.stdout is not None
        child = int(stopping.stdout.readline())
        assert stopping.wait(WAIT_S) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(stopping.pid, signal.SIGKILL)
        stopping.communicate()


async def test_no_child_outlives_a_service_that_fails():
    """A process whose child lives cannot end: neither by itself nor on SIGTERM."""
    family = Children(lambda _: None)
    settings = Settings(projections=Projections(in_serve=False))

    async def fail() -> None:
        async with server._helped(settings, Addresses("", ""), family, WAIT_S):
            family.add(live)
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        await fail()
    assert not alive(family)
