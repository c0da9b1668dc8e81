"""The operator API as the simulator needs it: players, money, sessions, and the final state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from adapters.simulate.calls import Session
from adapters.simulate.client import START_TIMEOUT_S, Client, Unplayable, Unsettled
from adapters.simulate.currencies import main_units, parse
from adapters.simulate.steps import OperatorStep
from adapters.simulate.wire.base import Answer, Request

PATHS = {
    "deposit": "deposits",
    "bonus": "bonuses",
    "bonus convert": "bonuses/convert",
    "bonus forfeit": "bonuses/forfeit",
    "withdrawal": "withdrawals",
    "hold": "withdrawals",
}

PAGE_EVENTS = 500

Wrong = tuple[str, Answer]
"""What was expected, and what came instead."""


class Operator:
    """Calls with one operator token; a call that finds the server away is repeated."""

    def __init__(self, client: Client, token: str) -> None:
        """``token`` of the role operator or admin."""
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Send until there is a final answer. Raises `Unsettled`."""
        data = b"" if body is None else json.dumps(body).encode()
        request = Request(method, path, self._headers, data)
        return await self._client.settle(request, _unavailable)

    async def perform(self, player_id: str, step: OperatorStep) -> Wrong | None:
        """Carry out a step; what was expected and what came instead, or None."""
        player = f"/api/players/{quote(player_id)}"
        match step.action:
            case "register":
                body = {"player_id": player_id, "currency": step.currency}
                return _status(await self.call("POST", "/api/players", body), 201, 200)
            case "open session":
                return await self._open(player, step.session)
            case "close session":
                assert step.session is not None
                token = quote(step.session.launch_token, safe="")
                return _status(await self.call("DELETE", f"/api/sessions/{token}"), 204)
            case "block" | "unblock":
                answer = await self.call("POST", f"{player}/{step.action}", {"reason": "simulated"})
                return _status(answer, 200)
            case "limit":
                most = None if step.amount < 0 else str(main_units(step.amount))
                limit = {"currency": step.currency, "max_bet": most}
                return _status(await self.call("PUT", f"{player}/limits", limit), 200)
            case _:
                return await self._move(player, step)

    async def greet(self) -> None:
        """Find the server and see that it takes the token. Raises `Unplayable`."""
        request = Request("GET", "/api/players/sim-nobody", self._headers)
        try:
            answer = await self._client.settle(request, _unavailable, START_TIMEOUT_S)
        except Unsettled as error:
            raise Unplayable(f"no server to play against: {error}") from error
        if answer.status != 404:
            raise Unplayable(f"the operator API does not know us: {answer}")

    async def disable_game(self, integration: str, game: str) -> Wrong | None:
        """Switch a game off. Needs the role admin."""
        path = f"/api/games/{quote(integration)}/{quote(game, safe='')}"
        body = {"enabled": False, "reason": "simulated"}
        return _status(await self.call("PUT", path, body), 200)

    async def player(self, player_id: str) -> dict[str, Any]:
        """What the ledger says of the player. Raises ValueError when the answer is no player."""
        answer = await self.call("GET", f"/api/players/{quote(player_id)}")
        if answer.status != 200:
            raise ValueError(str(answer))
        return answer.fields()

    async def events(self, player_id: str) -> list[dict[str, Any]]:
        """Every event of the player. Raises ValueError when an answer is no page of events."""
        events: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            path = f"/api/players/{quote(player_id)}/events?after={after}&limit={PAGE_EVENTS}"
            answer = await self.call("GET", path)
            if answer.status != 200:
                raise ValueError(str(answer))
            page = answer.fields()
            events += page["events"]
            after = page["next"]
        return events

    async def _move(self, player: str, step: OperatorStep) -> Wrong | None:
        if step.action in {"confirm", "cancel"}:
            path = f"{player}/withdrawals/{step.reference}/{step.action}"
            return _money(await self.call("POST", path, {}), step, 200)
        answer = await self.call("POST", f"{player}/{PATHS[step.action]}", _movement(step))
        return _money(answer, step, 200 if step.replayed else 201)

    async def _open(self, player: str, session: Session | None) -> Wrong | None:
        assert session is not None
        body = {
            "integration": session.integration,
            "game": session.game,
            "currency": session.currency,
        }
        answer = await self.call("POST", f"{player}/sessions", body)
        if wrong := _status(answer, 201):
            return wrong
        session.launch_token = session.token = str(answer.fields()["session_token"])
        return None


def _unavailable(answer: Answer) -> bool:
    return answer.status == 503


def _movement(step: OperatorStep) -> dict[str, Any]:
    body: dict[str, Any] = {
        "reference": step.reference,
        "amount": str(main_units(step.amount)),
        "currency": step.currency,
    }
    return {**body, "hold": True} if step.action == "hold" else body


def _status(answer: Answer, *right: int) -> Wrong | None:
    return None if answer.status in right else (f"{' or '.join(map(str, right))}", answer)


def _money(answer: Answer, step: OperatorStep, status: int) -> Wrong | None:
    if step.refusal is not None:
        refused = answer.status == 422 and answer.fields().get("code") == step.refusal
        return None if refused else (f"422 {step.refusal}", answer)
    if answer.status != status and not (answer.status == 200 and answer.tries > 1):
        return f"{status}", answer
    assert step.purse is not None
    expected = {
        "real": step.purse.real,
        "bonus": step.purse.bonus,
        "total": step.purse.total,
        "held": step.purse.held,
    }
    fields = answer.fields()
    wallet = fields.get("wallet", {})
    got = {name: parse(wallet[name]) for name in expected if name in wallet}
    if fields.get("movement_id") and wallet.get("currency") == step.currency and got == expected:
        return None
    shown = {name: str(main_units(amount)) for name, amount in expected.items()}
    return f"a movement id and the wallet {shown}", answer
