"""Limits of the HTTP server: what is too large, too slow, too much, or not for this address."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ledger.embedded import SUPERUSER
from tests.acceptance.provider import PATH, Answer, Site, balance, bet, signature, visiting
from tests.acceptance.service import SECRET, Service, running
from tests.conftest import Databases

BODY_MAX = 64 * 1024
BODY_TIMEOUT_S = 1.0
CONNECTIONS_MAX = 600
PROXY = "127.0.0.1"
STRANGER = "127.0.0.2"
ALLOWED = "203.0.113.7"


@pytest.fixture(scope="module")
def limited(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, str]]:
    """A service with tight limits, a fenced integration and a player; the player's session."""
    with (
        databases.fresh(databases.template(1)) as name,
        running(
            tmp_path_factory.mktemp("limited"),
            database={
                "url": databases.server.url(name),
                "migrate_url": databases.server.url(name, SUPERUSER),
            },
            server={"trusted_proxies": [PROXY]},
            limits={"body_timeout_s": BODY_TIMEOUT_S, "connections_max": CONNECTIONS_MAX},
            integrations__fenced={
                "protocol": "betbrothers",
                "secrets": [SECRET],
                "allow_ips": [f"{ALLOWED}/32"],
            },
        ) as service,
    ):
        yield service, asyncio.run(_player(service))


async def _player(service: Service) -> str:
    async with visiting(service.base_url) as site:
        return await site.player("ann", "10000.00")


@pytest.fixture
def service(limited: tuple[Service, str]) -> Service:
    """The service."""
    return limited[0]


@pytest.fixture
def token(limited: tuple[Service, str]) -> str:
    """The player's session token."""
    return limited[1]


def connect(service: Service, source: str = PROXY) -> socket.socket:
    """A bare connection."""
    address = ("127.0.0.1", service.port)
    return socket.create_connection(address, timeout=15, source_address=(source, 0))


def head(body: bytes = b"", *, path: str = PATH, method: str = "POST", **headers: Any) -> bytes:
    """The head of a signed call; a header's name has `_` for `-`, None leaves one out."""
    given: dict[str, Any] = {
        "Host": "test",
        "X_REQUEST_SIGN": signature(body),
        "Content_Length": len(body),
        **headers,
    }
    lines = [
        f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value is not None
    ]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()


class NoReadAhead:
    """A connection whose file reads no further than it is asked: the rest is the next answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def makefile(self, mode: str) -> Any:
        """A file with a buffer of one byte."""
        return self._connection.makefile(mode, buffering=1)  # type: ignore[call-overload]


def read(connection: socket.socket) -> tuple[Answer, dict[str, str]]:
    """The next answer on a connection, and its headers in lower case."""
    answer = http.client.HTTPResponse(NoReadAhead(connection))  # type: ignore[arg-type]
    answer.begin()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, answer.read()), headers


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes the connection."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def is_malformed(answer: Answer) -> bool:
    """The protocol's own way to say so."""
    return answer.status == 400 and set(answer.json) == {"code", "message"}


# --- size -------------------------------------------------------------------


def test_a_content_length_over_the_limit_is_refused_before_any_of_it_is_sent(
    service: Service,
) -> None:
    """Nobody gets to fill the memory by announcing a large body."""
    with connect(service) as connection:
        connection.sendall(head(Content_Length=BODY_MAX + 1))
        answer, _ = read(connection)
        assert is_malformed(answer)
        assert is_closed(connection)


def test_a_gpas_body_over_the_limit_is_refused_in_the_words_of_gpas(service: Service) -> None:
    """Each protocol has its own form of "malformed"."""
    with connect(service) as connection:
        connection.sendall(head(path="/gpas/movements/credit", Content_Length=BODY_MAX + 1))
        answer, _ = read(connection)
        assert answer.status == 400
        assert answer.json["code"] == 1010
        assert set(answer.json) == {"code", "type", "message"}


def test_a_refusal_reaches_a_client_that_sends_its_large_body_all_the_same(
    service: Service,
) -> None:
    """A reset would hide the answer, and the provider would try again for ever."""
    body = b"x" * (BODY_MAX * 8)
    with connect(service) as connection:
        connection.sendall(head(body))
        connection.sendall(body)
        answer, _ = read(connection)
        assert is_malformed(answer)


