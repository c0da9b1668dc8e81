"""Whose session a token is: looked up for all who ask at once, with one query and one commit."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from ledger.store import (
    AppendBatch,
    CommitUnknown,
    MemoryOutdated,
    SessionRow,
    Store,
    StoreUnavailable,
)

_Answer: TypeAlias = asyncio.Future[SessionRow | StoreUnavailable | None]


class SessionLookups:
    """The look-ups in one partition. While one is under way, those that come gather for the next.

    Each by itself would take a turn on the connections that bets need: after a start nobody's
    session is remembered, and a provider with wrong tokens would make a commit a call.
    """

    def __init__(self, store: Store, answer_s: float) -> None:
        self._store = store
        self._answer_s = answer_s
        self._asked: dict[bytes, _Answer] = {}
        self._task: asyncio.Task[None] | None = None

    async def find(self, token_hash: bytes, deadline: float) -> SessionRow | None:
        """The session; None once a commit on the server that does not have it went through.

        Raises `StoreUnavailable`, at the deadline (loop time) at the latest.
        """
        loop = asyncio.get_running_loop()
        answer = self._asked.setdefault(token_hash, loop.create_future())
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        done, _ = await asyncio.wait((answer,), timeout=deadline - loop.time())
        found = answer.result() if done else StoreUnavailable("no answer in time")
        if isinstance(found, StoreUnavailable):
            raise StoreUnavailable(str(found)) from found
        return found

    async def _work(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            error: StoreUnavailable | None = None
            try:
                await self._look_up(asked)
            except StoreUnavailable as failed:
                error = failed
            except CommitUnknown as failed:
                error = StoreUnavailable(str(failed))
            for answer in asked.values():
                answer.set_result(error)

    async def _look_up(self, asked: dict[bytes, _Answer]) -> None:
        """Answer and take out those that are found; the others are known not to be there then.

        Raises `StoreUnavailable`, `CommitUnknown`.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + self._answer_s
        while asked:
            generation = self._store.generation
            for row in await self._store.sessions(list(asked), deadline - now()):
                asked.pop(row.token_hash).set_result(row)
            if not asked:
                return
            if deadline - now() < self._answer_s / 2:  # a commit cut short costs its connection
                raise StoreUnavailable("no time left")
            try:
                await self._store.append(AppendBatch(), deadline - now(), generation)
            except MemoryOutdated:
                continue  # a connection was made meanwhile
            return
