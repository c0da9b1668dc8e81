"""Reads the ledger's side from the events, every partition as of one instant of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, Final

from ledger.codec import open_state
from ledger.events import GameMovement
from projections.reports.errors import UnsoundEvents
from projections.reports.source import Snapshot, open_snapshot
from projections.statements.bookings import NAMES, Booking, booking

CHUNK: Final = 2_000
"""Movements that are looked up in the other partitions at a time."""


class BookedInLedger:
    """What was booked under one integration's name."""

    def __init__(self, snapshots: Sequence[Snapshot], integration: str) -> None:
        self._snapshots = snapshots
        self._integration = integration

    async def between(
        self, begins: datetime, ends: datetime
    ) -> AsyncIterator[tuple[Booking, Booking | None]]:
        """Every movement of that time; with what another partition has under its key, if any.

        ``ends`` is excluded. Raises `UnsoundEvents`, `ledger.codec.UnreadableEvent`.
        """
        asked = {**self._asked(), "begins": begins, "ends": ends}
        for snapshot in self._snapshots:
            chunk: list[Booking] = []
            async for row in snapshot.stream("booked_between", asked):
                chunk.append(self._booking(snapshot.partition, row))
                if len(chunk) == CHUNK:
                    for pair in await self._with_twins(chunk, snapshot):
                        yield pair
                    chunk = []
            for pair in await self._with_twins(chunk, snapshot):
                yield pair

    async def under(self, keys: Sequence[str]) -> list[Booking]:
        """What was ever booked under these keys, in any partition."""
        return [each for snapshot in self._snapshots for each in await self._of(snapshot, keys)]

    async def _with_twins(
        self, chunk: Sequence[Booking], snapshot: Snapshot
    ) -> list[tuple[Booking, Booking | None]]:
        keys = [each.key for each in chunk]
        others = [other for other in self._snapshots if other is not snapshot]
        twins = {twin.key: twin for other in others for twin in await self._of(other, keys)}
        return [(each, twins.get(each.key)) for each in chunk]

    async def _of(self, snapshot: Snapshot, keys: Sequence[str]) -> list[Booking]:
        rows = await snapshot.rows("booked_under", {**self._asked(), "keys": list(keys)})
        return [self._booking(snapshot.partition, row) for row in rows]

    def _asked(self) -> dict[str, Any]:
        return {"integration": self._integration, "kinds": NAMES}

    def _booking(self, partition: int, row: tuple[Any, ...]) -> Booking:
        key, player_id, version, name, state = row
        where = f"partition {partition}: the key {key!r} of player {player_id}"
        if name is None:
            raise UnsoundEvents(f"{where} has no event; wallet-ledger audit says more")
        event = open_state(name, state)[1]
        if not isinstance(event, GameMovement) or event.key != key:
            raise UnsoundEvents(f"{where} is not its event's; wallet-ledger audit says more")
        return booking(partition, player_id, version, event)


@asynccontextmanager
async def open_ledger(
    url: str, partitions: int, integration: str, begun_by: datetime | None
) -> AsyncIterator[BookedInLedger]:
    """All partitions, a connection each; as `open_snapshot`, without any view."""
    async with AsyncExitStack() as stack:
        snapshots = [
            await stack.enter_async_context(open_snapshot(url, partition, (), begun_by))
            for partition in range(partitions)
        ]
        yield BookedInLedger(snapshots, integration)
