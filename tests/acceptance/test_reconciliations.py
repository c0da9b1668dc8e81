"""A provider's statement, sent to the running program: several workers, a file of megabytes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.provider import Answer, Site, bet, visiting
from tests.acceptance.service import OPERATOR_TOKEN, Service, running

WAIT_S = 60.0
NOTE = "x" * 60_000
"""In a column that is ignored: other bodies may not be half as long as two rows."""


@pytest.fixture
def service(tmp_path: Path, four_partitions: dict[str, Any]) -> Iterator[Service]:
    """Two workers over four partitions."""
    with running(
        tmp_path / "service",
        server={"workers": 2},
        database=four_partitions,
        # A comparison of a period that has just ended waits as long for what was decided in it.
        limits={"answer_timeout_s": 3.0, "command_age_max_s": 2.0},
    ) as service:
        yield service


async def send(site: Site, begins: datetime, statement: bytes) -> Answer:
    """Ask for a reconciliation since then."""
    query = {
        "integration": "betbrothers",
        "from": begins.isoformat(),
        "to": datetime.now(UTC).isoformat(),
        "edge": "0",
    }
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    async with site.client.post(
        f"{site.base_url}/api/reconciliations",
        params=query,
        data=io.BytesIO(statement),
        headers=headers,
    ) as answer:
        return Answer(answer.status, await answer.read())


async def outcome(base_url: str, name: str) -> Any:
    """What became of it, asked for on new connections: any worker may get them."""
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while True:
        async with visiting(base_url) as site:
            shown = (await site.operate("GET", f"/reconciliations/{name}")).json
        if shown["status"] != "running":
            return shown
        assert asyncio.get_running_loop().time() < deadline, shown
        await asyncio.sleep(0.2)


async def test_a_statement_of_megabytes_is_compared_while_the_game_goes_on(
    service: Service,
) -> None:
    """64 KiB is the limit of every other body, and no provider's call waits for this one."""
    begins = datetime.now(UTC)
    async with visiting(service.base_url) as site:
        tokens = {name: await site.player(name, "100.00") for name in ("ann", "ben", "chi")}
        rows = []
        for number in range(60):
            name = ("ann", "ben", "chi")[number % 3]
            answer = await site.send(bet(name, tokens[name], f"t{number}"))
            assert answer.status == 200
            rows.append(f"t{number},bet,1.00,EUR,{name},round-t{number},{NOTE}")
        header = "transaction_id,operation,amount,currency,player_id,round_id,note"
        statement = "\n".join([header, *rows[1:], f"t99,bet,1.00,EUR,ann,r,{NOTE}"]).encode()
        assert len(statement) > 50 * 64 * 1024
        begun = await send(site, begins, statement)
        assert begun.status == 202, begun
        assert (await site.send(bet("ann", tokens["ann"], "later"))).status == 200
        shown = await outcome(service.base_url, begun.json["id"])
        (listed,) = (await site.operate("GET", "/reconciliations")).json["reconciliations"]
        others = await site.operate("GET", f"/reconciliations?after={listed['id']}")
        nobodys = await site.operate("GET", "/reconciliations?integration=gpas")
    assert shown["status"] == "done", shown
    assert listed == {name: shown[name] for name in listed}
    assert others.json == nobodys.json == {"reconciliations": [], "next": None}
    found = [(each["kind"], each["transaction_id"]) for each in shown["differences"]]
    assert found == [("missing_in_ledger", "t99"), ("missing_in_statement", "t0")]
    assert shown["noted"]["matched"] == 59
    assert shown["statement"]["rows"] == 60
