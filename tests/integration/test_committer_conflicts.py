"""Two processes of the service on one database: what one holds in memory, the other overtakes."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import psycopg
import pytest

from ledger.codec import UnreadableEvent
from ledger.commands import BlockPlayer, SetGame
from ledger.events import Movement
from ledger.loading import Loader
from ledger.player import LAST_ROUNDS_MAX, OPEN_ROUNDS_MAX, PAST_ROUNDS_MAX
from ledger.refusals import Refusal, Refused
from ledger.service import Accepted, Outcome
from ledger.store import AppendBatch, CommitUnknown
from tests.faults.ledgers import Process, bet, booked, cents, opened, query, refund, win


def watch_appends(process: Process, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each append of the process takes from now on."""
    store = process.ledger.stores[0]
    append, sizes = store.append, []

    async def watched(batch, *limits):
        sizes.append(len(batch.events))
        return await append(batch, *limits)

    monkeypatch.setattr(store, "append", watched)
    return sizes


async def test_a_bet_refused_for_funds_from_memory_sees_the_deposit_that_another_process_made(
    database_url: str,
) -> None:
    """A refusal rests on the balance too: on one that was true a moment ago it would be wrong."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player(money=50)
        assert await one.refused(bet(session, "b-0")) is Refusal.INSUFFICIENT_FUNDS
        await two.deposit("ann", 100, "more")
        accepted = await one.accepted(bet(session, "b-1"))
        assert cents(accepted) == 50
        assert one.counts.conflicts == 1


async def test_a_bet_that_memory_could_pay_is_refused_once_another_process_spent_the_money(
    database_url: str,
) -> None:
    """The same the other way round: this is how a balance would go below zero."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player(money=100)
        await two.accepted(bet(session, "b-1"))
        assert await one.refused(bet(session, "b-2")) is Refusal.INSUFFICIENT_FUNDS
        assert booked(database_url) == 1


async def test_a_key_that_another_process_used_is_a_replay_with_the_first_answer(
    database_url: str,
) -> None:
    """Retries are spread over the servers; each must know what the others have answered."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player()
        await two.accepted(bet(session, "warm"))
        first = await one.accepted(bet(session, "b-1"))
        again = await two.accepted(bet(session, "b-1"))
        assert again.replayed
        assert again.event == first.event
        assert again.version == first.version
        assert booked(database_url) == 2


async def test_a_key_that_another_process_used_for_another_amount_is_a_conflict(
    database_url: str,
) -> None:
    """The same id for other money is a mistake of the provider's, on whichever server it lands."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player()
        await two.accepted(bet(session, "warm"))
        await one.accepted(bet(session, "b-1"))
        assert await two.refused(bet(session, "b-1", 200)) is Refusal.DUPLICATE_CONFLICT
        assert booked(database_url) == 2


async def test_a_key_of_one_player_is_a_conflict_for_another_player_of_another_process(
    database_url: str,
) -> None:
    """No stream of the second player moved: only the keys themselves can tell."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player()
        other = await two.player("bob")
        await one.accepted(bet(session, "b-1"))
        taken = bet(other, "b-1", player_id="bob")
        assert await two.refused(taken) is Refusal.DUPLICATE_CONFLICT


async def test_a_refusal_is_not_given_for_a_bet_that_another_process_has_booked(
    database_url: str,
) -> None:
    """The bet took all the money: its repetition elsewhere finds no funds, but a first answer."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player(money=100)
        first = await one.accepted(bet(session, "b-1"))
        again = await two.accepted(bet(session, "b-1"))
        assert again.event == first.event


async def test_a_game_that_another_process_disabled_takes_no_bet_from_memory(
    database_url: str,
) -> None:
    """A game is switched off for a reason; the switch must not depend on which server heard it."""
    switch = SetGame(integration="test", game="roulette", enabled=False)
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player()
        await one.accepted(bet(session, "b-1"))
        assert isinstance(await two.ledger.set_game(switch), Accepted)
        assert await one.refused(bet(session, "b-2")) is Refusal.GAME_DISABLED


