"""The checker has teeth.

Whatever is bent in what it is given, it says so; and it finds a service that breaks a promise,
under the same faults as the others.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from ledger.embedded import DATABASE, SUPERUSER, EmbeddedPostgres
from tests.acceptance.provider import visiting
from tests.acceptance.service import Service, running
from tests.conftest import Databases
from tests.faults.checker.check import BURIED, check
from tests.faults.checker.history import Attempt, History
from tests.faults.checker.log import Booked, dump
from tests.faults.checker.run import play, providers
from tests.faults.pair import Pair
from tests.faults.test_failover import (
    AFTER_A_FAIL_OVER,
    CLIENTS,
    LIMITS,
    the_primary_holds_what_nobody_else_has,
)
from tests.faults.test_kills import kill_the_database

Played: TypeAlias = tuple[History, list[Booked]]
CALLS = 1_000
VARIANTS = 8
LOSSES = 3
"""Of a primary: in one of them nobody may happen to repeat what only it has."""


@pytest.fixture(scope="module")
def played(
    databases: Databases, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    """What the providers saw and what was booked where nothing went wrong."""
    directory = tmp_path_factory.mktemp("played")
    with databases.fresh(template_database) as name:
        url = databases.server.url(name, SUPERUSER)
        with running(directory, database={"url": databases.server.url(name)}) as service:
            yield asyncio.run(_play(service, directory, url))


async def _play(service: Service, directory: Path, url: str) -> Played:
    async with visiting(service.base_url) as site:
        reckoning = await play(site, directory, url, calls=CALLS)
    reckoning.clean({"acknowledged": CALLS // 3})
    return reckoning.history, dump(url, 1)


class Bent:
    """A copy to bend; ``dice`` choose where. A way to bend returns what the checker must find."""

    def __init__(self, played: Played, seed: int) -> None:
        self.history, self.log = deepcopy(played)
        self.dice = random.Random(seed)

    def booked(self, *names: str) -> Booked:
        """An event that a provider's call made, of these types."""
        found = [each for each in self.log if each.provider and (not names or each.name in names)]
        return self.dice.choice(found)

    def attempt(self, wanted: Callable[[Attempt], bool]) -> Attempt:
        """An attempt of some kind."""
        return self.dice.choice([each for each in self.history.attempts if wanted(each)])

    def attempts(self, booked: Booked) -> list[Attempt]:
        """All that were about an event."""
        return [each for each in self.history.attempts if each.call.key == booked.key]

    def renumber(self) -> None:
        """Close the gap in the log."""
        places: dict[str, int] = {}
        for booked in self.log:
            booked.version = places[booked.player_id] = places.get(booked.player_id, 0) + 1

    def add(self, booked: Booked) -> None:
        """Put an event at the end of its player's."""
        mine = [at for at, each in enumerate(self.log) if each.player_id == booked.player_id]
        booked.version = len(mine) + 1
        self.log.insert(mine[-1] + 1, booked)


def _an_event_is_gone(bent: Bent) -> str:
    bent.log.remove(bent.booked("bet_placed.v1", "win_credited.v1", "win_reversed.v1"))
    bent.renumber()
    return "I1"


def _a_version_is_missing(bent: Bent) -> str:
    bent.log.remove(bent.booked())
    return "I6"


def _a_players_last_events_are_gone(bent: Bent) -> str:
    last = bent.booked("bet_placed.v1")
    bent.log[:] = [
        each for each in bent.log if each.player_id != last.player_id or each.version < last.version
    ]
    return "I1"


def _an_event_is_there_twice(bent: Bent) -> str:
    bent.add(deepcopy(bent.booked()))
    return "I2"


def _nobody_asked_for_an_event(bent: Bent) -> str:
    invented = deepcopy(bent.booked("win_credited.v1"))
    invented.fields["key"] += "-invented"
    bent.add(invented)
    return "I3"


def _a_refused_call_is_booked(bent: Bent) -> str:
    keys = {each.key for each in bent.log}
    refused = bent.attempt(
        lambda each: each.refused and each.call.action == "bet" and each.call.key not in keys
    ).call
    event = deepcopy(bent.booked("bet_placed.v1"))
    event.player_id = refused.player_id
    event.fields |= {
        "key": refused.key,
        "transaction_id": refused.transaction_id,
        "round_id": refused.round_id,
        "real": -refused.amount * 1_000,
        "bonus": 0,
    }
    bent.add(event)
    return "I3"


