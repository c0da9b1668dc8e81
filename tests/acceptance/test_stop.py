"""A stop: nothing that was taken is dropped, and nothing is lost over a stop and a start."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.children import stop_signals
from ledger.embedded import EmbeddedPostgres
from tests.acceptance.provider import (
    PATH,
    Answer,
    Site,
    bet,
    movement,
    signature,
    visiting,
)
from tests.acceptance.service import Service, is_alive, running


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stop_under_load_answers_what_was_taken_and_ends_with_0(
    tmp_path: Path, shared_database: dict[str, Any], workers: int
) -> None:
    """A deployment is no failure: each call is answered or was never taken, none is cut off."""
    with running(tmp_path, database=shared_database, server={"workers": workers}) as service:
        async with visiting(service.base_url) as site:
            token = await site.player("ann", "1000.00")
            answers: dict[str, Answer] = {}
            clients = [
                asyncio.create_task(_bet_until_nobody_answers(site, token, f"client-{n}", answers))
                for n in range(8)
            ]
            while len(answers) < 50:  # noqa: ASYNC110 - the clients are the event
                await asyncio.sleep(0.01)
            service.signal(signal.SIGTERM)
            await asyncio.gather(*clients)
            assert await asyncio.to_thread(service.wait) == 0
        assert service.get("/health/live")[0] == 0, "nobody listens any more"
        await asyncio.to_thread(service.start)
        async with visiting(service.base_url) as site:
            await _compare(site, token, answers)


async def _bet_until_nobody_answers(
    site: Site, token: str, name: str, answers: dict[str, Answer]
) -> None:
    number = 0
    while True:
        number += 1
        transaction_id = f"{name}-{number}"
        try:
            answers[transaction_id] = await site.send(bet("ann", token, transaction_id))
        except aiohttp.ClientConnectorError:
            return
        except aiohttp.ClientConnectionError:
            continue  # an idle connection that was closed just then: not answered, so not counted


async def _compare(site: Site, token: str, answers: dict[str, Answer]) -> None:
    assert {answer.status for answer in answers.values()} == {200}
    booked = await site.bets("ann")
    kept = {event["transaction_id"]: event["movement_id"] for event in booked}
    for transaction_id, answer in answers.items():
        assert kept[transaction_id] == answer.json["transaction_id"]
        again = await site.send(bet("ann", token, transaction_id))
        assert again == answer, "a replay after the restart is the same to the byte"
    lost = len(kept) - len(answers)
    assert await site.balance("ann") == f"{1000 - len(answers) - lost}.00"


@pytest.fixture
def hangups() -> Iterator[None]:
    """They count, also where the tests run under nohup themselves."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_that_is_closed_stops_all_of_it_in_order(tmp_path: Path, workers: int) -> None:
    """It hangs up on every process at once, and the shell once more; the database stops last."""
    data_dir = tmp_path / "pg"
    database = {"data_dir": str(data_dir)}
    with running(tmp_path, database=database, server={"workers": workers}) as service:
        children = service.children()
        for _ in range(2):
            os.killpg(service.pid, signal.SIGHUP)
        assert service.wait() == 0
        assert not any(map(is_alive, children))
        assert "worker_died" not in service.log
        assert "Traceback" not in service.log
        assert EmbeddedPostgres(data_dir).pid is None


async def test_a_hangup_is_ignored_under_nohup() -> None:
    """Whoever starts it so wants it to outlive the terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop_signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        signal.signal(signal.SIGHUP, before)


async def test_every_kind_of_answer_is_the_same_after_a_restart(
    service: Service, site: Site
) -> None:
    """Keys never expire: a win, a refund, a reversal and a refused refund are repeated as well."""
    token = await site.player("ann", "100.00")
    bodies = [
        bet("ann", token, "b-1", round_id="r-1"),
        bet("ann", token, "b-2", round_id="r-2"),
        bet("ann", token, "b-3", round_id="r-3", amount=0),
        movement(
            "win",
            "ann",
            token,
            "w-1",
            round_id="r-1",
            amount=250,
            transfer={"round_close": True},
        ),
        movement(
            "refund",
            "ann",
            token,
            "b-2",
            round_id="r-2",
            transfer={"refunded_transaction_id": "b-2"},
        ),
        movement(
            "rollback-win",
            "ann",
            token,
            "w-1",
            round_id="r-1",
            amount=250,
            transfer={"rollback_win_transaction_id": "w-1"},
        ),
        movement(
            "refund",
            "ann",
            token,
            "late",
            round_id="r-4",
            transfer={"refunded_transaction_id": "late"},
        ),
        bet("ann", token, "late", round_id="r-4"),
    ]
    first = [await site.send(body) for body in bodies]
    assert [answer.status for answer in first] == [200] * 6 + [406, 408]
    assert service.stop() == 0
    await asyncio.to_thread(service.start)
    assert [await site.send(body) for body in bodies] == first
    assert await site.balance("ann") == "99.00"


async def test_a_call_under_way_at_the_stop_is_answered(
    tmp_path: Path, shared_database: dict[str, Any]
) -> None:
    """Its body was still arriving when the signal came: it was thrown away, and the call waited."""
    with running(tmp_path, database=shared_database) as service:
        async with visiting(service.base_url) as site:
            token = await site.player("ann", "10.00")
            body = bet("ann", token, "b-1")
            parts: asyncio.Queue[bytes | None] = asyncio.Queue()
            await parts.put(body[:50])

            async def slowly() -> AsyncIterator[bytes]:
                while (part := await parts.get()) is not None:
                    yield part

            call = asyncio.create_task(_send_slowly(site, body, slowly()))
            await asyncio.sleep(0.2)
            service.signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            await parts.put(body[50:])
            await parts.put(None)
            assert (await call).status == 200
            assert await asyncio.to_thread(service.wait) == 0


async def test_an_idle_connection_is_closed_at_once_while_a_body_is_awaited(
    tmp_path: Path, shared_database: dict[str, Any]
) -> None:
    """A provider that sends on it must learn that nobody reads, not wait for its own time-out."""
    with running(tmp_path, database=shared_database) as service:
        idle, asking = await asyncio.open_connection("127.0.0.1", service.port)
        asking.write(b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await idle.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        slow, sending = await asyncio.open_connection("127.0.0.1", service.port)
        head = f"POST {PATH} HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n"
        sending.write(head.encode() + b"12345")
        await asyncio.sleep(0.2)
        service.signal(signal.SIGTERM)
        async with asyncio.timeout(3):
            assert await idle.read() == b""
        sending.write(b"67890")
        assert (await slow.read()).startswith(b"HTTP/1.1 403")
        assert await asyncio.to_thread(service.wait) == 0
        asking.close()
        sending.close()


async def _send_slowly(site: Site, body: bytes, parts: Any) -> Answer:
    headers = {"X-REQUEST-SIGN": signature(body), "Content-Length": str(len(body))}
    url = site.base_url + PATH
    async with site.client.post(url, data=parts, headers=headers) as answer:
        return Answer(answer.status, await answer.read())
