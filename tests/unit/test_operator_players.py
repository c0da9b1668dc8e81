"""Players over the operator API: registration, state, blocking and limits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from adapters.operator.routes import ROUTES
from ledger.commands import SetGame, SetLimits
from ledger.events import GameDisabled
from ledger.player import Limits
from ledger.refusals import Refusal
from tests.unit.operator_fakes import SLOTS, START, MemoryLedger, running

EUR_EMPTY = {"currency": "EUR", "real": "0.00", "bonus": "0.00", "total": "0.00", "held": "0.00"}


async def test_a_new_player_is_created_and_shown():
    """The answer is the player as a GET shows it, so that no second call is needed."""
    async with running() as desk:
        created = await desk.post("/players", {"player_id": "p1", "currency": "EUR"})
        shown = await desk.get("/players/p1")
    assert (created.status, shown.status) == (201, 200)
    assert created.json == {
        "player_id": "p1",
        "status": "active",
        "version": 2,
        "wallets": [EUR_EMPTY],
        "open_rounds": 0,
    }
    assert shown.json == created.json


async def test_registering_again_changes_nothing():
    """An operator whose first call timed out repeats it."""
    async with running() as desk:
        await desk.post("/players", {"player_id": "p1", "currency": "EUR"})
        again = await desk.post("/players", {"player_id": "p1", "currency": "EUR"})
    assert (again.status, again.json["version"]) == (200, 2)


async def test_a_further_currency_is_a_further_wallet():
    """The same call again, as the contract says; each currency shows its own digits."""
    async with running() as desk:
        await desk.player(real="1")
        answer = await desk.post("/players", {"player_id": "p1", "currency": "JPY"})
    assert answer.status == 201
    assert [(wallet["currency"], wallet["total"]) for wallet in answer.json["wallets"]] == [
        ("EUR", "1.00"),
        ("JPY", "0"),
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/players/nobody"),
        ("GET", "/players/nobody/limits"),
        ("GET", "/players/nobody/events"),
        ("GET", "/players/nobody/wallet"),
        ("GET", "/players/nobody/wallet?at=2020-01-01"),
        ("POST", "/players/nobody/block"),
        ("POST", "/players/nobody/unblock"),
        ("POST", "/players/nobody/reality-checks"),
        ("POST", "/players/nobody/withdrawals/r1/confirm"),
        ("POST", "/players/nobody/withdrawals/r1/cancel"),
    ],
)
async def test_an_unknown_player_is_not_found(method, path):
    """An empty answer would look like a player without money."""
    async with running() as desk:
        answer = await desk.call(method, path)
    assert (answer.status, answer.code) == (404, "unknown_player")


async def test_staff_and_reason_go_on_the_event():
    """Regulators ask who did what and why."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player()
        blocked = await desk.post("/players/p1/block", {"reason": "self-exclusion"})
        unblocked = await desk.post("/players/p1/unblock", role="operator")
        checked = await desk.post("/players/p1/reality-checks", {})
    assert (blocked.json["status"], unblocked.json["status"]) == ("blocked", "active")
    assert {blocked.status, unblocked.status, checked.status} == {200}
    events = [event for _, event, _ in ledger.history["p1"]][-3:]
    assert [(event.NAME, event.actor, event.reason) for event in events] == [
        ("player_blocked.v1", "admin-1", "self-exclusion"),
        ("player_unblocked.v1", "operator-1", None),
        ("reality_check_acknowledged.v1", "admin-1", None),
    ]


async def test_a_player_who_is_blocked_stays_so_and_nothing_is_recorded():
    """The first reason is the one that holds; the document says so to whoever sends a second."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player()
        first = await desk.post("/players/p1/block", {"reason": "self-exclusion"})
        again = await desk.post("/players/p1/block", {"reason": "fraud"})
    assert (again.status, again.text) == (200, first.text)
    assert ledger.history["p1"][-1][1].reason == "self-exclusion"
    summaries = {route.name: route.summary for route in ROUTES}
    assert "nothing is recorded" in summaries["block_player"]
    assert "nothing is recorded" in summaries["unblock_player"]


async def test_limits_are_set_shown_and_removed():
    """Null removes a limit, what is left out stays."""
    async with running() as desk:
        await desk.player()
        await desk.put("/players/p1/limits", {"currency": "EUR", "max_bet": "5"})
        week = {"loss_limit": "100.5", "period": "week", "currency": "EUR"}
        await desk.put("/players/p1/limits", week)
        await desk.put("/players/p1/limits", {"reality_check_min": 60})
        answer = await desk.put("/players/p1/limits", {"currency": "EUR", "max_bet": None})
        shown = await desk.get("/players/p1/limits", role="viewer")
    assert answer.status == 200
    assert answer.json == {
        "player_id": "p1",
        "version": 6,
        "reality_check_min": 60,
        "limits": [
            {
                "currency": "EUR",
                "max_bet": None,
                "loss_limit_day": None,
                "loss_limit_week": "100.50",
                "loss_limit_month": None,
            }
        ],
    }
    assert shown.json == answer.json


@pytest.mark.parametrize("period", ["day", "week", "month"])
async def test_a_loss_limit_is_that_of_its_period(period):
    """Three limits of one name: the period says which."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player()
        body = {"loss_limit": "0", "period": period, "currency": "EUR"}
        assert (await desk.put("/players/p1/limits", body)).status == 200
    assert ledger.states["p1"].limits["EUR"] == Limits(**{f"loss_limit_{period}": 0})


