"""A provider's answer as it goes over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import HttpVersion11

from adapters.providers.answers import Answer
from adapters.providers.protocol import Reply
from adapters.providers.turn import Turn


class FakeTransport:
    """Keeps what is written."""

    written = b""

    def is_closing(self) -> bool:
        """Never."""
        return False

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data


class FakeWriter:
    """Its client takes everything at once."""

    async def drain(self) -> None:
        """No need to wait."""


class FakeRequest:
    """As much of a request as an answer looks at."""

    keep_alive = True
    version = HttpVersion11

    def __init__(self, transport: FakeTransport) -> None:
        self.transport = transport
        self.writer = FakeWriter()


async def sent(reply: Reply) -> list[str]:
    """The lines of the answer's head."""
    transport = FakeTransport()
    request: Any = FakeRequest(transport)
    answer = Answer(reply, Turn(), keep_alive=True)
    await answer.prepare(request)
    await answer.write_eof()  # behind this the connection may be closed
    head, _, body = transport.written.partition(b"\r\n\r\n")
    assert body == reply.body
    return head.decode("latin-1").split("\r\n")


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
async def test_a_reply_that_names_its_type_has_no_other(name: str) -> None:
    """Two lines of one header: proxies and clients take either, or refuse the answer."""
    lines = await sent(Reply(200, b"<ok/>", {name: "text/xml", "X-Signature": "s"}))
    types = [line for line in lines if line.lower().startswith("content-type:")]
    assert types == [f"{name}: text/xml"]
    assert "X-Signature: s" in lines


@pytest.mark.parametrize("headers", [{}, {"X-Signature": "s"}])
async def test_a_reply_that_names_no_type_is_json(headers: dict[str, str]) -> None:
    """Nearly every provider's answer is, and its client looks for it."""
    lines = await sent(Reply(200, b"{}", headers))
    assert lines.count("Content-Type: application/json") == 1


async def test_an_answer_without_a_body_has_no_type() -> None:
    """There is nothing that could have one."""
    assert not any("Content-Type" in line for line in await sent(Reply(200, b"")))
