"""The end of a turn of the event loop: answers first, then records, and nobody's are lost."""

from __future__ import annotations

import asyncio
from typing import Any

from adapters.providers.turn import Turn


class Noting:
    """A transport that notes what is written in a list that it shares; ``closed`` as uvloop's."""

    def __init__(self, noted: list[str], *, closed: bool = False) -> None:
        self._noted = noted
        self._closed = closed

    def write(self, data: bytes) -> None:
        """Note it."""
        if self._closed:
            raise RuntimeError("the handler is closed")
        self._noted.append(data.decode())


def transport(noted: list[str], *, closed: bool = False) -> Any:
    """Such a transport, as a turn takes it."""
    return Noting(noted, closed=closed)


async def two_turns() -> None:
    """Answers are written in the first, calls recorded in the second."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_answers_are_written_before_anything_is_recorded() -> None:
    """Whoever waits for an answer does not wait for log lines, those of others least of all."""
    turn, noted = Turn(), list[str]()
    turn.record(lambda: noted.append("record 1"))
    turn.write(transport(noted), b"answer 1")
    turn.record(lambda: noted.append("record 2"))
    turn.write(transport(noted), b"answer 2")
    assert noted == []
    await asyncio.sleep(0)
    assert noted == ["answer 1", "answer 2"]
    await asyncio.sleep(0)
    assert noted == ["answer 1", "answer 2", "record 1", "record 2"]


async def test_a_client_that_has_left_costs_the_others_nothing() -> None:
    """Its transport refuses; the money of the others has moved as well."""
    turn, noted = Turn(), list[str]()
    turn.write(transport(noted, closed=True), b"gone")
    turn.write(transport(noted), b"answer")
    turn.record(lambda: noted.append("record"))
    await two_turns()
    assert noted == ["answer", "record"]


async def test_what_comes_while_a_turn_ends_belongs_to_the_next() -> None:
    """Nothing is left over, and nothing is done twice."""
    turn, noted = Turn(), list[str]()

    def record() -> None:
        noted.append("record")
        turn.record(lambda: noted.append("later"))
        turn.write(transport(noted), b"answer")

    turn.record(record)
    await asyncio.sleep(0)
    turn.write(transport(noted), b"between")
    await two_turns()
    await two_turns()
    assert noted == ["record", "between", "answer", "later"]


async def test_what_is_scheduled_behind_an_answer_finds_it_written() -> None:
    """A connection that is closed after its answer, at a stop, is closed behind it."""
    turn, noted = Turn(), list[str]()
    turn.write(transport(noted), b"answer")
    asyncio.get_running_loop().call_soon(noted.append, "closed")
    await asyncio.sleep(0)
    assert noted == ["answer", "closed"]
