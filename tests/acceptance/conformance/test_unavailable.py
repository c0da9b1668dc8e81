"""When nothing could be decided: the one kind of answer that asks the provider to try again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio

from adapters.providers.redaction import Redactor
from ledger.embedded import SUPERUSER
from tests.acceptance.conformance.configuration import PROTOCOLS, configure
from tests.acceptance.conformance.expected import expected
from tests.acceptance.conformance.service import Service, serving
from tests.acceptance.conformance.wire import Answer
from tests.acceptance.conformance.wires import WIRES

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Database:
    """A database that can be taken away."""

    def __init__(self, admin_url: str, name: str) -> None:
        self._admin_url = admin_url
        self._name = name

    def take_away(self) -> None:
        """Nobody may connect, and nobody is connected."""
        self._execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        self._execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'"
        )

    def give_back(self) -> None:
        """All is as before."""
        self._execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    def _execute(self, query: str) -> None:
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            connection.execute(query.encode())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fragile(
    postgres, databases, template_database, configuration_directory, tmp_path_factory
) -> AsyncIterator[tuple[Service, Database]]:
    """A service that gives up after a second, and its database."""
    settings = configure(configuration_directory, command_age_max_s=0.5, answer_timeout_s=1.0)
    with databases.fresh(template_database) as name:
        database = Database(postgres.url("postgres", SUPERUSER), name)
        log = tmp_path_factory.mktemp("fragile") / "log"
        async with serving(settings, postgres.url(name), log) as running:
            yield running, database
            database.give_back()


async def test_without_the_database_every_provider_is_told_to_try_again_and_can(fragile):
    """Nothing was booked, so that the same id is judged afresh once the database is back."""
    service, database = fragile
    wires = [WIRES[protocol](service, protocol) for protocol in PROTOCOLS]
    guests = [await service.guest(wire) for wire in wires]
    played = [wire.bet(guest) for wire, guest in zip(wires, guests, strict=True)]
    for wire, bet in zip(wires, played, strict=True):
        await wire.ok(bet)
    calls = [
        (wire, call)
        for wire, guest, bet in zip(wires, guests, played, strict=True)
        for call in (wire.bet(guest), wire.win(guest, bet), wire.balance(guest))
    ]

    async def send_all() -> list[Answer]:
        return await asyncio.gather(*(wire.send(call) for wire, call in calls))

    database.take_away()
    try:
        for answer, (wire, call) in zip(await send_all(), calls, strict=True):
            assert answer.refusal == expected(wire.protocol, "unavailable", call.operation)
    finally:
        database.give_back()
    async with asyncio.timeout(10):
        while any(answer.error for answer in await send_all()):
            pass
    for wire, guest in zip(wires, guests, strict=True):
        assert (await wire.ok(wire.balance(guest))).balance == 99


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("call", ["bet", "win", "refund", "balance"])
async def test_a_fault_of_ours_is_told_in_the_protocols_own_form(
    service, wire, guest, monkeypatch, call
):
    """No traceback and no page: the provider would read either as anything at all."""
    bet = wire.bet(guest)
    request = {
        "bet": bet,
        "win": wire.win(guest, bet),
        "refund": wire.refund(guest, bet),
        "balance": wire.balance(guest),
    }[call]

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault planted by the test")

    with monkeypatch.context() as patch:
        patch.setattr(service.ledger, "execute", broken)
        answer = await wire.send(request)
    assert answer.refusal == expected(wire.protocol, "internal", request.operation)
    assert b"planted" not in answer.raw


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_fault_in_the_record_of_a_call_costs_nobody_its_answer(
    service, wire, guest, monkeypatch
):
    """The bet is booked by then: an error would have the provider cancel it."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault planted by the test")

    monkeypatch.setattr(Redactor, "body", broken)
    assert (await wire.ok(wire.bet(guest))).balance == 99
