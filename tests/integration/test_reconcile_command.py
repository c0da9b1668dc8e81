"""Reconciliations as people ask for them: on the command line, and by the operator API."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import random
import re
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters import cli, reconciling
from adapters.reconciliation_store import LOST, ReconciliationStore
from adapters.settings import Limits
from ledger.embedded import SUPERUSER
from tests.integration.statement_play import (
    COLUMNS,
    Line,
    Player,
    now,
    opened,
    played,
    write_csv,
)
from tests.integration.test_operator_api import WHOLE, Service, serving
from tests.integration.test_reports_api import move, wallet_session
from tests.unit.test_operator_reconciliations import OUTCOME

ROWS = 300
CENT = 1_000
QUICK = replace(WHOLE, limits=Limits(answer_timeout_s=0.6, command_age_max_s=0.5))
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def database(databases) -> Iterator[str]:
    """A database of two partitions, in which some rounds were played; its name."""
    with databases.fresh(databases.template(2)) as name:
        yield name


@pytest.fixture(scope="module")
def story(postgres, database) -> tuple[str, str, Sequence[Line]]:
    """From when to when it was, and how the provider tells it."""
    begins = now()

    async def play() -> Sequence[Line]:
        async with opened(postgres.url(database), 2) as ledger:
            return (await played(ledger, ROWS, 7, players=10))[1]

    lines = asyncio.run(play())
    return begins.isoformat(), now().isoformat(), lines


@pytest.fixture
def run(postgres, database, story, tmp_path, capsysbinary) -> Run:
    """Reconcile a file with that time: exit code, what was printed, what was complained of."""
    file = tmp_path / "wallet-ledger.toml"
    file.write_text(
        f'[database]\nurl = "{postgres.url(database)}"\npartitions = 2\n'
        "[limits]\nanswer_timeout_s = 0.6\ncommand_age_max_s = 0.5\n"
        '[integrations.slots]\nprotocol = "betbrothers"\nsecrets = ["shared"]\n'
        "[currencies.POINTS]\nexponent = 0\n"
    )
    file.chmod(0o600)
    begins, ends, _ = story

    def command(statement: Path, *options: str) -> tuple[int, str, str]:
        asked = ["--from", begins, "--to", ends, "--integration", "slots", "--edge", "0"]
        code = cli.run(["reconcile", "--config", str(file), *asked, *options, str(statement)])
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    return command


def test_a_statement_that_fits_ends_with_0_and_says_so(run, story, tmp_path):
    """The line that is looked at every morning."""
    file = write_csv(tmp_path / "statement.csv", story[2])
    code, out, err = run(file)
    assert code == 0, err
    found = json.loads(out)
    assert found["statement"] == {
        "sha256": sha256(file.read_bytes()).hexdigest(),
        "bytes": file.stat().st_size,
        "rows": len(story[2]),
    }
    assert set(found["counts"].values()) == {0}
    assert found["differences"] == []
    assert {row["unexplained"] for row in found["totals"]} == {"0.00"}
    assert err.startswith(f"0 differences in {len(story[2])} rows; matched {len(story[2])}; moved")


def test_a_difference_ends_with_1_and_stands_in_the_file(run, story, tmp_path):
    """A script decides by the code, a person reads the file; a formula in it computes nothing."""
    first, second, *others = story[2]
    stranger = Line("=1+1", "bet", 500_000, "EUR", "@p1", "-r1")
    changed = replace_amount(first)
    file = write_csv(tmp_path / "statement.csv", [changed, stranger, *others])
    output = tmp_path / "differences.csv"
    code, out, err = run(file, "--format", "csv", "--output", str(output))
    assert (code, err) == (1, "")
    assert "3 differences (missing_in_ledger 1, missing_in_statement 1, amount_mismatch 1)" in out
    missing, lacking, mismatch = csv.DictReader(io.StringIO(output.read_bytes().decode()))
    assert missing["transaction_id"] == missing["statement_transaction_id"] == "'=1+1"
    assert missing["statement_player_id"] == "'@p1"
    assert missing["statement_round_id"] == "'-r1"
    assert missing["ledger_movement_id"] == ""
    assert (lacking["transaction_id"], lacking["statement_line"]) == (second.transaction_id, "")
    assert lacking["ledger_player_id"] == second.player_id
    assert (mismatch["statement_line"], mismatch["ledger_operation"]) == ("2", first.operation)
    assert mismatch["statement_amount"] != mismatch["ledger_amount"]
    assert int(mismatch["ledger_version"]) > 3


def replace_amount(line: Line) -> Line:
    """A cent more."""
    return Line(
        line.transaction_id,
        line.operation,
        line.amount + 1_000,
        line.currency,
        line.player_id,
        line.round_id,
        line.reference,
    )


def test_the_same_statement_gives_the_same_again_but_for_the_time(run, story, tmp_path):
    """P12: what is kept as evidence must come out again."""
    file = write_csv(tmp_path / "statement.csv", list(story[2])[10:])
    texts = [json.loads(run(file)[1]) for _ in range(2)]
    assert texts[0].pop("read_at") < texts[1].pop("read_at")
    assert texts[0] == texts[1]


def test_minor_units_and_other_headers_are_said_on_the_command_line(run, story, tmp_path):
    """As the provider's files are."""
    lines = [line for line in story[2] if not line.amount % 1_000]
    file = tmp_path / "statement.csv"
    cells = [f"{line.transaction_id};{line.operation};{line.amount // 1_000};EUR" for line in lines]
    file.write_text("\n".join(["Id;Type;Cents;currency", *cells]))
    columns = ("transaction_id=Id", "operation=Type", "amount=Cents")
    options = [word for column in columns for word in ("--column", column)]
    code, out, _ = run(file, "--minor-units", *options)
    found = json.loads(out)
    assert code == 1
    assert found["noted"]["matched"] == len(lines)
    assert found["counts"]["missing_in_statement"] == len(story[2]) - len(lines)
    assert found["counts"]["amount_mismatch"] == 0
    assert found["columns"] == {"transaction_id": "Id", "operation": "Type", "amount": "Cents"}
    assert (found["minor_units"], found["edge_s"]) == (True, 0)


