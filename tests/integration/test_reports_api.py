"""Reports, rounds and GPAS's own report on the whole service: providers' calls in, figures out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from adapters.providers.signatures import sha1_suffixed
from ledger.embedded import SUPERUSER
from projections.reports import source
from projections.runner import Runner
from tests.integration.test_operator_api import SECRET, Service, serving
from tests.unit.operator_fakes import TOKENS


@pytest.fixture
def url(postgres, databases) -> Iterator[str]:
    """A fresh database of two partitions."""
    with databases.fresh(databases.template(2)) as name:
        yield postgres.url(name)


@asynccontextmanager
async def projected(url: str) -> AsyncIterator[Service]:
    """The service, with its projections beside it."""
    async with serving(url) as service:
        runners = [asyncio.create_task(Runner(url, partition).run()) for partition in range(2)]
        try:
            yield service
        finally:
            for runner in runners:
                runner.cancel()
            await asyncio.gather(*runners, return_exceptions=True)


async def funded(service: Service, *players: str) -> None:
    """Players with 100.00 EUR each."""
    for player_id in players:
        await service.player(player_id, real="100")


async def wallet_session(service: Service, player_id: str) -> str:
    """A gpas wallet session."""
    body = {"integration": "gpas", "game": "agt-54", "currency": "EUR"}
    launch = (await service.post(f"/players/{player_id}/sessions", body)).json["session_token"]
    _, opened = await service.gpas("POST", "/sessions", f"walletId={player_id}", launch)
    return str(opened["id"])


async def move(
    service: Service, call: str, session: str, key: str, *, query: str = "", **body: Any
) -> None:
    """A signed movement of GPAS, which must be accepted."""
    method = "PATCH" if call == "rollback" else "POST"
    data = json.dumps({"externalReference": key, **body}).encode()
    headers = {
        "x-parent-system-id": "BL13GT",
        "x-signature": sha1_suffixed(SECRET, data).decode(),
    }
    path = f"/gpas/movements/{call}?walletSessionId={session}{query}"
    response = await service._client.request(method, path, data=data, headers=headers)
    assert response.status == 200, await response.text()


async def gpas_report(service: Service, query: str, role: str | None = "viewer") -> Any:
    """GPAS's daily report; the response."""
    headers = {} if role is None else {"Authorization": f"Bearer {TOKENS[role]}"}
    return await service._client.get(f"/gpas/report?{query}", headers=headers)


