"""Whether a partition takes appends, as all workers of a server know it.

One of them decides for a partition and sees its appends fail; whichever is asked must say so.
"""

from __future__ import annotations

import ctypes
import time
from typing import Final, TypeAlias

FailedAt: TypeAlias = list[float] | ctypes.Array[ctypes.c_double]
"""By partition, when an append failed last (monotonic seconds); 0.0 if they go through."""

DOUBT_S: Final = 5.0
"""For so long after a failure only an append that wrote events is believed.

On a full disk one that writes nothing goes through.
"""


class Outage:
    """The time in which one partition's appends fail."""

    def __init__(self, failed_at: FailedAt, partition: int) -> None:
        """``failed_at`` may be memory that processes share."""
        self._failed_at = failed_at
        self._partition = partition

    @property
    def lasts(self) -> bool:
        """Whether an append has failed, and none that is believed went through since."""
        return self._failed_at[self._partition] > 0

    @property
    def in_doubt(self) -> bool:
        """Whether it lasts, but the last failure is so old that an empty append is believed."""
        return 0 < self._failed_at[self._partition] < time.monotonic() - DOUBT_S

    def failed(self) -> None:
        """An append has failed."""
        self._failed_at[self._partition] = time.monotonic()

    def passed(self, events: int) -> None:
        """An append of so many events went through."""
        if self.lasts and (events or self.in_doubt):
            self._failed_at[self._partition] = 0.0
