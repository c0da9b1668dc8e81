"""A provider and an operator for tests: signed betbrothers calls and the operator API over HTTP."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.acceptance.service import OPERATOR_TOKEN, SECRET

PATH = "/betbrothers/operator/wallet"
GAME = "roulette"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


def signature(body: bytes, secret: str = SECRET) -> str:
    """X-REQUEST-SIGN for a body."""
    return hmac.digest(secret.encode(), body, "sha256").hex()


def movement(action: str, player_id: str, token: str, transaction_id: str, **other: Any) -> bytes:
    """The body of a bet, a win, a refund or a rollback-win of ``amount`` cents (1.00)."""
    transfer = {
        "transaction_id": transaction_id,
        "round_id": other.pop("round_id", f"round-{transaction_id}"),
        **other.pop("transfer", {}),
    }
    content = {
        "action": action,
        "amount": other.pop("amount", 100),
        "currency_code": "EUR",
        "is_mobile": False,
        "player_id": player_id,
        "payload": {
            "reference": GAME,
            "session_token": token,
            "provider_transfer_data": transfer,
        },
        **other,
    }
    return json.dumps(content).encode()


def bet(player_id: str, token: str, transaction_id: str, **other: Any) -> bytes:
    """The body of a bet."""
    return movement("bet", player_id, token, transaction_id, **other)


def balance(player_id: str, token: str) -> bytes:
    """The body of a balance call."""
    content = {
        "action": "balance",
        "player_id": player_id,
        "reference": GAME,
        "currency_code": "EUR",
        "is_mobile": False,
        "session_token": token,
    }
    return json.dumps(content).encode()


class Site:
    """The service as providers and the operator see it."""

    def __init__(self, base_url: str, client: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self.client = client

    async def send(
        self, body: bytes, *, headers: Mapping[str, str] | None = None, path: str = PATH
    ) -> Answer:
        """A signed call. Raises `aiohttp.ClientError` or TimeoutError where none answers."""
        given = {"X-REQUEST-SIGN": signature(body), **(headers or {})}
        async with self.client.post(self.base_url + path, data=body, headers=given) as answer:
            return Answer(answer.status, await answer.read())

    async def insist(self, body: bytes, deadline_s: float = 120.0) -> Answer:
        """As `send`, repeated like providers do until the answer is final."""
        deadline = asyncio.get_running_loop().time() + deadline_s
        while True:
            try:
                answer = await self.send(body)
            except (aiohttp.ClientError, TimeoutError):
                answer = None
            if answer is not None and answer.status < 500:
                return answer
            assert asyncio.get_running_loop().time() < deadline, f"no final answer: {answer}"
            await asyncio.sleep(0.1)

    async def operate(self, method: str, path: str, content: Any = None) -> Answer:
        """A call of the operator's."""
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        url = f"{self.base_url}/api{path}"
        async with self.client.request(method, url, json=content, headers=headers) as answer:
            return Answer(answer.status, await answer.read())

    async def player(self, player_id: str, money: str, integration: str = "betbrothers") -> str:
        """Register a player with money; the token of a fresh session."""
        done = await self.operate("POST", "/players", {"player_id": player_id, "currency": "EUR"})
        assert done.status in (200, 201), done
        deposit = {"reference": f"first-{player_id}", "amount": money, "currency": "EUR"}
        done = await self.operate("POST", f"/players/{player_id}/deposits", deposit)
        assert done.status in (200, 201), done
        return await self.session(player_id, integration)

    async def session(self, player_id: str, integration: str = "betbrothers") -> str:
        """The token of a fresh session."""
        wanted = {"integration": integration, "game": GAME, "currency": "EUR"}
        done = await self.operate("POST", f"/players/{player_id}/sessions", wanted)
        assert done.status == 201, done
        token: str = done.json["session_token"]
        return token

    async def balance(self, player_id: str) -> str:
        """The total balance, as the operator sees it."""
        done = await self.operate("GET", f"/players/{player_id}")
        assert done.status == 200, done
        total: str = done.json["wallets"][0]["total"]
        return total

    async def events(self, player_id: str) -> list[dict[str, Any]]:
        """All events of a player."""
        events: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            path = f"/players/{player_id}/events?after={after}&limit=500"
            page = (await self.operate("GET", path)).json
            events += page["events"]
            after = page["next"]
        return events

    async def bets(self, player_id: str) -> list[dict[str, Any]]:
        """The bets among the events."""
        return [event for event in await self.events(player_id) if event["type"] == "bet_placed.v1"]


@asynccontextmanager
async def visiting(base_url: str, *, timeout_s: float = 45.0) -> AsyncIterator[Site]:
    """A `Site` with as many connections as the test wants."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
    ) as client:
        yield Site(base_url, client)
