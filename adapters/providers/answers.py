"""The shortest way from a reply to the wire.

aiohttp's own `Response` builds its headers anew for every answer, a fifth of all that the server
itself spends on a call. A reply is complete and short, so one write does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion10, web

from adapters.providers.protocol import Reply
from adapters.providers.turn import Turn


class Answer(web.StreamResponse):
    """A reply as an HTTP response; without ``keep_alive`` the connection ends behind it."""

    def __init__(self, reply: Reply, turn: Turn, *, keep_alive: bool) -> None:
        """Builds nothing yet: what aiohttp's class prepares is not needed."""
        self._reply = reply
        self._turn = turn
        self._status = reply.status
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Have the whole answer written when the turn ends, unless the client has left."""
        self._keep_alive = self._keep_alive and request.keep_alive
        self._writer = request.writer
        transport = request.transport
        if transport is None or transport.is_closing():
            return
        reply = self._reply
        length = b"Content-Length: %d\r\n\r\n" % len(reply.body)
        lines = [_status_line(reply.status), _date(int(time.time())), _NOT_TO_BE_KEPT]
        if reply.body and not (reply.headers and _names_its_type(reply.headers)):
            lines.append(b"Content-Type: application/json\r\n")
        for name, value in reply.headers.items():
            lines.append(f"{name}: {value}\r\n".encode("latin-1"))
        if not self._keep_alive:
            lines.append(b"Connection: close\r\n")
        elif request.version == HttpVersion10:
            lines.append(b"Connection: keep-alive\r\n")
        self._turn.write(transport, b"".join((*lines, length, reply.body)))

    async def write_eof(self, _data: bytes = b"") -> None:
        """Let the turn end, and what was written leave.

        Behind this the connection is closed, or answers its next request: a client that reads none
        must not make us keep them all.
        """
        await asyncio.sleep(0)
        await self._writer.drain()


_NOT_TO_BE_KEPT: Final = b"Cache-Control: no-store\r\n"


def _names_its_type(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == "content-type" for name in headers)


@lru_cache(maxsize=64)
def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
