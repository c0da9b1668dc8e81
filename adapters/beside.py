"""Long work in processes of their own, beside the service.

Python's threads take turns: beside one that was busy making a report, a provider's call that takes
3 ms took 250. A process ends with its work and leaves no memory behind.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeVar

from adapters.children import NICENESS
from adapters.telemetry import configure_logging
from projections.reports.errors import ReportError, ReportProcessLost, ReportTooLong

_CONTEXT: Final = multiprocessing.get_context("forkserver")
# Read once, where the processes are forked from.
_CONTEXT.set_forkserver_preload(
    ["adapters.operator.reports", "adapters.operator.gpas_report", "adapters.evidence"]
)

TIMEOUT_S: Final = 60.0
"""How long a call may have something made."""

Result = TypeVar("Result")


async def beside(work: Callable[[], Result]) -> Result:
    """What ``work`` returns, done by a niced process: a function of a module, or a partial of one.

    Raises what it raises, and `ReportProcessLost`. Cancelled, it kills the process.
    """
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_answer, args=(sender, work), daemon=True)
    try:
        made, answer = await asyncio.to_thread(_receive, process, receiver, sender)
    except asyncio.CancelledError:
        with suppress(ValueError):  # it was closed this moment
            if process.pid is not None:
                process.kill()  # nobody waits for it any more
        raise
    if made:
        result: Result = answer
        return result
    try:
        raise answer
    finally:
        del answer  # its traceback holds this frame, which would hold it until garbage is collected


async def in_time(making: Coroutine[Any, Any, Result]) -> Result:
    """What is made within `TIMEOUT_S`. Raises `ReportTooLong`."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await making
    except TimeoutError:
        raise ReportTooLong(
            f"not made within {TIMEOUT_S:.0f} s: narrow the period or the filters, or use the"
            " command line"
        ) from None


def _receive(process: BaseProcess, receiver: Connection, sender: Connection) -> tuple[bool, Any]:
    """Start the process and wait for its answer and its end."""
    try:
        with receiver:
            with sender:
                process.start()
            answer: tuple[bool, Any] = receiver.recv()
    except (EOFError, OSError) as error:
        raise ReportProcessLost from error
    finally:
        # Now: an error's traceback would keep it, with its open files, until garbage is collected.
        if process.pid is not None:
            process.join()
        process.close()
    return answer


def _answer(sender: Connection, work: Callable[[], Any]) -> None:
    """The whole process: do the work, and send what became of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service to hear
    configure_logging()
    os.nice(NICENESS)
    try:
        answer = True, work()
    except Exception as error:  # noqa: BLE001 - the process's edge: whoever asked gets it
        if not isinstance(error, ReportError):
            error.add_note(traceback.format_exc())
        answer = False, error
    sender.send(answer)
