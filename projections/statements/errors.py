"""What keeps a statement from being compared, beside what keeps a report from being made.

ReportError
+-- UnreadableStatement   not the documented form, in a line that is named
"""

from __future__ import annotations

from typing import Any

from projections.reports.errors import ReportError


class UnreadableStatement(ReportError):
    """A statement is refused as a whole: who reads a part's comparison takes it for the whole's.

    ``line`` counts from 1, the header's included.
    """

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors pass between processes."""
        return UnreadableStatement, (self.line, self.problem)
