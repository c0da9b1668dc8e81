"""The connection dies around a commit: nobody knows whether it took place, and nobody guesses."""

from __future__ import annotations

import asyncio
import random

import psycopg
import pytest

from ledger.commands import BlockPlayer, OpenSession, RegisterPlayer, SetGame
from ledger.refusals import Refusal, Refused
from ledger.service import Accepted, token_hash
from tests.faults.ledgers import bet, booked, cents, opened, query, refund, win
from tests.faults.link import Cut, linked

CUTS = pytest.mark.parametrize("cut", list(Cut), ids=lambda cut: cut.name.lower())


@CUTS
async def test_a_bet_whose_commit_is_unknown_is_booked_once_and_answered_once(
    database_url: str, cut: Cut
) -> None:
    """Committed or not, the first answer, the retry's and the log must all say the same."""
    async with linked(database_url) as (url, link), opened(url) as one:
        session = await one.player()
        link.cut(cut)
        first = await one.accepted(bet(session, "b-1"))
        assert one.counts.unknowns == 1
        assert not first.replayed, "to its caller it is the first time"
        again = await one.accepted(bet(session, "b-1"))
        assert again.replayed
        assert again.event == first.event
        assert again.version == first.version
        assert cents(again) == 900
        assert booked(database_url) == 1


@CUTS
async def test_every_command_of_a_batch_with_an_unknown_commit_keeps_its_own_answer(
    database_url: str, cut: Cut
) -> None:
    """Accepted, refused, replayed and settling ones side by side, as they would be without it."""
    async with linked(database_url) as (url, link), opened(url) as one:
        session = await one.player()
        old = await one.accepted(bet(session, "old"))
        link.cut(cut)
        accepted, replayed, broke, conflict, won, lost = await asyncio.gather(
            one.ledger.execute(bet(session, "b-1", 800)),
            one.ledger.execute(bet(session, "old")),
            one.ledger.execute(bet(session, "b-2", 800)),
            one.ledger.execute(bet(session, "old", 300)),
            one.ledger.execute(win(session, "w-1", 300, round_id="round-old")),
            one.ledger.execute(refund(session, "r-0", "never-came")),
        )
        assert isinstance(accepted, Accepted)
        assert isinstance(replayed, Accepted)
        assert isinstance(won, Accepted)
        assert (accepted.replayed, replayed.replayed, won.replayed) == (False, True, False)
        assert replayed.event == old.event
        assert broke == Refused(Refusal.INSUFFICIENT_FUNDS, "the balance does not cover the stake")
        assert isinstance(conflict, Refused)
        assert conflict.refusal is Refusal.DUPLICATE_CONFLICT
        assert isinstance(lost, Refused)
        assert lost.refusal is Refusal.ORIGINAL_NOT_FOUND
        assert cents(won) == 400
        assert booked(database_url) == 2
        assert booked(database_url, "refund_tombstoned.v1") == 1
        assert booked(database_url, "win_credited.v1") == 1


@CUTS
async def test_commands_without_a_key_are_done_once_too(database_url: str, cut: Cut) -> None:
    """A player, a block, a switch and a session have no key; they show by their own state."""
    async with linked(database_url) as (url, link), opened(url) as one:
        link.cut(cut)
        await one.accepted(RegisterPlayer(player_id="ann", currency="EUR"))
        link.cut(cut)
        await one.accepted(BlockPlayer(player_id="ann"))
        link.cut(cut)
        switch = SetGame(integration="test", game="roulette", enabled=False)
        assert isinstance(await one.ledger.set_game(switch), Accepted)
        for name in ("player_registered.v1", "player_blocked.v1", "game_disabled.v1"):
            assert booked(database_url, name) == 1


