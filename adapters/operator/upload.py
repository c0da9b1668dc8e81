"""A file that a call brings as its body: streamed to the disk, within limits of size and time."""

from __future__ import annotations

import asyncio
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

from aiohttp import web

from adapters.operator.problems import ProblemFound, malformed
from adapters.reconciliation_store import Received

UPLOAD_BYTES_MAX: Final = 256 * 1024 * 1024
"""Largest file that a call may bring."""

UPLOAD_TIMEOUT_S: Final = 300.0
"""Time for it to arrive."""

_PIECE: Final = 1024 * 1024


class Upload:
    """The body of a call, not read yet."""

    def __init__(
        self,
        request: web.Request,
        bytes_max: int = UPLOAD_BYTES_MAX,
        timeout_s: float = UPLOAD_TIMEOUT_S,
    ) -> None:
        self._request = request
        self._bytes_max = bytes_max
        self._timeout_s = timeout_s

    async def receive(self) -> Received:
        """The whole body in a temporary file, which is the caller's to remove.

        Ends the call as malformed where it is too long or breaks off, as unavailable where it is
        too slow or there is no room for it.
        """
        if (self._request.content_length or 0) > self._bytes_max:
            self._too_long()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._to_disk()
        except TimeoutError:
            raise ProblemFound("unavailable", "the body came too slowly") from None
        except (ConnectionError, web.RequestPayloadError):
            malformed("the body broke off")
        except OSError as error:
            raise ProblemFound("unavailable", f"the disk: {error.strerror}") from error

    async def _to_disk(self) -> Received:
        descriptor, path = tempfile.mkstemp(prefix="wallet-ledger-", suffix=".statement")
        os.close(descriptor)
        try:
            return await self._copy(path)
        except BaseException:
            remove(path)
            raise

    async def _copy(self, path: str) -> Received:
        digest, size, waiting = sha256(), 0, bytearray()
        content = self._request.content
        while chunk := await content.readany():
            size += len(chunk)
            if size > self._bytes_max:
                self._too_long()
            waiting += chunk
            if len(waiting) >= _PIECE:
                await asyncio.to_thread(_write, path, bytes(waiting))
                digest.update(waiting)
                waiting.clear()
        await asyncio.to_thread(_write, path, bytes(waiting))
        digest.update(waiting)
        return Received(path, digest.hexdigest(), size)

    def _too_long(self) -> None:
        malformed(f"the body is over {self._bytes_max} bytes")


def remove(path: str) -> None:
    """Remove a file that may be gone already."""
    Path(path).unlink(missing_ok=True)


def _write(path: str, piece: bytes) -> None:
    """Append by a descriptor of its own.

    The thread goes on when its call is given up, and a closed descriptor's number is another's.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        left = memoryview(piece)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)
