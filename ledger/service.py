"""The ledger as adapters use it: commands in, outcomes out, over all partitions."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from types import TracebackType
from typing import Final, Self

from ledger.batch import Accepted, Outcome
from ledger.codec import game_stream, open_state, partition_of, player_stream
from ledger.commands import Command, SetGame
from ledger.committer import Committer, CommitterLimits
from ledger.events import Event
from ledger.forwarding import ALONE, Place, Workers
from ledger.lookups import SessionLookups
from ledger.observer import Observer
from ledger.outage import Outage
from ledger.refusals import Refused
from ledger.store import (
    SessionRow,
    Store,
    StoreUnavailable,
    TransactionRow,
)

__all__ = ["Accepted", "Ledger", "Outcome", "Refused", "movement_id", "token_hash"]

_SESSIONS_MAX: Final = 50_000
_PAGE: Final = 1000
_CHECK_S: Final = 1.8
"""Less than the 2 s after which some load balancers give up."""
_HEX_DIGITS: Final = frozenset("0123456789abcdef")


def token_hash(token: str) -> str:
    """SHA-256 (hex) of a session token: all that the ledger keeps of it."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def movement_id() -> str:
    """A new time-ordered id: UUID version 7 (RFC 9562)."""
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | 0b10 << 62
    value |= random.getrandbits(12) << 64 | random.getrandbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Ledger:
    """All partitions of one database. Use as an asynchronous context manager.

    Errors of the database never leave it: a command is answered `Refusal.UNAVAILABLE` in time.
    Reads raise `ledger.store.StoreUnavailable`, `ledger.codec.UnreadableEvent` for an event that
    was altered, `ledger.store.StoreRejected` or UnicodeEncodeError for an id that cannot be stored.
    """

    def __init__(
        self,
        url: str,
        partitions: int,
        observer: Observer,
        limits: CommitterLimits | None = None,
        place: Place = ALONE,
    ) -> None:
        """``place``: which of the server's workers this is; by default the only one."""
        limits = limits or CommitterLimits()
        self._stores = [
            Store(url, partition, observer.reconnected) for partition in range(partitions)
        ]
        failed_at = [0.0] * partitions if place.failed_at is None else place.failed_at
        self._committers = [
            Committer(store, observer, Outage(failed_at, store.partition), limits)
            for store in self._stores
        ]
        self._workers = Workers(place, self._committers, limits.answer_s)
        self._answer_s = limits.answer_s
        self._lookups = [SessionLookups(store, limits.answer_s) for store in self._stores]
        self._sessions: OrderedDict[str, SessionRow] = OrderedDict()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start the committers; connections are made when they are needed."""
        self._tasks = [
            asyncio.create_task(committer.run(), name=f"committer-{partition:02d}")
            for partition, committer in enumerate(self._committers)
        ]
        await self._workers.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish what was handed in, then stop."""
        await self._workers.leave()
        await asyncio.gather(*(committer.drain() for committer in self._committers))
        self._workers.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for store in self._stores:
            await store.close()

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return len(self._stores)

    @property
    def stores(self) -> Sequence[Store]:
        """The partitions' stores, for reading."""
        return self._stores

    @property
    def queue_length(self) -> int:
        """Commands that wait, over all partitions."""
        return sum(committer.queue_length for committer in self._committers)

    def partition_of(self, player_id: str) -> int:
        """A player's partition."""
        return partition_of(player_id, len(self._stores))

    def mint_token(self, player_id: str) -> str:
        """A new session token: 32 random bytes behind the player's partition, URL-safe."""
        random_bytes = urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        return f"{self.partition_of(player_id):02x}{random_bytes}"

    def execute(self, command: Command) -> asyncio.Future[Outcome]:
        """Execute a command, once for ever where it has a key; there always is an outcome."""
        partition = self.partition_of(command.player_id)
        return self._workers.submit(partition, command, movement_id())

    async def set_game(self, command: SetGame) -> Outcome:
        """Switch a game in every partition; the first refusal, if any, is the answer."""
        identity = movement_id()
        outcomes = await asyncio.gather(
            *(
                self._workers.submit(partition, command, identity)
                for partition in range(self.partitions)
            )
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        return refused[0] if refused else outcomes[0]

    async def session(self, token: str) -> SessionRow | None:
        """Whose session a token is, live or not; None for an unknown token.

        That there is none is said only behind a commit: the server that was asked may be one that
        has been replaced. Takes no longer than an answer may: a provider's call waits for it.
        Raises `StoreUnavailable`.
        """
        hashed = token_hash(token)
        held = self._sessions.get(hashed)
        if held is not None:
            self._sessions.move_to_end(hashed)
            return held
        deadline = asyncio.get_running_loop().time() + self._answer_s
        for lookups in self._candidates(token):
            row = await lookups.find(bytes.fromhex(hashed), deadline)
            if row is not None:
                self._sessions[hashed] = row
                if len(self._sessions) > _SESSIONS_MAX:
                    self._sessions.popitem(last=False)
                return row
        return None

    async def events(self, player_id: str, after: int, limit: int) -> list[tuple[int, Event, str]]:
        """The player's events behind a version: version, event and chain hash (hex), in order."""
        store = self._stores[self.partition_of(player_id)]
        return await _events(store, player_stream(player_id), after, limit)

    async def game_events(self, integration: str, game: str) -> list[list[tuple[int, Event, str]]]:
        """The game's events in each partition, as `events`: a switch may have failed halfway."""
        histories = []
        for store in self._stores:
            history: list[tuple[int, Event, str]] = []
            while page := await _events(store, game_stream(integration, game), len(history), _PAGE):
                history += page
            histories.append(history)
        return histories

    async def transactions(
        self, integration: str, keys: Sequence[str]
    ) -> list[tuple[TransactionRow, Event, str]]:
        """Everything booked under any of the keys, over all partitions.

        Entry, event, hash (hex). Takes no longer than an answer may: a provider's call waits for
        it.
        """
        wanted = [(integration, key) for key in keys]
        found = await asyncio.gather(
            *(store.transactions(wanted, self._answer_s) for store in self._stores)
        )
        result = []
        for rows in found:
            for entry, row in rows.values():
                digest, event = open_state(row.topic, row.state)
                result.append((entry, event, digest.hex()))
        return result

    async def check(self) -> None:
        """Raises `StoreUnavailable`, `CommitUnknown` unless every partition can read and append.

        Within 2 s, and not to be cancelled: of a frozen database that would take longer.
        """
        deadline = asyncio.get_running_loop().time() + _CHECK_S
        await asyncio.gather(*(store.ping(_CHECK_S) for store in self._stores))
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.gather(*(committer.check() for committer in self._committers))
        except TimeoutError:
            raise StoreUnavailable("no answer in time") from None

    def _candidates(self, token: str) -> Sequence[SessionLookups]:
        """Those of the partition that a token of ours names; for any other text all of them."""
        place = token[:2]
        if set(place) <= _HEX_DIGITS and len(place) == 2 and int(place, 16) < len(self._lookups):
            return [self._lookups[int(place, 16)]]
        return self._lookups


async def _events(
    store: Store, stream: str, after: int, limit: int
) -> list[tuple[int, Event, str]]:
    rows = await store.events(stream, after, limit)
    opened = [(row.version, *open_state(row.topic, row.state)) for row in rows]
    return [(version, event, digest.hex()) for version, digest, event in opened]
