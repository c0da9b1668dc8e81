"""Watches the machine's clock, on which every recorded time hangs: a jump leaves a line."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

log = structlog.get_logger(__name__)

JUMP_S: Final = 1.0
"""From here on a change is a jump; a clock that is corrected little by little makes none."""

_EVERY_S: Final = 1.0


async def watch_clock() -> None:
    """Say by how much the clock was set, forward or back, until cancelled.

    Recorded time never goes back within a player: after a jump forward and back it stands still
    for whoever played meanwhile until the clock has caught up, and with it limits and sessions.
    """
    ahead = _ahead()
    while True:
        await asyncio.sleep(_EVERY_S)
        before, ahead = ahead, _ahead()
        if abs(ahead - before) >= JUMP_S:
            log.warning("clock_jumped", seconds=round(ahead - before, 3))


def _ahead() -> float:
    """The clock's time over that which passes whatever it says."""
    return time.time() - time.monotonic()
