"""Each partition has one owner among the workers of a server; the others forward its commands.

Two processes that decide for the same players make each other decide again. So of ``workers``
processes the one at place ``partition % workers`` owns a partition, and the others send it their
commands over a Unix socket, many at a time. That is a matter of speed alone: the append verifies
every decision, whoever made it. Where the owner is away or does not answer, commands are decided
here, under the movement ids they have: what the owner had booked already is found, once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple, cast

import msgspec
import structlog

from ledger.batch import Outcome
from ledger.commands import AnyCommand, Command, SetGame
from ledger.committer import Committer
from ledger.outage import FailedAt
from ledger.refusals import Refusal, Refused
from ledger.wire import Asked, Messages, answered, decode_answered, decode_asked, encode_item

log = structlog.get_logger(__name__)

_RECONNECT_PAUSE_S: Final = 0.5
_TICK_S: Final = 0.05
_GRACE_S: Final = 0.2
"""So much later than the callers the owner is given up: it may be about to say `unavailable`."""


class Place(msgspec.Struct, frozen=True):
    """A worker's place, from 0, among the workers of a server.

    Their sockets are in ``directory``, which must be open to nobody else. ``failed_at``: memory
    that they share, for every partition; None where there is no other worker to tell.
    """

    number: int = 0
    workers: int = 1
    directory: str = ""
    failed_at: FailedAt | None = None

    def socket(self, number: int) -> str:
        """Where the worker at that place takes commands."""
        return str(Path(self.directory, f"worker-{number}"))


ALONE: Final = Place()
"""The only worker: it decides everything itself."""


class _Inbound(Messages):
    """The owner's side of a connection.

    When it ends, what no append is under way for never will be decided here: the other side answers
    without it.
    """

    def __init__(self, committers: Sequence[Committer], connections: set[_Inbound]) -> None:
        super().__init__()
        self._committers = committers
        self._connections = connections
        self._undecided: set[asyncio.Future[Outcome]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """One more: an empty list says that somebody is there, and not only a socket."""
        super().connection_made(transport)
        self._connections.add(self)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """One less."""
        super().connection_lost(exc)
        self._connections.discard(self)
        self._let_go()

    def close(self) -> None:
        """End it at once."""
        super().close()
        self._let_go()

    def _let_go(self) -> None:
        for answer in tuple(self._undecided):
            answer.cancel()

    def message(self, body: bytes) -> None:
        """Hand every command in."""
        for asked in decode_asked(body):
            committer = self._committers[asked.partition]
            answer = committer.submit(asked.command, asked.movement_id, asked.taken_at)
            self._undecided.add(answer)
            answer.add_done_callback(partial(self._answer, asked.number))

    def _answer(self, number: int, answer: asyncio.Future[Outcome]) -> None:
        self._undecided.discard(answer)
        if not answer.cancelled():
            self.send(encode_item(answered(number, answer.result())))


class CommandServer:
    """Takes the other workers' commands for this one's committers."""

    def __init__(self, path: str, committers: Sequence[Committer]) -> None:
        self._path = path
        self._committers = committers
        self._connections: set[_Inbound] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; the socket of an earlier life is removed. Where it cannot, nobody will come."""
        loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(Path(self._path).unlink, missing_ok=True)
            self._server = await loop.create_unix_server(
                lambda: _Inbound(self._committers, self._connections), self._path
            )
        except OSError as error:  # e.g. a path that is too long for a socket
            log.warning("no_commands_from_other_workers", path=self._path, error=str(error))

    def close(self) -> None:
        """Take no more; who still waits decides by itself."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.close()


class _Waiting(NamedTuple):
    """A command that was sent, and who waits for its answer."""

    asked: Asked
    answer: asyncio.Future[Outcome]


class _Outbound(Messages):
    """The asking side of a connection.

    ``given_up``: it was ended here, so that what was sent may still be executed there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[int, _Waiting] = {}
        self.greeted = asyncio.Event()
        self.closed = self._loop.create_future()
        self.given_up = False

    def close(self) -> None:
        """Give the owner up."""
        self.given_up = self.given_up or self._transport is not None
        super().close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let `Forwarder.run` know."""
        super().connection_lost(exc)
        self.greeted.set()
        self.closed.set_result(None)

    def message(self, body: bytes) -> None:
        """Resolve what was answered."""
        items = decode_answered(body)
        self.greeted.set()
        for item in items:
            outcome = item.outcome()  # before anything is taken out: it may be unreadable
            waiting = self.waiting.pop(item.number, None)
            if waiting is not None and not waiting.answer.done():
                waiting.answer.set_result(outcome)

    def ask(self, asked: Asked, item: bytes) -> asyncio.Future[Outcome]:
        """Send a command; resolved with its outcome."""
        answer: asyncio.Future[Outcome] = self._loop.create_future()
        self.waiting[asked.number] = _Waiting(asked, answer)
        self.send(item)
        return answer


class Forwarder:
    """Commands to one other worker, or to this one's committers while that one is away.

    A command that an owner has got, and that may live, is never decided here: it could be refused
    here and booked there. Its caller is told `unavailable`; a repetition settles it.

    ``answer_s``: nobody waits longer, and an owner that let anybody wait that long counts as away.
    """

    def __init__(self, path: str, committers: Sequence[Committer], answer_s: float) -> None:
        self._path = path
        self._committers = committers
        self._answer_s = answer_s
        self._numbers = count(1)
        self._link: _Outbound | None = None

    def submit(
        self, partition: int, command: Command | SetGame, movement_id: str
    ) -> asyncio.Future[Outcome]:
        """As `Committer.submit`."""
        asked = Asked(
            next(self._numbers),
            partition,
            movement_id,
            time.monotonic(),
            cast("AnyCommand", command),
        )
        if self._link is not None:
            try:
                return self._link.ask(asked, encode_item(asked))
            except (UnicodeError, OverflowError):  # no message can hold it: it is decided here
                pass
        return self._decide_here(asked)

    async def run(self) -> None:
        """Keep the connection, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(OSError):
                _, link = await loop.create_unix_connection(_Outbound, self._path)
                await self._use(link)
            await asyncio.sleep(_RECONNECT_PAUSE_S)

    async def _use(self, link: _Outbound) -> None:
        try:
            await link.greeted.wait()
            self._link = link
            while not link.closed.done():
                self._keep_deadline(link)
                await asyncio.wait([link.closed], timeout=_TICK_S)
        finally:
            self._link = None
            link.close()
            self._settle(link)

    def _keep_deadline(self, link: _Outbound) -> None:
        """Nobody waits for too long, and an owner that does not say so itself is given up."""
        late = time.monotonic() - self._answer_s
        for asked, answer in link.waiting.values():
            if asked.taken_at >= late:
                return
            _tell_unavailable(answer)
            if asked.taken_at < late - _GRACE_S:
                log.warning(
                    "partition_owner_does_not_answer", path=self._path, waiting=len(link.waiting)
                )
                link.close()
                return

    def _settle(self, link: _Outbound) -> None:
        """Decide here what was not answered, unless the owner may live.

        The committer refuses what is too old.
        """
        waiting, link.waiting = link.waiting, {}
        if waiting and not link.given_up:
            log.info("commands_taken_back", path=self._path, commands=len(waiting))
        loop = asyncio.get_running_loop()
        deadline = loop.time() - time.monotonic() + self._answer_s
        for asked, answer in waiting.values():
            if link.given_up:
                loop.call_at(deadline + asked.taken_at, _tell_unavailable, answer)
            else:
                self._decide_here(asked).add_done_callback(partial(_pass_on, answer))

    def _decide_here(self, asked: Asked) -> asyncio.Future[Outcome]:
        committer = self._committers[asked.partition]
        return committer.submit(asked.command, asked.movement_id, asked.taken_at)


