"""A server that can die: its last words and the end of its connections come as one.

What an event loop makes of data and an error of the socket that come together is its own affair;
uvloop, for one, calls its reader once for both.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from selectors import EVENT_READ, DefaultSelector
from urllib.parse import parse_qs, urlsplit

_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"
LAST_WORDS = b"E" + struct.pack("!i", 4 + len(_FIELDS)) + _FIELDS
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_TICK_S = 0.02


class MortalServer:
    """Stands on a TCP port before the real server; works in a thread until it dies."""

    def __init__(self, real: str) -> None:
        """``real`` is the path of the real server's socket."""
        self._real = real
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._partners: dict[socket.socket, socket.socket] = {}
        self._clients: list[socket.socket] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def die(self) -> None:
        """Blocks its caller's event loop until it is done, so that this sees all of it at once."""
        self._ending.set()
        self._thread.join()
        for client in self._clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            client.sendall(LAST_WORDS)
        for end in (self._listening, *self._partners):
            end.close()
        self._clients.clear()
        self._partners.clear()

    def _work(self) -> None:
        with DefaultSelector() as selector:
            selector.register(self._listening, EVENT_READ)
            while not self._ending.is_set():
                for key, _ in selector.select(_TICK_S):
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    if end is self._listening:
                        for new in self._accept():
                            selector.register(new, EVENT_READ)
                    elif data := end.recv(65536):
                        self._partners[end].sendall(data)
                    else:
                        selector.unregister(end)

    def _accept(self) -> tuple[socket.socket, socket.socket]:
        client, _ = self._listening.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._real)
        self._partners |= {client: server, server: client}
        self._clients.append(client)
        return client, server


@contextmanager
def mortal(url: str) -> Iterator[tuple[str, MortalServer]]:
    """The database behind such a server: its URL there, and the server."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    server = MortalServer(f"{asked['host'][0]}/.s.PGSQL.{asked['port'][0]}")
    user = parts.netloc.split("@")[0]
    options = "sslmode=disable&gssencmode=disable"
    try:
        yield f"postgresql://{user}@127.0.0.1:{server.port}{parts.path}?{options}", server
    finally:
        server.die()