@pytest.mark.parametrize(("size", "status"), [(BODY_MAX, 200), (BODY_MAX + 1, 400)])
async def test_the_limit_counts_to_the_byte(
    service: Service, token: str, size: int, status: int
) -> None:
    """64 KiB are allowed, one byte more is not."""
    key = f"large-{size}"
    body = bet("ann", token, key, padding="")
    body = bet("ann", token, key, padding="x" * (size - len(body)))
    async with visiting(service.base_url) as site:
        assert (await site.send(body)).status == status


def test_a_chunked_body_over_the_limit_is_refused_before_its_end(service: Service) -> None:
    """It announces no length, so what came is counted; the end never comes here."""
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    with connect(service) as connection:
        connection.sendall(head(Content_Length=None, Transfer_Encoding="chunked"))
        for _ in range(5):
            connection.sendall(chunk)
        answer, _ = read(connection)
        assert is_malformed(answer)
        assert is_closed(connection)


@pytest.mark.parametrize("pause_s", [0.0, BODY_TIMEOUT_S / 4])
def test_a_chunked_body_that_is_garbled_is_malformed(service: Service, pause_s: float) -> None:
    """No length where one must be; it may come with the head, or when the call waits for it."""
    with connect(service) as connection:
        connection.sendall(head(Content_Length=None, Transfer_Encoding="chunked"))
        time.sleep(pause_s)
        connection.sendall(b"4\r\nabcd\r\nzz\r\n")
        assert read(connection)[0].status == 400


def test_a_chunked_body_within_the_limit_is_as_good_as_any(service: Service, token: str) -> None:
    """Some clients always send so."""
    body = bet("ann", token, "chunked")
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + 50]), body[at : at + 50])
        for at in range(0, len(body), 50)
    )
    with connect(service) as connection:
        connection.sendall(head(body, Content_Length=None, Transfer_Encoding="chunked"))
        connection.sendall(chunks + b"0\r\n\r\n")
        assert read(connection)[0].status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_a_compressed_body_is_not_unpacked(
    service: Service, token: str, encoding: str
) -> None:
    """64 KiB could unpack to a gigabyte, and the signature is over what was sent."""
    body = gzip.compress(bet("ann", token, f"packed-{encoding}"))
    async with visiting(service.base_url) as site:
        assert is_malformed(await site.send(body, headers={"Content-Encoding": encoding}))


async def test_plain_json_that_calls_itself_gzip_is_read_as_it_is(
    service: Service, token: str
) -> None:
    """The body is its bytes, whatever a header says of them."""
    body = bet("ann", token, "not packed")
    async with visiting(service.base_url) as site:
        assert (await site.send(body, headers={"Content-Encoding": "gzip"})).status == 200


@pytest.mark.parametrize("path", [PATH, "/betbrothers/operator/%77allet"])
def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on(
    service: Service, token: str, path: str
) -> None:
    """`Expect: 100-continue`: without the word to go on some clients wait for a second or more."""
    body = bet("ann", token, f"expected-{path}")
    with connect(service) as connection:
        connection.sendall(head(body, path=path, Expect="100-continue"))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read(connection)[0].status == 200


@pytest.mark.parametrize("path", [PATH, "/api/players", "/nowhere"])
def test_what_else_a_client_expects_is_refused_as_a_problem(service: Service, path: str) -> None:
    """And its body, which it may still send, is taken for no call."""
    with connect(service) as connection:
        connection.sendall(head(b"{}", path=path, Expect="200-ok"))
        answer, headers = read(connection)
        assert (answer.status, answer.json["code"]) == (417, "malformed_request")
        assert headers["content-type"].startswith("application/problem+json")
        assert is_closed(connection)


# --- time -------------------------------------------------------------------


def test_a_half_sent_body_is_answered_and_closed_after_its_time(
    service: Service, token: str
) -> None:
    """The HTTP server alone would wait for ever. To be sent again: it may have been good."""
    body = bet("ann", token, "half")
    with connect(service) as connection:
        connection.sendall(head(body) + body[:40])
        started = time.monotonic()
        answer, _ = read(connection)
        assert time.monotonic() - started >= BODY_TIMEOUT_S * 0.9
        assert answer.status == 503
        assert is_closed(connection)


async def test_five_hundred_stalled_connections_do_not_stop_a_bet(
    service: Service, token: str
) -> None:
    """Half heads, half bodies and silence cost the others nothing (P9)."""
    body = bet("ann", token, "stalled")
    beginnings = [b"", b"POST /betbr", head(body)[:-2], head(body) + body[:9]]
    with ExitStack() as stack:
        for number in range(500):
            stalled = stack.enter_context(connect(service))
            stalled.sendall(beginnings[number % len(beginnings)])
        async with visiting(service.base_url, timeout_s=5) as site:
            for number in range(10):
                assert (await site.send(bet("ann", token, f"healthy-{number}"))).status == 200