def _tell_unavailable(answer: asyncio.Future[Outcome]) -> None:
    if not answer.done():
        answer.set_result(Refused(Refusal.UNAVAILABLE, "the partition's owner does not answer"))


def _pass_on(answer: asyncio.Future[Outcome], decided: asyncio.Future[Outcome]) -> None:
    if not answer.done():
        answer.set_result(decided.result())


class Workers:
    """The owners of all partitions, as one worker sees them: itself and the others."""

    def __init__(self, place: Place, committers: Sequence[Committer], answer_s: float) -> None:
        self._place = place
        self._committers = committers
        self._server = CommandServer(place.socket(place.number), committers)
        owners = range(min(place.workers, len(committers)))
        self._forwarders = {
            number: Forwarder(place.socket(number), committers, answer_s)
            for number in owners
            if number != place.number
        }
        self._owns = place.workers > 1 and place.number in owners
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Take the others' commands, and keep connections to the owners."""
        if self._owns:
            await self._server.open()
        self._tasks = [
            asyncio.create_task(forwarder.run(), name=f"forwarder-{number}")
            for number, forwarder in self._forwarders.items()
        ]

    async def leave(self) -> None:
        """Ask nobody any more; who still waits for an owner is told `unavailable`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Take nobody's commands any more."""
        self._server.close()

    def submit(
        self, partition: int, command: Command | SetGame, movement_id: str
    ) -> asyncio.Future[Outcome]:
        """Hand a command to the partition's owner, as `Committer.submit`."""
        forwarder = self._forwarders.get(partition % self._place.workers)
        if forwarder is not None:
            return forwarder.submit(partition, command, movement_id)
        return self._committers[partition].submit(command, movement_id, time.monotonic())
