"""What was counted and what was found wrong in a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """One answer or balance that is not what the model says."""

    player_id: str
    request: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.player_id}: {self.request}: expected {self.expected}, got {self.got}"


@dataclass(slots=True)
class Tally:
    """Counters of one run."""

    situations: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    requests: int = 0
    repeated: int = 0
    events: int = 0
    duration_s: float = 0.0

    def differ(self, player_id: str, request: str, expected: str, got: object) -> None:
        """Note a difference."""
        self.differences.append(Difference(player_id, request, expected, str(got)))

    def missing(self, enabled: frozenset[str]) -> list[str]:
        """Situations that should have come up and did not."""
        return sorted(enabled - self.situations.keys())

    def report(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return {
            "requests": self.requests,
            "repeated_while_unavailable": self.repeated,
            "operations": dict(sorted(self.operations.items())),
            "situations": dict(sorted(self.situations.items())),
            "events_checked": self.events,
            "duration_s": round(self.duration_s, 3),
            "requests_per_s": round(self.requests / self.duration_s, 1) if self.duration_s else 0,
            "differences": [
                {
                    "player_id": one.player_id,
                    "request": one.request,
                    "expected": one.expected,
                    "got": one.got,
                }
                for one in self.differences
            ],
        }
