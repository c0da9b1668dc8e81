"""What a view is: a pure fold of events into rows to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from projections.entries import Entry
from projections.writes import Change


class View(Protocol):
    """One view of the log. It keeps nothing between batches: the database holds its state."""

    @property
    def name(self) -> str:
        """Its name, in the table of positions too."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables it writes, and nobody else does."""

    def fold(self, entries: Sequence[Entry]) -> list[Change]:
        """What a batch of the log, in order, changes in the view.

        However the log is cut into batches, the rows come out the same. Raises whatever comes of an
        event that it cannot take; the runner finds out which one it was.
        """