def _another_player_paid(bent: Bent) -> str:
    booked = bent.booked("bet_placed.v1")
    others = {each.player_id for each in bent.log} - {booked.player_id}
    bent.log.remove(booked)
    booked.player_id = bent.dice.choice(sorted(others))
    bent.add(booked)
    bent.renumber()
    return "I3"


def _another_round(bent: Bent) -> str:
    bent.booked("bet_placed.v1", "win_credited.v1").fields["round_id"] += "0"
    return "I3"


def _another_bet_was_refunded(bent: Bent) -> str:
    bent.booked("bet_refunded.v1").fields["refers_to"] += "0"
    return "I3"


def _another_amount_was_moved(bent: Bent) -> str:
    fields = bent.booked("bet_refunded.v1", "win_reversed.v1").fields
    fields["real"] = fields.get("real", 0) - 1
    return "I5"


def _another_split(bent: Bent) -> str:
    fields = bent.booked("bet_placed.v1", "win_credited.v1", "bet_refunded.v1").fields
    fields["real"] = fields.get("real", 0) + 1
    fields["bonus"] = fields.get("bonus", 0) - 1
    return "I5"


def _a_repeated_refund_moves_money(bent: Bent) -> str:
    bent.booked("refund_repeated.v1", "win_reversal_repeated.v1").fields["real"] = 1
    return "I5"


def _a_balance_is_off_by_a_unit(bent: Bent) -> str:
    bent.booked().fields[bent.dice.choice(("balance_real", "balance_bonus"))] += 1
    return "I5"


def _an_answer_tells_another_balance(bent: Bent) -> str:
    return _answer(bent, "balance", lambda told: told + 1)


def _an_answer_tells_another_movement(bent: Bent) -> str:
    return _answer(bent, "transaction_id", lambda told: told[::-1])


def _answer(bent: Bent, name: str, change: Callable[[Any], Any]) -> str:
    attempt = bent.attempt(lambda each: each.ok)
    told = json.loads(attempt.body)
    attempt.body = json.dumps(told | {name: change(told[name])})
    return "I4"


def _a_repetition_is_answered_in_another_way(bent: Bent) -> str:
    again = bent.dice.choice(
        [each for each in bent.log if sum(a.ok for a in bent.attempts(each)) > 1]
    )
    attempt = bent.dice.choice([each for each in bent.attempts(again) if each.ok])
    attempt.body = attempt.body + " "
    return "I4"


def _what_is_booked_is_refused(bent: Bent) -> str:
    attempt = bent.attempt(lambda each: each.ok)
    attempt.status = bent.dice.choice((402, 406, 408))
    return "I"


def _what_is_refused_is_acknowledged(bent: Bent) -> str:
    attempt = bent.attempt(lambda each: each.refused)
    attempt.status, attempt.body = 200, bent.attempt(lambda each: each.ok).body
    return "I"


def _another_content_is_acknowledged(bent: Bent) -> str:
    booked = {each.key for each in bent.log}
    attempt = bent.attempt(
        lambda each: each.ok and each.call.action == "bet" and each.call.key in booked
    )
    altered = msgspec.structs.replace(
        attempt.call, number=len(bent.history.calls), amount=attempt.call.amount + 1
    )
    bent.history.calls.append(altered)
    bent.history.attempts.append(
        Attempt(altered, attempt.sent, attempt.returned, 200, attempt.body)
    )
    return "I1"


def _a_refusal_gives_another_reason(bent: Bent) -> str:
    attempt = bent.attempt(lambda each: each.refused)
    attempt.status = bent.dice.choice(sorted({402, 406, 408} - {attempt.status}))
    return "I5"


def _a_tombstone_is_gone(bent: Bent) -> str:
    bets = {each.call.transaction_id for each in bent.history.attempts if each.status == 408}
    hit = [
        each
        for each in bent.log
        if each.name == BURIED and each.fields["refers_to"].removeprefix("bet:") in bets
    ]
    bent.log.remove(bent.dice.choice(hit))
    bent.renumber()
    return "I5"