async def today(url: str) -> str:
    """The database's date in UTC: that of what was just recorded, but for a second a day."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date::text")
        row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


async def test_gpas_gets_its_own_report_with_exactly_its_fields(url):
    """They compare it with their books every night, by game and currency."""
    async with projected(url) as service:
        await funded(service, "p1", "p2")
        day = await today(url)
        first = await wallet_session(service, "p1")
        tags = {"roundid": "r1", "gameid": "agt-54"}
        await move(service, "debit", first, "d1", value="10.50", tags=tags)
        await move(service, "debit", first, "d2", value=4, tags=tags)
        await move(service, "rollback", first, "x2", query="&externalMovementId=d2")
        credit = {**tags, "externalReferenceBet": "d1"}
        await move(service, "credit", first, "c1", value="3.25001", tags=credit)
        second = await wallet_session(service, "p2")
        other = {"roundid": "r1", "gameid": "spb-7"}
        await move(service, "debit", second, "d3", value=20, tags=other)
        await move(service, "credit", second, "c3", value=5, tags=other)
        await move(service, "rollback", second, "x3", query="&externalMovementId=c3", tags=other)
        query = f"date_from={day}&date_to={day}"
        response = await gpas_report(service, query)
        text = await response.text()
        filtered = await (await gpas_report(service, query + "&provider_code=spb")).json()
        empty = await (await gpas_report(service, "date_from=2024-01-01&date_to=2024-01-31")).json()
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert '"total_win":3.25001,' in text  # an exact number, not the float next to it
    found = json.loads(text)
    assert found["status"] == "success"
    agt, spb = found["data"]
    assert agt == {
        "date": day,
        "provider_code": "AGT",
        "game_id": "agt-54",
        "game_name": "agt-54",
        "currency": "EUR",
        "total_bet": 14.5,
        "total_bet_rollback": 4,
        "total_win": 3.25001,
        "total_win_rollback": 0,
        "total_ggr": 7.24999,
        "transaction_count_bet": 2,
        "transaction_count_win": 1,
        "transaction_count_rollback": 1,
    }
    assert (spb["total_win"], spb["total_win_rollback"], spb["total_ggr"]) == (5, 5, 20)
    assert spb["transaction_count_rollback"] == 1
    assert [row["provider_code"] for row in filtered["data"]] == ["SPB"]
    assert empty == {"status": "success", "data": []}


@pytest.mark.parametrize(
    ("query", "role", "status", "detail"),
    [
        ("date_from=2024-01-01&date_to=2024-01-02", None, 401, "a valid bearer token"),
        ("date_from=2024-01-01", "viewer", 400, "Object missing required field `date_to`"),
        ("date_from=2024-01-32&date_to=2024-02-01", "viewer", 400, "date_from: expected"),
        ("date_from=2024-01-02&date_to=2024-01-01", "viewer", 400, "date_from, date_to: the"),
        ("date_from=1969-12-30&date_to=2024-01-01", "viewer", 400, "date_from: 1969-12-30 is out"),
        ("date_from=2024-01-01&date_to=9999-12-31", "viewer", 400, "date_to: 9999-12-31 is out of"),
        ("date_from=2024-01-01&date_to=2024-01-02&x=1", "viewer", 400, "Object contains unknown"),
    ],
)  # fmt: skip
async def test_gpass_report_refuses_strangers_and_nonsense(url, query, role, status, detail):
    """It stands beside the provider's calls, but shows what operators see."""
    async with serving(url) as service:
        response = await gpas_report(service, query, role)
        assert response.status == status
        assert (await response.json(content_type=None))["detail"].startswith(detail)


async def test_what_was_just_booked_is_in_the_next_report(url):
    """Both partitions count, and nobody has to wait or to ask twice."""
    async with projected(url) as service:
        await funded(service, "p1", "p2", "p3")
        balance = await service.get("/reports/trial-balance?currency=EUR", role="viewer")
        assert [(row["account"], row["balance"]) for row in balance.json["rows"]] == [
            ("deposits", "-300.00"),
            ("player:real", "300.00"),
        ]
        owed = await service.get("/reports/liabilities")
        assert owed.json["totals"][0]["total"] == "300.00"
        token = await service.session()
        assert (await service.bet(token, "t1"))[0] == 200
        totals = await service.get("/reports/totals")
        assert [row["ggr"] for row in totals.json["rows"]] == ["2.50"]
        owed = await service.get("/reports/liabilities")
        assert owed.json["rows"][0]["open_stakes"] == "2.50"
        assert owed.json["totals"][0]["total"] == "300.00"
        statement = await service.get("/reports/player-statement?player_id=p1")
        assert [row["type"] for row in statement.json["rows"]] == [
            "opening_balance",
            "deposited.v1",
            "bet_placed.v1",
            "closing_balance",
        ]
        nobody = await service.get("/reports/player-statement?player_id=p9")
        assert (nobody.status, nobody.code) == (404, "unknown_player")


async def test_a_filter_with_a_typing_error_is_told_by_every_call(url):
    """That a player, a provider or a kind did nothing is believed, though there is none such."""
    async with projected(url) as service:
        await funded(service, "p1")
        for path in ("/reports/open-rounds?player_id=p9", "/rounds?player_id=p9"):
            answer = await service.get(path)
            assert (answer.status, answer.code) == (404, "unknown_player")
        for path in ("/reports/totals?integration=slot", "/rounds?integration=slot"):
            answer = await service.get(path)
            assert (answer.status, answer.code) == (400, "malformed_request")
            assert answer.json["detail"].startswith("integration: 'slot' is none of slots, ")
        kind = await service.get("/reports/exceptions?kind=late_wins")
        assert (kind.status, kind.code) == (400, "malformed_request")
        for path in ("/rounds/slot/r1", "/rounds/slots/r1"):
            answer = await service.get(path)
            assert (answer.status, answer.code) == (404, "not_found")
        for path in ("/reports/totals?integration=slots", "/rounds?player_id=p1"):
            assert (await service.get(path)).status == 200