@pytest.mark.parametrize(
    ("content", "options", "problem"),
    [
        ("", (), "line 1: the file is empty"),
        ("a,b\n1,2\n", (), "line 1: the header has no column transaction_id"),
        (f"{','.join(COLUMNS)}\nb,bet,1e3,EUR,,,\n", (), "line 2: amount: amount is not a decimal"),
        ("x\n", ("--integration", "nobody"), "integration: 'nobody' is none of slots"),
        ("x\n", ("--column", "sum=Sum"), "column: 'sum=Sum' is not NAME=HEADER"),
        ("x\n", ("--tz", "Mars"), "tz: 'Mars' is no time zone"),
        ("x\n", ("--edge", "60"), "edge: 60 s at both ends leave nothing of the period"),
        ("x\n", ("--from", "2999-01-01", "--to", "2999-01-01"), "from: lies in the future"),
    ],
)
def test_what_cannot_be_compared_ends_with_2_and_one_line(run, tmp_path, content, options, problem):
    """Nothing was compared: a script must not take it for a difference."""
    file = tmp_path / "statement.csv"
    file.write_text(content)
    code, out, err = run(file, *options)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert problem in line
    assert line.startswith("wallet-ledger: ")


README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


async def test_the_example_of_the_readme_is_what_comes_out(
    postgres, databases, template_database, tmp_path, capsysbinary
):
    """Whoever tries it for the first time holds what he sees against this page."""
    section = README[README.index("### Reconciliation\n") :]
    (example,) = re.findall(r"^```csv\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[:1]
    shown = json.loads(re.findall(r"^```json\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[0])
    with databases.fresh(template_database) as name:
        url = postgres.url(name)
        begins = now()
        async with opened(url, 1) as ledger:
            anna, ben = (Player(ledger, each, random.Random(0)) for each in ("anna", "ben"))
            for player in (anna, ben):
                await player.seat()
            await anna.book("bet", "b-1", "r-1", amount=10 * CENT * 100)
            await anna.book("win", "w-1", "r-1", amount=24 * CENT * 100)
            await ben.book("bet", "b-3", "r-3", amount=750 * CENT)
            await ben.book("bet", "b-4", "r-4", amount=100 * CENT)
        configuration = tmp_path / "wallet-ledger.toml"
        configuration.write_text(
            f'[database]\nurl = "{url}"\n[limits]\nanswer_timeout_s = 0.6\n'
            "command_age_max_s = 0.5\n"
            '[integrations.slots]\nprotocol = "betbrothers"\nsecrets = ["shared"]\n'
        )
        configuration.chmod(0o600)
        statement, found = tmp_path / "january-31.csv", tmp_path / "found.json"
        statement.write_text(example)
        words = ["reconcile", "--config", str(configuration), "--integration", "slots"]
        words += ["--edge", "0", "--from", begins.isoformat(), "--to", now().isoformat()]
        words += ["-o", str(found), str(statement)]
        code = await asyncio.to_thread(cli.run, words)
    out = capsysbinary.readouterr().out.decode()
    assert code == 1
    assert out in section
    differences = json.loads(found.read_bytes())["differences"]
    (mismatch,) = [each for each in differences if each["kind"] == "amount_mismatch"]
    for name in ("movement_id", "recorded_at"):
        mismatch["ledger"][name] = "..."
    assert mismatch == shown


# --- by the operator API ---------------------------------------------------------------


@asynccontextmanager
async def service(url: str) -> AsyncIterator[Service]:
    """One worker of the service."""
    async with serving(url, QUICK) as running:
        yield running


async def finished(service: Service, name: str) -> Any:
    """The reconciliation, once it does not run any more."""
    until = time.monotonic() + 60
    while True:
        shown = (await service.get(f"/reconciliations/{name}?limit=1000", role="viewer")).json
        if shown["status"] != "running":
            return shown
        assert time.monotonic() < until, shown
        await asyncio.sleep(0.1)


async def posted(service: Service, story: Any, content: bytes, integration: str = "slots") -> str:
    """Begin to reconcile the file with the story's time; its id."""
    begins, ends = (text.replace("+", "%2B") for text in story[:2])
    query = f"integration={integration}&from={begins}&to={ends}&edge=0"
    answer = await service.post(f"/reconciliations?{query}", content, role="operator")
    assert answer.status == 202, answer.text
    return str(answer.json["id"])


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where statements stand while they are compared."""
    folder = tmp_path / "received"
    folder.mkdir()
    # Not `tempdir`: the processes beside the service have sockets there, whose paths must be short.
    monkeypatch.setattr(tempfile, "mkstemp", partial(tempfile.mkstemp, dir=folder))
    return folder


async def test_a_reconciliation_is_begun_made_and_kept(
    postgres, database, story, tmp_path, temporary
):
    """Any worker answers it, an auditor finds it, and the statement's file is gone."""
    lines = [replace_amount(story[2][0]), *story[2][1:]]
    content = write_csv(tmp_path / "statement.csv", lines).read_bytes()
    url = postgres.url(database)
    async with service(url) as first:
        name = await posted(first, story, content)
        shown = await finished(first, name)
    async with service(url) as another:
        again = (await another.get(f"/reconciliations/{name}?limit=1000")).json
    assert again == shown
    assert (shown["status"], shown["by"], shown["error"]) == ("done", "operator-1", None)
    assert shown["counts"]["amount_mismatch"] == sum(shown["counts"].values()) == 1
    (difference,) = shown["differences"]
    assert difference["statement"]["line"] == 2
    assert difference["ledger"]["transaction_id"] == story[2][0].transaction_id
    assert shown["statement"]["rows"] == len(lines)
    assert shown["started_at"] < shown["finished_at"]
    with psycopg.connect(postgres.url(database, SUPERUSER)) as connection:
        kept = connection.execute(
            "SELECT begun_by, statement_sha256 FROM ledger.reconciliations WHERE id = %s", (name,)
        ).fetchone()
    assert kept == ("operator-1", sha256(content).digest())
    assert list(temporary.glob("*.statement")) == []


async def test_a_statement_that_cannot_be_read_fails_with_its_line(
    postgres, database, story, temporary
):
    """The call was answered long ago: the reconciliation itself says what is wrong."""
    async with service(postgres.url(database)) as running:
        name = await posted(
            running, story, b"transaction_id,operation,amount,currency\nb,bet,x,EUR\n"
        )
        shown = await finished(running, name)
    assert shown["status"] == "failed"
    assert shown["error"] == "line 2: amount: amount is not a decimal number"
    assert shown["counts"] is None
    assert list(temporary.glob("*.statement")) == []


async def test_one_whose_process_is_killed_fails(postgres, database, story, monkeypatch, temporary):
    """Memory ran out, say: it must not show as running for ever."""
    monkeypatch.setattr(reconciling, "_make", die)
    async with service(postgres.url(database)) as running:
        name = await posted(running, story, b"whatever")
        shown = await finished(running, name)
    assert (shown["status"], shown["error"]) == (
        "failed",
        "the process that was to make it has ended",
    )
    assert list(temporary.glob("*.statement")) == []


def die(*_: Any) -> None:
    """What the system does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def linger(*_: Any) -> None:
    """Takes its time."""
    time.sleep(60)


async def test_a_service_that_stops_gives_up_what_is_under_way_and_says_so(
    postgres, database, story, monkeypatch, temporary
):
    """A stop does not wait for half an hour, and leaves no file behind."""
    monkeypatch.setattr(reconciling, "_make", linger)
    url = postgres.url(database)
    async with service(url) as running:
        names = [
            await posted(running, story, b"whatever") for _ in range(reconciling.UNDER_WAY_MAX)
        ]
        begins, ends = (text.replace("+", "%2B") for text in story[:2])
        query = f"integration=slots&from={begins}&to={ends}&edge=0"
        more = await running.post(f"/reconciliations?{query}", b"whatever")
        assert (more.status, more.code) == (503, "unavailable")
    async with service(url) as another:
        shown = [(await another.get(f"/reconciliations/{name}")).json for name in names]
    assert {each["error"] for each in shown} == {"the service was stopped"}
    assert list(temporary.glob("*.statement")) == []


def begin(connection: psycopg.Connection[Any], name: str, ago: str) -> None:
    """A reconciliation that was begun so long ago, and of which nothing was heard since."""
    connection.execute(
        "INSERT INTO ledger.reconciliations VALUES (%s, now() - %s::interval, 'ops', 'slots',"
        " '2030-01-01', '2030-01-02', 'UTC', 0, %s, 1)",
        (name, ago, bytes(32)),
    )


async def test_one_that_died_with_its_worker_shows_as_failed_after_a_while(
    postgres, database, story
):
    """Nobody is left who could say so: its age does."""
    with psycopg.connect(postgres.url(database, SUPERUSER), autocommit=True) as connection:
        begin(connection, "young", "31 minutes")
        begin(connection, "old", "33 minutes")
    async with service(postgres.url(database)) as running:
        young = (await running.get("/reconciliations/young")).json
        old = (await running.get("/reconciliations/old")).json
    assert (young["status"], young["error"]) == ("running", None)
    assert (old["status"], old["error"]) == ("failed", LOST)


async def test_one_that_showed_as_lost_stays_lost(postgres, database, story):
    """Its process may outlive the worker, and end when somebody was told of no result."""
    with psycopg.connect(postgres.url(database, SUPERUSER), autocommit=True) as connection:
        begin(connection, "late", "33 minutes")
    await ReconciliationStore(postgres.url(database)).finish("late", OUTCOME)
    async with service(postgres.url(database)) as running:
        shown = (await running.get("/reconciliations/late")).json
    assert (shown["status"], shown["error"]) == ("failed", LOST)


async def test_differences_show_only_with_their_outcome(postgres, database, story):
    """They are added with it: who asks at that moment must not see them beside "running"."""
    with psycopg.connect(postgres.url(database, SUPERUSER), autocommit=True) as connection:
        begin(connection, "between", "0 minutes")
        connection.execute(
            "INSERT INTO ledger.reconciliation_differences VALUES ('between', 1, 'x',"
            """ '{"kind": "missing_in_ledger", "transaction_id": "t"}')"""
        )
    async with service(postgres.url(database)) as running:
        shown = (await running.get("/reconciliations/between")).json
    assert (shown["status"], shown["differences"]) == ("running", [])


async def test_what_providers_really_send_is_matched_by_the_ids_they_sent(postgres, databases):
    """Two protocols over HTTP: one whose ids are its own, one that uses an id for several calls."""
    name = await asyncio.to_thread(databases.create, await asyncio.to_thread(databases.template, 2))
    begins = now().isoformat()
    try:
        async with service(postgres.url(name)) as running:
            await running.player("p1", real="100")
            assert (await running.bet(await running.session(), "t1"))[0] == 200
            session = await wallet_session(running, "p1")
            tags = {"roundid": "r1", "gameid": "agt-54"}
            await move(running, "debit", session, "d1", value="10.50", tags=tags)
            await move(running, "debit", session, "d2", value=4, tags=tags)
            await move(running, "rollback", session, "x2", query="&externalMovementId=d2")
            credit = {**tags, "externalReferenceBet": "d1"}
            await move(running, "credit", session, "c1", value="3.25001", tags=credit)
            story = begins, now().isoformat()
            header = b"transaction_id,operation,amount,currency,player_id,round_id,reference\n"
            slots = header + b"t1,bet,2.50,EUR,p1,r1,\n"
            gpas = header + (
                b"d1,debit,10.5,EUR,p1,r1,\nd2,debit,4,EUR,p1,r1,\n"
                b"x2,rollback,4.00,EUR,p1,r1,d2\nc1,credit,3.25001,EUR,p1,r1,d1\n"
            )
            wrong = gpas.replace(b"x2,rollback,4.00", b"x2,credit,4.00").replace(
                b"3.25001", b"3.25"
            )
            shown = [
                await finished(running, await posted(running, story, content, integration))
                for integration, content in (("slots", slots), ("gpas", gpas), ("gpas", wrong))
            ]
    finally:
        await asyncio.to_thread(databases.drop, name)
    assert [each["status"] for each in shown] == ["done"] * 3
    assert [each["noted"]["matched"] for each in shown] == [1, 4, 2]
    assert [each["differences"] for each in shown[:2]] == [[], []]
    found = [(each["kind"], each["transaction_id"]) for each in shown[2]["differences"]]
    assert found == [("amount_mismatch", "c1"), ("operation_mismatch", "x2")]


async def test_a_statement_that_is_still_coming_has_a_place_already(postgres, database, story):
    """Ten uploads at once would otherwise fill the disk first, and be refused then."""
    arriving = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"transaction_id,"
        await arriving.wait()
        yield b"operation,amount,currency\n"

    async with service(postgres.url(database)) as running:
        begins, ends = (text.replace("+", "%2B") for text in story[:2])
        query = f"/reconciliations?integration=slots&from={begins}&to={ends}&edge=0"
        waiting = [
            asyncio.create_task(running.post(query, slowly()))
            for _ in range(reconciling.UNDER_WAY_MAX)
        ]
        await asyncio.sleep(0.5)
        more = await running.post(query, b"whatever")
        arriving.set()
        begun = [await task for task in waiting]
        shown = [await finished(running, answer.json["id"]) for answer in begun]
        after = await running.post(query, b"whatever")
    assert (more.status, more.code) == (503, "unavailable")
    assert [each["status"] for each in shown] == ["done"] * reconciling.UNDER_WAY_MAX
    assert after.status == 202