def _the_order_is_not_that_of_the_clock(bent: Bent) -> str:
    """What was answered before another call was sent stands behind it."""
    player = bent.booked().player_id
    mine = [at for at, each in enumerate(bent.log) if each.player_id == player and each.provider]
    first = bent.dice.randrange(len(mine) - 20)
    one, other = mine[first], mine[first + bent.dice.randrange(12, 20)]
    bent.log[one], bent.log[other] = bent.log[other], bent.log[one]
    bent.log[one].version, bent.log[other].version = bent.log[other].version, bent.log[one].version
    return "I6"


def _money_came_from_nowhere(bent: Bent) -> str:
    bent.booked("bet_placed.v1").fields["bonus"] = 0
    bent.booked("win_credited.v1").fields["balance_bonus"] += 1_000
    return "I5"


def _a_call_was_left_unknown(bent: Bent) -> str:
    refused = bent.attempt(lambda each: each.refused).call
    for attempt in bent.history.attempts:
        if attempt.call.key == refused.key:
            attempt.status = None
    return "unknown"


WAYS = (
    _an_event_is_gone,
    _a_version_is_missing,
    _a_players_last_events_are_gone,
    _an_event_is_there_twice,
    _nobody_asked_for_an_event,
    _a_refused_call_is_booked,
    _another_player_paid,
    _another_round,
    _another_bet_was_refunded,
    _another_amount_was_moved,
    _another_split,
    _a_repeated_refund_moves_money,
    _a_balance_is_off_by_a_unit,
    _an_answer_tells_another_balance,
    _an_answer_tells_another_movement,
    _a_repetition_is_answered_in_another_way,
    _what_is_booked_is_refused,
    _what_is_refused_is_acknowledged,
    _another_content_is_acknowledged,
    _a_refusal_gives_another_reason,
    _a_tombstone_is_gone,
    _the_order_is_not_that_of_the_clock,
    _money_came_from_nowhere,
    _a_call_was_left_unknown,
)


def test_what_really_happened_is_no_finding(played: Played) -> None:
    """Else nothing below shows anything."""
    assert check(*played).findings == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_whatever_is_bent_is_found(way: Callable[[Bent], str], played: Played) -> None:
    """Each way in many places."""
    for seed in range(VARIANTS):
        bent = Bent(played, seed)
        expected = way(bent)
        findings = check(bent.history, bent.log).findings
        assert any(each.startswith(expected) for each in findings), (seed, findings)


async def test_a_service_whose_commits_wait_for_no_disk_is_found(
    embedded_service: Callable[..., Service], directory: Path
) -> None:
    """A kill of the database takes from it what it had acknowledged."""
    service = embedded_service(
        projections={"in_serve": False},  # their commits would take the others with them
        through=weakened("commits_wait_for_no_disk"),
    )
    url = EmbeddedPostgres(directory / "pg").url(DATABASE, SUPERUSER)
    await asyncio.to_thread(service.start)
    async with (
        visiting(service.base_url, timeout_s=5) as site,
        providers(site, directory, lambda: url, views=False) as run,
    ):
        for _ in range(5):
            await run.grows(100)
            await kill_the_database(service, directory / "pg")
    assert lost(run.reckoning.result.findings)


async def test_a_service_that_acknowledges_what_it_only_reads_is_found(
    servers: Pair, directory: Path
) -> None:
    """A duplicate's answer that waits for no commit is lost with the primary (rule 1.1)."""
    service = Service(
        directory,
        through=weakened("repetitions_wait_for_no_commit"),
        database={"url": servers.url},
        limits=LIMITS,
    )
    try:
        await asyncio.to_thread(service.start)
        async with (
            visiting(service.base_url, timeout_s=5) as site,
            providers(site, directory, lambda: servers.primary.migrate_url, clients=CLIENTS) as run,
        ):
            for _ in range(LOSSES):
                await the_primary_holds_what_nobody_else_has(servers)
                await asyncio.to_thread(servers.promote)
                await run.grows(AFTER_A_FAIL_OVER)
                await asyncio.to_thread(servers.replace_standby)
    finally:
        service.close()
    assert lost(run.reckoning.result.findings)


def lost(findings: list[str]) -> list[str]:
    """What was acknowledged and is gone; or was booked anew when it was asked for again."""
    return [each for each in findings if each.startswith(("I1", "I4"))]


def weakened(promise: str) -> list[str]:
    """What runs the service without it."""
    return [sys.executable, "-m", "tests.faults.weakened", promise]
