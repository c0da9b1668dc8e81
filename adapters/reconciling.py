"""Reconciliations of this configuration, and those that a worker has under way.

One is made by a process of its own, as reports are: a provider's call must not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import psycopg
import structlog

from adapters.beside import beside
from adapters.providers.registry import PROVIDERS
from adapters.reconciliation_store import RECONCILIATION_S, Received, ReconciliationStore
from adapters.reporting import configured_reports
from adapters.settings import Settings
from ledger.service import movement_id
from projections.reports.errors import ReportError, ReportUnavailable
from projections.statements.service import Asked, Reconciler

KEPT_MAX: Final = 100_000
"""Differences of a kind of which the command line keeps both sides."""

API_KEPT_MAX: Final = 5_000
"""The same of the API: they are kept in the database for ever."""

API_ROWS_MAX: Final = 1_000_000
"""Rows of a statement that the API takes; the command line takes any number."""

AT_ONCE: Final = 1
UNDER_WAY_MAX: Final = 4
"""Reconciliations that a worker takes on, from the first byte; all but `AT_ONCE` of them wait."""

Receive: TypeAlias = Callable[[], Awaitable[Received]]
"""Receives a statement, once there is a place for it."""

log = structlog.get_logger(__name__)


def configured_reconciler(url: str, settings: Settings) -> Reconciler:
    """Reconciles the integrations that are configured."""
    keys_of = {
        name: PROVIDERS[integration.protocol].keys_of
        for name, integration in settings.integrations.items()
    }
    return Reconciler(
        url,
        settings.database.partitions,
        settings.currencies,
        keys_of,
        configured_reports(url, settings),
    )


class Reconciling:
    """What a worker has under way; `close` gives it up."""

    def __init__(self, url: str, reconciler: Reconciler) -> None:
        self._url = url
        self._reconciler = reconciler
        self._store = ReconciliationStore(url)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._places = asyncio.Semaphore(UNDER_WAY_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, asked: Asked, receive: Receive, by: str) -> str:
        """Receive a statement and begin to compare it; the reconciliation's name.

        Before anything is received it raises `BadRequest` where it makes no sense, and
        `ReportUnavailable` where too many are under way; then what ``receive`` raises, and
        `psycopg.Error`. The statement's file is removed when it is done with.
        """
        self._reconciler.check(asked)
        if self._places.locked():
            raise ReportUnavailable(f"{UNDER_WAY_MAX} reconciliations are under way: ask again")
        await self._places.acquire()
        try:
            received = await receive()
            name = await self._note(asked, received, by)
        except BaseException:
            self._places.release()
            raise
        task = asyncio.create_task(self._run(name, asked, received), name="reconciliation")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return name

    async def _note(self, asked: Asked, received: Received, by: str) -> str:
        name = movement_id()
        try:
            await self._store.begin(name, asked, received, by)
        except BaseException:
            received.remove()
            raise
        return name

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places.release()

    async def close(self) -> None:
        """Give up what is under way: it is noted as failed."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, name: str, asked: Asked, received: Received) -> None:
        try:
            async with asyncio.timeout(RECONCILIATION_S), self._turns:
                work = partial(_make, self._reconciler, self._url, name, asked, received)
                await beside(work)
        except ReportError as error:
            await self._fail(name, str(error))
        except TimeoutError:
            await self._fail(name, f"not made within {RECONCILIATION_S:.0f} s")
        except asyncio.CancelledError:
            await self._fail(name, "the service was stopped")
            raise
        except Exception as error:
            # The outermost edge: nobody waits for an answer, and a bug must not look like work.
            log.exception("reconciliation_failed", id=name, error=repr(error))
            await self._fail(name, "something broke on our side; the log says what")
        finally:
            received.remove()

    async def _fail(self, name: str, why: str) -> None:
        """Best effort: one that stays without a word counts as lost after a while."""
        try:
            await self._store.fail(name, why)
        except psycopg.Error as error:
            log.warning("reconciliation_not_noted", id=name, error=str(error))


def _make(reconciler: Reconciler, url: str, name: str, asked: Asked, received: Received) -> None:
    """The work of the process: compare, and keep what was found."""

    async def make() -> None:
        await ReconciliationStore(url).finish(name, await reconciler.reconcile(asked, file))

    with Path(received.path).open("rb") as file:
        received.remove()  # whatever becomes of the worker, and of this process
        asyncio.run(make())
