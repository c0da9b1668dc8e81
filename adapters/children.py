"""Child processes of the service: kept running, told to stop, never left behind."""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from typing import Any, Final

import structlog

from ledger.repeated import Repeated

log = structlog.get_logger(__name__)

NICENESS: Final = 10
"""How far processes beside the service step back: providers' calls go first where cores are few."""

_TICK_S: Final = 0.5


class Children:
    """Processes that are started again whenever they end.

    ``died`` is told the process id of one that ended by itself, once.
    """

    def __init__(self, died: Callable[[int], None]) -> None:
        self._died = died
        self._targets: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._processes: list[SpawnProcess | None] = []  # None: to be started
        self._failures = Repeated()

    def add(self, target: Callable[..., None], *arguments: Any) -> None:
        """Start a process that calls ``target`` with the arguments and this process's id."""
        self._targets.append((target, arguments))
        self._processes.append(self._start(len(self._processes)))

    async def keep(self) -> None:
        """Start again what ends, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            for place in range(len(self._processes)):
                try:
                    self._keep_one(place)
                except Exception:
                    # The outermost loop: a machine out of memory or files has some again later.
                    if times := self._failures.happened():
                        log.exception("worker_not_replaced", times=times)

    async def stop(self, wait_s: float) -> None:
        """Send SIGTERM to all and wait for them; kill those that have not ended by then."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        processes = [process for process in self._processes if process is not None]
        for process in processes:
            process.terminate()
        for process in processes:
            await asyncio.to_thread(process.join, max(0.0, deadline - loop.time()))
            if process.is_alive():
                log.error("worker_killed", process_id=process.pid, waited_s=wait_s)
                process.kill()
                await asyncio.to_thread(process.join)

    def _keep_one(self, place: int) -> None:
        process = self._processes[place]
        if process is not None and process.is_alive():
            return
        if process is not None:
            log.error("worker_died", process_id=process.pid, exit_code=process.exitcode)
            self._processes[place] = None
            self._died(process.pid or 0)
        self._processes[place] = self._start(place)

    def _start(self, place: int) -> SpawnProcess:
        target, arguments = self._targets[place]
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(target=target, args=(*arguments, os.getpid()))
        process.start()
        return process


def stop_signals() -> asyncio.Event:
    """An event that SIGTERM, Ctrl-C or a terminal that is closed sets."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    def hang_up(_number: int, _frame: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stopped.set)

    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        # It comes once from the terminal and once from the shell, also after the loop has ended: a
        # handler of the loop's own would be gone by then, and the second one would kill.
        signal.signal(signal.SIGHUP, hang_up)
        atexit.register(signal.signal, signal.SIGHUP, signal.SIG_IGN)
    return stopped


async def stop_without(parent: int, stopped: asyncio.Event) -> None:
    """Set ``stopped`` when the parent process is gone: a child must not outlive it."""
    while os.getppid() == parent:  # noqa: ASYNC110 - the system tells nobody
        await asyncio.sleep(_TICK_S)
    stopped.set()
