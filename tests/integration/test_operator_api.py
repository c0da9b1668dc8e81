"""The operator API on the whole service: a real database, two partitions, providers' calls."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from adapters.app import create_app
from adapters.keys import Secret
from adapters.metrics import Metrics
from adapters.providers.signatures import hmac_sha256, sha1_suffixed
from adapters.settings import BetBrothers, Database, Gpas, Limits, Settings
from adapters.telemetry import LineWriter
from ledger.chain import GENESIS, link
from ledger.codec import player_stream
from ledger.embedded import SUPERUSER
from ledger.endpoints import READ_S
from ledger.service import token_hash
from ledger.store import Store
from tests.integration.test_outage import frozen
from tests.unit.operator_fakes import SETTINGS, Desk

SECRET = Secret("shared")
WHOLE = replace(
    SETTINGS,
    database=Database(partitions=2),
    integrations={
        "slots": BetBrothers(protocol="betbrothers", name="slots", secrets=(SECRET,)),
        "gpas": Gpas(protocol="gpas", name="gpas", parent_system_id="BL13GT", secrets=(SECRET,)),
    },
)
DEPOSIT = {"reference": "d1", "amount": "100", "currency": "EUR"}


class Service(Desk):
    """The operator's calls, and a provider's."""

    async def bet(self, token: str, transaction_id: str, **changes: Any) -> tuple[int, Any]:
        """A signed bet of 2.50 by The Bet Brothers; status and body."""
        body = {
            "action": "bet",
            "player_id": "p1",
            "amount": 250,
            "currency_code": "EUR",
            "is_mobile": False,
            "payload": {
                "reference": "g1",
                "session_token": token,
                "provider_transfer_data": {"transaction_id": transaction_id, "round_id": "r1"},
            },
        }
        data = json.dumps(body | changes).encode()
        sign = hmac_sha256(SECRET, data).decode()
        response = await self._client.post(
            "/slots/operator/wallet", data=data, headers={"X-REQUEST-SIGN": sign}
        )
        return response.status, json.loads(await response.read())

    async def gpas(self, method: str, path: str, query: str, token: str = "") -> tuple[int, Any]:
        """A signed call of GPAS without a body; status and body."""
        headers = {
            "x-parent-system-id": "BL13GT",
            "x-signature": sha1_suffixed(SECRET, query.encode()).decode(),
            "Authorization": f"Bearer {token}",
        }
        response = await self._client.request(method, f"/gpas{path}?{query}", headers=headers)
        return response.status, json.loads(await response.read())

    async def session(self, integration: str = "slots") -> str:
        """A session of p1."""
        body = {"integration": integration, "game": "g1", "currency": "EUR"}
        answer = await self.post("/players/p1/sessions", body)
        assert answer.status == 201, answer.text
        return str(answer.json["session_token"])


@pytest.fixture
def url(postgres, databases) -> Iterator[str]:
    """A fresh database of two partitions."""
    with databases.fresh(databases.template(2)) as name:
        yield postgres.url(name)


@asynccontextmanager
async def serving(url: str, settings: Settings = WHOLE) -> AsyncIterator[Service]:
    """One worker of the service on that database."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    writer = LineWriter(descriptor)
    try:
        app = create_app(settings, url, writer, Metrics())
        async with TestClient(TestServer(app)) as client:
            yield Service(client)
    finally:
        writer.close()
        os.close(descriptor)


async def test_a_players_life_from_registration_to_the_closed_session(url):
    """Everything that an operator does in a day, with the provider's bets in between."""
    async with serving(url) as service:
        created = await service.post("/players", {"player_id": "p1", "currency": "EUR"})
        assert (created.status, created.json["version"]) == (201, 2)
        assert (await service.post("/players/p1/deposits", DEPOSIT)).status == 201
        token = await service.session()
        assert (await service.bet(token, "t1"))[0] == 200

        shown = await service.get("/players/p1", role="viewer")
        assert shown.json["open_rounds"] == 1
        assert shown.json["wallets"][0]["real"] == "97.50"
        assert (await service.post("/players/p1/block", {"reason": "asked"})).status == 200
        assert (await service.bet(token, "t2"))[0] == 407
        assert (await service.post("/players/p1/unblock")).status == 200
        await service.put("/players/p1/limits", {"max_bet": "1"})
        assert (await service.bet(token, "t2"))[0] == 418
        await service.put("/players/p1/limits", {"max_bet": None})
        await service.put("/games/slots/g1", {"enabled": False, "reason": "faulty"})
        assert (await service.bet(token, "t2"))[0] == 405
        assert (await service.get("/games/slots/g1", role="viewer")).json["enabled"] is False
        await service.put("/games/slots/g1", {"enabled": True, "reason": "mended"})
        assert (await service.bet(token, "t2"))[0] == 200
        game = (await service.get("/games/slots/g1", role="viewer")).json
        assert game["enabled"] is True
        assert [(each["type"], each["actor"], each["reason"]) for each in game["events"]] == [
            ("game_disabled.v1", "admin-1", "faulty"),
            ("game_enabled.v1", "admin-1", "mended"),
        ]
        assert (await service.call("DELETE", f"/sessions/{token}")).status == 204
        assert (await service.bet(token, "t3"))[0] == 404