def test_a_client_that_hangs_up_after_its_bet_has_placed_it(service: Service, token: str) -> None:
    """Its retry must find it: the wallet's work does not depend on who listens."""
    body = bet("ann", token, "hung up")
    with connect(service) as connection:
        connection.sendall(head(body) + body)
    deadline = time.monotonic() + 10
    while not asyncio.run(_booked(service, "hung up")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def _booked(service: Service, transaction_id: str) -> bool:
    async with visiting(service.base_url) as site:
        path = f"/transactions/betbrothers/{transaction_id}"
        return (await site.operate("GET", path)).status == 200


def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_no_error_of_ours(
    service: Service, token: str
) -> None:
    """Networks do that all day; an alarm a time would hide the real ones."""
    body = bet("ann", token, "broken off")
    before = service.log.count("call_failed")
    for _ in range(3):
        with connect(service) as connection:
            connection.sendall(head(body) + body[:30])
    asyncio.run(_bet(service, bet("ann", token, "after broken off")))
    time.sleep(0.3)
    assert service.log.count("call_failed") == before


async def _bet(service: Service, body: bytes) -> None:
    async with visiting(service.base_url) as site:
        assert (await site.send(body)).status == 200


# --- connections -------------------------------------------------------------------


def test_connections_over_the_limit_are_closed_at_once_and_others_go_on(
    service: Service, token: str
) -> None:
    """The limit protects those that are there; it is no queue."""
    body = balance("ann", token)
    with ExitStack() as stack:
        held = [stack.enter_context(connect(service)) for _ in range(CONNECTIONS_MAX)]
        with connect(service) as refused:
            refused.settimeout(10)
            assert is_closed(refused)
        held[0].sendall(head(body) + body)
        assert read(held[0])[0].status == 200
    deadline = time.monotonic() + 10
    while service.get("/health/live")[0] != 200:
        assert time.monotonic() < deadline


def test_calls_sent_one_behind_the_other_are_answered_in_their_order(
    service: Service, token: str
) -> None:
    """HTTP pipelining: one connection, three calls, no waiting in between."""
    bodies = [bet("ann", token, f"piped-{number}", amount=number) for number in range(3)]
    with connect(service) as connection:
        connection.sendall(b"".join(head(body) + body for body in bodies))
        answers = [read(connection)[0] for _ in bodies]
    assert [answer.status for answer in answers] == [200] * 3
    balances = [answer.json["balance"] for answer in answers]
    assert [balances[0] - later for later in balances] == [0, 1, 3]


def test_no_answer_overtakes_the_one_before_it(service: Service) -> None:
    """A provider's answer is written when the loop's turn ends, those of other routes at once."""
    refused, health = head(b"{") + b"{", b"GET /health/live HTTP/1.1\r\nHost: wallet\r\n\r\n"
    with connect(service) as connection:
        connection.sendall(refused + health + refused)
        answers = [read(connection)[0] for _ in range(3)]
    assert [answer.status for answer in answers] == [400, 200, 400]


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b"", 400), (b'{"action":"jump"}', 400)]
)
def test_a_connection_serves_on_after_a_refusal(
    service: Service, token: str, body: bytes, status: int
) -> None:
    """One bad call must not cost the next one its connection."""
    good = bet("ann", token, f"after-{body!r}")
    with connect(service) as connection:
        connection.sendall(head(body) + body)
        assert read(connection)[0].status == status
        connection.sendall(head(good, X_REQUEST_SIGN="0" * 64) + good)
        assert read(connection)[0].status == 403
        connection.sendall(head(good) + good)
        assert read(connection)[0].status == 200


