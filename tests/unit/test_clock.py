"""A clock that is set leaves a line."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from adapters.clock import watch_clock


async def test_a_clock_that_is_set_forward_and_back_is_said(monkeypatch):
    """Whoever reads the times of that day later must know of it."""
    steps, set_by = [0.5, 86_400.5, 0.5], 0.0
    real = time.time

    async def tick(_seconds: float) -> None:
        nonlocal set_by
        if not steps:
            raise asyncio.CancelledError
        set_by = steps.pop(0)

    monkeypatch.setattr(asyncio, "sleep", tick)
    monkeypatch.setattr(time, "time", lambda: real() + set_by)
    with capture_logs() as lines, pytest.raises(asyncio.CancelledError):
        await watch_clock()
    said = [(line["event"], round(line["seconds"])) for line in lines]
    assert said == [("clock_jumped", 86_400), ("clock_jumped", -86_400)]
