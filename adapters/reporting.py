"""Reports are made in processes of their own, beside the service.

Python's threads take turns: beside one that was busy making a report, a provider's call that takes
3 ms took 250. A process ends with its report and leaves no memory behind.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeVar

from adapters.children import NICENESS
from adapters.settings import Settings
from adapters.telemetry import configure_logging
from projections.reports.asked import Filters
from projections.reports.errors import ReportError, ReportProcessLost, ReportTooLong
from projections.reports.period import Period
from projections.reports.report import Report
from projections.reports.service import Reports

REPORT_TIMEOUT_S: Final = 60.0
"""How long the making of a report may take."""

_AT_ONCE: Final = 2
_CONTEXT: Final = multiprocessing.get_context("forkserver")
# Read once, where the processes are forked from.
_CONTEXT.set_forkserver_preload(["adapters.operator.reports", "adapters.operator.gpas_report"])

Result = TypeVar("Result")


def configured_reports(url: str, settings: Settings, *, rows_max: int | None = None) -> Reports:
    """The reports of this configuration; those of more than ``rows_max`` rows are refused."""
    return Reports(
        url,
        settings.database.partitions,
        settings.currencies,
        answer_s=settings.limits.answer_timeout_s,
        operator=settings.reports.operator,
        large_wins=settings.reports.large_wins,
        rows_max=rows_max,
        integrations=tuple(settings.integrations),
    )


class Reporting:
    """Makes reports with ``reports``, `_AT_ONCE` at a time; every worker has one of these."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def make(
        self, name: str, period: Period, filters: Filters, finish: Callable[[Report], Result]
    ) -> Result:
        """What ``finish`` makes of the report, in that process: a function of a module.

        Raises as `Reports.make`; `ReportProcessLost`, `ReportTooLong`.
        """
        self._reports.check(name, period, filters)  # here: what makes no sense need not wait
        await self._reports.settle(period)  # without a turn: others need not wait with it
        async with self._turns:
            receiver, sender = _CONTEXT.Pipe(duplex=False)
            work = partial(_make, self._reports, name, period, filters, finish)
            process = _CONTEXT.Process(target=_answer, args=(sender, work), daemon=True)
            try:
                made, answer = await asyncio.to_thread(_receive, process, receiver, sender)
            except asyncio.CancelledError:
                if process.pid is not None:
                    process.kill()  # nobody waits for it any more
                raise
        if not made:
            raise answer
        result: Result = answer
        return result


def _receive(process: BaseProcess, receiver: Connection, sender: Connection) -> tuple[bool, Any]:
    """Start the process and wait for its answer."""
    with receiver:
        try:
            with sender:
                process.start()
            answer: tuple[bool, Any] = receiver.recv()
            process.join()
        except (EOFError, OSError) as error:
            raise ReportProcessLost from error
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


def _make(
    reports: Reports,
    name: str,
    period: Period,
    filters: Filters,
    finish: Callable[[Report], Result],
) -> Result:
    async def in_time() -> Report:
        try:
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                return await reports.make(name, period, filters)
        except TimeoutError:
            raise ReportTooLong(
                f"not made within {REPORT_TIMEOUT_S:.0f} s: narrow the period or the filters, or"
                " use the command line"
            ) from None

    return finish(asyncio.run(in_time()))
