"""HTTP as a provider does it: answers are awaited or cut off, and calls repeated until settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from adapters.simulate.wire.base import Answer, Request

ANSWER_TIMEOUT_S = 30.0
"""Longer than any server should need: a call that times out here was not meant to."""

SETTLE_TIMEOUT_S = 90.0
"""How long a call is repeated while the server is away or cannot commit."""

START_TIMEOUT_S = 15.0
"""How long the server may take to be there at all."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0


class Unsettled(Exception):
    """The server gave no final answer in time."""


class Unplayable(Exception):
    """Nothing could be played; the message is one line."""


class Client:
    """Sends requests to one server."""

    def __init__(self, url: str, http: ClientSession) -> None:
        """``url`` without a slash at its end; ``http`` from `open_session`."""
        self._url = url
        self._http = http
        self.requests = 0
        self.repeated = 0
        """How often a call was sent again because the server was not there or could not commit."""

    async def send(self, request: Request) -> Answer | None:
        """One try; None when the connection broke or nothing came back."""
        self.requests += 1
        try:
            async with self._http.request(
                request.method,
                URL(self._url + request.path, encoded=True),
                data=request.body,
                headers=request.headers,
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except (ClientError, TimeoutError, OSError):
            return None

    async def settle(
        self,
        request: Request,
        unavailable: Callable[[Answer], bool],
        timeout_s: float = SETTLE_TIMEOUT_S,
    ) -> Answer:
        """Repeat the request until there is a final answer. Raises `Unsettled`."""
        pauses = Pauses(timeout_s)
        tries = 1
        while True:
            answer = await self.send(request)
            if answer is not None and not unavailable(answer):
                return replace(answer, tries=tries)
            tries += 1
            self.repeated += 1
            await pauses.wait()

    async def cut(self, request: Request, patience_s: float) -> None:
        """Send the request and leave after ``patience_s`` without reading what comes back."""
        self.requests += 1
        target = urlsplit(self._url)
        secure = target.scheme == "https"
        lines = [
            f"{request.method} {target.path}{request.path} HTTP/1.1",
            f"Host: {target.netloc}",
            f"Content-Length: {len(request.body)}",
            *(f"{name}: {value}" for name, value in request.headers.items()),
        ]
        head = "\r\n".join([*lines, "", ""]).encode()
        with suppress(OSError):
            _, writer = await asyncio.open_connection(
                target.hostname,
                target.port or (443 if secure else 80),
                ssl=True if secure else None,
            )
            writer.write(head + request.body)
            with suppress(OSError):
                await writer.drain()
            await asyncio.sleep(patience_s)
            writer.close()


class Pauses:
    """Waiting times that grow until the time is up."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        self._pause_s = FIRST_PAUSE_S

    async def wait(self) -> None:
        """Wait before the next try. Raises `Unsettled` when the time is up."""
        if asyncio.get_running_loop().time() > self._deadline:
            raise Unsettled(f"no final answer within {self._timeout_s:g} s")
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


def open_session(concurrency: int) -> ClientSession:
    """Connections for ``concurrency`` players, each of whom may send a call five times at once."""
    return ClientSession(
        connector=TCPConnector(limit=concurrency * 5 + 5),
        timeout=ClientTimeout(total=ANSWER_TIMEOUT_S),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    )
