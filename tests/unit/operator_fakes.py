"""For tests of the operator API: a ledger in memory that follows the real rules."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from adapters import operator
from adapters.keys import Secret
from adapters.metrics import Metrics
from adapters.operator.openapi import document
from adapters.operator.routes import ROUTES
from adapters.reconciliation_store import Kept, Received
from adapters.reconciling import Receive
from adapters.settings import BetBrothers, Limits, OperatorToken, Settings
from ledger.chain import GENESIS, link
from ledger.commands import Command, Policy, SetGame, Stamp
from ledger.currencies import Currencies
from ledger.decisions import TOMBSTONE, Key, Known, Recall, Replayed, Transaction, first_answer
from ledger.events import Event, Movement, RefundTombstoned, SessionOpened
from ledger.evidence import Wanted
from ledger.money import currency
from ledger.player import Player, PlayerEvent, Session, evolve
from ledger.refusals import Refusal, Refused
from ledger.seals import Seal
from ledger.service import Accepted, Outcome, token_hash
from ledger.store import SessionRow, StoreUnavailable, TransactionRow
from ledger.wallet import decide
from projections.reports.asked import Filters
from projections.reports.errors import ViewsBehind
from projections.reports.period import Period
from projections.reports.report import Report
from projections.reports.rounds import RoundFilters, RoundKey, RoundRow
from projections.reports.wallets import WalletsThen
from projections.statements.service import Asked

START = datetime(2030, 1, 31, 12, tzinfo=UTC)
SLOTS = "slots"
"""The one integration that is configured."""

TOKENS = {role: f"token-of-{role}" for role in ("viewer", "operator", "admin")}
SETTINGS = Settings(
    operator_tokens=tuple(
        OperatorToken(name=f"{role}-1", role=cast("Any", role), token=Secret(token))
        for role, token in TOKENS.items()
    ),
    integrations={
        SLOTS: BetBrothers(
            protocol="betbrothers",
            name=SLOTS,
            policy=Policy(session_ttl_s=3_600),
            secrets=(Secret("shared"),),
        )
    },
    currencies=Currencies({"POINTS": currency("POINTS", 0)}),
    limits=Limits(body_timeout_s=0.5),
)


@dataclass
class MemoryLedger:
    """The service's interface over `decide` and `evolve`; every command takes a second."""

    now: datetime = START
    refusal: Refusal | None = None
    """Every command is refused with this, where set."""
    failure: Exception | None = None
    """Every call raises this, where set."""
    commands: list[Any] = field(default_factory=list)
    states: dict[str, Player] = field(default_factory=dict)
    history: dict[str, list[tuple[int, Event, str]]] = field(default_factory=dict)
    used: dict[Key, Transaction] = field(default_factory=dict)
    held_sessions: dict[str, tuple[str, Session]] = field(default_factory=dict)

    async def execute(self, command: Command) -> Outcome:
        """Decide and evolve, once for ever."""
        self._fail()
        self.commands.append(command)
        if self.refusal is not None:
            return Refused(self.refusal, "as the test asked for")
        self.now += timedelta(seconds=1)
        player = self.states.get(command.player_id, Player(command.player_id))
        decision = self._decide(player, command)
        if isinstance(decision, Refused):
            return decision
        if isinstance(decision, Replayed):
            first = decision.transaction
            return first_answer(first.event) or Accepted(player, first.event, first.version, True)
        for event in decision:
            player = evolve(player, event)
            self._append(player, event)
        if not decision:
            return Accepted(player)
        return Accepted(player, decision[0], player.version - len(decision) + 1)

    async def set_game(self, command: SetGame) -> Outcome:
        """Taken as it is."""
        self._fail()
        self.commands.append(command)
        if self.refusal is not None:
            return Refused(self.refusal, "as the test asked for")
        return Accepted(Player(""))

    async def session(self, token: str) -> SessionRow | None:
        """Whose session a token is."""
        self._fail()
        if token_hash(token) not in self.held_sessions:
            return None
        player_id, held = self.held_sessions[token_hash(token)]
        return SessionRow(
            token_hash=bytes.fromhex(held.session),
            player_id=player_id,
            integration=held.integration,
            game=held.game,
            currency=held.currency,
            parent_hash=None,
            opened_at=held.opened_at,
        )

    def mint_token(self, player_id: str) -> str:
        """A token that can be recognised in a log."""
        return f"00canary-{player_id}-{len(self.held_sessions)}"

    async def events(
        self, player_id: str, after: int, limit: int
    ) -> Sequence[tuple[int, Event, str]]:
        """The player's events behind a version."""
        self._fail()
        return self.history.get(player_id, [])[after : after + limit]

    async def game_events(
        self, integration: str, game: str
    ) -> Sequence[Sequence[tuple[int, Event, str]]]:
        """Nobody ever switched it."""
        return [[]]

    def player_at(self, player_id: str, at: datetime) -> Player:
        """The player as recorded up to that moment."""
        self._fail()
        player = Player(player_id)
        for _, event, _ in self.history.get(player_id, []):
            if event.recorded_at <= at:
                player = evolve(player, cast("PlayerEvent", event))
        return player

    async def transactions(
        self, integration: str, keys: Sequence[str]
    ) -> Sequence[tuple[TransactionRow, Event, str]]:
        """What was booked under the keys."""
        self._fail()
        found = [
            (key, self.used[integration, key]) for key in keys if (integration, key) in self.used
        ]
        return [
            (
                TransactionRow(
                    integration=integration,
                    key=key,
                    player_id=entry.player_id,
                    version=entry.version,
                    kind=entry.kind,
                    fingerprint=bytes.fromhex(entry.event.fingerprint),
                    refers_to=None,
                    round_id=getattr(entry.event, "round_id", None),
                    closes_round=False,
                    recorded_at=entry.event.recorded_at,
                ),
                entry.event,
                self.history[entry.player_id][entry.version - 1][2],
            )
            for key, entry in found
        ]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _decide(
        self, player: Player, command: Command
    ) -> tuple[PlayerEvent, ...] | Refused | Replayed:
        known = Known(self.used)
        stamp = Stamp(self.now, f"movement-{len(self.commands)}")
        while isinstance(decision := decide(player, command, stamp, known), Recall):
            if decision.transaction is not None:
                known.transactions[decision.transaction] = None
            if decision.round is not None:
                known.absent_rounds.add((player.player_id, *decision.round))
            if decision.session is not None:
                known.sessions[decision.session] = self.held_sessions.get(decision.session)
        return decision

    def _append(self, player: Player, event: PlayerEvent) -> None:
        self.states[player.player_id] = player
        history = self.history.setdefault(player.player_id, [])
        before = bytes.fromhex(history[-1][2]) if history else GENESIS
        digest = link(
            before, player.player_id, player.version, event.NAME, event.movement_id.encode()
        )
        history.append((player.version, event, digest.hex()))
        if isinstance(event, SessionOpened):
            held = player.sessions[event.session]
            self.held_sessions[event.session] = (player.player_id, held)
        if isinstance(event, Movement):
            entry = Transaction(player.player_id, player.version, event.NAME, event)
            self.used[event.integration, event.key] = entry
        if isinstance(event, RefundTombstoned) and event.keeps_out:
            entry = Transaction(player.player_id, player.version, TOMBSTONE, event)
            self.used[event.integration, event.refers_to] = entry


