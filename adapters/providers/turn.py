"""What the calls that end in one turn of the event loop leave to be done, kind by kind.

First every answer is written; a turn later, when what has arrived meanwhile was read, every call is
recorded. Between two handlers a record took three times as long as it does among others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress


class Turn:
    """The current turn of the loop that it is used in."""

    def __init__(self) -> None:
        self._answers: list[tuple[asyncio.WriteTransport, bytes]] = []
        self._records: list[Callable[[], None]] = []

    def write(self, transport: asyncio.WriteTransport, answer: bytes) -> None:
        """Write the answer at the turn's end, unless its client has left by then."""
        self._begin()
        self._answers.append((transport, answer))

    def record(self, record: Callable[[], None]) -> None:
        """Call this behind the answers; it must not raise."""
        self._begin()
        self._records.append(record)

    def _begin(self) -> None:
        if not self._answers and not self._records:
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        answers, self._answers = self._answers, []
        records, self._records = self._records, []
        for transport, answer in answers:
            with suppress(RuntimeError):  # closed since: its client has left
                transport.write(answer)
        asyncio.get_running_loop().call_soon(_call_all, records)


def _call_all(records: Iterable[Callable[[], None]]) -> None:
    for record in records:
        record()
