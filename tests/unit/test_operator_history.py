"""What happened, over the operator API: events, the wallet at a moment, a transaction's fate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.operator import history
from adapters.operator.answers import call_view
from adapters.providers.registry import PROVIDERS
from ledger.commands import Policy, RefundBet
from tests.unit.operator_fakes import SLOTS, MemoryJournal, MemoryLedger, running


def refund(transaction_id: str, bet: str) -> RefundBet:
    """A refund as an adapter sends it whose provider reuses ids."""
    return RefundBet(
        player_id="p1",
        integration=SLOTS,
        operation="refund",
        key=f"refund:{transaction_id}",
        transaction_id=transaction_id,
        original_key=f"bet:{bet}",
        policy=Policy(),
        round_id="round-1",
        currency="EUR",
    )


def call(operation: str, transaction_id: str, integration: str = "operator") -> dict[str, Any]:
    """A row of the call journal."""
    return {
        "id": 1,
        "received_at": datetime(2030, 1, 31, 13, tzinfo=timezone(timedelta(hours=1))),
        "integration": integration,
        "operation": operation,
        "method": "POST",
        "path": "/wallet",
        "query": "",
        "body": b'{"token": "[redacted]"}',
        "status": 200,
        "answer": b"\xff",
        "outcome": "ok",
        "player_id": "p1",
        "transaction_id": transaction_id,
        "duration_us": 700,
        "remote": "192.0.2.1",
        "key_id": "ab12",
        "worker": None,
        "trace_id": "trace-1",
    }


async def test_events_come_page_by_page_until_next_is_null():
    """A client that follows `next` sees every event exactly once, a full last page included."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player(real="1", bonus="1")
        pages = [(await desk.get("/players/p1/events?limit=2")).json]
        while pages[-1]["next"] is not None:
            path = f"/players/p1/events?limit=2&after={pages[-1]['next']}"
            pages.append((await desk.get(path, role="viewer")).json)
        beyond = await desk.get("/players/p1/events?after=4")
    assert [[event["version"] for event in page["events"]] for page in pages] == [[1, 2], [3, 4]]
    assert [page["next"] for page in pages] == [2, None]
    assert beyond.json == {"events": [], "next": None}
    assert [event["hash"] for page in pages for event in page["events"]] == [
        link for _, _, link in ledger.history["p1"]
    ]


@pytest.fixture
def noon(monkeypatch):
    """The clock stands at the first of February 2030, noon."""
    monkeypatch.setattr(history, "utc_now", lambda: datetime(2030, 2, 1, 12, tzinfo=UTC))


@pytest.mark.usefixtures("noon")
async def test_the_wallet_is_shown_as_it_stood_then():
    """A dispute is about a moment."""
    async with running() as desk:
        await desk.player(real="1", bonus="2")
        before = await desk.get("/players/p1/wallet?at=2030-01-31T11:00:00Z")
        at_deposit = await desk.get("/players/p1/wallet?at=2030-01-31T13:00:02%2B01:00")
        later = await desk.get("/players/p1/wallet?at=2030-02-01")
        now = await desk.get("/players/p1/wallet", role="viewer")
    assert before.json == {"at": "2030-01-31T11:00:00Z", "version": 0, "wallets": []}
    assert (at_deposit.json["at"], at_deposit.json["version"]) == ("2030-01-31T12:00:02Z", 3)
    assert at_deposit.json["wallets"][0]["total"] == "1.00"
    assert later.json["wallets"][0]["total"] == "3.00"
    assert now.json["wallets"] == later.json["wallets"]


@pytest.mark.usefixtures("noon")
async def test_the_wallet_of_a_moment_to_come_is_nobodys_to_tell():
    """Today's balance shown under a later date is a claim; a caller's clock may be a bit fast."""
    async with running() as desk:
        await desk.player(real="1")
        ahead = await desk.get("/players/p1/wallet?at=2030-02-01T12:00:59Z")
        future = await desk.get("/players/p1/wallet?at=2030-02-01T12:01:01Z")
        year = await desk.get("/players/p1/wallet?at=2031-01-01")
    assert (ahead.status, ahead.json["at"]) == (200, "2030-02-01T12:00:00Z")
    assert ahead.json["wallets"][0]["total"] == "1.00"
    assert (future.status, future.code) == (year.status, year.code) == (400, "malformed_request")
    assert future.json["detail"] == "at: lies in the future"


async def test_the_operators_movements_are_found_by_their_reference():
    """One reference may stand for movements of several operations and players."""
    async with running() as desk:
        await desk.player("p1", real="5", bonus="5")
        await desk.player("p2")
        answer = await desk.get("/transactions/operator/first-p1", role="viewer")
    found = answer.json["transactions"]
    assert [(each["operation"], each["player_id"], each["round_id"]) for each in found] == [
        ("deposit", "p1", None),
        ("bonus", "p1", None),
    ]
    assert found[0]["event"]["real"] == "5.00"
    assert [each["calls"] for each in found] == [[], []]


async def test_a_tombstone_is_found_by_the_bets_id_and_by_the_refunds():
    """The provider asks about the bet; all that the ledger has is its refund."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player()
        await ledger.execute(refund("t2", bet="t1"))
        by_bet = await desk.get(f"/transactions/{SLOTS}/t1")
        by_refund = await desk.get(f"/transactions/{SLOTS}/t2")
    assert by_bet.json["transactions"] == by_refund.json["transactions"]
    event = by_bet.json["transactions"][0]["event"]
    assert (event["type"], event["transaction_id"]) == ("refund_tombstoned.v1", "t2")


async def test_one_event_under_two_keys_is_shown_once():
    """The Bet Brothers give a refund the id of its bet."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player()
        await ledger.execute(refund("t1", bet="t1"))
        answer = await desk.get(f"/transactions/{SLOTS}/t1")
    assert len(answer.json["transactions"]) == 1