@dataclass
class MemoryViews:
    """What the test puts there; without it the views are behind."""

    made: Report | None = None
    kept: Sequence[RoundRow] = ()
    sealed: Sequence[Seal] = ()
    failure: Exception | None = None
    """Sealing, and the making of evidence, raise this where set."""
    reconciled: dict[str, Kept] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)

    async def report(
        self, name: str, period: Period, filters: Filters, finish: Callable[[Report], Any]
    ) -> Any:
        """What becomes of the one report there is."""
        self.asked.append((name, period, filters))
        if self.made is None:
            raise ViewsBehind("the view totals is 3 events behind the log")
        return finish(self.made)

    async def evidence(self, player_id: str, wanted: Wanted) -> bytes:
        """Notes what was asked for; the test's failure, or a line that says so."""
        self.asked.append((player_id, wanted))
        if self.failure is not None:
            raise self.failure
        return b'{"record":"evidence"}\n'

    async def begin_reconciliation(self, asked: Asked, receive: Receive, by: str) -> str:
        """Notes what was asked for, and what the statement's file holds."""
        asked.check({SLOTS: SlotsAdapter().keys_of}, datetime.now(UTC))
        if self.failure is not None:
            raise self.failure
        received = await receive()
        self.asked.append((asked, received, by, _taken(received)))
        return "reconciliation-1"

    async def reconciliation(self, name: str, after: int, limit: int) -> Kept | None:
        """The one that the test put there."""
        kept = self.reconciled.get(name)
        if kept is None:
            return None
        page = [each for each in kept.differences if each[0] > after][:limit]
        return msgspec.structs.replace(kept, differences=page)

    async def reconciliations(
        self, integration: str | None, after: str | None, limit: int
    ) -> Sequence[Kept]:
        """Those that the test put there, of the integration."""
        found = [self.reconciled[name] for name in sorted(self.reconciled, reverse=True)]
        wanted = [kept for kept in found if integration in (None, kept.integration)]
        return [kept for kept in wanted if after is None or kept.id < after][:limit]

    async def rounds(
        self, filters: RoundFilters, after: RoundKey, limit: int
    ) -> Sequence[RoundRow]:
        """The rounds behind a place, whatever the filters."""
        self.asked.append((filters, after, limit))
        return [row for row in self.kept if row.key > after][:limit]

    async def wallets(self, player_id: str, at: datetime) -> WalletsThen:
        """The wallets as the ledger recorded them up to that moment."""
        player = self.ledger.player_at(player_id, at)
        return player.version, player.wallets

    async def newest_seals(self) -> Sequence[Seal]:
        """The last one."""
        return self.sealed[-1:]

    async def seals(self, partition: int, after: int, limit: int) -> Sequence[Seal]:
        """Those behind a number."""
        return [seal for seal in self.sealed if seal.number > after][:limit]

    async def seal(self) -> Sequence[Seal]:
        """As if there was nothing to seal."""
        if self.failure is not None:
            raise self.failure
        return self.sealed[-1:]


