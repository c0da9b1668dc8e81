"""Answers every request with the same bytes, unread: shows what the load generator can do."""

import argparse
import asyncio
from typing import cast

import uvloop

BODY = b'{"transaction_id":"1","balance":1000000,"currency_code":"EUR"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY


class Null(asyncio.Protocol):
    """One answer for each chunk: the generator sends one request at a time, in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on (uvloop's is no subclass of asyncio's)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer without reading."""
        self._transport.write(ANSWER)


async def serve(port: int) -> None:
    """Serve on loopback until the process is stopped."""
    server = await asyncio.get_running_loop().create_server(Null, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
