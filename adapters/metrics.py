"""Counters, gauges and histograms of the service, under the names that `/metrics` shows.

With several workers they are shared through the directory that PROMETHEUS_MULTIPROC_DIR names; it
must be set before this module is imported.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ledger.refusals import Refusal

disable_created_metrics()  # when each count began: a third of the text, and nobody asks

ACCEPTED: Final = "ok"
REPLAYED: Final = "replayed"
"""Outcomes of a provider's call that is not refused."""

ALARMING: Final = tuple(
    refusal.value
    for refusal in (
        Refusal.INVALID_SIGNATURE,
        Refusal.DUPLICATE_CONFLICT,
        Refusal.UNAVAILABLE,
        Refusal.INTERNAL,
    )
)
"""Outcomes that the alerting rules of deploy/monitoring ask for."""

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""Of what `Metrics.render` returns."""

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Every metric of the service; one object a process.

    `call` is the hot path; the rest are the library's own objects, to be used directly.
    """

    def __init__(self) -> None:
        _keep_directory()
        self._registry = CollectorRegistry()
        self._calls = self._counter(
            "calls",
            "Provider calls by outcome: ok, replayed or the refusal.",
            ("integration", "operation", "outcome"),
        )
        self._call_seconds = self._histogram(
            "call_seconds",
            "Time from the call's last byte to its answer.",
            _SECONDS,
            ("integration", "operation"),
        )
        self._hits = self._counter(
            "idempotency_hits",
            "Calls answered from an earlier one of the same key and content.",
            ("integration",),
        )
        self.batch_commands: Histogram = self._histogram(
            "batch_commands", "Commands committed together.", _SIZES
        )
        self.commit_seconds: Histogram = self._histogram(
            "commit_seconds",
            "Time of one batch from its turn to its answers, the commit included.",
            _SECONDS,
        )
        self.queue_commands: Gauge = Gauge(
            "wallet_ledger_queue_commands",
            "Commands that wait for their batch.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.ready: Gauge = Gauge(
            "wallet_ledger_ready",
            "1 while every worker's database answers and takes what is booked.",
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        self.ready.set(1)  # the supervisor does not look, and is no reason for an alarm
        self.version_conflicts: Counter = self._counter(
            "version_conflicts", "Batches decided again because another process had written."
        )
        self.commits_unknown: Counter = self._counter(
            "commits_unknown", "Commits whose outcome had to be looked up or stayed unknown."
        )
        self.store_reconnects: Counter = self._counter(
            "store_reconnects", "Database connections made anew after one was lost."
        )
        self.journal_rows_written: Counter = self._counter(
            "journal_rows_written", "Calls written to the call journal."
        )
        self.journal_rows_lost: Counter = self._counter(
            "journal_rows_lost", "Calls that never reached the call journal."
        )
        self._projection_gauges = {
            "position": self._view_gauge("position", "Last event that the view has seen."),
            "lag_events": self._view_gauge(
                "lag_events", "Events of the log that the view has not seen."
            ),
            "lag_seconds": self._view_gauge(
                "lag_seconds", "Age of the oldest event that the view has not seen."
            ),
            "stopped": self._view_gauge(
                "stopped", "1 while the view stands where it cannot go on."
            ),
        }
        self._seal_gauges = {
            "number": self._seal_gauge("number", "How many seals there are."),
            "unsealed_events": self._seal_gauge(
                "unsealed_events", "Events of the log that no seal covers."
            ),
            "age_seconds": self._seal_gauge(
                "age_seconds", "Age of the oldest event that no seal covers."
            ),
        }
        self._call_children: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
        self._hit_children: dict[str, Counter] = {}
        if not _shared():
            PlatformCollector(registry=self._registry)
            ProcessCollector(registry=self._registry)

    def call(self, integration: str, operation: str, outcome: str, seconds: float) -> None:
        """Count one call. Each label must come from a closed list, never from the wire."""
        key = (integration, operation, outcome)
        children = self._call_children.get(key)
        if children is None:
            self.expect_calls(integration, operation)
            children = self._call_children[key] = (
                self._calls.labels(*key),
                self._call_seconds.labels(integration, operation),
            )
        counter, histogram = children
        counter.inc()
        histogram.observe(seconds)

    def expect_calls(self, integration: str, operation: str) -> None:
        """Show from 0 on how many of the operation's calls come to a bad end.

        A count that comes into being as 1 has not grown for Prometheus: no alarm would ring.
        """
        for outcome in ALARMING:
            self._calls.labels(integration, operation, outcome)

    def idempotency_hit(self, integration: str) -> None:
        """Count one replay that was answered from before."""
        child = self._hit_children.get(integration)
        if child is None:
            child = self._hit_children[integration] = self._hits.labels(integration)
        child.inc()

    def projection(self, view: str, partition: str, **values: float) -> None:
        """How far a view is: position, lag_events, lag_seconds, stopped (0 or 1)."""
        for name, value in values.items():
            self._projection_gauges[name].labels(view, partition).set(value)

    def seal(self, partition: str, **values: float) -> None:
        """How far the seals are: number, unsealed_events, age_seconds."""
        for name, value in values.items():
            self._seal_gauges[name].labels(partition).set(value)

    def render(self) -> bytes:
        """What `/metrics` answers, of all workers; reads files there, so not for the event loop."""
        if not _shared():
            return generate_latest(self._registry)
        _keep_directory()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)

    def names(self) -> tuple[str, ...]:
        """Every name of ours as `/metrics` shows it (a histogram's without its suffixes)."""
        return tuple(
            f"{family.name}_total" if family.type == "counter" else family.name
            for family in self._registry.collect()
            if family.name.startswith("wallet_ledger_")
        )

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"wallet_ledger_{name}", text, labels, registry=self._registry)

    def _view_gauge(self, name: str, text: str) -> Gauge:
        return self._watched(f"projection_{name}", text, ("view", "partition"))

    def _seal_gauge(self, name: str, text: str) -> Gauge:
        return self._watched(f"seal_{name}", text, ("partition",))

    def _watched(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(
            f"wallet_ledger_{name}",
            text,
            labels,
            registry=self._registry,
            multiprocess_mode="livemostrecent",  # every worker looks; the last one to do so knows
        )

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(
            f"wallet_ledger_{name}", text, labels, registry=self._registry, buckets=buckets
        )


def worker_died(process_id: int) -> None:
    """Take a dead worker's gauges out of the sums; its counts stay."""
    if _shared():
        mark_process_dead(process_id)


def _keep_directory() -> None:
    """Make the shared directory again where somebody cleaned up: what was counted is gone then.

    No worker could begin without it, and none would be replaced.
    """
    if _shared():
        Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir(parents=True, exist_ok=True)


def _shared() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
