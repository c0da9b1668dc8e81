"""Reading back from the store: streams folded into their heads, and what decisions ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, cast

import structlog

from ledger.batch import Head, empty_head
from ledger.chain import HASH_SIZE
from ledger.codec import UnreadableEvent, UnreadableSnapshot, decode_snapshot, open_state
from ledger.decisions import TOMBSTONE, Key, Transaction
from ledger.events import Movement
from ledger.games import Game, GameEvent, evolve_game
from ledger.player import PlayerEvent, Round, Session, evolve, fold_round
from ledger.store import EventRow, LoadedStream, RoundName, SessionRow, Store, TransactionRow

log = structlog.get_logger(__name__)

_PAGE: Final = 1_000
"""Events read at once where all of a stream are."""


class Loader:
    """What a committer reads from its partition."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def heads(self, streams: Iterable[str]) -> dict[str, Head]:
        """Each stream as it stands; one without events is empty, an unreadable one is left out."""
        wanted = list(streams)
        loaded = await self._store.load(wanted)
        heads: dict[str, Head] = {}
        for stream in wanted:
            try:
                heads[stream] = await self._fold(stream, loaded.get(stream))
            except UnreadableEvent as error:
                log.error("stream_unreadable", stream=stream, error=str(error))
        return heads

    async def _fold(self, stream: str, loaded: LoadedStream | None) -> Head:
        """The head of a stream, from all of its events where its snapshot cannot be read.

        Then its partition waits meanwhile. Raises `UnreadableEvent`.
        """
        try:
            return fold(stream, loaded)
        except UnreadableSnapshot as error:
            log.warning("snapshot_unreadable", stream=stream, error=str(error))
        head = empty_head(stream)
        while page := await self._store.events(stream, head.state.version, _PAGE):
            _fold_onto(head, stream, page)
        return head

    async def transactions(self, keys: Iterable[Key]) -> dict[Key, Transaction | None]:
        """What became of keys; None for one that was never used."""
        wanted = list(keys)
        found = await self._store.transactions(wanted)
        return {key: _transaction(*found[key]) if key in found else None for key in wanted}

    async def rounds(self, names: Iterable[RoundName]) -> dict[RoundName, Round | None]:
        """Rounds folded from all their events; None for one that has none."""
        wanted = list(names)
        found = await self._store.rounds(wanted)
        return {name: _round(name[0], found.get(name, [])) for name in wanted}

    async def sessions(self, sessions: Iterable[str]) -> dict[str, tuple[str, Session] | None]:
        """Player and session behind token hashes (hex), as closed ones; None for an unknown one."""
        wanted = list(sessions)
        found = await self._store.sessions([bytes.fromhex(session) for session in wanted])
        rows = {row.token_hash.hex(): row for row in found}
        return {session: _session(rows[session]) if session in rows else None for session in wanted}


def fold(stream: str, loaded: LoadedStream | None) -> Head:
    """The head of a stream from its snapshot and the events behind it.

    The event at the snapshot's version comes along: its hash must be the one the snapshot was taken
    at. Where it is not, events may have gone, and nothing else would tell. Raises
    `UnreadableEvent`, `UnreadableSnapshot`.
    """
    head = empty_head(stream)
    if loaded is None:
        return head
    events = loaded.events
    if loaded.snapshot is not None:
        version, taken = loaded.snapshot.version, loaded.snapshot.state
        if (
            not events
            or events[0].version != version
            or events[0].state[:HASH_SIZE] != taken[:HASH_SIZE]
        ):
            raise UnreadableEvent(f"the snapshot of {stream} does not belong to its events")
        digest, state = decode_snapshot(stream, taken)
        if state.version != version:
            raise UnreadableSnapshot(f"snapshot of {stream}: it is at version {state.version}")
        head = Head(state, digest, version)
        events = events[1:]
    _fold_onto(head, stream, events)
    return head


def _fold_onto(head: Head, stream: str, events: Sequence[EventRow]) -> None:
    for row in events:
        head.hash, event = open_state(row.topic, row.state)
        if isinstance(head.state, Game):
            head.state = evolve_game(head.state, cast("GameEvent", event))
        else:
            head.state = evolve(head.state, cast("PlayerEvent", event))
        if head.state.version != row.version:
            raise UnreadableEvent(f"{stream} has a gap before version {row.version}")


def _transaction(row: TransactionRow, event: EventRow) -> Transaction:
    kind = TOMBSTONE if row.kind == TOMBSTONE else event.topic
    movement = cast("Movement", open_state(event.topic, event.state)[1])
    return Transaction(row.player_id, row.version, kind, movement)


def _round(player_id: str, found: list[tuple[TransactionRow, EventRow]]) -> Round | None:
    events = [open_state(event.topic, event.state)[1] for _, event in found]
    return fold_round(player_id, [cast("PlayerEvent", event) for event in events])


def _session(row: SessionRow) -> tuple[str, Session]:
    session = Session(
        row.token_hash.hex(),
        row.integration,
        row.game,
        row.currency,
        row.opened_at,
        row.parent_hash.hex() if row.parent_hash else None,
        closed=True,
    )
    return row.player_id, session
