"""Reads the body of a call, within its limits of size and time."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader, web

from adapters.providers.protocol import RefusedCall
from adapters.settings import Limits
from ledger.refusals import Refusal


async def read_body(request: web.Request, limits: Limits) -> bytes:
    """The whole body.

    Raises `RefusedCall`: unavailable where it came too slowly, malformed_request where it is too
    long or broken.
    """
    most = limits.body_bytes_max
    content = request.content
    if content.is_eof():
        body = content.read_nowait()
    elif (request.content_length or 0) > most:
        raise RefusedCall(Refusal.MALFORMED_REQUEST, f"the body is over {most} bytes")
    else:
        try:
            async with asyncio.timeout(limits.body_timeout_s):
                body = await _read_all(content, most)
        except TimeoutError:
            if _is_garbled(request):
                raise RefusedCall(Refusal.MALFORMED_REQUEST, "the body is garbled") from None
            # Also at a stop: the call may be good, so its sender must send it again.
            raise RefusedCall(Refusal.UNAVAILABLE, "the body came too slowly") from None
        except (ConnectionError, web.RequestPayloadError):
            raise RefusedCall(Refusal.MALFORMED_REQUEST, "the body broke off") from None
    if len(body) > most:
        raise RefusedCall(Refusal.MALFORMED_REQUEST, f"the body is over {most} bytes")
    return body


def _is_garbled(request: web.Request) -> bool:
    """Whether the parser gave up in the middle of the body.

    aiohttp queues that error like a next request and leaves the body's reader waiting.
    """
    return bool(getattr(request.protocol, "_messages", ()))


async def _read_all(content: StreamReader, most: int) -> bytes:
    """Everything up to the end, or a little more than ``most`` bytes."""
    chunks = []
    size = 0
    while size <= most and (chunk := await content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)
