"""Players with money and live sessions, made through the operator API as an operator would."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import aiohttp

from tests.bench.processes import BenchmarkError
from tests.bench.service import OPERATOR_TOKEN
from tests.bench.traffic import Request, Seat

CALLS_AT_ONCE = 64
DEPOSIT = "1000000.00"


@dataclass(frozen=True, slots=True)
class Launch:
    """How a game starts where the provider opens a session of its own from the operator's.

    The first call to name a session makes the service look it up, once; a game's first call asks
    for the balance, so bets come after it here too.
    """

    opening: Callable[[Seat], Request]
    balance: Callable[[Seat], Request]


def take_seats(
    port: int,
    player_ids: Iterable[str],
    *,
    integration: str = "betbrothers",
    launch: Launch | None = None,
) -> list[Seat]:
    """Register the players, give each money and a session; returns where they sit.

    With a `launch` the seats have the sessions that the provider opened from those.
    """
    return asyncio.run(_take_seats(port, list(player_ids), integration, launch))


def send_all(port: int, requests: Iterable[Request]) -> None:
    """Send every request once, many at a time. Raises `BenchmarkError` unless all are taken."""
    asyncio.run(_send_all(port, requests))


async def _send_all(port: int, requests: Iterable[Request]) -> None:
    left = iter(requests)

    async def send(session: aiohttp.ClientSession) -> None:
        for request in left:
            async with session.request(
                request.method, request.path, data=request.body, headers=dict(request.headers)
            ) as answer:
                if answer.status != 200:
                    raise BenchmarkError(f"{request.path}: {answer.status} {await answer.text()}")

    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        await asyncio.gather(*(send(session) for _ in range(CALLS_AT_ONCE)))


async def _take_seats(
    port: int, player_ids: list[str], integration: str, launch: Launch | None
) -> list[Seat]:
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    connector = aiohttp.TCPConnector(limit=CALLS_AT_ONCE)
    gate = asyncio.Semaphore(CALLS_AT_ONCE)

    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{port}", headers=headers, connector=connector
    ) as session:

        async def taken(player_id: str) -> Seat:
            async with gate:
                seat = await _take_seat(session, player_id, integration)
                return seat if launch is None else await _start_game(session, seat, launch)

        return list(await asyncio.gather(*(taken(player_id) for player_id in player_ids)))


async def _take_seat(session: aiohttp.ClientSession, player_id: str, integration: str) -> Seat:
    await _post(session, "/api/players", {"player_id": player_id, "currency": "EUR"})
    path = f"/api/players/{player_id}"
    money = {"reference": f"start-{player_id}", "amount": DEPOSIT, "currency": "EUR"}
    await _post(session, f"{path}/deposits", money)
    game = {"integration": integration, "game": "benchmark-game", "currency": "EUR"}
    opened = await _post(session, f"{path}/sessions", game)
    return Seat(player_id, opened["session_token"])


async def _start_game(session: aiohttp.ClientSession, seat: Seat, launch: Launch) -> Seat:
    opened = await _send(session, launch.opening(seat))
    seat = Seat(seat.player_id, opened["id"])
    await _send(session, launch.balance(seat))
    return seat


async def _send(session: aiohttp.ClientSession, request: Request) -> dict[str, str]:
    headers = dict(request.headers)
    async with session.request(request.method, request.path, headers=headers) as answer:
        if answer.status != 200:
            raise BenchmarkError(f"{request.path}: {answer.status} {await answer.text()}")
        content: dict[str, str] = await answer.json()
        return content


async def _post(session: aiohttp.ClientSession, path: str, body: dict[str, str]) -> dict[str, str]:
    async with session.post(path, json=body) as answer:
        if answer.status != 201:
            raise BenchmarkError(f"POST {path}: {answer.status} {await answer.text()}")
        content: dict[str, str] = await answer.json()
        return content
