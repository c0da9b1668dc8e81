"""Health and metrics: what whoever runs the service can rely on while things are down."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.metrics import Metrics
from ledger.embedded import EmbeddedPostgres
from tests.acceptance.provider import PATH, Site, balance, bet, visiting
from tests.acceptance.service import WAIT_S, Service, running, until

HASTY = {"command_age_max_s": 0.6, "answer_timeout_s": 1.0}
"""For an answer without the database before the test loses its patience."""
JOURNAL_MAY_MISS_S = 1.0
"""What a crash of the database may take of the call journal, whose commits wait for no disk."""


def value(text: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    total = 0.0
    for line in text.splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if found is None or found[1] != name:
            continue
        given = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
        if labels.items() <= given.items():
            total += float(found[3])
    return total


async def test_every_call_is_counted_by_its_outcome(service: Service, site: Site) -> None:
    """Alarms hang on these numbers: each call once, under the integration's own name."""
    token = await site.player("ann", "10.00")
    good = bet("ann", token, "b-1")
    await site.send(good)
    await site.send(good)
    await site.send(bet("ann", token, "b-2", amount=99_999))
    await site.send(good, headers={"X-REQUEST-SIGN": "0"})
    await site.send(b"{")
    text = service.get("/metrics")[1].decode()
    calls = "wallet_ledger_calls_total"
    assert value(text, calls, integration="betbrothers", operation="bet", outcome="ok") == 1
    assert value(text, calls, operation="bet", outcome="replayed") == 1
    assert value(text, calls, operation="bet", outcome="insufficient_funds") == 1
    assert value(text, calls, outcome="invalid_signature") == 1
    assert value(text, calls, outcome="malformed_request") == 1
    assert value(text, "wallet_ledger_idempotency_hits_total") == 1
    assert value(text, "wallet_ledger_call_seconds_count") == 5
    assert value(text, "wallet_ledger_batch_commands_count") >= 3
    assert value(text, "wallet_ledger_queue_commands") == 0
    assert value(text, "wallet_ledger_store_reconnects_total") == 0
    assert '"ann"' not in text, "a label never comes from the wire"


async def test_every_metric_that_the_code_knows_is_shown(service: Service, site: Site) -> None:
    """A dashboard that asks for it must find it from the start."""
    await site.player("ann", "10.00")
    text = service.get("/metrics")[1].decode()
    for name in Metrics().names():
        assert f"# TYPE {name.removesuffix('_total')}" in text, name


