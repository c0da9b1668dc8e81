"""Secrets and tokens planted wherever a caller can put them, and looked for wherever we write.

Some calls here are good, some are bad in every way that makes a service talk about its input.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from yarl import URL

from ledger.embedded import SUPERUSER
from tests.acceptance.provider import PATH, Site, bet, visiting
from tests.acceptance.service import COMMAND, ROOT, SEAL_KEY, Service, running, sealed
from tests.conftest import Databases

CANARIES = {
    name: f"canary-{name}-7f3a9c51e2"
    for name in ("hmac", "gpas", "fizzy-key", "fizzy", "operator", "password", "wrong-token")
}


@dataclass
class Traces:
    """Everything that left the service, and what must not be in it."""

    secrets: dict[str, str] = field(default_factory=lambda: dict(CANARIES))
    places: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def traces(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traces]:
    """A service that has seen it all, stopped."""
    traces = Traces()
    traces.secrets["seal-key"] = SEAL_KEY.splitlines()[-2]
    keys = ROOT / "deploy" / "demo"
    directory = tmp_path_factory.mktemp("secrets")
    with databases.fresh(databases.template(1)) as name:
        url = databases.server.url(name)
        with running(
            directory,
            environment={"CANARY_GPAS": CANARIES["gpas"]},
            database={
                "url": url.replace("@", f":{CANARIES['password']}@"),
                "migrate_url": databases.server.url(name, SUPERUSER),
            },
            server={"workers": 2},
            operator={"tokens": [{"name": "ops", "role": "admin", "token": CANARIES["operator"]}]},
            integrations__betbrothers={"secrets": [CANARIES["hmac"]]},
            integrations__gpas={"secrets": ["env:CANARY_GPAS"]},
            integrations__fizzybubbly={
                "protocol": "fizzybubbly",
                "public_key": CANARIES["fizzy-key"],
                "secrets": [CANARIES["fizzy"]],
                "base_url": "http://127.0.0.1/fizzybubbly",
            },
            integrations__marbles={
                "protocol": "marbles",
                "public_keys": [f"file:{keys}/marbles-155-public.pem"],
                "signing_key": f"file:{keys}/marbles-ours-private.pem",
            },
            seals=sealed(directory / "copies"),
        ) as service:
            asyncio.run(_plant(service, traces))
            traces.places["arguments"] = _arguments(service)
            assert service.stop() == 0
        traces.places["log"] = service.log
        traces.places["journal"] = _dump(databases, name, "ledger.calls")
        traces.places["events"] = _dump(databases, name, "ledger_p00.events_readable")
        traces.places["transactions"] = _dump(databases, name, "ledger_p00.transactions")
        traces.places["seals"] = _dump(databases, name, "ledger_p00.seals_readable")
        traces.places["snapshots"] = _dump(databases, name, "ledger_p00.snapshots")
        yield traces


def _arguments(service: Service) -> str:
    pids = [service.pid, *service.workers()]
    return "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)


def _dump(databases: Databases, name: str, table: str) -> str:
    with psycopg.connect(databases.server.url(name, SUPERUSER)) as connection:
        rows = connection.execute(f"SELECT * FROM {table}".encode()).fetchall()
    return "\n".join(repr(row) for row in rows)


async def _plant(service: Service, traces: Traces) -> None:
    async with visiting(service.base_url) as site:
        planter = Planter(site, traces)
        await planter.operator()
        await planter.betbrothers()
        await planter.gpas()
        await planter.other_protocols()
        await planter.nonsense()
        traces.places["metrics"] = service.get("/metrics")[1].decode()
        traces.places["openapi"] = service.get("/api/openapi.json")[1].decode()


class Planter:
    """Sends secrets to every place that takes input, and keeps what comes back."""

    def __init__(self, site: Site, traces: Traces) -> None:
        self.site = site
        self.traces = traces
        self.token = ""

    async def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        keep: bool = True,
        **headers: Any,
    ) -> tuple[int, Any]:
        """Send, and keep the answer as a place where no secret may be."""
        url = URL(self.site.base_url + path, encoded=True)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.site.client.request(method, url, data=body, headers=given) as answer:
            text = await answer.text()
            if keep:
                place = f"answer {len(self.traces.places)} to {method} {path[:40]}"
                self.traces.places[place] = f"{dict(answer.headers)} {text}"
            return answer.status, json.loads(text) if text[:1] == "{" else text

    async def operator(self) -> None:
        """A player, a session, and tokens in the wrong places."""
        right = f"Bearer {CANARIES['operator']}"
        player = json.dumps({"player_id": "ann", "currency": "EUR"}).encode()
        money = json.dumps({"reference": "m", "amount": "50.00", "currency": "EUR"}).encode()
        await self.call("POST", "/api/players", player, Authorization=right)
        await self.call("POST", "/api/players/ann/deposits", money, Authorization=right)
        for integration in ("betbrothers", "gpas", "gpas"):
            wanted = {"integration": integration, "game": "g", "currency": "EUR"}
            body = json.dumps(wanted).encode()
            path = "/api/players/ann/sessions"
            _, answer = await self.call("POST", path, body, keep=False, Authorization=right)
            self.traces.secrets[f"{integration} token {len(self.traces.secrets)}"] = answer[
                "session_token"
            ]
        tokens = list(self.traces.secrets.values())
        self.token, self.launch, spare = tokens[-3:]
        await self.call("DELETE", f"/api/sessions/{spare}", Authorization=right)
        await self.call("DELETE", f"/api/sessions/{spare}")
        await self.call("GET", f"/api/sessions/{spare}", Authorization=right)
        wrong = CANARIES["wrong-token"]
        await self.call("GET", "/api/players/ann", Authorization=f"Bearer {wrong}")
        await self.call("GET", "/api/players/ann", Authorization=f"Basic {wrong}")
        await self.call(
            "POST", "/api/players", f'{{"token": "{wrong}"'.encode(), Authorization=right
        )

    async def betbrothers(self) -> None:
        """Good and bad calls that all carry the session token."""
        good = bet("ann", self.token, "b-1")
        hidden = "".join(f"\\u{ord(letter):04x}" for letter in self.token)
        in_digits = good.replace(self.token.encode(), hidden.encode())
        name_hidden = good.replace(b"session_token", b"\\u0073ession_token")
        bodies = [
            good,
            good,
            in_digits,
            name_hidden,
            in_digits[:-10],
            good[:-20],
            good + b"}",
            good.replace(b'"session_token": ', b'"session_token" \n\t :\r\n '),
            good.replace(b"b-1", b"b-2").replace(b'"amount": 100', b'"amount": 99999999'),
            good.replace(b"b-1", b"b-3").replace(b"ann", b"nobody"),
            good.replace(b'"session_token": "', b'"session_token": ["') + b"]",
            good[: good.index(self.token.encode()) + len(self.token)],
            good.replace(b"{", b'{"session_token":"' + self.token.encode() + b'",', 1),
            good.replace(b'"amount": 100', b'"amount": "' + b"9" * 400 + b'"'),
            good.replace(b'"is_mobile": false', b'"is_mobile": "caf\\u00e9", "n": ' + b"9" * 40),
            good.replace(b"b-1", b"b-4").replace(b'"EUR"', b'"USD"'),
        ]
        mistaken = [
            good.replace(b'"', b"'"),
            good.replace(b"session_token", b"Session_Token"),
            good.replace(b'"session_token": "', b'"session_token": {"is": "') + b"}",
            json.dumps(good.decode()).encode(),
        ]
        for body in bodies:
            await self.call("POST", PATH, body, X_REQUEST_SIGN=self.sign(body))
            await self.call("POST", PATH, body, X_REQUEST_SIGN="0" * 64)
        for body in mistaken:
            await self.call("POST", PATH, body, X_REQUEST_SIGN=self.sign(body))
        await self.call("POST", PATH, good)
        await self.call("POST", f"{PATH}?session_token={self.token}", good)
        await self.call("POST", f"{PATH}?%73ession_token={self.token}&x=%ff", good)

    def sign(self, body: bytes) -> str:
        """The right signature of betbrothers."""
        return hmac.digest(CANARIES["hmac"].encode(), body, "sha256").hex()

    async def gpas(self) -> None:
        """The wallet session is in our own answer, and then in every query."""

        def sign(text: str) -> str:
            return hashlib.sha1((text + CANARIES["gpas"]).encode()).hexdigest().upper()

        ours: dict[str, Any] = {"x_parent_system_id": "BL13GT"}
        path = "/gpas/sessions?walletId=ann"
        bearer = f"Bearer {self.launch}"
        status, answer = await self.call(
            "POST", path, keep=False, Authorization=bearer, x_signature=sign("walletId=ann"), **ours
        )
        assert status == 200, answer
        session = answer["id"]
        self.traces.secrets["gpas wallet session"] = session
        await self.call("POST", path, Authorization=bearer, x_signature="A" * 40, **ours)
        for name in ("walletSessionId", "wallet%53essionId", "id", "%69d", "ID", "walletsessionid"):
            query = f"{name}={session}&other=%ff%00"
            for route in ("/gpas/wallets/balance", "/gpas/wallets/my/balance"):
                await self.call("GET", f"{route}?{query}", x_signature=sign(query), **ours)
                await self.call("GET", f"{route}?{query}", x_signature="A" * 40, **ours)
        debit = json.dumps({"externalReference": "d-1", "value": 1, "id": session}).encode()
        query = f"walletSessionId={session}"
        for body in (debit, debit[:-5], debit.replace(b'"value"', b'"v\\u0061lue"')):
            path = f"/gpas/movements/debit?{query}"
            signature = sign(body.decode())
            await self.call("POST", path, body, x_signature=signature, **ours)
        query = f"id={session}"
        await self.call("PATCH", f"/gpas/sessions/close?{query}", x_signature=sign(query), **ours)
        await self.call("PATCH", f"/gpas/sessions/close?{query}", x_signature=sign(query), **ours)

    async def other_protocols(self) -> None:
        """Wrongly signed calls: they are journaled as well."""
        for path, name in (
            ("/marbles/bet", "clientSessionId"),
            ("/marbles/balance", "clientSessionId"),
            ("/fizzybubbly/wallet/withdraw", "sessionId"),
        ):
            for body in (
                json.dumps({name: self.token}).encode(),
                json.dumps({name: self.token, "é": 1}).encode(),
                json.dumps({name: self.token})[:-3].encode(),
            ):
                headers: dict[str, Any] = {
                    "Public_Key": CANARIES["fizzy-key"],
                    "Signature": "0" * 64,
                }
                await self.call("POST", path, body, **headers)

    async def nonsense(self) -> None:
        """Wrong paths, wrong methods, and heads that are no HTTP."""
        await self.call("GET", f"/{self.token}")
        await self.call("GET", f"/betbrothers/{self.token}")
        await self.call("PUT", f"/api/sessions/{self.token}")
        host, port = self.site.base_url.removeprefix("http://").split(":")
        for line in (
            f"Authorization: Bearer {CANARIES['operator']}\x01",
            f"Bad {CANARIES['operator']} header",
            f"X-REQUEST-SIGN : {CANARIES['operator']}",
            f"Content-Length: {CANARIES['operator']}",
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET /health/live HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode())
            self.traces.places[f"answer to {line[:10]}"] = (await reader.read(4096)).decode()
            writer.close()


@pytest.mark.parametrize("place", ["log", "journal", "metrics", "openapi", "arguments"])
def test_no_secret_and_no_token_is_written_anywhere(traces: Traces, place: str) -> None:
    """Logs are read by many, kept for long and sent away; a token in them is money."""
    text = traces.places[place]
    assert text
    found = [name for name, secret in traces.secrets.items() if secret in text]
    assert not found, _around(text, traces.secrets[found[0]])


@pytest.mark.parametrize("place", ["events", "transactions", "snapshots", "seals"])
def test_no_secret_and_no_token_is_booked(traces: Traces, place: str) -> None:
    """What is booked stays for ever: of a token only its hash."""
    found = [name for name, secret in traces.secrets.items() if secret in traces.places[place]]
    assert not found


def test_no_answer_holds_a_secret_or_a_token(traces: Traces) -> None:
    """Refusals say what is wrong, never what was sent; all calls here but two got an answer."""
    answers = {place: text for place, text in traces.places.items() if place.startswith("answer")}
    assert len(answers) > 60
    for place, text in answers.items():
        found = [name for name, secret in traces.secrets.items() if secret in text]
        assert not found, (place, _around(text, traces.secrets[found[0]]))


def test_the_journal_kept_the_calls_all_the_same(traces: Traces) -> None:
    """Evidence without tokens is still evidence: every call to a provider's path is there."""
    calls = traces.places["journal"].splitlines()
    assert len(calls) >= 60
    assert sum("[redacted]" in call for call in calls) >= 35
    assert "'b-1'" in traces.places["journal"]


def _around(text: str, secret: str) -> str:
    at = text.index(secret)
    return text[max(0, at - 300) : at + 100]


def test_a_database_that_cannot_be_reached_is_one_line_without_its_password(
    tmp_path: Path,
) -> None:
    """The first thing that people paste into a ticket."""
    password = CANARIES["password"]
    url = f"postgresql://app:{password}@127.0.0.1:9/ledger"
    service = Service(tmp_path, database={"url": url})
    service.launch()
    try:
        assert service.wait() == 2
    finally:
        service.close()
    lines = service.log.strip().splitlines()
    assert len(lines) <= 3, lines
    assert password not in service.log


def test_a_wrong_configuration_is_explained_without_its_secrets(tmp_path: Path) -> None:
    """A configuration that is wrong must be explained without being shown."""
    service = Service(tmp_path, integrations__betbrothers={"secrets": [CANARIES["hmac"], 7]})
    done = subprocess.run(
        [COMMAND, "serve", "--config", service.file],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert CANARIES["hmac"].encode() not in done.stdout + done.stderr
