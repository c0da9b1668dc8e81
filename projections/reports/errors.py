"""What keeps a report from being made.

ReportError
+-- BadRequest          what was asked for makes no sense
|   +-- UnknownPlayer   there is no such player
+-- ReportUnavailable   it cannot be made at present
|   +-- ViewsBehind     a view that the report rests on has not seen the whole log
|   |   +-- ViewsStopped    and never will as it is: an event that it cannot take, or another log
|   +-- AppendUnderWay  what was booked in the period may not be visible yet
|   +-- ReportProcessLost   the process that was to make it has ended
|   +-- ReportTooLong       it was not made in time
+-- UnsoundEvents       events were altered: what they say does not fit together
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ReportError(Exception):
    """The report cannot be made; the text is one line for people."""


class BadRequest(ReportError):
    """What was asked for makes no sense; the text names the field."""


class UnknownPlayer(BadRequest):
    """There is no such player."""


class ReportUnavailable(ReportError):
    """It cannot be made at present: ask again."""


class ViewsBehind(ReportUnavailable):
    """A view has stopped or is behind the log: the report would be incomplete, so there is none."""


class ViewsStopped(ViewsBehind):
    """Views that stand at an event that they cannot take, or ahead of the log.

    ``reasons`` by name of the view.
    """

    def __init__(self, partition: int, reasons: Mapping[str, str]) -> None:
        self.reasons = reasons
        view, reason = next(iter(reasons.items()))
        super().__init__(f"the view {view} of partition {partition} has stopped: {reason}")
        self._partition = partition

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors pass between processes."""
        return ViewsStopped, (self._partition, self.reasons)


class AppendUnderWay(ReportUnavailable):
    """An append that began before the report could know all of its period does not end."""

    def __init__(self, partition: int) -> None:
        super().__init__(
            f"an append to partition {partition} that may belong to the period is not committed"
            " yet; is a synchronous standby missing?"
        )
        self._partition = partition

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors pass between processes."""
        return AppendUnderWay, (self._partition,)


class ReportProcessLost(ReportUnavailable):
    """The process that was to make the report has ended: killed, or nothing was left for it."""

    def __init__(self) -> None:
        super().__init__("the process that was to make it has ended")


class ReportTooLong(ReportUnavailable):
    """The report was not made within the time that a call may take."""


class UnsoundEvents(ReportError):
    """The events that the report is made from do not fit together; the text says where."""
