"""The port through which committers tell what they do: metrics stand behind it."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Who wants to know what the committers do."""

    def batch(self, size: int, seconds: float) -> None:
        """A batch of commands was seen through, committed or not."""

    def conflict(self) -> None:
        """Another process had written; the batch is decided again."""

    def unknown(self) -> None:
        """It is not known whether a commit took place."""

    def reconnected(self) -> None:
        """A connection to the database was lost and made anew."""
