"""What a report is: a name, the views it rests on, and how it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from projections.reports.asked import Asked
from projections.reports.report import Table
from projections.reports.source import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportKind:
    """One report.

    ``read`` takes what is needed from one partition; ``build`` makes rows and totals of what came
    from all. Both may raise `projections.reports.errors.ReportError`: `BadRequest` for more than
    `Asked.rows_max` rows, too.
    """

    name: str
    title: str
    version: int
    views: tuple[str, ...]
    filters: tuple[str, ...]
    read: Callable[[Asked, Snapshot], Awaitable[Any]]
    build: Callable[[Asked, Any], tuple[Table, Table]]
    required: tuple[str, ...] = ()
    """Filters without which there is no such report."""
    types: Sequence[str] = ()
    """The stored names of the events that it lists, where it can be asked for some of them."""
