"""Keeps the log readable while the same thing goes wrong again and again."""

from __future__ import annotations

import time
from typing import Final

EVERY_S: Final = 5.0
"""What goes on is said again after so long."""


class Repeated:
    """Tells when to say what happens over and over: at once, then every `EVERY_S` at most."""

    def __init__(self) -> None:
        self._said_at = float("-inf")
        self._times = 0

    def happened(self) -> int:
        """It happened once more: how often since it was last said, 0 if it is too soon to say."""
        self._times += 1
        now = time.monotonic()
        if now < self._said_at + EVERY_S:
            return 0
        times, self._times, self._said_at = self._times, 0, now
        return times
