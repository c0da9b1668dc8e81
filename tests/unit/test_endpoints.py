"""A partition's two connections: on one server, and nobody's who has closed them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, Self

import pytest

from ledger.connections import PreparedStatement
from ledger.endpoints import (
    Appender,
    CommitUnknown,
    Connecting,
    MemoryOutdated,
    Reader,
    StoreUnavailable,
)
from ledger.home import Home


class Prepared:
    """An append connection to a server, and what was appended there."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.closed = False
        self.appended: list[Any] = []

    async def execute(self, parameters: Any) -> Any:
        """Append."""
        assert not self.closed
        self.appended.append(parameters[:-1])  # but for the last moment to begin
        return SimpleNamespace(warnings=[], value=lambda _column: None)

    def close(self) -> None:
        """Close it."""
        self.closed = True


class Connection:
    """A connection on which every read answers the server's name."""

    description = True

    def __init__(self, server: str) -> None:
        self.server = server
        self.closed = False

    def cursor(self, *, binary: bool) -> Connection:
        """Itself."""
        assert binary
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to do."""

    async def execute(self, *_: object) -> None:
        """Read."""
        assert not self.closed

    async def fetchall(self) -> list[str]:
        """The server's name."""
        return [self.server]

    async def close(self) -> None:
        """Close it."""
        self.closed = True


def reaching(endpoint: Any, kind: type, home: Home, *servers: tuple[str, float]) -> list[Any]:
    """Have the endpoint reach these servers in turn, each after a delay; its connections."""
    script, made = list(servers), []

    async def reach() -> Any:
        server, delay_s = script.pop(0)
        await asyncio.sleep(delay_s)
        endpoint._server = server
        home.reached(server)
        made.append(kind(server))
        return made[-1]

    endpoint._connecting = Connecting(reach)
    return made


async def given_up(call: Any) -> None:
    """The call ends before its connection is made; that comes a moment later."""
    with pytest.raises(StoreUnavailable):
        await call
    await asyncio.sleep(0.1)


async def test_a_connection_that_was_long_in_coming_is_not_used_on_another_server() -> None:
    """What was decided on one server's events would be appended to the other's."""
    home = Home()
    appender = Appender("", "append", b"", home)
    made = reaching(appender, Prepared, home, ("a", 0.05), ("b", 0))
    await given_up(appender.append([], 0.01))
    home.reached("b")  # by what reads, after a fail-over
    with pytest.raises(MemoryOutdated):
        await appender.append([b"decided"], 1, home.generation)
    await appender.append([b"decided anew"], 1, home.generation)
    assert [each.appended for each in made] == [[], [[b"decided anew"]]]
    await appender.close()


async def test_reads_that_were_long_in_coming_are_of_the_server_that_appends() -> None:
    """The other way round: here the memory would be the other server's, and nothing would tell."""
    home = Home()
    reader = Reader("", "read", home)
    reaching(reader, Connection, home, ("a", 0.05), ("b", 0))
    await given_up(reader.fetch(b"ping", within_s=0.01))
    home.reached("b")
    assert await reader.fetch(b"load") == ["b"]
    await reader.close()


async def test_a_connection_that_died_before_anybody_took_it_is_made_anew() -> None:
    """Nothing was sent on it: no commit is unknown."""
    home = Home()
    appender = Appender("", "append", b"", home)
    made = reaching(appender, Prepared, home, ("a", 0.05), ("a", 0))
    await given_up(appender.append([], 0.01))
    made[0].close()
    await appender.append([b"decided"], 1)
    assert made[1].appended == [[b"decided"]]
    await appender.close()


async def test_who_waits_at_a_close_is_told_and_nothing_is_begun_behind_it() -> None:
    """A connection that is made after the close is nobody's, and stays."""
    before = asyncio.all_tasks()
    home = Home()
    reader = Reader("", "read", home)
    reaching(reader, Connection, home, ("a", 9.0), ("a", 9.0))
    reads = [asyncio.create_task(reader.fetch(b"load", within_s=5)) for _ in range(2)]
    await asyncio.sleep(0.01)
    await reader.close()
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 2
    assert asyncio.all_tasks() == before


async def test_who_has_no_time_left_costs_nobody_the_connection() -> None:
    """It is everybody's."""
    home = Home()
    reader = Reader("", "read", home)
    made = reaching(reader, Connection, home, ("a", 0))
    await reader.fetch(b"load")
    with pytest.raises(StoreUnavailable, match="no time left"):
        await reader.fetch(b"load", within_s=-0.1)
    await reader.fetch(b"load")
    assert len(made) == 1
    await reader.close()


class Silent(Prepared):
    """An append connection to a server that is gone without a word."""

    async def execute(self, parameters: Any) -> Any:
        """Wait for ever."""
        self.appended.append(parameters[:-1])  # but for the last moment to begin
        await asyncio.sleep(60)


async def test_once_an_append_got_no_answer_nobody_waits_for_that_server_any_more() -> None:
    """Each connection would find out by itself, one after the other, and callers wait for both."""
    home = Home()
    appender, reader = Appender("", "append", b"", home), Reader("", "read", home)
    reads = reaching(reader, Connection, home, ("a", 0), ("b", 0))
    appends = reaching(appender, Silent, home, ("a", 0), ("b", 0))
    assert await reader.fetch(b"load") == ["a"]
    generation = home.generation
    with pytest.raises(CommitUnknown):
        await appender.append([], 0.01)
    assert await reader.fetch(b"load") == ["b"]
    assert [each.closed for each in (*reads, appends[0])] == [True, False, True]
    assert len(appends) == 2  # begun before the next append
    with pytest.raises(MemoryOutdated):
        await appender.append([], 1, generation)
    await appender.close()
    await reader.close()


@pytest.mark.parametrize(
    ("function", "doubts"), [("GetNewTransactionId", 0), ("SyncRepWaitForLSN", 1)]
)
def test_a_warning_that_a_vacuum_will_be_due_casts_no_doubt_on_a_commit(function, doubts) -> None:
    """It comes with every commit for weeks; any other may be about the commit."""
    told = SimpleNamespace(
        severity_nonlocalized="WARNING",
        source_function=function,
        sqlstate="01000",
        message_primary="a warning",
    )
    statement: Any = SimpleNamespace(_warnings=[])
    PreparedStatement._take_notice(statement, told)  # type: ignore[arg-type]
    assert len(statement._warnings) == doubts
