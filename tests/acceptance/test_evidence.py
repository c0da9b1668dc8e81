"""Evidence as it is made, handed over and verified: by a program that shares no code with us."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.provider import Site, bet, movement, visiting
from tests.acceptance.service import COMMAND, ROOT, SEAL_KEY, Service, running, sealed, until
from tests.integration.seal_stories import public_pem

PROGRAM = ROOT / "deploy" / "verify_evidence.py"


@dataclass
class Office:
    """Where bundles are made, and read again."""

    directory: Path
    service: Service
    copies: Path

    def make(self, player_id: str, *arguments: str) -> tuple[int, str]:
        """The command's exit code and what it said; the bundle is in `file`."""
        command: list[str | Path] = [COMMAND, "evidence", player_id, *arguments, "-o", self.file]
        done = subprocess.run(
            [*command, "--config", self.service.file],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    def verify(self, *arguments: str | Path) -> tuple[int, list[str]]:
        """The exit code of the auditor's program, and its lines."""
        done = subprocess.run(
            [sys.executable, PROGRAM, "--key", self.key, self.file, *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    @property
    def file(self) -> Path:
        """The bundle."""
        return self.directory / "evidence.jsonl"

    @property
    def key(self) -> Path:
        """The public half of the key that seals."""
        return self.directory / "seals-public.pem"

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The records of a kind in the bundle."""
        every = map(json.loads, self.file.read_text().splitlines())
        return [record for record in every if record["record"] == kind]


@pytest.fixture
def office(tmp_path: Path, four_partitions: dict[str, Any]) -> Iterator[Office]:
    """A service that seals what it books, over four partitions."""
    copies = tmp_path / "copies"
    directory = tmp_path / "service"
    with running(directory, database=four_partitions, seals=sealed(copies)) as service:
        office = Office(tmp_path, service, copies)
        office.key.write_text(public_pem(SEAL_KEY))
        yield office


async def seal(site: Site) -> None:
    """Everything that was booked."""
    assert (await site.operate("POST", "/seals")).status == 200


async def play(site: Site) -> str:
    """Ann plays two rounds, and once more than she has; Ben plays among it. Ann's token."""
    ann, ben = await site.player("ann", "10.00"), await site.player("ben", "10.00")
    assert (await site.send(bet("ann", ann, "a1", round_id="r1"))).status == 200
    assert (await site.send(bet("ben", ben, "b1"))).status == 200
    await seal(site)
    closing = {"round_close": True}
    won = movement("win", "ann", ann, "a2", round_id="r1", amount=250, transfer=closing)
    assert (await site.send(won)).status == 200
    assert (await site.send(bet("ann", ann, "a1", round_id="r1"))).status == 200
    assert (await site.send(bet("ann", ann, "a3", round_id="r2"))).status == 200
    refused = await site.send(bet("ann", ann, "a4", round_id="r3", amount=100_000))
    assert refused.status != 200
    await seal(site)
    return ann


async def test_a_history_is_made_and_verified(office: Office) -> None:
    """With every call, the refused ones too, and no token in any of them."""
    async with visiting(office.service.base_url) as site:
        token = await play(site)
    until(lambda: office.make("ann")[1].endswith("5 calls; not sealed: 0 events\n"))
    until(lambda: any(office.copies.glob("*")))
    assert token not in office.file.read_text()
    partition = office.records("evidence")[0]["partition"]
    known = office.copies / f"seals-{partition:02d}.jsonl"
    code, lines = office.verify("--known", known)
    assert code == 0
    seals = len(office.records("seal"))
    assert seals >= 2
    assert lines[-1] == (
        f"0 differences in 7 events of player:ann (versions 1 to 7), {seals} seals ({seals} known"
        " from outside), 5 calls; 0 events not sealed"
    )
    told = "\n".join(lines)
    assert "real +2.50 = 11.50 EUR" in told
    assert "answered 200 (replayed)" in told
    assert "insufficient_funds" in told
    assert "ben" not in told.replace("benchmark", "")


async def test_a_round_is_a_stretch_of_the_history(office: Office) -> None:
    """From its first event to its last; the seals cover that all the same."""
    async with visiting(office.service.base_url) as site:
        await play(site)
    arguments = "--integration", "betbrothers", "--round", "r1"
    until(lambda: office.make("ann", *arguments)[1].endswith("calls; not sealed: 0 events\n"))
    code, lines = office.verify()
    assert code == 0
    assert " 2 events of player:ann (versions 5 to 6), " in lines[-1]
    (header,) = office.records("evidence")
    assert header["previous"] != "0" * 64
    assert {call["transaction_id"] for call in office.records("call")} >= {"a1", "a2"}


async def test_a_transaction_or_a_time_is_one_too(office: Office) -> None:
    """A time in which nothing was booked still has the calls that were refused."""
    async with visiting(office.service.base_url) as site:
        token = await play(site)
        before = datetime.now(UTC)
        await site.send(bet("ann", token, "a9", round_id="r9", amount=100_000))
        await site.send(bet("ben", token, "a9", round_id="r9", amount=100_000))
    transaction = "--integration", "betbrothers", "--transaction", "a2"
    assert office.make("ann", *transaction)[0] == 0
    assert [event["version"] for event in office.records("event")] == [6]
    since = "--from", before.isoformat()
    until(lambda: ", 1 seals, 1 calls;" in office.make("ann", *since)[1])
    code, lines = office.verify()
    assert code == 0
    assert " 1 event of player:ann (versions 7 to 7), " in lines[-1]
    assert office.make("ann", "--to", before.isoformat())[0] == 0
    assert len(office.records("event")) == 7


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["zoe"], "no such player"),
        (["ann", "--round", "r7"], "the player has no event of round_id 'r7'"),
        (["ann", "--from", "soon"], "from: 'soon' is neither a date"),
    ],
)
async def test_what_is_not_there_is_said_in_a_line(
    office: Office, arguments: list[str], complaint: str
) -> None:
    """And nothing is made that could be taken for evidence."""
    async with visiting(office.service.base_url) as site:
        await site.player("ann", "1.00")
    code, said = office.make(*arguments)
    assert code == 2
    assert said.startswith(f"wallet-ledger: {complaint}")
    assert said.count("\n") == 1
    assert not office.file.exists()