async def test_rounds_as_they_open_and_close(url):
    """Support asks for a round by the provider's id; two players may share it."""
    async with projected(url) as service:
        await funded(service, "p1", "p2")
        assert (await service.bet(await service.session(), "t1"))[0] == 200
        body = {"integration": "slots", "game": "g1", "currency": "EUR"}
        other = (await service.post("/players/p2/sessions", body)).json["session_token"]
        payload = {
            "reference": "g1",
            "session_token": other,
            "provider_transfer_data": {
                "transaction_id": "t2",
                "round_id": "r1",
                "round_close": True,
            },
        }
        assert (await service.bet(other, "t2", player_id="p2", payload=payload))[0] == 200
        found = (await service.get("/rounds/slots/r1")).json["rounds"]
        assert [(each["player_id"], each["status"]) for each in found] == [
            ("p1", "open"),
            ("p2", "closed"),
        ]
        assert found[0]["stakes"] == "2.50"
        first = (await service.get("/rounds/slots/r1?limit=1")).json
        last = (await service.get(f"/rounds/slots/r1?limit=1&after={first['next']}")).json
        assert first["rounds"] + last["rounds"] == found
        assert last["next"] is None
        listed = await service.get("/rounds?integration=slots&status=open&older_than_h=0")
        assert [each["player_id"] for each in listed.json["rounds"]] == ["p1"]
        assert (await service.get("/rounds?older_than_h=1")).json["rounds"] == []
        page = (await service.get("/rounds?limit=1")).json
        rest = (await service.get(f"/rounds?limit=1&after={page['next']}")).json
        assert [each["player_id"] for each in page["rounds"] + rest["rounds"]] == ["p1", "p2"]
        assert rest["next"] is None


async def test_without_projections_money_moves_and_reports_wait(url, monkeypatch):
    """Money does not depend on views: readiness stays, and says how far they are."""
    monkeypatch.setattr(source, "CATCH_UP_S", 0.1)
    async with serving(url) as service:
        await funded(service, "p1")
        assert (await service.bet(await service.session(), "t1"))[0] == 200
        refused = await service.get("/reports/totals")
        assert (refused.status, refused.code) == (503, "unavailable")
        assert "events behind the log" in refused.json["detail"]
        rounds = await service.get("/rounds")
        assert (rounds.status, rounds.code) == (503, "unavailable")
        ready = await watched(service, lambda found: any(v["lag_events"] for v in found["views"]))
        assert ready["status"] == "ready"
        assert ready["projections"] == "ok"  # the oldest missing event is some milliseconds old
        assert len(ready["views"]) == 10


async def test_a_stopped_view_is_told_and_leaves_the_service_ready(url):
    """Somebody must look at it; players must not notice."""
    admin = url.replace("wallet_ledger@", f"{SUPERUSER}@")
    with psycopg.connect(admin) as connection:
        connection.execute(
            "UPDATE ledger_p01.projections SET stopped_at = now(), error = 'event 7: broken'"
            " WHERE view = 'journal'"
        )
    async with serving(url) as service:
        ready = await watched(service, lambda found: found["projections"] == "stopped")
        assert ready["status"] == "ready"
        assert [view for view in ready["views"] if view["error"]] == [
            {
                "view": "journal",
                "partition": 1,
                "position": 0,
                "lag_events": 0,
                "lag_s": 0.0,
                "error": "event 7: broken",
            }
        ]
        text = await (await service._client.get("/metrics")).text()
    stopped = 'wallet_ledger_projection_stopped{partition="01",view="journal"} 1.0'
    assert stopped in text
    assert 'wallet_ledger_projection_stopped{partition="00",view="journal"} 0.0' in text
    assert 'wallet_ledger_projection_position{partition="00",view="totals"} 0.0' in text


async def watched(service: Service, wanted: Any) -> Any:
    """Readiness, once it shows what is wanted."""
    async with asyncio.timeout(10):
        while True:
            response = await service._client.get("/health/ready")
            assert response.status == 200
            found = await response.json()
            if wanted(found):
                return found
            await asyncio.sleep(0.1)
