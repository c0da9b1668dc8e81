"""What committers, views and seals do shows in metrics and readiness: alarms hang on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from adapters import ledgers, server, watching
from adapters.keys import SealSigner
from adapters.ledgers import LedgerMetrics, configured_ledger, watch_readiness
from adapters.metrics import Metrics
from adapters.settings import Limits, SealSettings, Settings
from adapters.watching import LAG_MAX_S, Watch
from ledger.committer import CommitterLimits
from ledger.seal_status import SealStatus
from ledger.service import Ledger
from ledger.store import CommitUnknown, StoreUnavailable
from projections.status import ViewStatus
from tests.acceptance.service import SEAL_KEY


def status(lag_s: float, error: str | None = None) -> ViewStatus:
    """A view that is so far behind."""
    return ViewStatus("totals", 0, 5, 9, 4, lag_s, error)


def sealed(number: int, age_s: float) -> SealStatus:
    """A partition with so many seals, whose oldest event without one is so old."""
    return SealStatus(0, number, 5, None, 4, age_s)


@pytest.fixture
def look(monkeypatch):
    """A watch that finds this when it looks."""

    def found(
        views: Sequence[ViewStatus], seals: SealStatus, settings: Settings | None = None
    ) -> tuple[Watch, Metrics]:
        async def read_views(*_):
            return views

        async def read_seals(*_):
            return seals

        monkeypatch.setattr(watching, "read_statuses", read_views)
        monkeypatch.setattr(watching, "read_seal_status", read_seals)
        metrics = Metrics()
        watch = Watch("", settings or Settings(), metrics)
        asyncio.run(watch._look(0, cast("Any", None)))
        return watch, metrics

    return found


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


class Database:
    """A ledger that finds its database so, look by look."""

    def __init__(self, *found: Exception | None) -> None:
        self._found = iter(found)

    async def check(self) -> None:
        """As the ledger's own; cancels the looking in the end."""
        error = next(self._found, asyncio.CancelledError())
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("found", "ready"),
    [
        ([None], 1),
        ([None, StoreUnavailable("away")], 0),
        ([None, CommitUnknown("away")], 0),
        ([StoreUnavailable("away"), None], 1),
    ],
)
async def test_whether_bets_can_be_booked_is_a_metric(monkeypatch, found, ready):
    """With no call at all nothing else tells that the database is away."""
    monkeypatch.setattr(ledgers, "_LOOK_EVERY_S", 0.0)
    metrics = Metrics()
    with pytest.raises(asyncio.CancelledError):
        await watch_readiness(cast("Ledger", Database(*found)), metrics)
    assert f"wallet_ledger_ready {float(ready)}" in metrics.render().decode()


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ([], "unknown"),
        ([status(LAG_MAX_S)], "ok"),
        ([status(0), status(LAG_MAX_S + 1)], "behind"),
        ([status(LAG_MAX_S + 1), status(0, "event 7")], "stopped"),
    ],
)
def test_readiness_says_in_a_word_how_the_views_are(look, found, word):
    """A view that is an hour behind must not be called well."""
    watch, _ = look(found, sealed(0, 0))
    assert watch.summary()["projections"] == word


@pytest.mark.parametrize(
    ("found", "interval_s", "word"),
    [
        (sealed(0, 1e6), 5.0, "none"),
        (sealed(1, LAG_MAX_S), 5.0, "ok"),
        (sealed(1, LAG_MAX_S + 1), 5.0, "behind"),
        (sealed(1, LAG_MAX_S + 1), 60.0, "ok"),
        (sealed(1, 121), 60.0, "behind"),
    ],
)
def test_readiness_says_in_a_word_how_the_seals_are(look, found, interval_s, word):
    """What no seal covers can be rewritten unseen: somebody must notice that it grows."""
    watch, _ = look([status(0)], found, Settings(seals=SealSettings(interval_s=interval_s)))
    assert watch.summary()["seals"] == word


@pytest.mark.parametrize(("age_s", "word"), [(LAG_MAX_S, "ok"), (LAG_MAX_S + 1, "behind")])
def test_a_server_that_is_to_seal_and_never_did_is_behind(look, age_s, word):
    """It must not look like one that nobody asked to."""
    seals = SealSettings(key=SealSigner(SEAL_KEY))
    watch, _ = look([status(0)], sealed(0, age_s), Settings(seals=seals))
    assert watch.summary()["seals"] == word


def test_before_the_first_look_nothing_is_known_of_seals():
    """A start is no alarm."""
    assert Watch("", Settings(), Metrics()).summary()["seals"] == "unknown"


def test_how_far_a_view_is_behind_is_a_metric(look):
    """An alarm of the README: over a minute."""
    _, metrics = look([status(61.5)], sealed(0, 0))
    labels = '{partition="00",view="totals"}'
    text = metrics.render().decode()
    assert f"wallet_ledger_projection_lag_seconds{labels} 61.5" in text
    assert f"wallet_ledger_projection_lag_events{labels} 4.0" in text


def test_how_far_the_seals_are_behind_is_a_metric(look):
    """As is this one."""
    _, metrics = look([status(0)], sealed(7, 61.5))
    text = metrics.render().decode()
    assert 'wallet_ledger_seal_number{partition="00"} 7.0' in text
    assert 'wallet_ledger_seal_unsealed_events{partition="00"} 4.0' in text
    assert 'wallet_ledger_seal_age_seconds{partition="00"} 61.5' in text


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
