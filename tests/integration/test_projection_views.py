"""The views hold what the events say, however the log was cut into batches."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import psycopg
import pytest

from ledger.connections import connect
from ledger.currencies import Currencies
from ledger.events import WinReversed
from ledger.money import UNITS_MAX
from ledger.store import Store
from projections.audit import audit
from projections.rebuild import compare
from projections.registry import VIEW_NAMES
from projections.runner import Runner, RunnerLimits
from tests.integration import projection_model as model
from tests.integration.projection_history import History, contents, positions

ROUND_COLUMNS = (
    "game",
    "currency",
    "opened_at",
    "closed_at",
    None,
    "last_activity_at",
    "bets",
    "stakes",
    "refunds_count",
    "refunds",
    "wins_count",
    "wins",
    "reversals_count",
    "reversals",
    "state",
)


async def catch_up(url: str, batch_max: int = 5_000) -> None:
    """Bring every view to the head."""
    runner = Runner(url, 0, limits=RunnerLimits(batch_max=batch_max))
    try:
        await runner.catch_up()
        assert [writer.error for writer in runner.writers] == [None] * 5
    finally:
        await runner.close()


def account_sums(rows: list[Any]) -> dict[tuple[str, str], int]:
    """Balance by account and currency of the journal's rows."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for _, _, amount, _, account, currency, _ in rows:
        found[(account, currency)] += amount
    return {key: amount for key, amount in found.items() if amount}


@pytest.mark.parametrize(("seed", "batch_max"), [(1, 5_000), (2, 97), (3, 10)])
async def test_the_views_are_what_a_naive_reading_of_the_history_gives(
    store: Store, database_url: str, seed: int, batch_max: int
):
    """Operators, finance and regulators read views and nothing else."""
    history = History(seed)
    for _ in range(4):
        history.play(150)
        await history.append(store)
        await catch_up(database_url, batch_max)
    booked = history.booked
    found = contents(database_url)
    assert positions(database_url) == dict.fromkeys(VIEW_NAMES, len(booked))
    assert {row[:2]: row[2:5] for row in found["balances"]} == model.balances(booked)
    states = model.players(booked)
    for row in found["balances"]:
        assert row[5] <= states[row[0]].version
    expected_rounds = model.rounds(booked)
    assert {row[:3] for row in found["rounds"]} == set(expected_rounds)
    for row in found["rounds"]:
        for name, value in zip(ROUND_COLUMNS, row[3:], strict=True):
            if name is not None:
                assert value == expected_rounds[row[:3]][name], (row[:3], name)
    totals = {row[:4]: (row[4], row[7], row[10], row[13], *row[17:]) for row in found["totals"]}
    assert totals == model.totals(booked)
    assert account_sums(found["journal"]) == model.accounts(booked)
    assert {row[:2] for row in found["exceptions"]} == model.exceptions(booked)