@CUTS
async def test_a_session_whose_commit_is_unknown_is_opened_once_and_is_in_the_answer(
    database_url: str, cut: Cut
) -> None:
    """Whoever opens a session needs its time of opening, also where the commit had to be found."""
    async with linked(database_url) as (url, link), opened(url) as one:
        await one.accepted(RegisterPlayer(player_id="ann", currency="EUR"))
        link.cut(cut)
        wanted = OpenSession(
            player_id="ann",
            session=token_hash("a token"),
            integration="test",
            game="roulette",
            currency="EUR",
        )
        accepted = await one.accepted(wanted)
        assert booked(database_url, "session_opened.v1") == 1
        assert accepted.player.sessions[token_hash("a token")].opened_at is not None


async def test_cut_after_cut_still_ends_in_one_booking(database_url: str) -> None:
    """Each repetition may lose its answer as well."""
    async with linked(database_url) as (url, link), opened(url) as one:
        session = await one.player()
        link.cut(Cut.BEFORE, Cut.AFTER, Cut.UNDERWAY, Cut.AFTER, Cut.BEFORE, Cut.AFTER)
        first = await one.accepted(bet(session, "b-1"))
        assert link.cuts_made == 6
        assert not first.replayed
        assert cents(first) == 900
        assert booked(database_url) == 1


async def test_a_commit_that_stays_unknown_is_unavailable_and_its_retry_settles_it(
    database_url: str,
) -> None:
    """The link does not come back in time: no guess, and later the truth."""
    async with linked(database_url) as (url, link), opened(url, answer_s=0.5) as one:
        session = await one.player()
        link.cut(Cut.AFTER)
        link.down = True  # what is open goes on, what is new fails
        assert await one.refused(bet(session, "b-1")) is Refusal.UNAVAILABLE
        assert booked(database_url) == 1
        link.down = False
        settled = await one.insist(bet(session, "b-1"))
        assert isinstance(settled, Accepted)
        assert settled.replayed
        assert cents(settled) == 900
        assert booked(database_url) == 1


async def test_a_link_that_fails_all_the_time_loses_and_doubles_nothing(database_url: str) -> None:
    """200 bets and their repetitions while appends are cut at random."""
    dice = random.Random(20)
    async with linked(database_url) as (url, link), opened(url, batch_max=16) as one:
        session = await one.player(money=100_000)
        link.cut(*(dice.choice(list(Cut)) for _ in range(25)))
        commands = [bet(session, f"b-{number}") for number in range(200)]
        firsts = await asyncio.gather(*map(one.insist, commands), *map(one.insist, commands[:50]))
        again = await asyncio.gather(*map(one.accepted, commands))
        for first, replay in zip(firsts, [*again, *again[:50]], strict=True):
            assert isinstance(first, Accepted)
            assert first.event == replay.event
        assert booked(database_url) == 200
        assert cents(again[-1]) == 100_000 - 200 * 100


async def test_a_backend_that_an_administrator_ends_during_its_append_costs_nothing(
    database_url: str, admin_url: str
) -> None:
    """pg_terminate_backend while the append waits for the log's lock: rolled back, and repeated."""
    async with opened(database_url) as one:
        session = await one.player()
        with psycopg.connect(admin_url) as holder:
            holder.execute("LOCK TABLE ledger_p00.events IN EXCLUSIVE MODE")
            waiting = asyncio.create_task(one.accepted(bet(session, "b-1")))
            while not query(admin_url, _END_APPENDS):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.02)
        accepted = await waiting
        assert not accepted.replayed
        assert booked(database_url) == 1


async def test_every_connection_ended_at_once_is_only_a_pause(
    database_url: str, admin_url: str
) -> None:
    """As a restart of the database does, to idle connections too."""
    async with opened(database_url) as one:
        session = await one.player()
        for number in range(5):
            query(admin_url, _END_ALL)
            await one.accepted(bet(session, f"b-{number}"))
        assert booked(database_url) == 5


_END_APPENDS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE '% append %'
        AND wait_event_type = 'Lock'
"""
_END_ALL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
