"""The ledger as the configuration wants it, counted: whatever opens one opens it here."""

from __future__ import annotations

import asyncio
from typing import Final

from adapters.metrics import Metrics
from adapters.settings import Settings
from ledger.committer import CommitterLimits
from ledger.forwarding import ALONE, Place
from ledger.service import Ledger
from ledger.store import CommitUnknown, StoreUnavailable

_LOOK_EVERY_S: Final = 1.0


def configured_ledger(
    url: str, settings: Settings, metrics: Metrics, place: Place = ALONE
) -> Ledger:
    """The ledger in the database behind ``url``; `Ledger` says what it does and needs.

    All have the same ``answer_s``: reports rely on it.
    """
    limits = settings.limits
    taken_on = CommitterLimits(
        queue_max=limits.queue_commands_max,
        batch_max=limits.batch_commands_max,
        queue_wait_s=limits.command_age_max_s,
        answer_s=limits.answer_timeout_s,
    )
    return Ledger(url, settings.database.partitions, LedgerMetrics(metrics), taken_on, place)


async def watch_queue(ledger: Ledger, metrics: Metrics) -> None:
    """Show once a second how long this worker's queue is, until cancelled.

    `/metrics` adds up what each worker showed last: one that did so only when asked would be wrong.
    """
    while True:
        metrics.queue_commands.set(ledger.queue_length)
        await asyncio.sleep(_LOOK_EVERY_S)


async def watch_readiness(ledger: Ledger, metrics: Metrics) -> None:
    """Show what `/health/ready` would say, a second after it was last shown, until cancelled."""
    while True:
        metrics.ready.set(await is_ready(ledger))
        await asyncio.sleep(_LOOK_EVERY_S)


async def is_ready(ledger: Ledger) -> bool:
    """Whether the database answers and takes what is booked; known within 2 s."""
    try:
        await ledger.check()
    except (CommitUnknown, StoreUnavailable):
        return False
    return True


class LedgerMetrics:
    """The committers' observer: counts what they do."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def batch(self, size: int, seconds: float) -> None:
        """A batch was committed."""
        self._metrics.batch_commands.observe(size)
        self._metrics.commit_seconds.observe(seconds)

    def conflict(self) -> None:
        """A batch had to be decided again."""
        self._metrics.version_conflicts.inc()

    def unknown(self) -> None:
        """It is not known whether a commit took place."""
        self._metrics.commits_unknown.inc()

    def reconnected(self) -> None:
        """A connection was made anew."""
        self._metrics.store_reconnects.inc()
