"""A stretch of a player's events, with the proofs that seals cover them: evidence in a dispute.

The events of a stretch are chained, so that one of them in a seal fixes all before it. Each seal
that covers any comes with the audit path (RFC 9162, 2.1.3) of the last one that it covers: nobody
else's events are needed to verify it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from ledger.chain import GENESIS, HASH_SIZE, link
from ledger.codec import UnreadableEvent, decode, partition_of, player_stream
from ledger.connections import Connection
from ledger.events import Event
from ledger.merkle import path
from ledger.sealing import seal_of
from ledger.seals import SealLine, leaf, line_of
from ledger.sql import schema_name, statement

_FETCH: Final = 2_000
_VERSION_MAX: Final = 2**63 - 1


class NoSuchEvents(Exception):
    """The player has no event of such a round or transaction."""


class NoSuchPlayer(NoSuchEvents):
    """There is no such player."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a dispute is about: those that fit all that is given.

    ``begins`` is included, ``ends`` is not.
    """

    begins: datetime | None = None
    ends: datetime | None = None
    integration: str | None = None
    round_id: str | None = None
    transaction_id: str | None = None

    def fits(self, event: Event) -> bool:
        """Whether it is about that event."""
        return (
            (self.begins is None or event.recorded_at >= self.begins)
            and (self.ends is None or event.recorded_at < self.ends)
            and all(getattr(event, name, None) == each for name, each in self.of_play.items())
        )

    @property
    def of_play(self) -> dict[str, str]:
        """What is given beside the time, by the events' own names."""
        names = ("integration", "round_id", "transaction_id")
        return {name: each for name in names if (each := getattr(self, name)) is not None}


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """The player's events from version ``first`` to ``last``.

    ``previous`` is the chain hash before the first. ``began`` and ``ended`` are the times of the
    first and the last one that is wanted. ``currencies`` are those of all of the player's events.
    """

    first: int
    last: int
    previous: bytes
    began: datetime | None
    ended: datetime | None
    currencies: Sequence[str]


class EventRecord(msgspec.Struct, frozen=True, tag_field="record", tag="event"):
    """An event; ``payload`` is the text that was stored, byte by byte, ``hash`` in hex."""

    version: int
    name: str
    hash: str
    payload: str


class SealRecord(msgspec.Struct, frozen=True, tag_field="record", tag="seal"):
    """A seal, and the audit path (hex) to its root of the player's event ``version``.

    ``notification_id`` is that event's: the leaf begins with it, and no hash of an event covers it.
    ``place`` is the event's among those that the seal covers, from 0.
    """

    seal: SealLine
    version: int
    notification_id: int
    place: int
    path: list[str]