async def test_a_player_whom_another_process_blocked_places_no_bet_from_memory(
    database_url: str,
) -> None:
    """A block is for the player's protection, at once and everywhere."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player()
        await one.accepted(bet(session, "b-1"))
        await two.accepted(BlockPlayer(player_id="ann", actor="ops"))
        assert await one.refused(bet(session, "b-2")) is Refusal.PLAYER_BLOCKED


async def test_a_round_that_another_process_closed_takes_no_bet_from_memory(
    database_url: str,
) -> None:
    """The round looks open here."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player()
        await one.accepted(bet(session, "b-1", round_id="r"))
        await two.accepted(win(session, "w-1", 0, round_id="r", closes_round=True))
        assert await one.refused(bet(session, "b-2", round_id="r")) is Refusal.ROUND_CLOSED


async def test_a_bet_whose_refund_comes_to_both_processes_while_its_round_goes_on_is_refunded_once(
    database_url: str,
) -> None:
    """One process books in a round while the other reads it back: by chance alone, as in life."""
    seed = 20260304
    print(f"seed {seed}")
    pauses = random.Random(seed)
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player(money=100_000)
        await two.accepted(bet(session, "warm", 0))
        for number in range(150):
            here, there = (one, two) if number % 2 else (two, one)
            place = f"r-{number}"
            await here.accepted(bet(session, f"b-{number}", round_id=place))
            more = asyncio.create_task(
                there.accepted(bet(session, f"more-{number}", round_id=place))
            )
            await asyncio.sleep(pauses.uniform(0, 0.006))
            await here.accepted(refund(session, f"first-{number}", f"b-{number}", round_id=place))
            await more
            await there.accepted(refund(session, f"again-{number}", f"b-{number}", round_id=place))
        assert booked(database_url, "bet_refunded.v1") == 150
        assert booked(database_url, "refund_repeated.v1") == 150


async def test_many_players_of_two_processes_lose_and_double_nothing(database_url: str) -> None:
    """Both keep overtaking each other, so that every way through a conflict is taken."""
    async with opened(database_url) as one, opened(database_url) as two:
        players = [f"player-{number}" for number in range(8)]
        sessions = [await one.player(player_id, money=2000) for player_id in players]
        commands = [
            bet(session, f"{player_id}-{number}", player_id=player_id)
            for number in range(30)
            for player_id, session in zip(players, sessions, strict=True)
        ]
        outcomes = await asyncio.gather(
            *((one, two)[place % 2].insist(command) for place, command in enumerate(commands)),
            *((two, one)[place % 2].insist(command) for place, command in enumerate(commands)),
        )
        accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        spent = {outcome.event.movement_id for outcome in accepted if outcome.event is not None}
        assert len(spent) == booked(database_url) == 8 * 20
        assert {outcome.refusal for outcome in refused} == {Refusal.INSUFFICIENT_FUNDS}
        assert len(refused) == 2 * 8 * 10
        assert one.counts.conflicts + two.counts.conflicts > 0


async def test_a_command_that_conflicts_with_others_again_and_again_gets_through_alone(
    database_url: str,
) -> None:
    """After three conflicts a batch goes one by one: a hot player delays nobody for long."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player(money=100_000)
        await one.player("bob")
        outcomes = await asyncio.gather(
            *(one.accepted(bet(session, f"one-{number}")) for number in range(150)),
            *(two.accepted(bet(session, f"two-{number}")) for number in range(150)),
        )
        assert len(outcomes) == 300
        versions = query(database_url, _VERSIONS_OF_ANN)[0]
        assert versions == (304, 304, 1)


async def test_a_batch_that_conflicts_three_times_is_executed_one_by_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forced: another process writes between every decision and its append, three times."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player(money=1000)
        store = one.ledger.stores[0]
        append, sizes = store.append, []

        async def overtaken(batch, *limits):
            sizes.append(len(batch.events))
            if len(sizes) <= 3:
                await two.deposit("ann", 1, f"between-{len(sizes)}")
            return await append(batch, *limits)

        monkeypatch.setattr(store, "append", overtaken)
        await asyncio.gather(*(one.accepted(bet(session, f"b-{place}")) for place in range(5)))
        assert sizes == [5, 5, 5, 1, 1, 1, 1, 1]
        assert one.counts.conflicts == 3
        assert booked(database_url) == 5


async def test_a_command_in_an_old_round_gets_through_after_many_conflicts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its round must be read back, and may not be forgotten each time: nobody overtakes it now."""
    async with opened(database_url, answer_s=10.0) as one, opened(database_url) as two:
        session = await one.player(money=100_000)
        for number in range(0, OPEN_ROUNDS_MAX + 100, 100):
            numbers = range(number, number + 100)
            await asyncio.gather(*(one.accepted(bet(session, f"b-{each}")) for each in numbers))
        store = one.ledger.stores[0]
        append, tries = store.append, []

        async def overtaken(batch, *limits):
            tries.append(len(batch.events))
            if len(tries) <= 30:
                await two.deposit("ann", 1, f"between-{len(tries)}")
            return await append(batch, *limits)

        monkeypatch.setattr(store, "append", overtaken)
        await one.accepted(bet(session, "again", round_id="round-b-0"))
        assert len(tries) < 40


