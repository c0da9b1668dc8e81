"""The load generator of the open loop: every call goes out when it is due, on any free connection.

`python paced.py PORT LANE POSITION PER_SECOND SECONDS` reads so many frames of a lane, sends them
evenly, and prints what came of them as JSON. A latency counts from when its call was due, however
late it was sent. One thread: many would keep the service from the cores that it shares with them.
"""

import gc
import json
import re
import select
import socket
import sys
import time
from pathlib import Path

CONNECTIONS = 64
"""That are open before the first call; a call for which none is free opens another."""
START_S = 0.5
"""Between the start and the first call."""
GRACE_S = 3.0
"""After the last call: what is not answered by then is missing."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Exhausted(Exception):
    """The lane does not hold so many calls."""


class OpenLoop:
    """One run: ``calls`` as they stand on the wire, so many a second."""

    def __init__(self, port: int, calls: list[bytes], per_second: float) -> None:
        self._port = port
        self._calls = calls
        self._per_second = per_second
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._free = [self._connect() for _ in range(CONNECTIONS)]
        self._waiting: dict[int, tuple[float, bytes]] = {}
        """By connection: when its call was due, and what has come of the answer."""
        self.latencies_us: list[int] = []
        self.refused = 0
        self.broken = 0

    def run(self) -> None:
        """Send every call, and wait for its answer."""
        begins = time.monotonic() + START_S
        ends = begins + len(self._calls) / self._per_second + GRACE_S
        sent = 0
        while (now := time.monotonic()) < ends:
            while sent < len(self._calls) and (due := begins + sent / self._per_second) <= now:
                self._send(self._calls[sent], due)
                sent += 1
            if sent == len(self._calls) and not self._waiting:
                return
            wake = begins + sent / self._per_second if sent < len(self._calls) else ends
            for number, _ in self._poll.poll(max(wake - now, 0)):
                self._receive(number)

    def _connect(self) -> int:
        opened = socket.create_connection(("127.0.0.1", self._port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[opened.fileno()] = opened
        self._poll.register(opened, select.EPOLLIN)
        return opened.fileno()

    def _send(self, call: bytes, due: float) -> None:
        number = self._free.pop() if self._free else self._connect()
        self._sockets[number].sendall(call)
        self._waiting[number] = due, b""

    def _receive(self, number: int) -> None:
        data = self._sockets[number].recv(65536)
        if not data:
            self.broken += self._waiting.pop(number, None) is not None
            self._poll.unregister(number)
            self._sockets.pop(number).close()
            return
        due, before = self._waiting[number]
        answer = before + data
        head, parted, body = answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not parted or length is None or len(body) < int(length[1]):
            self._waiting[number] = due, answer
            return
        del self._waiting[number]
        self._free.append(number)
        self.latencies_us.append(int((time.monotonic() - due) * 1e6))
        self.refused += answer[9:10] != b"2"


def frames(lane: Path, position: int, count: int) -> tuple[list[bytes], int]:
    """So many calls of a lane from a position, and the position behind them."""
    found: list[bytes] = []
    with lane.open("rb") as file:
        file.seek(position)
        while len(found) < count:
            length = file.read(5)
            if not length:
                raise Exhausted
            found.append(file.read(int(length)))
        return found, file.tell()


def main(port: str, lane: str, position: str, per_second: str, seconds: str) -> None:
    """Run as the command line says."""
    rate = float(per_second)
    calls, behind = frames(Path(lane), int(position), int(rate * float(seconds)))
    gc.disable()
    loop = OpenLoop(int(port), calls, rate)
    loop.run()
    latencies = sorted(loop.latencies_us)
    report = {
        "sent": len(calls),
        "position": behind,
        "answers": len(latencies),
        "refused": loop.refused,
        "broken": loop.broken,
        "p50_us": latencies[int(len(latencies) * 0.5)],
        "p99_us": latencies[int(len(latencies) * 0.99)],
        "p999_us": latencies[int(len(latencies) * 0.999)],
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
