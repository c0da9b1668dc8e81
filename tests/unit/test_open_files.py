"""The limit of open files: raised as far as needed, and said where it cannot be."""

from __future__ import annotations

import pytest

from adapters import open_files

ENDLESS = -1
NEEDED = 3_000


class Limits:
    """The system's limits, as the module `resource` shows them."""

    RLIMIT_NOFILE = 7
    RLIM_INFINITY = ENDLESS

    def __init__(self, soft: int, hard: int, most: int) -> None:
        self.given = (soft, hard)
        self._most = most

    def getrlimit(self, _which: int) -> tuple[int, int]:
        """Soft and hard."""
        return self.given

    def setrlimit(self, _which: int, wanted: tuple[int, int]) -> None:
        """Raises `ValueError` beyond what the system really allows."""
        if wanted[0] > self._most:
            raise ValueError("current limit exceeds maximum limit")
        self.given = wanted


@pytest.mark.parametrize(
    ("soft", "hard", "most", "left", "warned"),
    [
        (1_024, 4_096, 4_096, (NEEDED, 4_096), None),
        (1_024, 1_500, 1_500, (1_500, 1_500), 1_500),
        (4_000, 4_096, 4_096, (4_000, 4_096), None),
        (NEEDED, NEEDED, NEEDED, (NEEDED, NEEDED), None),
        (256, ENDLESS, 10_240, (NEEDED, ENDLESS), None),
        (256, ENDLESS, 2_000, (256, ENDLESS), 256),
        (ENDLESS, ENDLESS, 10_240, (ENDLESS, ENDLESS), None),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_needed_and_never_lowered(
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    soft: int,
    hard: int,
    most: int,
    left: tuple[int, int],
    warned: int | None,
) -> None:
    """No limit is a reason not to start, and the operator hears of it only where it matters."""
    limits = Limits(soft, hard, most)
    monkeypatch.setattr(open_files, "resource", limits)
    open_files.allow_connections(2_000)
    assert limits.given == left
    said = capsys.readouterr().err
    assert said.count("\n") == (warned is not None)
    assert (f"may open {warned} files" in said) == (warned is not None)