async def test_equal_deposits_at_once_are_booked_once_and_answered_alike(url):
    """Impatient clients and retrying proxies send the same call twice at the same time."""
    async with serving(url) as service:
        await service.post("/players", {"player_id": "p1", "currency": "EUR"})
        answers = await asyncio.gather(
            *(service.post("/players/p1/deposits", DEPOSIT) for _ in range(20))
        )
        shown = await service.get("/players/p1")
    assert sorted(answer.status for answer in answers) == [200] * 19 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert shown.json["wallets"][0]["real"] == "100.00"


async def test_a_replay_after_a_restart_is_the_first_answer_to_the_byte(url):
    """Memory is only a shortcut: the log answers as well, whatever happened since."""
    hold = {"reference": "w1", "amount": "30", "currency": "EUR", "hold": True}
    async with serving(url) as service:
        await service.post("/players", {"player_id": "p1", "currency": "EUR"})
        deposit = await service.post("/players/p1/deposits", DEPOSIT)
        held = await service.post("/players/p1/withdrawals", hold)
        confirmed = await service.post("/players/p1/withdrawals/w1/confirm")
        assert held.json["wallet"]["held"] == "30.00"
        assert confirmed.json["wallet"]["held"] == "0.00"
    async with serving(url) as service:
        again = [
            await service.post("/players/p1/deposits", DEPOSIT),
            await service.post("/players/p1/withdrawals", hold),
            await service.post("/players/p1/withdrawals/w1/confirm"),
        ]
        cancelled = await service.post("/players/p1/withdrawals/w1/cancel")
    assert [answer.status for answer in again] == [200, 200, 200]
    assert [answer.text for answer in again] == [deposit.text, held.text, confirmed.text]
    assert (cancelled.status, cancelled.code) == (409, "original_settled")


async def test_events_are_those_of_the_log_with_the_hashes_of_the_log(url):
    """The hash of the API must be the one that an audit computes from the stored bytes."""
    async with serving(url) as service:
        await service.post("/players", {"player_id": "p1", "currency": "EUR"})
        await service.post("/players/p1/deposits", DEPOSIT)
        await service.bet(await service.session(), "t1")
        events = (await service.get("/players/p1/events")).json["events"]
    digest = GENESIS
    for partition in range(2):
        store = Store(url, partition)
        for shown, row in zip(
            events, await store.events(player_stream("p1"), 0, 100), strict=False
        ):
            digest = link(digest, row.stream, row.version, row.topic, row.state[32:])
            assert shown["hash"] == digest.hex()
            assert (shown["version"], shown["type"]) == (row.version, row.topic)
        await store.close()
    assert [event["type"] for event in events] == [
        "player_registered.v1",
        "wallet_opened.v1",
        "deposited.v1",
        "session_opened.v1",
        "bet_placed.v1",
    ]
    assert events[-1]["hash"] == digest.hex()
    assert events[-1]["balance"] == {"real": "97.50", "bonus": "0.00"}


async def test_the_wallet_at_every_event_is_the_balance_on_it(url):
    """What the API says of a moment and what the event of that moment says must agree."""
    async with serving(url) as service:
        await service.post("/players", {"player_id": "p1", "currency": "EUR"})
        for number in range(5):
            await service.post("/players/p1/deposits", DEPOSIT | {"reference": f"d{number}"})
        events = (await service.get("/players/p1/events?after=2")).json["events"]
        for event in events:
            at = event["recorded_at"]
            then = (await service.get(f"/players/p1/wallet?at={at}")).json
            assert (then["at"], then["version"]) == (at, event["version"])
            assert then["wallets"][0]["real"] == event["balance"]["real"]
    assert len(events) == 5