# --- addresses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "forwarded", "allowed"),
    [
        (PROXY, ALLOWED, True),
        (PROXY, f"198.51.100.1, {ALLOWED}", True),
        (PROXY, f"{ALLOWED}, 198.51.100.1", False),
        (PROXY, f"198.51.100.1\r\nX-Forwarded-For: {ALLOWED}", True),
        (PROXY, f"{ALLOWED}\r\nX-Forwarded-For: 198.51.100.1", False),
        (PROXY, f"::ffff:{ALLOWED}", True),
        (PROXY, f"{ALLOWED}:49152", True),
        (PROXY, f"[::ffff:{ALLOWED}]:49152", True),
        (PROXY, f"[::ffff:{ALLOWED}]", True),
        (PROXY, "198.51.100.1:49152", False),
        (PROXY, f"{ALLOWED}:", False),
        (PROXY, "nonsense", False),
        (PROXY, None, False),
        (STRANGER, ALLOWED, False),
        (STRANGER, None, False),
    ],
)
def test_only_the_last_hop_of_a_trusted_proxy_says_who_calls(
    service: Service, token: str, source: str, forwarded: str | None, allowed: bool
) -> None:
    """Anybody can write X-Forwarded-For; a right signature from a wrong place is refused."""
    body = b"{"
    with connect(service, source) as connection:
        path = "/fenced/operator/wallet"
        connection.sendall(head(body, path=path, X_Forwarded_For=forwarded) + body)
        assert read(connection)[0].status == (400 if allowed else 403)


# --- routes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/unknown/operator/wallet", 404),
        ("POST", "/betbrothers/operator/unknown", 404),
        ("POST", "/betbrothers", 404),
        ("POST", "/", 404),
        ("GET", "/betbrothers/../api/players", 404),
        ("GET", PATH, 405),
        ("DELETE", PATH, 405),
        ("POST", "/metrics", 405),
        ("POST", "/health/live", 405),
        ("GET", "/gpas/movements/rollback", 405),
        ("GET", "/api/unknown", 404),
        ("DELETE", "/api/players", 405),
    ],
)
def test_what_is_not_served_is_a_problem_as_json(
    service: Service, method: str, path: str, status: int
) -> None:
    """No page, no traceback; and 405 says what is allowed."""
    with connect(service) as connection:
        connection.sendall(head(method=method, path=path))
        answer, headers = read(connection)
    assert answer.status == status
    assert headers["content-type"].split(";")[0] == "application/problem+json"
    assert answer.json["status"] == status
    assert ("allow" in headers) == (status == 405)


def test_what_is_no_http_at_all_is_refused_and_forgotten(service: Service) -> None:
    """A port scan, a TLS greeting, a head without end."""
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        with connect(service) as connection:
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(65536)[:12] in (b"HTTP/1.0 400", b"HTTP/1.1 400", b"")
    with connect(service) as connection:
        connection.sendall(head(X_Long="x" * 20_000))
        assert 400 <= read(connection)[0].status < 500
    assert service.get("/health/live") == (
        200,
        json.dumps({"status": "live"}).encode().replace(b" ", b""),
    )


@pytest.mark.parametrize(
    "sent",
    [
        head(method="GET", path="/health/live"),
        head(method="GET", path="/metrics"),
        head(method="GET", path="/api/openapi.json"),
        head(method="GET", path="/api/players/ann"),
        head(method="GET", path="/nowhere"),
        head(Expect="the unexpected"),
        b"HELLO\r\n\r\n",
        head(b"{}") + b"{}",
    ],
)
def test_no_answer_tells_what_it_is_made_with(service: Service, sent: bytes) -> None:
    """Versions of Python and of the library would tell a stranger which holes to try."""
    with connect(service) as connection:
        connection.sendall(sent)
        _, headers = read(connection)
    assert headers.get("server", "wallet-ledger") == "wallet-ledger"


async def test_query_strings_that_are_no_text_are_refused_and_break_nothing(
    service: Service, token: str
) -> None:
    """Half a character, NUL and nonsense in what is journaled as text."""
    for query in (b"a=%ff", b"a=%00", b"a=\xff\xfe", b"walletSessionId=%ed%a0%80", b"&&==;;"):
        with connect(service) as connection:
            line = b"GET /gpas/wallets/balance?" + query + b" HTTP/1.1\r\n"
            connection.sendall(line + b"Host: test\r\nx-signature: A\r\n\r\n")
            answer, _ = read(connection)
            assert answer.status == 400, query
    async with visiting(service.base_url) as site:
        await _is_journaled(site, token, "after odd queries")


async def _is_journaled(site: Site, token: str, transaction_id: str) -> None:
    assert (await site.send(bet("ann", token, transaction_id))).status == 200
    async with asyncio.timeout(10):
        while True:
            done = await site.operate("GET", f"/transactions/betbrothers/{transaction_id}")
            if done.json["transactions"][0]["calls"]:
                return
            await asyncio.sleep(0.05)