async def test_metrics_of_several_workers_are_one_sum_and_outlive_a_worker(
    tmp_path: Path, shared_database: dict[str, Any]
) -> None:
    """Whichever worker is asked, and also after one died: a counter never goes back."""
    with running(tmp_path, database=shared_database, server={"workers": 2}) as service:
        async with visiting(service.base_url) as site:
            token = await site.player("ann", "100.00")
            bodies = [bet("ann", token, f"b-{number}") for number in range(40)]
            await asyncio.gather(*map(site.send, bodies))
            name = "wallet_ledger_calls_total"
            for _ in range(6):
                assert value(service.get("/metrics")[1].decode(), name, outcome="ok") == 40
            first = set(service.workers())
            os.kill(min(first), signal.SIGKILL)
            until(lambda: len(set(service.workers()) - first) == 1)
            await site.insist(bet("ann", token, "b-40"))
            for _ in range(6):
                assert value(service.get("/metrics")[1].decode(), name, outcome="ok") == 41


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A database server that nobody restarts but the test."""
    with EmbeddedPostgres(tmp_path / "pg") as server:
        yield server


async def test_readiness_follows_the_database_down_and_up_again(
    own_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """A load balancer takes the server out; the process itself stays alive and comes back."""
    database = {"url": own_server.url(), "migrate_url": own_server.migrate_url}
    with running(tmp_path / "service", database=database, limits=HASTY) as service:
        async with visiting(service.base_url) as site:
            token = await _player(site)
            await asyncio.to_thread(_stop, own_server)
            status, body = await asyncio.to_thread(service.get, "/health/ready")
            assert (status, b"unavailable" in body) == (503, True)
            assert service.get("/health/live")[0] == 200
            started = time.monotonic()
            answer = await site.send(bet("ann", token, "b-1"))
            assert answer.status == 503
            assert time.monotonic() - started < WAIT_S
            done = await site.operate("GET", "/players/ann")
            assert done.status == 503
            assert done.json["code"] == "unavailable"
            await asyncio.to_thread(own_server.start)
            await asyncio.to_thread(until, lambda: service.get("/health/ready")[0] == 200)
            assert (await site.insist(bet("ann", token, "b-1"))).status == 200
            assert len(await site.bets("ann")) == 1
            text = service.get("/metrics")[1].decode()
            assert value(text, "wallet_ledger_store_reconnects_total") >= 1


def test_a_service_whose_database_is_frozen_says_in_time_that_it_is_not_ready(
    own_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Who asks gives up after seconds, and an answer that never comes is taken for any reason."""
    database = {"url": own_server.url(), "migrate_url": own_server.migrate_url}
    with running(tmp_path / "service", database=database, limits=HASTY) as service:
        with frozen(own_server):
            for _ in range(2):
                started = time.monotonic()
                status, body = service.get("/health/ready")
                assert (status, b"unavailable" in body) == (503, True)
                assert time.monotonic() - started < 4
        until(lambda: service.get("/health/ready")[0] == 200)


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """Every process of the server does nothing until the block ends: connected, and silent."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)  # first: it starts no further ones
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    stopped = [server.pid, *map(int, children.split())]
    try:
        for process_id in stopped[1:]:
            os.kill(process_id, signal.SIGSTOP)
        yield
    finally:
        for process_id in stopped:
            os.kill(process_id, signal.SIGCONT)


async def _player(site: Site) -> str:
    """A player, also where the first tries come too late."""
    while True:
        try:
            return await site.player("ann", "10.00")
        except AssertionError:
            await asyncio.sleep(0.2)


def _stop(server: EmbeddedPostgres) -> None:
    server._pg_ctl("stop", "-m", "immediate")


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_service_that_can_read_and_cannot_book_is_not_ready_whichever_worker_is_asked(
    tmp_path: Path, shared_database: dict[str, Any], admin_url: str, workers: int
) -> None:
    """On a full disk reads go on, and so do appends of nothing: neither shows that bets work."""
    with running(
        tmp_path, database=shared_database, limits=HASTY, server={"workers": workers}
    ) as service:
        async with visiting(service.base_url) as site:
            token = await _player(site)
            with full_disk(admin_url):
                for number in range(3):
                    assert (await site.send(bet("ann", token, f"b-{number}"))).status == 503
                    assert (await site.send(balance("ann", token))).status == 200
                    assert await _ready(service) == {503}
            assert (await site.insist(bet("ann", token, "after"))).status == 200
            assert await _ready(service) == {200}


@contextmanager
def full_disk(admin_url: str) -> Iterator[None]:
    """No event can be stored until the block ends, as where a table's file cannot grow."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER full_disk BEFORE INSERT ON ledger_p00.events"
            " FOR EACH STATEMENT EXECUTE FUNCTION full_disk()"
        )
        yield
        connection.execute("DROP FUNCTION full_disk CASCADE")


async def _ready(service: Service) -> set[int]:
    """What readiness says, asked often enough to meet every worker."""
    ask = [asyncio.to_thread(service.get, "/health/ready") for _ in range(16)]
    return {status for status, _ in await asyncio.gather(*ask)}


async def test_the_journal_catches_up_after_the_database_was_away(
    own_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """The calls that were refused meanwhile are evidence, too."""
    database = {"url": own_server.url(), "migrate_url": own_server.migrate_url}
    with running(tmp_path / "service", database=database, limits=HASTY) as service:
        async with visiting(service.base_url) as site:
            token = await _player(site)
            await site.insist(bet("ann", token, "before"))
            await asyncio.sleep(JOURNAL_MAY_MISS_S)
            await asyncio.to_thread(_stop, own_server)
            await site.send(bet("ann", token, "meanwhile"))
            await asyncio.to_thread(own_server.start)
            await site.insist(bet("ann", token, "after"))
            until(lambda: {"before", "meanwhile", "after"} <= _journaled(own_server.migrate_url))


def _journaled(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        query = "SELECT DISTINCT transaction_id FROM ledger.calls WHERE path = %s"
        rows = connection.execute(query, (PATH.removeprefix("/betbrothers"),)).fetchall()
    return {row[0] for row in rows}
