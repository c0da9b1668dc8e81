"""A command that was forwarded is as old as it was."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from ledger.commands import ReadPlayer
from ledger.committer import Committer
from ledger.forwarding import _Inbound
from ledger.wire import Asked


class Noting:
    """A committer that notes when its commands were taken."""

    def __init__(self) -> None:
        self.taken_at: list[float] = []

    def submit(self, command: Any, movement_id: str, taken_at: float) -> asyncio.Future[Any]:
        """Never answered."""
        self.taken_at.append(taken_at)
        return asyncio.get_running_loop().create_future()


async def test_a_forwarded_command_keeps_its_age():
    """Its caller's patience began when it was handed in: later, nothing may be booked for him."""
    owner = Noting()
    inbound = _Inbound([cast("Committer", owner)], set())
    inbound.message(msgspec.msgpack.encode([Asked(1, 0, "m", 12.5, ReadPlayer(player_id="ann"))]))
    assert owner.taken_at == [12.5]
    inbound.close()
