"""Players with money and live sessions, made through the operator API as an operator would."""

import asyncio
from collections.abc import Callable, Iterable

import aiohttp

from tests.bench.processes import BenchmarkError
from tests.bench.service import OPERATOR_TOKEN
from tests.bench.traffic import Request, Seat

CALLS_AT_ONCE = 64
DEPOSIT = "1000000.00"

Opening = Callable[[Seat], Request]
"""The provider's own call that opens the session which its other calls then name."""


def take_seats(
    port: int,
    player_ids: Iterable[str],
    *,
    integration: str = "betbrothers",
    opening: Opening | None = None,
) -> list[Seat]:
    """Register the players, give each money and a session; returns where they sit.

    With an `opening` that session is a launch, and the seats have the sessions opened from it.
    """
    return asyncio.run(_take_seats(port, list(player_ids), integration, opening))


async def _take_seats(
    port: int, player_ids: list[str], integration: str, opening: Opening | None
) -> list[Seat]:
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    connector = aiohttp.TCPConnector(limit=CALLS_AT_ONCE)
    gate = asyncio.Semaphore(CALLS_AT_ONCE)

    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{port}", headers=headers, connector=connector
    ) as session:

        async def seat(player_id: str) -> Seat:
            async with gate:
                launch = await _take_seat(session, player_id, integration)
                return launch if opening is None else await _open(session, launch, opening(launch))

        return list(await asyncio.gather(*(seat(player_id) for player_id in player_ids)))


async def _take_seat(session: aiohttp.ClientSession, player_id: str, integration: str) -> Seat:
    await _post(session, "/api/players", {"player_id": player_id, "currency": "EUR"})
    path = f"/api/players/{player_id}"
    money = {"reference": f"start-{player_id}", "amount": DEPOSIT, "currency": "EUR"}
    await _post(session, f"{path}/deposits", money)
    game = {"integration": integration, "game": "benchmark-game", "currency": "EUR"}
    opened = await _post(session, f"{path}/sessions", game)
    return Seat(player_id, opened["session_token"])


async def _open(session: aiohttp.ClientSession, launch: Seat, request: Request) -> Seat:
    headers = dict(request.headers)
    async with session.request(request.method, request.path, headers=headers) as answer:
        if answer.status != 200:
            raise BenchmarkError(f"{request.path}: {answer.status} {await answer.text()}")
        return Seat(launch.player_id, (await answer.json())["id"])


async def _post(session: aiohttp.ClientSession, path: str, body: dict[str, str]) -> dict[str, str]:
    async with session.post(path, json=body) as answer:
        if answer.status != 201:
            raise BenchmarkError(f"POST {path}: {answer.status} {await answer.text()}")
        content: dict[str, str] = await answer.json()
        return content
