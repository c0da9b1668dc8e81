"""What happens over and over is said at once, then now and then, and every time is counted."""

from __future__ import annotations

import time

import pytest

from ledger.repeated import EVERY_S, Repeated


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
