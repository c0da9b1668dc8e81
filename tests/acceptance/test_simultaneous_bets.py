"""Bets that come at the same time, to one process and to several (the service's first promise)."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from tests.acceptance.provider import bet, visiting
from tests.acceptance.service import Service, running

COPIES = 100


async def test_a_hundred_copies_of_one_bet_are_one_event_and_one_answer(
    tmp_path: Path, shared_database: dict[str, Any]
) -> None:
    """A provider that repeats itself must take the stake once, whichever worker it reaches."""
    with running(tmp_path, database=shared_database, server={"workers": 2}) as service:
        async with visiting(service.base_url) as site:
            token = await site.player("ann", "50.00")
            body = bet("ann", token, "b-1")
            answers = await asyncio.gather(*(site.send(body) for _ in range(COPIES)))
            assert {answer.status for answer in answers} == {200}
            assert len({answer.body for answer in answers}) == 1
            assert answers[0].json["balance"] == 49_00
            assert len(await site.bets("ann")) == 1
            assert await site.balance("ann") == "49.00"


async def test_over_two_workers_money_for_forty_bets_pays_exactly_forty_of_a_hundred(
    tmp_path: Path, shared_database: dict[str, Any]
) -> None:
    """Two processes decide on the same balance: none may spend what the other has spent."""
    with running(tmp_path, database=shared_database, server={"workers": 2}) as service:
        assert len(service.workers()) == 2
        await _spend_forty([service])


async def test_over_two_servers_and_four_partitions_forty_of_a_hundred_are_paid(
    tmp_path: Path, four_partitions: dict[str, Any]
) -> None:
    """Servers that know nothing of each other share a database, and nothing else."""
    with (
        running(tmp_path / "one", database=four_partitions) as one,
        running(tmp_path / "two", database=four_partitions) as two,
    ):
        await _spend_forty([one, two], players=("ann", "bob", "cid", "dora", "eve"))


async def _spend_forty(services: list[Service], players: tuple[str, ...] = ("ann",)) -> None:
    """Send each player 100 bets of 1.00 on 40.00, spread over the services."""
    async with visiting(services[0].base_url) as one, visiting(services[-1].base_url) as two:
        tokens = {player_id: await one.player(player_id, "40.00") for player_id in players}
        answers = await asyncio.gather(
            *(
                (one, two)[number % 2].send(bet(player_id, token, f"{player_id}-{number}"))
                for number in range(100)
                for player_id, token in tokens.items()
            )
        )
        expected = {200: 40 * len(players), 402: 60 * len(players)}
        assert Counter(answer.status for answer in answers) == expected
        for player_id in players:
            assert await one.balance(player_id) == "0.00"
            booked = await two.bets(player_id)
            assert len(booked) == 40
            assert [event["balance"]["real"] for event in booked] == [
                f"{39 - number}.00" for number in range(40)
            ]