async def test_a_command_that_others_overtake_every_time_keeps_nobody_waiting(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of its partition gets its turn in between."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player(money=100_000)
        others = await one.player("bob")
        store = one.ledger.stores[0]
        append, overtaken_once = store.append, asyncio.Event()

        async def overtaken(batch, *limits):
            if "player:ann" in batch.streams:
                await two.deposit("ann", 1, f"between-{random.random()}")
                overtaken_once.set()
            return await append(batch, *limits)

        monkeypatch.setattr(store, "append", overtaken)
        hopeless = asyncio.ensure_future(one.ledger.execute(bet(session, "hopeless")))
        await overtaken_once.wait()
        await one.accepted(bet(others, "b-1", player_id="bob"))
        assert not hopeless.done()
        monkeypatch.setattr(store, "append", append)
        assert isinstance(await hopeless, Accepted)


@pytest.mark.parametrize("enabled", [False, True])
async def test_a_bet_behind_the_switch_of_its_game_finds_it_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    """In one batch as well: the log must not show a bet on a game that is off."""
    async with opened(database_url) as one:
        session = await one.player()
        before, switch = (
            SetGame(integration="test", game="roulette", enabled=each)
            for each in (not enabled, enabled)
        )
        await one.ledger.set_game(before)
        sizes = watch_appends(one, monkeypatch)
        switched = asyncio.create_task(one.ledger.set_game(switch))
        await asyncio.sleep(0)  # it is in the queue, and its batch not yet taken
        outcome = await one.ledger.execute(bet(session, "b-1"))
        await switched
        assert isinstance(outcome, Accepted) is enabled
        assert len(sizes) == 1


async def test_a_win_finds_its_round_after_hundreds_of_others_pushed_it_out_of_memory(
    database_url: str,
) -> None:
    """State is bounded, the log is not: an old open round still pays its win and its refund."""
    async with opened(database_url) as one:
        session = await one.player(money=100_000)
        await one.accepted(bet(session, "old-1"))
        await one.accepted(bet(session, "old-2"))
        await asyncio.gather(
            *(one.accepted(bet(session, f"b-{number}")) for number in range(OPEN_ROUNDS_MAX + 5))
        )
        before = 100_000 - (OPEN_ROUNDS_MAX + 7) * 100
        paid = await one.accepted(win(session, "w-1", 500, round_id="round-old-1"))
        assert cents(paid) == before + 500
        returned = await one.accepted(refund(session, "rf-2", "old-2"))
        assert cents(returned) == before + 600
        assert await one.refused(refund(session, "rf-1", "old-1")) is Refusal.ORIGINAL_SETTLED


async def test_a_round_that_was_closed_long_ago_is_still_closed(database_url: str) -> None:
    """Its id, used again, looks new to memory: the append knows better."""
    async with opened(database_url) as one:
        session = await one.player(money=100_000)
        await asyncio.gather(
            *(
                one.accepted(bet(session, f"b-{number}", closes_round=True))
                for number in range(PAST_ROUNDS_MAX + LAST_ROUNDS_MAX + 5)
            )
        )
        late = bet(session, "late", round_id="round-b-0")
        assert await one.refused(late) is Refusal.ROUND_CLOSED
        returned = await one.accepted(refund(session, "rf-0", "b-0"))
        assert returned.event is not None
        assert returned.event.NAME == "bet_refunded.v1"
        again = await one.accepted(refund(session, "rf-00", "b-0"))
        assert again.event is not None
        assert again.event.NAME == "refund_repeated.v1"
        assert cents(again) == cents(returned)


async def test_refunds_of_many_rounds_out_of_memory_at_once_give_each_stake_back_once(
    database_url: str,
) -> None:
    """More of them in one batch than memory holds rounds, and each of them twice."""
    rounds = PAST_ROUNDS_MAX + LAST_ROUNDS_MAX + 12
    async with opened(database_url) as one:
        session = await one.player(money=100_000)
        commands = [
            bet(session, f"b-{number}", closes_round=True) for number in range(rounds + 120)
        ]
        await asyncio.gather(*map(one.accepted, commands))
        refunds = [
            refund(session, f"{name}-{number}", f"b-{number}")
            for number in range(rounds)
            for name in ("first", "second")
        ]
        await asyncio.gather(*map(one.accepted, refunds))
        assert booked(database_url, "bet_refunded.v1") == rounds
        assert booked(database_url, "refund_repeated.v1") == rounds
        final = await one.accepted(bet(session, "last", 0))
        assert cents(final) == 100_000 - 120 * 100


_VERSIONS_OF_ANN = """
    SELECT count(*), max(originator_version), min(originator_version)
    FROM ledger_p00.events WHERE originator_id = 'player:ann'
"""


async def test_bets_in_two_old_rounds_of_a_player_are_still_one_batch(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both rounds had fallen out of memory: found in one go, not by giving up on the batch."""
    async with opened(database_url) as one:
        session = await one.player(money=100_000)
        first = [bet(session, f"old-{place}") for place in range(2)]
        await asyncio.gather(*map(one.accepted, first))
        await asyncio.gather(
            *(one.accepted(bet(session, f"b-{number}")) for number in range(OPEN_ROUNDS_MAX + 5))
        )
        sizes = watch_appends(one, monkeypatch)
        again = [
            bet(session, f"again-{place}", round_id=f"round-old-{place}") for place in range(2)
        ]
        await asyncio.gather(*map(one.accepted, again))
        assert sizes == [2, 2]


async def test_what_others_book_while_a_round_is_read_back_is_not_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the wallet is as new as the other's booking, but its round is not: a second refund."""
    async with opened(database_url) as one, opened(database_url) as two:
        session = await one.player(money=1000)
        await two.accepted(bet(session, "warm", 0))
        await one.accepted(bet(session, "b-1", round_id="r"))
        store = two.ledger.stores[0]
        read, refunds = store.rounds, [refund(session, "first", "b-1", round_id="r")]

        async def overtaken(names):
            found = await read(names)
            while refunds:
                await one.accepted(refunds.pop())
            return found

        monkeypatch.setattr(store, "rounds", overtaken)
        await two.accepted(bet(session, "b-2", round_id="r"))
        again = await two.accepted(refund(session, "second", "b-1", round_id="r"))
        assert again.event is not None
        assert again.event.NAME == "refund_repeated.v1"
        assert cents(again) == 900


async def test_a_round_of_a_batch_is_not_opened_again_by_a_later_bet_of_it(
    database_url: str,
) -> None:
    """However many rounds come between: the append knows only what was there before the batch."""
    async with opened(database_url) as one:
        session = await one.player(money=100_000)
        between = [bet(session, f"b-{number}", 1) for number in range(OPEN_ROUNDS_MAX)]
        outcomes = await asyncio.gather(
            one.accepted(bet(session, "first", round_id="r")),
            *map(one.accepted, between),
            one.accepted(bet(session, "last", round_id="r")),
        )
        assert outcomes[-1].player.open_rounds == OPEN_ROUNDS_MAX + 1
        await one.accepted(refund(session, "undo", "last", round_id="r"))
        await one.accepted(win(session, "w", 500, round_id="r"))


async def test_a_round_that_a_batch_closed_stays_closed_for_its_later_bets(
    database_url: str,
) -> None:
    """The same for those that are done with."""
    rounds = PAST_ROUNDS_MAX + LAST_ROUNDS_MAX + 1
    async with opened(database_url) as one:
        session = await one.player(money=100_000)
        closing = [bet(session, f"b-{number}", 1, closes_round=True) for number in range(rounds)]
        outcomes = await asyncio.gather(
            one.ledger.execute(bet(session, "first", round_id="r", closes_round=True)),
            *map(one.ledger.execute, closing),
            one.ledger.execute(bet(session, "last", round_id="r")),
        )
        assert outcomes[-1] == Refused(Refusal.ROUND_CLOSED, "round r is closed")


async def test_a_key_asked_for_by_one_player_and_used_by_another_in_one_batch_is_one_append(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked up is older than what the batch has decided since."""
    async with opened(database_url) as one:
        ann = await one.player()
        bob = await one.player("bob")
        sizes = watch_appends(one, monkeypatch)
        refused, accepted = await asyncio.gather(
            one.refused(refund(ann, "undo", "b-1")),
            one.accepted(bet(bob, "b-1", player_id="bob")),
        )
        assert refused is Refusal.ORIGINAL_NOT_FOUND
        assert cents(accepted) == 900
        assert sizes == [1]


async def test_what_is_decided_again_after_a_lost_append_comes_out_the_same(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lost one may still arrive: a refusal because time has passed would then be booked."""
    async with opened(database_url) as process:
        session = await process.player()
        store = process.ledger.stores[0]
        append, tried = store.append, []

        async def losing_the_first(batch, *limits):
            tried.append(list(batch.events))
            if len(tried) == 1:
                raise CommitUnknown("lost")
            return await append(batch, *limits)

        monkeypatch.setattr(store, "append", losing_the_first)
        await process.accepted(bet(session, "b-1"))
    first, second = tried
    assert first == second


async def test_a_stream_that_cannot_be_read_costs_the_others_nothing(
    database_url: str, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a step back to an older release some players may be unreadable for it."""
    async with opened(database_url) as process:
        good, bad = await process.player("ann"), await process.player("bob")
    with psycopg.connect(admin_url, autocommit=True) as connection:
        snapshot = "INSERT INTO ledger_p00.snapshots VALUES ('player:bob', 2, decode(%s, 'hex'))"
        connection.execute(snapshot, ("00" * 40,))
    async with opened(database_url) as process:
        await process.accepted(bet(good, "warm"))
        sizes = watch_appends(process, monkeypatch)
        waiting = [process.ledger.execute(bet(good, f"b-{number}", 1)) for number in range(10)]
        waiting.append(process.ledger.execute(bet(bad, "bad", player_id="bob")))
        outcomes = await asyncio.gather(*waiting)
        assert [type(outcome) for outcome in outcomes] == [Accepted] * 10 + [Refused]
        assert isinstance(outcomes[-1], Refused)
        assert outcomes[-1].refusal is Refusal.INTERNAL
        assert sizes == [10]


async def test_an_event_that_cannot_be_read_costs_only_who_asked_for_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider repeats such a refund for hours; each try emptied the memory for everybody."""
    async with opened(database_url) as process:
        good, bad = await process.player("ann"), await process.player("bob")
        await process.accepted(bet(good, "warm"))

        async def unreadable(*_: object) -> None:
            raise UnreadableEvent("event bet_placed.v1: altered")

        monkeypatch.setattr(Loader, "transactions", unreadable)
        monkeypatch.setattr(Loader, "heads", unreadable)  # nobody's wallet is read again
        sizes = watch_appends(process, monkeypatch)
        waiting = [process.ledger.execute(bet(good, f"b-{number}", 1)) for number in range(10)]
        waiting.append(process.ledger.execute(refund(bad, "r-1", "old", player_id="bob")))
        outcomes = await asyncio.gather(*waiting)
        assert [type(outcome) for outcome in outcomes] == [Accepted] * 10 + [Refused]
        assert isinstance(outcomes[-1], Refused)
        assert outcomes[-1].refusal is Refusal.INTERNAL
        assert sizes == [10]


async def test_what_must_be_looked_up_is_not_overtaken_by_all_that_comes_later(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refund beside a player's quick bets waited behind them again and again, up to its end."""
    async with opened(database_url) as process:
        session = await process.player(money=100_000)
        store = process.ledger.stores[0]
        append = store.append
        later: list[asyncio.Future[Outcome]] = []

        async def joined(batch: AppendBatch, *limits: Any) -> Any:
            if len(later) < 10:
                command = bet(session, f"later-{len(later)}")
                later.append(asyncio.ensure_future(process.ledger.execute(command)))
                await asyncio.sleep(0)  # it is in the queue
            return await append(batch, *limits)

        monkeypatch.setattr(store, "append", joined)
        first = [bet(session, "b-0"), refund(session, "r-1", "never"), bet(session, "b-1")]
        await asyncio.gather(*(process.ledger.execute(command) for command in first))
        await asyncio.gather(*later)
        found = await process.ledger.events("ann", 0, 100)
    order = [event.key for _, event, _ in found if isinstance(event, Movement)]
    assert order.index("r-1") < order.index("later-0")
