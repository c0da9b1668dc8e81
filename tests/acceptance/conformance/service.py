"""The whole service on a real database, and the players that a test needs."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from adapters.app import JOURNAL, LEDGER, create_app
from adapters.journal import Journal
from adapters.metrics import Metrics
from adapters.settings import Settings
from adapters.telemetry import LineWriter
from ledger.commands import (
    Command,
    Deposit,
    GrantBonus,
    OpenSession,
    ReadPlayer,
    RegisterPlayer,
)
from ledger.events import Event
from ledger.player import Player
from ledger.service import Accepted, Ledger, token_hash
from tests.acceptance.conformance.wire import Wire, unique

EVENTS_MAX = 10_000
UNITS = 100_000
"""Ledger units of a main unit: the currencies of these tests all have five decimals."""


@dataclass(frozen=True)
class Guest:
    """A player of one test, with a session at one integration."""

    player_id: str
    currency: str
    game: str
    launch: str
    """The token that the operator minted."""
    session: str
    """What the provider sends: the same token, or (gpas) the wallet session."""


@dataclass(frozen=True)
class Footprint:
    """What a refused call must leave as it was."""

    events: int
    wallets: Mapping[str, Any]


@dataclass
class Service:
    """One worker of the service, its ledger, and what it logged."""

    client: TestClient[Any, Any]
    ledger: Ledger
    journal: Journal
    log: Path
    settings: Settings

    async def do(self, command: Command) -> Accepted:
        """Execute a command of the operator's that must succeed."""
        outcome = await self.ledger.execute(command)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    async def guest(
        self,
        wire: Wire,
        *,
        real: str = "100",
        bonus: str = "0",
        currency: str = "EUR",
        player_id: str = "",
    ) -> Guest:
        """A new player with money, who has opened a game at the wire's integration."""
        player_id = player_id or unique("player")
        await self.register(player_id, currency, real)
        await self.fund(player_id, bonus, currency, kind=GrantBonus)
        return await self.launch(wire, player_id, currency)

    async def seat(self, integration: str, *, real: str = "100", currency: str = "EUR") -> Guest:
        """A new player with money and a session of the integration."""
        player_id = unique("player")
        await self.register(player_id, currency, real)
        return await self.open(integration, player_id, currency)

    async def launch(self, wire: Wire, player_id: str, currency: str = "EUR") -> Guest:
        """A further session of a player, entered as the provider does."""
        guest = await self.open(wire.integration, player_id, currency)
        return replace(guest, session=await wire.enter(guest))

    async def another_currency(self, wire: Wire, guest: Guest, currency: str) -> Guest:
        """The same player with money and a session in a further currency."""
        await self.register(guest.player_id, currency, "100")
        return await self.launch(wire, guest.player_id, currency)

    async def open(self, integration: str, player_id: str, currency: str) -> Guest:
        """A session, as the operator opens it."""
        token = self.ledger.mint_token(player_id)
        guest = Guest(player_id, currency, unique("game"), token, token)
        await self.do(
            OpenSession(
                player_id=player_id,
                session=token_hash(token),
                integration=integration,
                game=guest.game,
                currency=currency,
            )
        )
        return guest

    async def register(self, player_id: str, currency: str, real: str) -> None:
        """A player with real money; or the same one with a further currency."""
        await self.do(RegisterPlayer(player_id=player_id, currency=currency))
        await self.fund(player_id, real, currency)

    async def fund(
        self,
        player_id: str,
        amount: str,
        currency: str = "EUR",
        *,
        kind: type[Deposit | GrantBonus] = Deposit,
    ) -> None:
        """Give real or bonus money; nothing for "0"."""
        units = int(Decimal(amount) * UNITS)
        reference = unique("funds")
        if units:
            await self.do(
                kind(
                    player_id=player_id,
                    operation="deposit",
                    key=reference,
                    transaction_id=reference,
                    amount=units,
                    currency=currency,
                )
            )

    async def player(self, guest: Guest) -> Player:
        """The player's state."""
        return (await self.do(ReadPlayer(player_id=guest.player_id))).player

    async def events(self, guest: Guest) -> list[Event]:
        """All that was booked for the player."""
        found = await self.ledger.events(guest.player_id, 0, EVENTS_MAX)
        return [event for _, event, _ in found]

    async def footprint(self, guest: Guest) -> Footprint:
        """Count of events, and balances."""
        events = await self.events(guest)
        return Footprint(len(events), (await self.player(guest)).wallets if events else {})

    @asynccontextmanager
    async def untouched(self, guest: Guest, *, events: int = 0) -> AsyncIterator[None]:
        """Within the block no balance moves, and only so many events are appended."""
        before = await self.footprint(guest)
        yield
        after = await self.footprint(guest)
        assert after == replace(before, events=before.events + events)

    def errors(self) -> list[dict[str, Any]]:
        """Lines of the log at level error."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["level"] in {"error", "critical"}]


class _Server(TestServer):
    """aiohttp's test server, with the switches that ours has in `adapters.server`."""

    async def _make_runner(self, **switches: Any) -> web.BaseRunner:
        switches |= {"handler_cancellation": False, "auto_decompress": False}
        return await super()._make_runner(**switches)


@asynccontextmanager
async def serving(settings: Settings, url: str, log: Path) -> AsyncIterator[Service]:
    """One worker on that database; its calls' lines go to ``log``."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writer = LineWriter(descriptor)
    try:
        app = create_app(settings, url, writer, Metrics())
        async with TestClient(_Server(app)) as client:
            yield Service(client, app[LEDGER], app[JOURNAL], log, settings)
    finally:
        writer.close()
        os.close(descriptor)