async def test_the_longest_key_of_ours_is_found():
    """An answer names it as `refers_to`, and who looks into a dispute pastes it."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player()
        await ledger.execute(refund("t1", bet="b" * 255))
        answer = await desk.get(f"/transactions/{SLOTS}/bet:{'b' * 255}")
    assert [each["event"]["transaction_id"] for each in answer.json["transactions"]] == ["t1"]


async def test_what_an_integration_booked_is_found_after_it_left_the_configuration():
    """A dispute may come years after the last game of a provider."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player()
        await ledger.execute(replace(refund("t1", bet="t1"), integration="gone"))
        answer = await desk.get("/transactions/gone/t1")
    assert [each["operation"] for each in answer.json["transactions"]] == ["refund"]


async def test_each_movement_shows_the_calls_of_its_operation_and_those_that_booked_nothing():
    """A refused call under the same id is evidence too; another movement's calls are not its."""
    operations = ("bonus", "deposit", "adjustment", "x")
    journal = MemoryJournal([call(operation, "first-p1") for operation in operations])
    journal.rows += [call("deposit", "another"), call("deposit", "first-p1", "slots")]
    async with running(journal=journal) as desk:
        await desk.player(real="5", bonus="5")
        answer = await desk.get("/transactions/operator/first-p1")
    calls = [[row["operation"] for row in each["calls"]] for each in answer.json["transactions"]]
    assert calls == [["deposit", "adjustment", "x"], ["bonus", "adjustment", "x"]]


@pytest.mark.parametrize(
    ("operation", "player_id", "movements"),
    [
        ("bet", "p1", {("bet", "p1")}),
        ("bet", "p2", {("bet", "p2")}),
        ("refund", "p1", {("refund", "p1")}),
        ("bet", None, {("bet", "p1"), ("bet", "p2")}),
        ("bet", "p3", {("bet", "p1"), ("bet", "p2")}),
        ("win", "p1", {("bet", "p1"), ("bet", "p2"), ("refund", "p1")}),
    ],
)
def test_a_call_is_evidence_of_the_movements_that_it_may_have_booked(
    operation, player_id, movements
):
    """Two partitions may each hold an id: another player's answer must not be shown as one's own.

    A call that booked nothing belongs to every movement that it is like.
    """
    shown = call_view(call(operation, "t1", SLOTS) | {"player_id": player_id})
    found = {("bet", "p1"), ("bet", "p2"), ("refund", "p1")}
    about = {each for each in found if history.calls_about(each, found, [shown])}
    assert about == movements


async def test_a_key_that_an_event_refers_to_is_found_too():
    """`refers_to` names the ledger's own key: who follows it must not be told it never was."""
    journal = MemoryJournal([call("deposit", "first-p1")])
    async with running(journal=journal) as desk:
        await desk.player(real="5")
        answer = await desk.get("/transactions/operator/deposit:first-p1")
    (found,) = answer.json["transactions"]
    assert found["event"]["transaction_id"] == "first-p1"
    assert len(found["calls"]) == 1


@pytest.mark.parametrize("left_out", [0, 130])
async def test_an_answer_says_how_many_calls_it_leaves_out(left_out):
    """Who counts the calls in a dispute must know that there were more."""
    journal = MemoryJournal([call("deposit", "first-p1")], left_out=left_out)
    async with running(journal=journal) as desk:
        await desk.player(real="5")
        answer = await desk.get("/transactions/operator/first-p1")
    assert answer.json["calls_left_out"] == left_out


async def test_a_call_is_shown_as_text_in_utc():
    """Evidence is read by people; bytes that are no text are shown all the same."""
    journal = MemoryJournal([call("deposit", "first-p1")])
    async with running(journal=journal) as desk:
        await desk.player(real="5")
        answer = await desk.get("/transactions/operator/first-p1")
    (shown,) = answer.json["transactions"][0]["calls"]
    assert shown["received_at"] == "2030-01-31T12:00:00Z"
    assert (shown["body"], shown["answer"]) == ('{"token": "[redacted]"}', "\\xff")
    assert (shown["status"], shown["outcome"], shown["remote"]) == (200, "ok", "192.0.2.1")


async def test_calls_that_were_all_refused_are_shown_with_the_news_that_nothing_was_booked():
    """That nothing was, and why, is what such a dispute is about."""
    refused = call("win", "t1", SLOTS) | {"outcome": "round_closed", "status": 409}
    async with running(journal=MemoryJournal([refused], left_out=7)) as desk:
        answer = await desk.get(f"/transactions/{SLOTS}/t1", role="viewer")
    assert (answer.status, answer.code) == (404, "not_found")
    assert [each["outcome"] for each in answer.json["calls"]] == ["round_closed"]
    assert answer.json["calls_left_out"] == 7


@pytest.mark.parametrize("path", [f"/transactions/{SLOTS}/t2", "/transactions/other/t1"])
async def test_an_id_that_nothing_bears_is_not_found(path):
    """Neither a movement nor a call of this integration."""
    async with running(journal=MemoryJournal([call("bet", "t1", SLOTS)])) as desk:
        answer = await desk.get(path)
    assert (answer.status, answer.code) == (404, "not_found")
    assert "calls" not in answer.json


@pytest.mark.parametrize("protocol", PROVIDERS)
def test_every_protocol_names_its_keys(protocol):
    """A transaction is looked up by the provider's own id, whatever the adapter made of it."""
    provider = PROVIDERS[protocol]
    keys = provider.keys_of("t1")
    assert keys
    assert all(key.endswith("t1") for key in keys)
