"""What a committer does with too much work, too little time, and a command that nobody can book."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ledger.commands import ReadPlayer, SetGame
from ledger.refusals import Refusal, Refused
from ledger.service import Accepted
from ledger.store import StoreRejected
from tests.faults.ledgers import bet, booked, cents, opened, query, refund, win


@contextmanager
def stalled(admin_url: str) -> Iterator[None]:
    """No append gets through until the block ends: somebody holds the log's lock."""
    with psycopg.connect(admin_url) as connection:
        connection.execute("LOCK TABLE ledger_p00.events IN EXCLUSIVE MODE")
        yield


async def test_a_command_beyond_the_queue_limit_is_unavailable_at_once(
    database_url: str, admin_url: str
) -> None:
    """Waiting longer than the provider does helps nobody; the rest of the queue is served."""
    async with opened(database_url, queue_max=3, answer_s=20, queue_wait_s=20) as one:
        session = await one.player()
        with stalled(admin_url):
            working = asyncio.create_task(one.accepted(bet(session, "working")))
            await asyncio.sleep(0.05)
            waiting = [asyncio.create_task(one.accepted(bet(session, f"{n}"))) for n in range(3)]
            await asyncio.sleep(0)
            assert await one.refused(bet(session, "too many")) is Refusal.UNAVAILABLE
        await asyncio.gather(working, *waiting)
        assert booked(database_url) == 4


async def test_a_command_that_waited_too_long_is_not_executed_and_its_retry_is(
    database_url: str, admin_url: str
) -> None:
    """Its provider has given up and may have cancelled the bet: it must not be booked late."""
    async with opened(database_url, queue_wait_s=0.1, answer_s=20) as one:
        session = await one.player()
        with stalled(admin_url):
            working = asyncio.create_task(one.accepted(bet(session, "working")))
            await asyncio.sleep(0.05)
            waiting = asyncio.create_task(one.refused(bet(session, "b-1")))
            await asyncio.sleep(0.2)
        assert await waiting is Refusal.UNAVAILABLE
        await working
        assert booked(database_url) == 1
        await one.accepted(bet(session, "b-1"))
        assert booked(database_url) == 2


async def test_an_answer_that_the_database_does_not_give_in_time_is_unavailable_and_settled_later(
    database_url: str, admin_url: str
) -> None:
    """Nobody waits for ever, and what the commit did meanwhile is what the retry answers."""
    async with opened(database_url, queue_wait_s=0.2, answer_s=0.3) as one:
        session = await one.player()
        with stalled(admin_url):
            assert await one.refused(bet(session, "b-1")) is Refusal.UNAVAILABLE
        outcome = await one.insist(bet(session, "b-1"))
        assert isinstance(outcome, Accepted)
        again = await one.accepted(bet(session, "b-1"))
        assert again.replayed
        assert again.event == outcome.event
        assert cents(again) == 900
        assert booked(database_url) == 1


async def test_commands_behind_a_stalled_batch_are_answered_in_time_too(
    database_url: str, admin_url: str
) -> None:
    """The deadline counts from when a command was handed in, not from when its turn comes."""
    async with opened(database_url, queue_wait_s=0.2, answer_s=0.3) as one:
        session = await one.player()
        with stalled(admin_url):
            outcomes = await asyncio.wait_for(
                asyncio.gather(*(one.refused(bet(session, f"b-{n}")) for n in range(50))), 10
            )
        assert set(outcomes) == {Refusal.UNAVAILABLE}


