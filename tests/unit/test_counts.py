"""What the committers and the views do shows in the metrics and in readiness: alarms hang on it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from adapters import server
from adapters.ledgers import LedgerMetrics, configured_ledger
from adapters.metrics import Metrics
from adapters.projecting import LAG_MAX_S, ViewWatch
from adapters.settings import Limits, Settings
from ledger.committer import CommitterLimits
from projections.status import ViewStatus


def status(lag_s: float, error: str | None = None) -> ViewStatus:
    """A view that is so far behind."""
    return ViewStatus("totals", 0, 5, 9, 4, lag_s, error)


class Statuses:
    """Always the same."""

    def __init__(self, *found: ViewStatus) -> None:
        self._found = found

    async def read(self) -> list[ViewStatus]:
        """Those."""
        return list(self._found)


def test_what_committers_do_is_counted():
    """Alarms hang on these numbers."""
    metrics = Metrics()
    seen = LedgerMetrics(metrics)
    seen.batch(3, 0.2)
    seen.conflict()
    seen.unknown()
    seen.reconnected()
    text = metrics.render().decode()
    for line in (
        "wallet_ledger_batch_commands_sum 3.0",
        "wallet_ledger_commit_seconds_sum 0.2",
        "wallet_ledger_version_conflicts_total 1.0",
        "wallet_ledger_commits_unknown_total 1.0",
        "wallet_ledger_store_reconnects_total 1.0",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ([], "unknown"),
        ([status(LAG_MAX_S)], "ok"),
        ([status(0), status(LAG_MAX_S + 1)], "behind"),
        ([status(LAG_MAX_S + 1), status(0, "event 7")], "stopped"),
    ],
)
async def test_readiness_says_in_a_word_how_the_views_are(found, word):
    """A view that is an hour behind must not be called well."""
    watch = ViewWatch("", 1, Metrics())
    if found:
        await watch._look(0, cast("Any", Statuses(*found)))
    assert watch.summary()["projections"] == word


async def test_how_far_a_view_is_behind_is_a_metric():
    """An alarm of the README: over a minute."""
    metrics = Metrics()
    await ViewWatch("", 1, metrics)._look(0, cast("Any", Statuses(status(61.5))))
    labels = '{partition="00",view="totals"}'
    text = metrics.render().decode()
    assert f"wallet_ledger_projection_lag_seconds{labels} 61.5" in text
    assert f"wallet_ledger_projection_lag_events{labels} 4.0" in text


def test_a_server_that_nobody_can_call_says_so(capsys):
    """Else a start without a configuration looks like one that works."""
    server._warn_of_nobody(Settings())
    assert "nobody can call this server" in capsys.readouterr().err


def test_every_limit_of_the_configuration_reaches_the_committers():
    """A limit that is written down and not kept protects nobody."""
    limits = Limits(
        queue_commands_max=3, batch_commands_max=5, command_age_max_s=0.5, answer_timeout_s=0.7
    )
    ledger = configured_ledger("", Settings(limits=limits), Metrics())
    assert [each.limits for each in ledger._committers] == [
        CommitterLimits(queue_max=3, batch_max=5, queue_wait_s=0.5, answer_s=0.7)
    ]
