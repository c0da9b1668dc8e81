"""What surrounds every provider's call: its answer must not depend on logs, journal or memory."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.app import create_app
from adapters.metrics import Metrics
from adapters.providers.betbrothers import BetBrothersProvider
from adapters.providers.gateway import Gateway
from adapters.providers.protocol import Call, Reply
from adapters.server import _listening
from adapters.settings_file import load
from adapters.telemetry import LineWriter
from ledger.refusals import Refusal, Refused
from tests.acceptance.provider import Site, bet, visiting
from tests.acceptance.service import SECRET, write_configuration
from tests.faults.ledgers import query
from tests.faults.link import Cut, Link, linked


@asynccontextmanager
async def served(url: str, directory: Path, **sections: Any) -> AsyncIterator[tuple[Site, Any]]:
    """The application in this process, on a port of its own; the site and the application."""
    settings = load(write_configuration(directory / "service.toml", **sections))
    writer = LineWriter(os.open(os.devnull, os.O_WRONLY))
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    app = create_app(settings, url, writer, Metrics())
    async with _listening(app, settings, sock):
        port = sock.getsockname()[1]
        async with visiting(f"http://127.0.0.1:{port}") as site:
            yield site, app
    writer.close()
    os.close(writer._descriptor)


async def test_odd_fields_that_we_ignore_are_journaled_and_change_no_answer(
    database_url: str, tmp_path: Path
) -> None:
    """Integers beyond 64 bits, escapes and deep lists in fields that no protocol names."""
    async with served(database_url, tmp_path) as (site, _):
        token = await site.player("ann", "10.00")
        oddities = [
            b'"note": "caf\\u00e9", "n": ' + b"9" * 60,
            b'"note": "\\u0000", "n": 1e400',
            b'"note": "\\ud83d\\ude00"',
            b'"\\u0000": [[[[["\\u0001"]]]]]',
            b'"n": -0.0, "m": 1E+5, "\\"": "\\\\"',
        ]
        for number, oddity in enumerate(oddities):
            body = bet("ann", token, f"b-{number}").replace(b"{", b"{" + oddity + b",", 1)
            assert (await site.send(body)).status == 200, oddity
    rows = query(database_url, "SELECT body FROM ledger.calls ORDER BY received_at")
    assert len(rows) == len(oddities)
    assert not any(token.encode() in bytes(row[0]) for row in rows)


async def test_a_call_was_received_before_what_it_booked_and_answered_after_it(
    database_url: str, tmp_path: Path
) -> None:
    """In a dispute the two times stand side by side: no effect comes before its cause."""
    async with served(database_url, tmp_path) as (site, _):
        token = await site.player("ann", "10.00")
        before = datetime.now(UTC)
        assert (await site.send(bet("ann", token, "b-1"))).status == 200
        after = datetime.now(UTC)
    received, duration_us = query(
        database_url, "SELECT received_at, duration_us FROM ledger.calls"
    )[0]
    booked = query(
        database_url,
        "SELECT recorded_at FROM ledger_p00.transactions WHERE integration = 'betbrothers'",
    )[0][0]
    assert before <= received <= booked <= received + timedelta(microseconds=duration_us) <= after


@pytest.mark.parametrize("signed", [True, False])
async def test_a_body_with_escapes_is_read_for_the_journal_only_where_it_is_signed(
    database_url: str, tmp_path: Path, signed: bool
) -> None:
    """JSON comes after the signature, in the journal too; escapes could hide a token there."""
    body = rb'{"action": "caf\u00e9", "session_token": "hidden"}'
    async with served(database_url, tmp_path) as (site, _):
        headers = {} if signed else {"X-REQUEST-SIGN": "00"}
        assert (await site.send(body, headers=headers)).status == (400 if signed else 403)
    kept = query(database_url, "SELECT convert_from(body, 'UTF8') FROM ledger.calls")[0][0]
    if signed:
        assert json.loads(kept) == {"action": "caf\u00e9", "session_token": "[redacted]"}
    else:
        assert kept == f"[withheld, sha256 {sha256(body).hexdigest()}]"


async def test_a_call_that_cannot_be_recorded_is_answered_all_the_same(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bet is booked: a line that fails costs neither its answer nor the record of others."""
    record_call = Gateway._record_call

    def broken_for_one(gateway: Gateway, answered: Any) -> None:
        if answered.call.transaction_id == "b-1":
            raise ArithmeticError("no line today")
        record_call(gateway, answered)

    async with served(database_url, tmp_path) as (site, _):
        token = await site.player("ann", "10.00")
        monkeypatch.setattr(Gateway, "_record_call", broken_for_one)
        with capture_logs() as logs:
            bets = (bet("ann", token, key) for key in ("b-0", "b-1", "b-2", "b-3"))
            answers = await asyncio.gather(*map(site.send, bets))
        assert [answer.status for answer in answers] == [200] * 4
        assert [line["event"] for line in logs] == ["call_not_recorded"]
    recorded = query(database_url, "SELECT transaction_id FROM ledger.calls ORDER BY 1")
    assert recorded == [("b-0",), ("b-2",), ("b-3",)]