async def test_a_row_that_the_database_rejects_costs_its_own_command_only(
    database_url: str,
) -> None:
    """One poisonous call among 20 good ones of the same batch: 20 are booked."""
    async with opened(database_url) as one:
        session = await one.player(money=5000)
        poison = bet(session, "poison", game="a game's name with \ud800 in it")
        commands = [bet(session, f"b-{number}") for number in range(20)]
        outcomes = await asyncio.gather(
            *map(one.ledger.execute, commands[:10]),
            one.ledger.execute(poison),
            *map(one.ledger.execute, commands[10:]),
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        assert [outcome.refusal for outcome in refused] == [Refusal.INTERNAL]
        assert booked(database_url) == 20
        assert cents(await one.accepted(bet(session, "after"))) == 5000 - 2100


async def test_an_append_that_the_store_rejects_costs_its_own_command_only(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where only the server sees that a row is bad."""
    async with opened(database_url) as one:
        session = await one.player(money=5000)
        store = one.ledger.stores[0]
        append = store.append

        async def picky(batch, *limits):
            if any(row.key == "poison" for row in batch.transactions):
                raise StoreRejected("a row breaks a rule")
            return await append(batch, *limits)

        monkeypatch.setattr(store, "append", picky)
        outcomes = await asyncio.gather(
            *(one.ledger.execute(bet(session, key)) for key in ("b-1", "poison", "b-2")),
            *(one.ledger.execute(bet(session, f"more-{n}")) for n in range(20)),
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        assert [outcome.refusal for outcome in refused] == [Refusal.INTERNAL]
        assert booked(database_url) == 22


async def test_a_player_whose_events_cannot_be_read_costs_no_other_player(
    database_url: str, admin_url: str
) -> None:
    """Damage to one stream must be seen, and must stop that player only."""
    async with opened(database_url) as one:
        await one.player()
        other = await one.player("bob")
    query_none(admin_url, "ALTER TABLE ledger_p00.events DISABLE TRIGGER ALL")
    query_none(
        admin_url,
        "UPDATE ledger_p00.events SET topic = 'nonsense.v9' WHERE originator_id = 'player:ann'"
        " AND originator_version = 2",
    )
    async with opened(database_url) as two:
        outcomes = await asyncio.gather(
            two.ledger.execute(ReadPlayer(player_id="ann")),
            *(two.ledger.execute(bet(other, f"b-{n}", player_id="bob")) for n in range(5)),
        )
        assert isinstance(outcomes[0], Refused)
        assert outcomes[0].refusal is Refusal.INTERNAL
        assert all(isinstance(outcome, Accepted) for outcome in outcomes[1:])


async def test_a_read_that_the_database_refuses_costs_its_own_command_only(
    database_url: str,
) -> None:
    """It is no outage: to wait for a better database would hold up all the others."""
    async with opened(database_url) as one:
        session = await one.player()
        good, bad, other = await asyncio.gather(
            one.ledger.execute(bet(session, "b-1")),
            one.ledger.execute(ReadPlayer(player_id="a\0b")),
            one.ledger.execute(bet(session, "b-2")),
        )
    assert isinstance(good, Accepted)
    assert isinstance(other, Accepted)
    assert isinstance(bad, Refused)
    assert bad.refusal is Refusal.INTERNAL


async def test_caches_of_two_entries_change_no_answer(database_url: str) -> None:
    """Memory is only a shortcut: with next to none of it everything is still right."""
    async with opened(database_url, wallets_max=2, keys_max=2, snapshot_every=7) as one:
        players = [f"player-{number}" for number in range(6)]
        sessions = {player_id: await one.player(player_id, money=2000) for player_id in players}
        for number in range(12):
            commands = [
                bet(sessions[player_id], f"{player_id}-{number}", player_id=player_id)
                for player_id in players
            ]
            firsts = await asyncio.gather(*map(one.accepted, commands))
            again = await asyncio.gather(*map(one.accepted, commands))
            assert [outcome.event for outcome in again] == [outcome.event for outcome in firsts]
            assert all(outcome.replayed for outcome in again)
        for player_id in players:
            session = sessions[player_id]
            won = win(
                session, f"w-{player_id}", 50, player_id=player_id, round_id=f"round-{player_id}-0"
            )
            assert cents(await one.accepted(won)) == 850
            back = refund(session, f"r-{player_id}", f"{player_id}-1", player_id=player_id)
            assert cents(await one.accepted(back)) == 950
            settled = refund(session, f"s-{player_id}", f"{player_id}-0", player_id=player_id)
            assert await one.refused(settled) is Refusal.ORIGINAL_SETTLED
        assert booked(database_url) == 72


async def test_keys_beyond_the_cache_conflict_with_another_process_and_settle(
    database_url: str,
) -> None:
    """More conflicting keys in one batch than memory holds: the batch must still come to an end."""
    async with (
        opened(database_url, wallets_max=2, keys_max=2) as one,
        opened(database_url, wallets_max=2, keys_max=2) as two,
    ):
        session = await one.player(money=5000)
        await two.accepted(bet(session, "warm"))
        commands = [bet(session, f"b-{number}") for number in range(20)]
        firsts = await asyncio.gather(*map(one.accepted, commands))
        again = await asyncio.gather(*map(two.accepted, commands))
        assert [outcome.event for outcome in again] == [outcome.event for outcome in firsts]
        assert booked(database_url) == 21


async def test_a_game_is_switched_in_every_partition_or_says_that_it_was_not(
    database_url: str, admin_url: str
) -> None:
    """An operator who was told "done" must be able to rely on it."""
    switch = SetGame(integration="test", game="roulette", enabled=False)
    async with opened(database_url, queue_wait_s=0.2, answer_s=0.3) as one:
        with stalled(admin_url):
            outcome = await one.ledger.set_game(switch)
            assert isinstance(outcome, Refused)
            assert outcome.refusal is Refusal.UNAVAILABLE
        while isinstance(await one.ledger.set_game(switch), Refused):
            pass
        assert booked(database_url, "game_disabled.v1") == 1


async def test_a_ledger_that_closes_answers_what_it_took(database_url: str) -> None:
    """A graceful stop: no caller is left without an answer, no booking without its caller."""
    async with opened(database_url) as one:
        session = await one.player(money=50_000)
        tasks = [asyncio.create_task(one.accepted(bet(session, f"b-{n}"))) for n in range(400)]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*tasks)
    assert len(outcomes) == booked(database_url) == 400


@pytest.mark.parametrize("where", ["notify", "save_snapshots"])
async def test_an_error_that_nobody_expected_stops_no_commands(
    database_url: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A committer that stopped would leave every caller waiting for ever, and the exit, too."""
    async with opened(database_url, snapshot_every=1) as one:
        session = await one.player()

        async def broken(*_: object) -> None:
            raise ArithmeticError("nobody expected this")

        monkeypatch.setattr(one.ledger.stores[0], where, broken)
        async with asyncio.timeout(20):
            for number in range(5):
                assert isinstance(await one.insist(bet(session, f"b-{number}")), Accepted)
                await asyncio.sleep(0.1)
    assert booked(database_url) == 5


async def test_a_batch_that_breaks_off_is_unavailable_and_settled_by_its_retry(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The observer fails after the commit: the answers are out, and nothing is booked twice."""
    async with opened(database_url) as one:
        session = await one.player()
        monkeypatch.setattr(one.counts, "batch", None)
        async with asyncio.timeout(20):
            first = await one.insist(bet(session, "b-1"))
            again = await one.insist(bet(session, "b-1"))
        assert isinstance(first, Accepted)
        assert isinstance(again, Accepted)
        assert again.event == first.event
    assert booked(database_url) == 1


async def test_a_stalled_log_does_not_pile_up_connections(
    database_url: str, admin_url: str
) -> None:
    """Every try that gives up leaves a server process behind that waits for the lock.

    Were there no bound, minutes without the standby would use up the server's connections.
    """
    async with opened(database_url, queue_wait_s=0.05, answer_s=0.25) as one:
        session = await one.player()
        with stalled(admin_url):
            for number in range(12):
                await one.refused(bet(session, f"b-{number}"))
            left = query(
                admin_url,
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%append%'"
                " AND datname = current_database()",
            )
            assert left[0][0] <= 5


def query_none(url: str, statement: str) -> None:
    """Change something behind the service's back."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


async def test_a_player_whose_commands_ask_keeps_nobody_else_waiting(database_url: str) -> None:
    """Of these one a batch can be decided: those that are left go behind the others."""
    async with opened(database_url, batch_max=4) as one:
        await one.player("bob")
        session = await one.player("ann")
        other = await one.session("bob")
        asking = [
            asyncio.create_task(one.refused(refund(session, f"r-{n}", f"never-came-{n}")))
            for n in range(40)
        ]
        await asyncio.sleep(0)
        await one.accepted(bet(other, "b-1", player_id="bob"))
        assert sum(task.done() for task in asking) <= 20  # one a batch, had they gone first: 37
        assert set(await asyncio.gather(*asking)) == {Refusal.ORIGINAL_NOT_FOUND}
