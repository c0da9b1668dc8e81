"""Keeps the views of a partition at the head of its log, until it is cancelled.

Each event is read and decoded once for all views. A view that stops, and a view that another
process runs, do not hold up the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import psycopg
import structlog

from ledger.connections import connect
from ledger.sql import schema_name
from projections.entries import Entry
from projections.feed import ROLE, Feed
from projections.registry import VIEWS
from projections.sql import statement
from projections.view import View
from projections.writer import Folded, ViewWriter

log = structlog.get_logger(__name__)


class RunnerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How the runner goes about it. Times in seconds, sizes in events."""

    batch_max: int = 10_000
    pause_s: float = 0.4
    """Between batches at the head: larger batches cost the ledger less."""
    turn_s: float = 0.5
    """How long views that are far behind may keep the others from looking at the head."""
    poll_s: float = 1.0
    """How often to look without having been told; also how often to try for views of others."""


class Runner:
    """All views of one partition."""

    def __init__(
        self,
        url: str,
        partition: int,
        *,
        views: Sequence[View] = VIEWS,
        limits: RunnerLimits | None = None,
    ) -> None:
        self._limits = limits or RunnerLimits()
        self._schema = schema_name(partition)
        self._feed = Feed(url, partition, self._limits.batch_max)
        self._writers = [ViewWriter(url, partition, view) for view in views]
        self._listener = Listener(url, self._schema, self._limits)

    async def run(self) -> None:
        """Follow the log. Only cancelling ends it; what goes wrong is logged and tried again."""
        listening = asyncio.create_task(self._listener.run())
        try:
            while True:
                await self._acquire()
                await self._catch_up_safely()
                await asyncio.sleep(self._limits.pause_s)
                await self._listener.wait()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await self.close()

    async def catch_up(self) -> None:
        """Bring every view that nobody else runs to the head as it is now; for tools and tests.

        Raises `psycopg.Error`.
        """
        for writer in self._writers:
            await writer.acquire()
        await self._catch_up()

    @property
    def writers(self) -> Sequence[ViewWriter]:
        """The views, each with its position and what is wrong with it."""
        return self._writers

    async def close(self) -> None:
        """Let go of the views and close every connection."""
        for writer in self._writers:
            await writer.lose(writer.error)
        await self._feed.close()

    async def _acquire(self) -> None:
        for writer in self._writers:
            try:
                await writer.acquire()
            except (psycopg.Error, OSError) as error:
                await _lose(writer, error)

    async def _catch_up_safely(self) -> None:
        try:
            await self._catch_up()
        except (psycopg.Error, OSError) as error:
            log.warning("log_unreadable", schema=self._schema, error=_one_line(error))

    async def _catch_up(self) -> None:
        """To the head as it is at the start: under traffic there is always a little more.

        Where a view is far behind, those at the head go on with the log meanwhile.
        """
        head = await self._feed.head()
        if self._elsewhere(self._writers):
            await self.close()
            raise psycopg.OperationalError("a view is on another server than the log")
        await self._look(head)
        while behind := self._behind(head):
            moved = await asyncio.gather(
                *(self._follow(position, head, writers) for position, writers in behind.items()),
                return_exceptions=True,  # one that went on unseen would write beside the next
            )
            for outcome in moved:
                if isinstance(outcome, BaseException):
                    raise outcome
            if not any(moved):
                return  # a log that ends before its head was cut; the next look tells
            if self._is_apart(head):
                await self._acquire()
                head = await self._feed.head()
                await self._look(head)

    async def _look(self, head: int) -> None:
        """Look at views that have stopped, and at those that are ahead of the log."""
        for writer in self._writers:
            if writer.stopped or (writer.position or 0) > head:
                try:
                    await writer.look()
                except (psycopg.Error, OSError) as error:
                    await _lose(writer, error)

    async def _follow(self, after: int, head: int, writers: Sequence[ViewWriter]) -> int:
        """Move views that stand at the same place, for a turn; how many events were read.

        While one batch is written the next one is read and folded.
        """
        count = 0
        until = time.monotonic() + self._limits.turn_s
        writing: asyncio.Task[None] | None = None
        try:
            while after < head and (not count or time.monotonic() < until):
                entries = await self._feed.read(after, head)
                if not entries or self._elsewhere(writers):
                    break
                folded = []
                for writer in writers:
                    folded.append(writer.fold(entries))
                    await asyncio.sleep(0)  # the writes before this one want to go on
                if writing is not None:
                    await writing
                writing = asyncio.create_task(_write(after, entries, writers, folded))
                after = entries[-1].notification_id
                count += len(entries)
        finally:
            if writing is not None:
                await writing
        return count

    def _elsewhere(self, writers: Sequence[ViewWriter]) -> bool:
        """Whether a view would be written on another server than the log is read from."""
        return any(writer.server not in (None, self._feed.server) for writer in writers)

    def _is_apart(self, head: int) -> bool:
        """Whether some views have come to the head and others have not."""
        places = {
            writer.position == head
            for writer in self._writers
            if writer.ready and writer.position is not None
        }
        return len(places) > 1

    def _behind(self, head: int) -> dict[int, list[ViewWriter]]:
        """The views that are not at the head, by position."""
        behind: dict[int, list[ViewWriter]] = {}
        for writer in self._writers:
            if writer.ready and writer.position is not None and writer.position < head:
                behind.setdefault(writer.position, []).append(writer)
        return behind


class Listener:
    """Is told by the database when the log has grown, and looks by itself now and then."""

    def __init__(self, url: str, schema: str, limits: RunnerLimits) -> None:
        self._url = url
        self._schema = schema
        self._limits = limits
        self._told = asyncio.Event()

    async def wait(self) -> None:
        """Returns when the log may have grown, after `poll_s` at the latest."""
        try:
            async with asyncio.timeout(self._limits.poll_s):
                await self._told.wait()
        except TimeoutError:
            pass
        self._told.clear()

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is built again, and polling goes on."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning("listening_lost", schema=self._schema, error=_one_line(error))
            await asyncio.sleep(self._limits.poll_s)

    async def _listen(self) -> None:
        purpose = f"listen {self._schema}"
        async with await connect(self._url, purpose, role=ROLE) as connection:
            await connection.execute(statement("listen", self._schema))
            self._told.set()  # something may have come before we listened
            while True:
                async for _ in connection.notifies(stop_after=1):
                    self._told.set()
                # The runner pauses as long: what comes meanwhile is heard when it looks again.
                await asyncio.sleep(self._limits.pause_s)


async def _write(
    after: int,
    entries: Sequence[Entry],
    writers: Sequence[ViewWriter],
    folded: Sequence[Folded],
) -> None:
    results = await asyncio.gather(
        *(
            writer.advance(after, entries, changes)
            for writer, changes in zip(writers, folded, strict=True)
        ),
        return_exceptions=True,
    )
    for writer, result in zip(writers, results, strict=True):
        if isinstance(result, psycopg.Error | OSError):
            await _lose(writer, result)
        elif isinstance(result, BaseException):
            raise result


_RETRY: Final = "will be tried again"


async def _lose(writer: ViewWriter, error: Exception) -> None:
    reason = _one_line(error)
    if times := writer.losses.happened():
        log.warning("view_lost", view=writer.view.name, error=reason, outlook=_RETRY, times=times)
    await writer.lose(reason)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