async def test_a_providers_transaction_is_shown_with_its_calls_and_without_its_token(url):
    """All there is for a dispute, and nothing that would let its reader play."""
    async with serving(url) as service:
        await service.post("/players", {"player_id": "p1", "currency": "EUR"})
        await service.post("/players/p1/deposits", DEPOSIT)
        token = await service.session()
        assert (await service.bet(token, "t1"))[0] == 200
        assert (await service.bet(token, "t1"))[0] == 200
        assert (await service.bet(token, "t1", amount=251))[0] == 408
        answer = await service.get("/transactions/slots/t1")
        for _ in range(50):  # the journal is written in the background
            if len(answer.json["transactions"][0]["calls"]) == 3:
                break
            await asyncio.sleep(0.1)
            answer = await service.get("/transactions/slots/t1")
    (shown,) = answer.json["transactions"]
    assert (shown["operation"], shown["player_id"], shown["round_id"]) == ("bet", "p1", "r1")
    assert shown["event"]["real"] == "-2.50"
    assert shown["event"]["session"] == token_hash(token)
    assert [(call["status"], call["outcome"]) for call in shown["calls"]] == [
        (200, "ok"),
        (200, "replayed"),
        (408, "duplicate_conflict"),
    ]
    assert all(json.loads(call["body"])["action"] == "bet" for call in shown["calls"])
    assert token not in answer.text


async def test_one_reference_in_two_partitions_shows_both_movements(url):
    """A key is unique within a partition only; the operator must see both."""
    async with serving(url) as service:
        for player_id in ("p1", "p2", "p3", "p4", "p5"):
            await service.post("/players", {"player_id": player_id, "currency": "EUR"})
            await service.post(f"/players/{player_id}/deposits", DEPOSIT)
        answer = await service.get("/transactions/operator/d1")
    assert len({shown["player_id"] for shown in answer.json["transactions"]}) == 2


async def test_closing_a_launch_token_closes_the_wallet_session_that_came_from_it(url):
    """The operator knows the launch token only; GPAS plays with a session of its own."""
    async with serving(url) as service:
        await service.post("/players", {"player_id": "p1", "currency": "EUR"})
        launch = await service.session("gpas")
        status, opened = await service.gpas("POST", "/sessions", "walletId=p1", launch)
        assert status == 200, opened
        query = f"walletSessionId={opened['id']}"
        assert (await service.gpas("GET", "/wallets/balance", query))[0] == 200
        assert (await service.call("DELETE", f"/sessions/{launch}")).status == 204
        assert (await service.gpas("GET", "/wallets/balance", query))[0] == 400


async def test_the_description_of_the_api_is_served_by_the_whole_service(url):
    """Beside the providers' calls, and without a token."""
    async with serving(url) as service:
        answer = await service.get("/openapi.json", role=None)
        missing = await service.get("/nothing", role=None)
    assert answer.json["openapi"] == "3.1.0"
    assert (missing.status, missing.code) == (404, "not_found")


async def test_a_providers_lookup_in_a_frozen_database_is_unavailable_in_time(postgres, databases):
    """GPAS gives up after its own time-out, whatever the call waits for before it is decided."""
    limits = Limits(command_age_max_s=0.5, answer_timeout_s=1.0)
    balance = ("GET", "/wallets/balance", "walletSessionId=00unknown")
    with databases.fresh(await asyncio.to_thread(databases.template, 2)) as name:
        async with serving(postgres.url(name), replace(WHOLE, limits=limits)) as service:
            assert (await service.gpas(*balance))[0] == 400
            with frozen(postgres.url(name, SUPERUSER)):
                started = time.monotonic()
                status, _ = await service.gpas(*balance)
                assert status == 500
                assert time.monotonic() - started < READ_S - 1


async def test_without_its_database_every_call_is_unavailable_in_time(postgres, databases):
    """Neither a guess nor a page of errors: the caller is told to try again, soon enough."""
    limits = Limits(command_age_max_s=0.5, answer_timeout_s=1.0)
    with databases.fresh(await asyncio.to_thread(databases.template, 2)) as name:
        async with serving(postgres.url(name), replace(WHOLE, limits=limits)) as service:
            await service.post("/players", {"player_id": "p1", "currency": "EUR"})
            await asyncio.to_thread(databases.drop, name)
            answers = await asyncio.gather(
                service.post("/players/p1/deposits", DEPOSIT),
                service.get("/players/p1"),
                service.get("/players/p1/events"),
                service.get("/players/p1/wallet?at=2020-01-01"),
                service.get("/transactions/slots/t1"),
                service.call("DELETE", "/sessions/00unknown"),
                service.put("/games/slots/g1", {"enabled": False, "reason": "x"}),
            )
    for answer in answers:
        assert (answer.status, answer.code) == (503, "unavailable")
        assert answer.headers["Retry-After"] == "1"