async def test_every_event_and_every_hour_of_the_journal_sums_to_zero(
    store: Store, database_url: str
):
    """Money is neither made nor lost, in any period."""
    history = History(7)
    history.play(400)
    await history.append(store)
    await catch_up(database_url)
    found = contents(database_url)
    events: dict[tuple[int, str], int] = defaultdict(int)
    hours: dict[tuple[Any, str], int] = defaultdict(int)
    summed: dict[tuple[Any, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for number, _, amount, recorded_at, account, currency, player_id in found["journal"]:
        assert account.startswith("player") == (player_id is not None)
        hour = recorded_at.replace(minute=0, second=0, microsecond=0)
        events[(number, currency)] += amount
        hours[(hour, currency)] += amount
        summed[(hour, account, currency)][amount > 0] += abs(amount)
    assert set(events.values()) == {0}
    assert set(hours.values()) == {0}
    assert {row[:3]: list(row[3:]) for row in found["account_hours"]} == summed


async def test_players_accounts_are_their_balances(store: Store, database_url: str):
    """The journal and the balances are two views of the same money."""
    history = History(8)
    history.play(400)
    await history.append(store)
    await catch_up(database_url)
    found = contents(database_url)
    owed: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for _, _, amount, _, account, currency, player_id in found["journal"]:
        if player_id is not None:
            kind = ("player:real", "player:bonus", "player:held").index(account)
            owed[(player_id, currency)][kind] += amount
    for player_id, currency, *amounts, _, _ in found["balances"]:
        assert owed[(player_id, currency)] == amounts


@pytest.mark.parametrize("batch_max", [1, 5_000])
async def test_sums_over_many_movements_outgrow_every_balance(
    store: Store, database_url: str, batch_max: int
):
    """Two calls with absurd amounts, each booked by the rules, would stop the books for good."""
    history = History(10)
    history.play(100)
    history.win_the_largest_sums()
    await history.append(store)
    await catch_up(database_url, batch_max)
    booked = history.booked
    found = contents(database_url)
    wins = sum(row[19] for row in found["totals"])
    assert wins > 3 * UNITS_MAX
    assert wins == sum(sums[-2] for sums in model.totals(booked).values())
    assert account_sums(found["journal"]) == model.accounts(booked)
    assert sum(row[4] - row[3] for row in found["account_hours"]) == 0
    assert await audit(database_url, 0, Currencies(), lambda *_: None) == []


async def test_batches_of_any_size_give_the_same_bytes(
    store: Store, database_url: str, admin_url: str
):
    """A view must not depend on where a batch happened to end."""
    history = History(9)
    history.play(400)
    await history.append(store)
    seen = []
    for batch_max in (1, 13, 5_000):
        await catch_up(database_url, batch_max)
        seen.append(contents(database_url))
        empty_views(admin_url)
    assert seen[0] == seen[1] == seen[2]


async def test_the_random_histories_reach_every_kind_of_event():
    """A generator that stopped making clamped reversals would leave their journal untested."""
    history = History(1)
    history.play(2_000)
    reached = {type(entry.event).__name__ for entry in history.booked}
    reversals = [e for entry in history.booked if isinstance(e := entry.event, WinReversed)]
    moved = {event.real < 0 for event in reversals if event.shortfall}
    assert moved == {True, False}
    assert len(reached) == 27, reached


async def test_a_comparison_finds_rows_that_were_altered_lost_or_made_up(
    store: Store, database_url: str, admin_url: str
):
    """The audit of the views has teeth."""
    history = History(4)
    history.play(600)
    await history.append(store)
    await catch_up(database_url)
    for name in VIEW_NAMES:
        assert await compare(database_url, 0, name) == []
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("UPDATE ledger_p00.balances SET real = real + 1 WHERE player_id = 'p1'")
        connection.execute(
            "DELETE FROM ledger_p00.rounds WHERE ctid = (SELECT min(ctid) FROM ledger_p00.rounds)"
        )
        connection.execute(
            "INSERT INTO ledger_p00.account_hours VALUES ('2020-01-01 00:00Z', 'x', 'EUR', 1, 1)"
        )
    balances = await compare(database_url, 0, "balances")
    assert {difference.key["player_id"] for difference in balances} == {"p1"}
    for each in balances:
        assert each.fresh is not None
        assert each.live == {name: cell + 1 for name, cell in each.fresh.items()}
    (gone,) = await compare(database_url, 0, "rounds")
    assert gone.live is None
    (hours,) = await compare(database_url, 0, "journal")
    assert (hours.table, hours.fresh) == ("account_hours", None)
    assert await compare(database_url, 0, "totals") == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledger_p00.journal VALUES (1, 1, 5, now(), 'deposits', 'EUR', NULL)",
        """INSERT INTO ledger_p00.journal VALUES
            (1, 1, 5, now(), 'x', 'EUR', NULL), (1, 2, -5, now(), 'x', 'USD', NULL)""",
        "INSERT INTO ledger_p00.journal_rebuild VALUES (1, 1, 5, now(), 'deposits', 'EUR', NULL)",
        "INSERT INTO ledger_p00.balances VALUES ('p', 'EUR', 0, -1, 0, 1, now())",
        "INSERT INTO ledger_p00.account_hours VALUES ('2026-01-01 00:30Z', 'x', 'EUR', 1, 0)",
    ],
)
async def test_the_database_itself_refuses_what_cannot_be(database_url: str, statement: str):
    """A bug in the fold must not reach the books."""
    connection = await connect(database_url, "test", role="ledger_project")
    async with connection:
        with pytest.raises(psycopg.errors.CheckViolation):
            await connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("ledger_project", "INSERT INTO ledger_p00.events VALUES ('player:x', 1, 'a', '')"),
        ("ledger_project", "DELETE FROM ledger_p00.balances"),
        ("ledger_project", "TRUNCATE ledger_p00.journal_rebuild"),
        ("ledger_project", "UPDATE ledger_p00.journal SET amount = 1"),
        ("ledger_project", "UPDATE ledger_p00.exceptions SET kind = 'x'"),
        ("ledger_project", "UPDATE ledger_p00.projections SET tables = '{events}'"),
        ("ledger_project", "SELECT * FROM ledger_p00.transactions"),
        ("ledger_project", "SELECT ledger_p00.rename_relations('events', 'x')"),
        ("ledger_app", "UPDATE ledger_p00.balances SET real = 1"),
        ("ledger_app", "UPDATE ledger_p00.projections SET position = 1"),
        ("ledger_app", "SELECT ledger_p00.begin_rebuild('balances')"),
    ],
)
async def test_each_role_may_do_its_own_work_only(database_url: str, role: str, statement: str):
    """Least rights: who writes views cannot write events, and who serves cannot write views."""
    async with await connect(database_url, "test", role=role) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement.encode())


def empty_views(admin_url: str) -> None:
    """Take every view back to the beginning."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for table in contents(admin_url):
            connection.execute(f"TRUNCATE ledger_p00.{table}".encode())
        connection.execute("UPDATE ledger_p00.projections SET position = 0")