async def test_the_only_wallets_currency_need_not_be_named():
    """Most players have one wallet."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player()
        answer = await desk.put("/players/p1/limits", {"max_bet": "2.50"})
    assert answer.json["limits"][0]["max_bet"] == "2.50"
    assert ledger.commands[-1] == SetLimits(
        player_id="p1", actor="admin-1", currency="EUR", max_bet=250_000
    )


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({}, 400, "expected at least one of max_bet, loss_limit, reality_check_min"),
        ({"currency": "EUR"}, 400, "expected at least one of"),
        ({"currency": "EUR", "loss_limit": "1"}, 400, "period: required with loss_limit"),
        ({"currency": "EUR", "period": "day"}, 400, "expected at least one of"),
        ({"currency": "EUR", "period": "day", "max_bet": "1"}, 400, "period: required with"),
        ({"currency": "EUR", "loss_limit": "1", "period": "year"}, 400, "period: "),
        ({"currency": "EUR", "max_bet": "-1"}, 400, "max_bet: expected 0 or more"),
        ({"currency": "EUR", "max_bet": 5}, 400, "max_bet: expected a string"),
        ({"currency": "XYZ", "reality_check_min": 5}, 400, "currency: XYZ is not known"),
        ({"reality_check_min": 0}, 400, "reality_check_min: "),
        ({"reality_check_min": "5"}, 400, "reality_check_min: "),
        ({"currency": "USD", "max_bet": "1"}, 422, "the player has no USD wallet"),
    ],
)
async def test_a_limit_that_makes_no_sense_is_refused(body, status, detail):
    """A limit that protects a player must never be half understood."""
    async with running() as desk:
        await desk.player()
        answer = await desk.put("/players/p1/limits", body)
    assert answer.status == status
    assert answer.json["detail"].startswith(detail), answer.json["detail"]


async def test_a_limit_without_a_currency_is_ambiguous_with_two_wallets():
    """Five what?"""
    async with running() as desk:
        await desk.player()
        await desk.post("/players", {"player_id": "p1", "currency": "USD"})
        answer = await desk.put("/players/p1/limits", {"max_bet": "5"})
    assert answer.json["detail"].startswith("currency: required")


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_game_is_switched_with_a_reason(enabled):
    """Why a game was off is asked months later."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        answer = await desk.put(f"/games/{SLOTS}/g1", {"enabled": enabled, "reason": "faulty"})
    assert answer.status == 200
    assert answer.json == {"integration": SLOTS, "game": "g1", "enabled": enabled}
    assert ledger.commands == [
        SetGame(integration=SLOTS, game="g1", enabled=enabled, actor="admin-1", reason="faulty")
    ]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"/games/{SLOTS}/g1", {"enabled": False}, 400),
        (f"/games/{SLOTS}/g1", {"enabled": "no", "reason": "x"}, 400),
        ("/games/other/g1", {"enabled": False, "reason": "x"}, 404),
    ],
)
async def test_a_game_that_cannot_be_switched_is_refused(path, body, status):
    """A misspelt integration must not leave the real game running unseen."""
    async with running() as desk:
        assert (await desk.put(path, body)).status == status


@pytest.mark.parametrize(("integration", "status"), [(SLOTS, 200), ("other", 404)])
async def test_a_game_that_nobody_switched_is_enabled(integration, status):
    """A misspelt integration must not look like a game that runs."""
    async with running() as desk:
        answer = await desk.get(f"/games/{integration}/g1", role="viewer")
    assert answer.status == status
    if status == 200:
        assert answer.json == {"integration": SLOTS, "game": "g1", "enabled": True, "events": []}


async def test_a_game_that_one_partition_refuses_is_not_enabled():
    """Its players of that partition are refused, and somebody has to switch it once more."""

    class Halfway(MemoryLedger):
        async def game_events(self, integration, game):
            first = GameDisabled(
                movement_id="m",
                recorded_at=START,
                integration=integration,
                operation="set_game",
                reason="faulty",
                game=game,
            )
            later = START + timedelta(hours=1)
            second = replace(first, movement_id="n", recorded_at=later, reason="still faulty")
            return [[(1, second, "00")], [(1, first, "01")], [(1, second, "02")], []]

    async with running(Halfway()) as desk:
        answer = await desk.get(f"/games/{SLOTS}/g1")
    assert answer.json["enabled"] is False
    assert [each["reason"] for each in answer.json["events"]] == ["faulty", "still faulty"]


async def test_a_game_that_was_not_switched_everywhere_is_unavailable():
    """The ledger's refusal reaches the caller."""
    async with running(MemoryLedger(refusal=Refusal.UNAVAILABLE)) as desk:
        answer = await desk.put(f"/games/{SLOTS}/g1", {"enabled": True, "reason": "x"})
    assert answer.status == 503
