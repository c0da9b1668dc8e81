"""Seals as operators and auditors meet them: made by themselves, kept outside, missed if gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.seals import from_line
from tests.acceptance.provider import bet, visiting
from tests.acceptance.service import Service, copied_seals, running, sealed, until


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Where the seals are copied to."""
    return tmp_path / "copies"


@pytest.fixture
def service(tmp_path: Path, four_partitions: dict[str, Any], copies: Path) -> Iterator[Service]:
    """Two workers over four partitions that seal what they book."""
    with running(
        tmp_path / "service",
        server={"workers": 2},
        database=four_partitions,
        seals=sealed(copies),
    ) as service:
        yield service


def health(service: Service) -> dict[str, Any]:
    """What readiness says."""
    status, body = service.get("/health/ready")
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


def unsealed(service: Service) -> int:
    """How many events no seal covers."""
    return sum(each["unsealed_events"] for each in health(service)["newest_seals"])


async def play(service: Service, name: str) -> None:
    """A few bets in several partitions."""
    async with visiting(service.base_url) as site:
        for number in range(8):
            player_id = f"{name}-{number}"
            token = await site.player(player_id, "10.00")
            assert (await site.send(bet(player_id, token, f"bet-{player_id}"))).status == 200


async def test_what_is_booked_is_sealed_and_copied_by_itself(
    service: Service, copies: Path
) -> None:
    """Nobody remembers to press a button before an incident."""
    await play(service, "ann")
    until(lambda: health(service)["seals"] == "ok" and unsealed(service) == 0)
    until(lambda: len(list(copies.glob("*.jsonl"))) == 4)
    # As the worker that answers last saw it: there may be more.
    newest = {each["partition"]: each["number"] for each in health(service)["newest_seals"]}

    def are_copied() -> bool:
        return all(
            len((copies / f"seals-{partition:02d}.jsonl").read_bytes().splitlines()) >= number
            for partition, number in newest.items()
        )

    until(are_copied)
    assert service.audit() == 0
    assert 'event":"sealed' in service.log


async def test_an_administrator_seals_at_once_and_everybody_may_read(service: Service) -> None:
    """Before an auditor leaves the room, with everything of this moment in it."""
    await play(service, "ben")
    async with visiting(service.base_url) as site:
        made = await site.operate("POST", "/seals")
        read = await site.operate("GET", "/seals")
        page = await site.operate("GET", "/seals/3?after=0&limit=1000")
    assert made.status == read.status == 200
    assert len(made.json["seals"]) == 4
    lines = [json.dumps(each, separators=(",", ":")).encode() for each in made.json["seals"]]
    sealed_ids = {from_line(line).partition: from_line(line).through_id for line in lines}
    heads = {each["partition"]: each["through_id"] for each in read.json["seals"]}
    assert all(heads[partition] >= through_id for partition, through_id in sealed_ids.items())
    assert page.json["seals"][-1]["number"] >= made.json["seals"][3]["number"]


async def test_a_seal_that_is_gone_stops_the_sealing_and_no_bet(
    service: Service, four_partitions: dict[str, Any], copies: Path
) -> None:
    """Somebody took the last seals out: to seal anew what is left would cover it up."""
    await play(service, "cid")
    until(lambda: unsealed(service) == 0)
    until((copies / "seals-00.jsonl").exists)
    with psycopg.connect(four_partitions["migrate_url"]) as connection:
        connection.execute("ALTER TABLE ledger_p00.seals DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM ledger_p00.seals")
    until(lambda: '"seals_differ"' in service.log)
    await play(service, "dan")
    until(lambda: unsealed(service) > 0)
    assert service.audit() == 1


def test_a_service_without_a_key_says_that_nothing_is_sealed(
    tmp_path: Path, shared_database: dict[str, Any]
) -> None:
    """Else its operator takes the log for sealed."""
    with running(tmp_path / "service", database=shared_database) as service:
        until(lambda: health(service)["seals"] == "none")
        assert copied_seals(service, tmp_path / "copies") == 0