def _taken(received: Received) -> bytes:
    content = Path(received.path).read_bytes()
    received.remove()
    return content


@dataclass
class MemoryJournal:
    """The call journal with whatever the test put there."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0

    async def calls(
        self, integration: str, transaction_id: str
    ) -> tuple[Sequence[dict[str, Any]], int]:
        """The test's calls of that transaction."""
        found = [
            row
            for row in self.rows
            if (row["integration"], row["transaction_id"]) == (integration, transaction_id)
        ]
        return found, self.left_out


class SlotsAdapter:
    """An adapter, as far as the operator API needs one."""

    def keys_of(self, transaction_id: str) -> Sequence[str]:
        """The keys of a provider who reuses ids: one an operation."""
        return [f"{operation}:{transaction_id}" for operation in ("bet", "win", "refund")]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The problem's code."""
        assert self.headers["Content-Type"] == "application/problem+json", self.text
        return str(self.json["code"])


class Desk:
    """Calls the operator API, by default as an administrator."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self._client = client

    async def call(
        self, method: str, path: str, body: Any = None, role: str | None = "admin", **more: Any
    ) -> Answer:
        """``body``: an object, or bytes or a stream as they are; ``role`` None: without a token."""
        headers = dict(more.pop("headers", {}))
        if role is not None:
            headers.setdefault("Authorization", f"Bearer {TOKENS[role]}")
        errors = more.pop("errors", "strict")
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        url = URL("/api" + path, encoded=True)
        response = await self._client.request(method, url, data=data, headers=headers, **more)
        return Answer(response.status, response.headers, await response.text(errors=errors))

    async def get(self, path: str, **more: Any) -> Answer:
        """GET."""
        return await self.call("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        """POST."""
        return await self.call("POST", path, body, **more)

    async def put(self, path: str, body: Any = None, **more: Any) -> Answer:
        """PUT."""
        return await self.call("PUT", path, body, **more)

    async def player(self, player_id: str = "p1", *, real: str = "0", bonus: str = "0") -> None:
        """A player with money in EUR."""
        await self.post("/players", {"player_id": player_id, "currency": "EUR"})
        for kind, amount in (("deposits", real), ("bonuses", bonus)):
            if amount != "0":
                body = {"reference": f"first-{player_id}", "amount": amount, "currency": "EUR"}
                answer = await self.post(f"/players/{player_id}/{kind}", body)
                assert answer.status == 201, answer.text


@asynccontextmanager
async def running(
    ledger: MemoryLedger | None = None,
    journal: MemoryJournal | None = None,
    settings: Settings = SETTINGS,
    views: MemoryViews | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Desk]:
    """The operator API alone, on a ledger in memory.

    At the end, every status that was answered must stand in the OpenAPI document.
    """
    undocumented: list[str] = []
    ledger = ledger or MemoryLedger()
    views = views or MemoryViews()
    views.ledger = ledger
    app = web.Application(middlewares=[_watch(undocumented)])
    operator.setup(
        app,
        ledger,
        settings,
        {SLOTS: SlotsAdapter()},
        journal or MemoryJournal(),
        views=views,
        metrics=metrics or Metrics(),
    )
    async with TestClient(TestServer(app)) as client:
        yield Desk(client)
    assert not undocumented


def _watch(undocumented: list[str]) -> Any:
    paths = document(ROUTES)["paths"]

    @web.middleware
    async def watch(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        resource = request.match_info.route.resource
        if resource is not None:
            responses = paths[resource.canonical][request.method.lower()]["responses"]
            if str(response.status) not in responses:
                undocumented.append(f"{request.method} {resource.canonical}: {response.status}")
        return response

    return watch


UNAVAILABLE = StoreUnavailable("the database is away")
