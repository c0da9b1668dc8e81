"""For tests of the adapters: a ledger that records what it is asked and answers as it was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from multidict import CIMultiDict

from adapters.providers.protocol import Call, Provider, RefusedCall, Reply
from ledger.commands import Command
from ledger.events import BetPlaced, Event
from ledger.player import Player, Session, Wallet
from ledger.refusals import Refused
from ledger.service import Accepted, token_hash
from ledger.store import SessionRow, TransactionRow

PLAYER = "player-1"
TOKEN = "session-token"
MOVEMENT = "01939d2e-0000-7000-8000-000000000001"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def accepted(*, currency: str = "EUR", real: int = 0, bonus: int = 0, **changes: Any) -> Accepted:
    """What the ledger answers when all went well: the balances after it, in ledger units."""
    event = BetPlaced(
        movement_id=MOVEMENT,
        recorded_at=NOW,
        operation="test",
        key=changes.pop("key", "key"),
        transaction_id="id",
        fingerprint="00",
        currency=currency,
        balance_real=real,
        balance_bonus=bonus,
        real=changes.pop("moved_real", 0),
        bonus=changes.pop("moved_bonus", 0),
    )
    session = Session(token_hash(TOKEN), "fake", "game-1", currency, NOW)
    fields: dict[str, Any] = {
        "player": Player(
            PLAYER,
            version=1,
            wallets={currency: Wallet(real, bonus)},
            sessions={session.session: session},
        ),
        "event": event,
        "version": 2,
        "replayed": False,
    }
    return Accepted(**fields | changes)


@dataclass
class FakeLedger:
    """Answers with ``outcomes`` in turn, the last for ever; ``commands`` is what it was asked."""

    outcomes: list[Accepted | Refused] = field(default_factory=lambda: [accepted()])
    sessions: Mapping[str, SessionRow | Exception] = field(default_factory=dict)
    booked: list[tuple[TransactionRow, Event, str]] = field(default_factory=list)
    commands: list[Any] = field(default_factory=list)

    async def execute(self, command: Command) -> Any:
        """Record and answer."""
        self.commands.append(command)
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]

    async def session(self, token: str) -> SessionRow | None:
        """A session that the test knows, or the failure it asked for."""
        found = self.sessions.get(token)
        if isinstance(found, Exception):
            raise found
        return found

    async def transactions(
        self, integration: str, keys: Sequence[str]
    ) -> list[tuple[TransactionRow, Event, str]]:
        """Whatever the test put there."""
        return [found for found in self.booked if found[0].key in keys]

    def mint_token(self, player_id: str) -> str:
        """A token that can be recognised."""
        return f"minted-for-{player_id}"


def session_row(
    token: str, integration: str, *, parent: str | None = None, **changes: Any
) -> SessionRow:
    """A session as the store gives it; with a parent, one that the provider opened."""
    fields: dict[str, Any] = {
        "token_hash": bytes.fromhex(token_hash(token)),
        "player_id": PLAYER,
        "integration": integration,
        "game": "launched-game",
        "currency": "EUR",
        "parent_hash": None if parent is None else bytes.fromhex(token_hash(parent)),
        "opened_at": NOW,
    }
    return SessionRow(**fields | changes)


def call(
    path: str,
    body: bytes = b"",
    *,
    method: str = "POST",
    query: str = "",
    headers: Mapping[str, str] | None = None,
) -> Call:
    """A provider's call as the gateway hands it over."""
    return Call(
        method=method,
        path=path,
        query=query,
        headers=CIMultiDict(headers or {}),
        body=body,
        trace_id="trace-1",
    )


async def answer(provider: Provider, made: Call) -> Reply:
    """What the gateway would send back: verify, handle, and phrase the refusal if there is one."""
    try:
        provider.verify(made)
        for route in provider.routes():
            if (route.method, route.path) == (made.method, made.path):
                made.operation = route.operation
                return await route.handler(made)
    except RefusedCall as refusal:
        return provider.refuse(made, refusal.refused)
    raise AssertionError(f"no route {made.method} {made.path}")
