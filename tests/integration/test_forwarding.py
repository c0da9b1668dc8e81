"""Several workers of one server: each partition has one owner, and the others can do without it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psycopg
import pytest

from ledger import forwarding
from ledger.commands import ReadPlayer, SetGame
from ledger.embedded import EmbeddedPostgres
from ledger.forwarding import Place
from ledger.player import Player
from ledger.refusals import Refusal
from ledger.service import Accepted
from ledger.wire import Answered
from tests.conftest import Databases
from tests.faults.ledgers import CENT, Process, bet, booked, cents, opened, query

LINKED_S = 10.0


@pytest.fixture
def directory() -> Iterator[str]:
    """For the workers' sockets; with a short name, so that their paths fit."""
    made = tempfile.mkdtemp(prefix="wl-")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def three_partitions(databases: Databases, postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database with the schema of three partitions."""
    with databases.fresh(databases.template(3)) as name:
        yield postgres.url(name)


async def linked(process: Process) -> None:
    """Wait until a worker hands its commands over."""
    forwarders = process.ledger._workers._forwarders.values()
    async with asyncio.timeout(LINKED_S):
        while not all(forwarder._link for forwarder in forwarders):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def unlinked(process: Process) -> None:
    """Wait until a worker has given its owners up."""
    forwarders = process.ledger._workers._forwarders.values()
    async with asyncio.timeout(LINKED_S):
        while any(forwarder._link for forwarder in forwarders):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def two_workers(
    url: str, directory: str, partitions: int = 1
) -> AsyncIterator[tuple[Process, Process]]:
    """The first decides for partition 0, and the second for partition 1 if there is one."""
    async with (
        opened(url, partitions=partitions, place=Place(0, 2, directory)) as first,
        opened(url, partitions=partitions, place=Place(1, 2, directory)) as second,
    ):
        await linked(first)
        await linked(second)
        yield first, second


async def test_commands_of_both_workers_are_decided_by_one_without_conflicts(
    database_url: str, directory: str
) -> None:
    """Each would make the other decide again, which costs more than the second worker brings."""
    async with two_workers(database_url, directory) as (first, second):
        session = await second.player()
        workers = (first, second)
        bets = [
            workers[number % 2].accepted(bet(session, f"b-{number}", 1)) for number in range(60)
        ]
        outcomes = await asyncio.gather(*bets)
        assert sorted(map(cents, outcomes)) == list(range(940, 1000))
        assert first.counts.conflicts == second.counts.conflicts == 0
        assert second.counts.batches == []
        assert booked(database_url) == 60


async def test_each_worker_decides_for_its_own_partitions(
    three_partitions: str, directory: str
) -> None:
    """Else the first would be the bottleneck of all."""
    async with two_workers(three_partitions, directory, partitions=3) as (first, second):
        players = [f"player-{number}" for number in range(12)]
        for player in players:
            await first.player(player)
        assert {first.ledger.partition_of(player) for player in players} == {0, 1, 2}
        assert first.counts.batches
        assert second.counts.batches
        assert first.counts.conflicts == second.counts.conflicts == 0


async def test_what_comes_back_from_the_owner_is_what_it_answered(
    database_url: str, directory: str
) -> None:
    """Replays, refusals and questions alike, for a provider must not see who decided."""
    async with two_workers(database_url, directory) as (first, second):
        session = await first.player(money=150)
        made = await second.accepted(bet(session, "b-1"))
        again = await second.accepted(bet(session, "b-1"))
        assert (made.replayed, again.replayed) == (False, True)
        assert again.event == made.event
        assert await second.refused(bet(session, "b-1", 10)) is Refusal.DUPLICATE_CONFLICT
        assert await second.refused(bet(session, "b-2")) is Refusal.INSUFFICIENT_FUNDS
        read = await second.accepted(ReadPlayer(player_id="ann"))
        here = await first.accepted(ReadPlayer(player_id="ann"))
        assert (read.player.version, read.player.wallets) == (
            here.player.version,
            here.player.wallets,
        )


async def test_losses_beyond_what_a_message_can_hold_do_not_hold_up_an_answer(
    database_url: str, directory: str
) -> None:
    """A year's turnover in a currency of many decimals; the asker has no use for it."""
    async with two_workers(database_url, directory) as (first, second):
        session = await second.player(money=0)
        await first.deposit("ann", 2**62 // CENT, "much")
        for number in range(5):
            stake = 2**62 // CENT
            await second.accepted(bet(session, f"b-{number}", stake, closes_round=True))
            await first.deposit("ann", stake, f"more-{number}")
        assert (await first.accepted(ReadPlayer(player_id="ann"))).player.losses


async def test_a_game_is_switched_in_every_partition(three_partitions: str, directory: str) -> None:
    """Whoever decides for it."""
    async with two_workers(three_partitions, directory, partitions=3) as (first, second):
        sessions = {f"player-{number}": "" for number in range(12)}
        for player in sessions:
            sessions[player] = await first.player(player)
        assert {first.ledger.partition_of(player) for player in sessions} == {0, 1, 2}
        off = SetGame(integration="test", game="roulette", enabled=False)
        assert isinstance(await second.ledger.set_game(off), Accepted)
        for player, session in sessions.items():
            stake = bet(session, f"b-{player}", player_id=player, game="roulette")
            assert await first.refused(stake) is Refusal.GAME_DISABLED


async def test_a_worker_goes_on_alone_when_the_owner_has_ended(
    database_url: str, directory: str
) -> None:
    """It is started again in a moment; until then nobody is to notice."""
    async with opened(database_url, place=Place(1, 2, directory)) as second:
        async with opened(database_url, place=Place(0, 2, directory)) as first:
            await linked(second)
            session = await first.player()
            await second.accepted(bet(session, "b-1"))
        await second.accepted(bet(session, "b-2"))
        assert second.counts.batches
        async with opened(database_url, place=Place(0, 2, directory)) as first:
            await linked(second)
            alone = len(second.counts.batches)
            await second.accepted(bet(session, "b-3"))
            assert len(second.counts.batches) == alone
        assert booked(database_url) == 3


async def test_an_answer_that_is_lost_with_the_owner_is_found_again_and_is_no_replay(
    database_url: str, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bet was booked, and its provider has not heard of it: exactly once, and as the first."""

    def break_off(connection: forwarding._Inbound, *_: object) -> None:
        connection.close()

    async with two_workers(database_url, directory) as (first, second):
        session = await first.player()
        monkeypatch.setattr(forwarding._Inbound, "_answer", break_off)
        accepted = await second.accepted(bet(session, "b-1"))
        assert not accepted.replayed
        assert cents(accepted) == 900
        assert second.counts.batches
        assert booked(database_url) == 1


@asynccontextmanager
async def standing_in(
    directory: str, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]
) -> AsyncIterator[None]:
    """Something else where the owner should be; who connects first is greeted as by an owner."""
    greetings = [(1).to_bytes(4) + msgspec.msgpack.encode([])]

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if greetings:
                writer.write(greetings.pop())
            await serve(reader, writer)  # type: ignore[misc]
        finally:
            writer.close()

    server = await asyncio.start_unix_server(take, Place(0, 2, directory).socket(0))
    try:
        yield
    finally:
        server.close()


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Take everything, and never answer: a stopped process keeps its connections open."""
    await reader.read()


async def test_an_owner_that_hangs_holds_nobody_up_for_longer_than_the_deadline(
    database_url: str, directory: str
) -> None:
    """Once it is given up, and as long as nobody greets, everything is decided here."""
    place = Place(1, 2, directory)
    async with (
        standing_in(directory, hang),
        opened(database_url, place=place, queue_wait_s=0.2, answer_s=0.5) as second,
    ):
        await linked(second)
        async with asyncio.timeout(LINKED_S):
            assert await second.refused(ReadPlayer(player_id="ann")) is Refusal.UNAVAILABLE
            await unlinked(second)
            for _ in range(8):
                assert await second.refused(ReadPlayer(player_id="ann")) is Refusal.UNKNOWN_PLAYER
                await asyncio.sleep(0.1)


async def test_what_an_owner_got_that_may_live_is_not_decided_elsewhere(
    database_url: str, directory: str
) -> None:
    """Refused here for the balance of now, it could be booked there once the money has come."""
    async with opened(database_url) as only:
        session = await only.player(money=100)
    async with (
        standing_in(directory, hang),
        opened(database_url, place=Place(1, 2, directory), answer_s=0.5) as second,
    ):
        await linked(second)
        assert await second.refused(bet(session, "b-1", 150)) is Refusal.UNAVAILABLE
        await unlinked(second)
        assert second.counts.batches == []


async def test_what_an_owner_has_not_begun_when_it_is_given_up_is_never_booked(
    database_url: str, admin_url: str, directory: str
) -> None:
    """Its callers were told `unavailable`, and may have been refused by another worker since."""
    async with opened(database_url, place=Place(0, 2, directory)) as first:
        session = await first.player()
        place = Place(1, 2, directory)
        async with (
            opened(database_url, place=place, answer_s=0.5) as second,
            await psycopg.AsyncConnection.connect(admin_url) as blocker,
        ):
            await linked(second)
            await blocker.execute("LOCK TABLE ledger_p00.events IN EXCLUSIVE MODE")
            begun = asyncio.create_task(second.refused(bet(session, "b-1")))
            await asyncio.sleep(0.1)
            assert await second.refused(bet(session, "b-2")) is Refusal.UNAVAILABLE
            assert await begun is Refusal.UNAVAILABLE
            await unlinked(second)
            await blocker.rollback()
        await first.accepted(bet(session, "b-3"))
        keys = query(database_url, "SELECT key FROM ledger_p00.transactions ORDER BY version")
        assert [key for (key,) in keys] == ["deposit:first-ann", "b-1", "b-3"]


UNKNOWN_EVENT = msgspec.msgpack.encode([Answered(1, player=Player("ann"), event_name="no.v9")])


@pytest.mark.parametrize("body", [b"hello", UNKNOWN_EVENT])
async def test_an_answer_that_cannot_be_read_ends_the_connection_and_nothing_else(
    database_url: str, directory: str, body: bytes
) -> None:
    """Whatever sits there may have booked the command; those that come later are decided here."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(len(body).to_bytes(4) + body)
        await reader.read()

    async with (
        standing_in(directory, babble),
        opened(database_url, place=Place(1, 2, directory), answer_s=0.5) as second,
    ):
        await linked(second)
        assert await second.refused(ReadPlayer(player_id="ann")) is Refusal.UNAVAILABLE
        await second.player()
        assert second.counts.batches


async def test_a_command_that_no_message_can_hold_is_decided_by_the_worker_itself(
    database_url: str, directory: str
) -> None:
    """Half a surrogate is no text, neither on the wire nor in the database."""
    async with opened(database_url) as only:
        expected = await only.ledger.execute(ReadPlayer(player_id="\ud800"))
    async with two_workers(database_url, directory) as (_, second):
        assert await second.ledger.execute(ReadPlayer(player_id="\ud800")) == expected
        await second.player()
        assert second.counts.conflicts == 0


async def test_workers_whose_sockets_cannot_be_made_work_each_for_itself(
    database_url: str, tmp_path: Path
) -> None:
    """A path of more than 107 bytes holds no socket; that must not stop the service."""
    directory = str(tmp_path / ("deep" * 40))
    async with (
        opened(database_url, place=Place(0, 2, directory)) as first,
        opened(database_url, place=Place(1, 2, directory)) as second,
    ):
        session = await first.player()
        await second.accepted(bet(session, "b-1"))
        assert booked(database_url) == 1