class Evidence:
    """Reads a player's evidence on a connection whose transaction sees one instant.

    ``wrong`` fills with what does not fit together: events that were altered, or seals that do not
    cover what is there. Methods raise `psycopg.Error`.
    """

    def __init__(self, connection: Connection, partitions: int, player_id: str) -> None:
        self.partition = partition_of(player_id, partitions)
        self.stream = player_stream(player_id)
        self.wrong: list[str] = []
        self._connection = connection
        self._schema = schema_name(self.partition)
        self._places: list[tuple[int, int]] = []  # notification id and version
        self._names: set[tuple[str, str]] = set()

    @property
    def transactions(self) -> Sequence[tuple[str, str]]:
        """Integrations and transaction ids of the events that were read and are wanted."""
        return sorted(self._names)

    async def find(self, wanted: Wanted) -> Stretch:
        """From the first event that fits to the last; all, if nothing is given.

        Where a time is given, with the one before and the one behind: chained as they are, they
        show that none in between is missing, also where none fits. Raises `NoSuchEvents`.
        """
        if not _storable(self.stream):
            raise NoSuchPlayer("no such player")
        fitting: list[tuple[int, datetime | None]] = []
        earlier = known = 0
        currencies = set()
        async for _, version, name, state in self._events(1, _VERSION_MAX):
            known = version
            event = _readable(name, state)
            if wanted == Wanted() if event is None else wanted.fits(event):
                fitting[1:] = [(version, None if event is None else event.recorded_at)]
            if event is None:
                continue
            if wanted.ends is None or event.recorded_at < wanted.ends:
                earlier = version
            currencies.add(getattr(event, "currency", None))
        if not known:
            raise NoSuchPlayer("no such player")
        if not fitting and wanted.of_play:
            named = ", ".join(f"{name} {each!r}" for name, each in wanted.of_play.items())
            raise NoSuchEvents(f"the player has no event of {named} in that time")
        (first, began), (last, ended) = (
            (fitting[0], fitting[-1]) if fitting else ((earlier + 1, None), (earlier, None))
        )
        if wanted.begins or wanted.ends:
            first, last = max(first - 1, 1), min(last + 1, known)
        return Stretch(
            first=first,
            last=last,
            previous=await self._hash(first - 1),
            began=began,
            ended=ended,
            currencies=sorted(filter(None, currencies)),
        )

    async def events(self, stretch: Stretch, wanted: Wanted) -> AsyncIterator[EventRecord]:
        """The events of a stretch, in their order."""
        previous, before = stretch.previous, stretch.first - 1
        async for notification_id, version, name, state in self._events(
            stretch.first, stretch.last
        ):
            digest, payload = state[:HASH_SIZE], state[HASH_SIZE:]
            if version != before + 1:
                self.wrong.append(f"event {version}: it follows version {before}")
            elif digest != link(previous, self.stream, version, name, payload):
                self.wrong.append(f"event {version}: its hash is not that of its content")
            previous, before = digest, version
            event = _readable(name, state)
            transaction_id = getattr(event, "transaction_id", None)
            if event is not None and transaction_id is not None and wanted.fits(event):
                self._names.add((event.integration, transaction_id))
            if notification_id is not None:
                self._places.append((notification_id, version))
            yield EventRecord(version, name, digest.hex(), payload.decode(errors="replace"))

    async def seals(self) -> AsyncIterator[SealRecord]:
        """The seals over the events that were read, as far as there are any."""
        places = sorted(self._places)
        start = 0
        while start < len(places):
            query = statement("covering_seal", self._schema)
            cursor = await self._connection.execute(query, (places[start][0],))
            row = await cursor.fetchone()
            if row is None:
                return
            if None in row:
                self.wrong.append(f"seal {row[0]}: it cannot be read")
                return
            *fields, after = row
            seal = seal_of(self.partition, fields)
            start = bisect_right(places, (seal.through_id, _VERSION_MAX))
            notification_id, version = places[start - 1]
            covered = await self._covered(after, seal.through_id)
            ids = [each[0] for each in covered]
            if notification_id not in ids:
                self.wrong.append(f"event {version}: it stands where no seal covers it")
                continue
            place = ids.index(notification_id)
            audit_path, root = path([leaf(*each) for each in covered], place)
            if len(covered) != seal.events or root != seal.root:
                self.wrong.append(f"seal {seal.number}: the events are not those that it covered")
            siblings = [each.hex() for each in audit_path]
            yield SealRecord(line_of(seal), version, notification_id, place, siblings)

    async def _hash(self, version: int) -> bytes:
        """The chain hash of an event; `GENESIS` before the first."""
        digest = GENESIS
        async for _, _, _, state in self._events(version, version):
            digest = state[:HASH_SIZE]
        return digest

    async def _covered(self, after: int, through: int) -> list[tuple[int, bytes]]:
        query = statement("covered_hashes", self._schema)
        cursor = await self._connection.execute(query, (after, through))
        return await cursor.fetchall()

    async def _events(
        self, first: int, last: int
    ) -> AsyncIterator[tuple[int | None, int, str, bytes]]:
        async with self._connection.cursor("stretch", binary=True) as cursor:
            cursor.itersize = _FETCH
            await cursor.execute(statement("stretch", self._schema), (self.stream, first, last))
            async for notification_id, version, name, state in cursor:
                yield notification_id, version, name or "", state or b""


def _storable(text: str) -> bool:
    """Whether PostgreSQL could keep it: half a character or a zero byte is no text to it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _readable(name: str, state: bytes) -> Event | None:
    try:
        event = decode(name, memoryview(state)[HASH_SIZE:])
    except UnreadableEvent:
        return None
    return event if event.recorded_at.tzinfo is not None else None