async def test_a_refusal_of_an_unexpected_error_is_in_the_protocols_form(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours must not look like another protocol to the provider."""
    async with served(database_url, tmp_path) as (site, _):
        token = await site.player("ann", "10.00")

        async def broken(*_: object) -> None:
            raise ArithmeticError(f"with {token} in it")

        monkeypatch.setattr("ledger.service.Ledger.execute", broken)
        answer = await site.send(bet("ann", token, "b-1"))
        assert (answer.status, set(answer.json)) == (500, {"code", "message"})
        assert token.encode() not in answer.body
    assert query(database_url, "SELECT outcome FROM ledger.calls") == [("internal",)]


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        ({Refusal.INSUFFICIENT_FUNDS}, {"code": 500, "message": "internal error"}),
        ({Refusal.INSUFFICIENT_FUNDS, Refusal.INTERNAL}, {"error": "internal"}),
    ],
    ids=["one gap", "no word for anything"],
)
async def test_a_refusal_that_the_protocol_cannot_say_is_answered_logged_and_journaled(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gaps: set[Refusal],
    said: dict[str, Any],
) -> None:
    """A gap in a table of errors left the server's own page, and no trace of the call."""
    refuse = BetBrothersProvider.refuse

    def gappy(provider: BetBrothersProvider, call: Call, refused: Refused) -> Reply:
        if refused.refusal in gaps:
            raise KeyError(refused.refusal)
        return refuse(provider, call, refused)

    async with served(database_url, tmp_path) as (site, _):
        token = await site.player("ann", "10.00")
        monkeypatch.setattr(BetBrothersProvider, "refuse", gappy)
        lines: list[bytes] = []
        monkeypatch.setattr(LineWriter, "write", lambda _, line: lines.append(line))
        with capture_logs() as logs:
            answer = await site.send(bet("ann", token, "b-1", amount=2000))
        assert (answer.status, answer.json) == (500, said)
        assert [line["event"] for line in logs] == ["call_failed"] * len(gaps)
        assert [json.loads(line)["outcome"] for line in lines] == ["internal"]
    assert query(database_url, "SELECT status, outcome FROM ledger.calls") == [(500, "internal")]


async def test_a_bug_in_all_of_a_protocol_is_answered_and_journaled(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What broke first must not be lost because our answer to it broke too."""

    def broken(*_: object) -> None:
        raise ArithmeticError

    async with served(database_url, tmp_path) as (site, _):
        token = await site.player("ann", "10.00")
        for name in ("_command", "refuse"):
            monkeypatch.setattr(BetBrothersProvider, name, broken)
        with capture_logs() as logs:
            answer = await site.send(bet("ann", token, "b-1"))
        assert (answer.status, answer.json) == (500, {"error": "internal"})
        assert [line["event"] for line in logs] == ["call_failed"] * 2
    assert query(database_url, "SELECT outcome FROM ledger.calls") == [("internal",)]


async def test_any_of_two_secrets_signs_and_the_line_says_which(
    database_url: str, tmp_path: Path
) -> None:
    """A rotation without a failed call."""
    secrets = {"secrets": ["an older secret", SECRET]}
    async with served(database_url, tmp_path, integrations__betbrothers=secrets) as (site, _):
        token = await site.player("ann", "10.00")
        assert (await site.send(bet("ann", token, "b-1"))).status == 200
    keys = query(database_url, "SELECT DISTINCT key_id FROM ledger.calls")
    assert len(keys) == 1
    assert keys[0][0]


@asynccontextmanager
async def cut_off(url: str, directory: Path) -> AsyncIterator[tuple[Site, Link]]:
    """The application behind a link to the database that the test may cut."""
    async with linked(url) as (behind, link), served(behind, directory) as (site, _):
        yield site, link


@pytest.mark.parametrize("cut", list(Cut), ids=lambda cut: cut.name.lower())
async def test_a_bet_whose_commit_is_unknown_gets_its_first_answer_over_http(
    database_url: str, tmp_path: Path, cut: Cut
) -> None:
    """The provider sees a pause, and the retry the same bytes."""
    async with cut_off(database_url, tmp_path) as (site, link):
        token = await site.player("ann", "10.00")
        link.cut(cut)
        first = await site.insist(bet("ann", token, "b-1"))
        assert first.status == 200
        assert await site.send(bet("ann", token, "b-1")) == first
        assert len(await site.bets("ann")) == 1


@pytest.mark.parametrize(
    "cut",
    [Cut.BEFORE, Cut.AFTER, Cut.UNDERWAY],
    ids=lambda cut: cut.name.lower(),
)
async def test_an_operators_calls_whose_commit_is_unknown_are_answered(
    database_url: str, tmp_path: Path, cut: Cut
) -> None:
    """A session and a player have no key to be found by."""
    async with cut_off(database_url, tmp_path) as (site, link):
        wanted = {"player_id": "ann", "currency": "EUR"}
        link.cut(cut)
        assert (await site.operate("POST", "/players", wanted)).status in (200, 201)
        link.cut(cut)
        session = {"integration": "gpas", "game": "g", "currency": "EUR"}
        done = await site.operate("POST", "/players/ann/sessions", session)
        assert done.status == 201, done
        assert done.json["session_token"]