async def test_it_is_downloaded_too(office: Office) -> None:
    """A support agent has no shell."""
    async with visiting(office.service.base_url) as site:
        await play(site)
        answer = await site.operate("GET", "/players/ann/evidence?round_id=r1")
        missing = await site.operate("GET", "/players/zoe/evidence")
    assert (answer.status, missing.status) == (200, 404)
    office.file.write_bytes(answer.body)
    code, lines = office.verify("--quiet")
    assert (code, len(lines)) == (0, 1)
    assert " 2 events of player:ann (versions 5 to 6), " in lines[0]


async def test_an_event_that_was_altered_is_found_where_it_is(
    office: Office, four_partitions: dict[str, Any]
) -> None:
    """By the command, which still makes the bundle, and by whoever gets it."""
    async with visiting(office.service.base_url) as site:
        await play(site)
    assert office.make("ann")[0] == 0
    schema = f"ledger_p{office.records('evidence')[0]['partition']:02d}"
    with psycopg.connect(four_partitions["migrate_url"]) as connection:
        connection.execute(f"ALTER TABLE {schema}.events DISABLE TRIGGER ALL".encode())
        connection.execute(
            f"UPDATE {schema}.events SET state = convert_to(replace("
            "encode(state, 'escape'), '\"real\":250000', '\"real\":950000'), 'SQL_ASCII')"
            " WHERE originator_id = 'player:ann' AND originator_version = 6".encode()
        )
    code, said = office.make("ann")
    assert code == 1
    assert "event 6: its hash is not that of its content" in said
    code, lines = office.verify()
    assert code == 1
    assert any(line.startswith("event 6: its hash is not") for line in lines)
