"""What happens over and over is said at once, then now and then, and every time is counted."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

from ledger.repeated import EVERY_S, Repeated
from projections.registry import VIEWS
from projections.runner import _lose
from projections.writer import ViewWriter


def test_it_is_said_at_once_then_after_a_while_with_how_often_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flood hides what else is in the log; silence would hide that it goes on."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    failures = Repeated()
    assert [failures.happened() for _ in range(3)] == [1, 0, 0]
    now += EVERY_S
    assert [failures.happened() for _ in range(2)] == [3, 0]
    now += 10 * EVERY_S
    assert failures.happened() == 2


async def test_a_view_that_cannot_be_written_says_so_at_once_and_then_now_and_then() -> None:
    """It is tried many times a second: on a full disk its lines would fill the log as well."""
    writer = ViewWriter("", 0, VIEWS[0])
    with capture_logs() as lines:
        for _ in range(20):
            await _lose(writer, OSError("no space left"))
    assert [(line["event"], line["times"]) for line in lines] == [("view_lost", 1)]
    assert writer.error == "no space left"
