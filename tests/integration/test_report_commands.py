"""The commands `report`, `rebuild` and `audit views` on a database in which a story was told."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace

import psycopg
import pytest
from pyarrow import parquet

from adapters import cli
from adapters.catching_up import catch_up
from ledger.embedded import SUPERUSER
from ledger.store import Store
from projections.registry import VIEW_NAMES
from projections.reports.registry import REPORTS
from tests.integration.report_story import tell

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def projected(postgres, databases, template_database) -> Iterator[str]:
    """A database with the story, its views at the head: tests leave it as they found it."""
    with databases.fresh(template_database) as name:
        asyncio.run(_tell(postgres.url(name)))
        asyncio.run(catch_up(postgres.url(name), range(1)))
        yield name


@pytest.fixture
def told(postgres, databases, template_database) -> Iterator[str]:
    """A database of its own with the story, of which the views have seen nothing yet."""
    with databases.fresh(template_database) as name:
        asyncio.run(_tell(postgres.url(name)))
        yield name


async def _tell(url: str) -> None:
    store = Store(url)
    await (await tell()).append(store)
    await store.close()


@pytest.fixture
def database(request) -> str:
    """The database of the test: `told` where it asks for that, else `projected`; its name."""
    wanted = "told" if "told" in request.fixturenames else "projected"
    return str(request.getfixturevalue(wanted))


@pytest.fixture
def run(postgres, database, tmp_path, capsysbinary) -> Run:
    """Run a command on that database: exit code, what it printed, what it complained of."""
    file = tmp_path / "wallet-ledger.toml"
    reports = 'operator = "Casino Example Ltd"\ntime_zone = "Asia/Kolkata"\n'
    large = 'large_wins = { EUR = "50" }\n'
    file.write_text(f'[database]\nurl = "{postgres.url(database)}"\n[reports]\n{reports}{large}')
    file.chmod(0o600)

    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.run([*arguments, "--config", str(file)])
        out, err = capsysbinary.readouterr()
        return code, out.decode(errors="replace"), err.decode()

    return command


@pytest.fixture
def execute(postgres, database) -> Callable[[str], None]:
    """Damage the views, as nobody but a superuser can."""

    def statement(text: str) -> None:
        with psycopg.connect(postgres.url(database, SUPERUSER)) as connection:
            connection.execute(text.encode())

    return statement


def test_a_report_without_a_running_service_is_complete(told, run):
    """Month's end on a machine apart: the command brings the views to the head itself."""
    code, out, _ = run("report", "totals", "--to", "2024-01-31", "--by", "day")
    assert code == 0
    made = json.loads(out)
    assert made["operator"] == "Casino Example Ltd"
    assert made["period"]["time_zone"] == "Asia/Kolkata"
    assert [(row["day"], row["ggr"]) for row in made["rows"]] == [
        ("2024-01-30", "-30.00"),
        ("2024-01-31", "48.00"),
    ]


def test_a_report_goes_to_a_file_in_every_format(run, tmp_path):
    """The same figures, each exact in its own way."""
    for wanted in ("json", "csv", "parquet"):
        file = tmp_path / f"wins.{wanted}"
        assert run("report", "large-wins", "--format", wanted, "-o", str(file))[0] == 0
    rows = json.loads((tmp_path / "wins.json").read_text())["rows"]
    assert [row["win"] for row in rows] == ["50.00", "15000.00"]
    lines = (tmp_path / "wins.csv").read_text().splitlines()
    assert lines[1].endswith(",EUR,50.00,50.00,0.00,50.00")
    table = parquet.read_table(io.BytesIO((tmp_path / "wins.parquet").read_bytes()))
    assert table.column("win").to_pylist() == [Decimal("50.00000"), Decimal("15000.00000")]


def test_a_full_disk_behind_a_pipe_is_one_line_and_code_two(run, monkeypatch):
    """A file that was cut off is noticed by nobody; code 1 would say that figures differ."""
    with io.FileIO("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=full))
        code, _, err = run("report", "totals")
    assert code == 2
    assert err.endswith("cannot write to standard output: No space left on device\n")


def test_every_filter_of_the_command_reaches_the_report(run):
    """The command line can do what the API can."""
    rows = run("report", "open-rounds", "--older-than-h", "1", "--player-id", "ben", "--tz", "UTC")
    assert [row["round_id"] for row in json.loads(rows[1])["rows"]] == ["r9"]
    rows = run("report", "exceptions", "--kind", "reversal_shortfall", "--integration", "slots")
    assert len(json.loads(rows[1])["rows"]) == 1
    rows = run("report", "totals", "--game", "g2", "--currency", "EUR", "--from", "2024-02-01")
    assert [row["bets"] for row in json.loads(rows[1])["rows"]] == ["2.00"]
    rows = run("report", "large-wins", "--threshold", "15000.01")
    assert json.loads(rows[1])["note"] == "No activity"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["totals", "--integration", "slot"], "integration: 'slot' is none of operator"),
        (["exceptions", "--kind", "late_wins"], "kind: 'late_wins' is none of late_win, "),
        (["open-rounds", "--player-id", "anne"], "there is no player anne"),
        (["profits"], "Invalid value for"),
        (["totals", "--from", "2024-02-30"], "from: '2024-02-30' is neither a date"),
        (["totals", "--to", "20240131"], "to: '20240131' is neither a date such as 2030-01-31"),
        (["totals", "--tz", "Mars/Olympus"], "tz: 'Mars/Olympus' is no time zone"),
        (["totals", "--currency", "XXX"], "currency: XXX is not known"),
        (["totals", "--format", "xlsx"], "Invalid value for '--format'"),
        (["player-statement"], "player_id: the report player-statement needs it"),
        (["player-statement", "--player-id", "eve"], "player_id: there is no player eve"),
        (["totals", "-o", "/nowhere/at/all"], "cannot write /nowhere/at/all"),
    ],
)
def test_bad_input_is_one_line_and_code_two(run, arguments, message):
    """A script must see it, and a person must understand it."""
    code, out, err = run("report", *arguments)
    assert (code, out) == (2, "")
    *logged, last = err.splitlines()
    assert last.startswith("wallet-ledger: ")
    assert message in last
    assert all(line.startswith("[info") for line in logged)


def _replaced(pattern: str, new: str) -> str:
    """An assignment that alters the JSON behind an event's hash."""
    return (
        "state = substr(state, 1, 32) || convert_to(regexp_replace("
        f"convert_from(substr(state, 33), 'UTF8'), '{pattern}', '{new}'), 'UTF8')"
    )


ALTERED = {
    "a balance": (_replaced('"balance_real":[0-9]+', '"balance_real":1'), "at version 4: its EUR"),
    "an amount": (_replaced('"real":[0-9]+', '"real":7'), "at version 4: its EUR"),
    "a kind": ("topic = 'bonus_converted.v1'", "at version 4: its EUR"),
    "a form": (_replaced("^.", "["), "there is no statement of player anna: event "),
}


@pytest.mark.parametrize("altered", ALTERED)
def test_a_statement_over_an_altered_event_names_player_and_version(told, run, execute, altered):
    """Whoever reads it must know what to look at, and not that the software has a bug."""
    change, said = ALTERED[altered]
    execute(
        "ALTER TABLE ledger_p00.events DISABLE TRIGGER ALL;"
        f" UPDATE ledger_p00.events SET {change}"
        " WHERE originator_id = 'player:anna' AND originator_version = 4"
    )
    code, out, err = run("report", "player-statement", "--player-id", "anna")
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("wallet-ledger: ")
    assert "player anna" in last
    assert said in last


def test_views_that_agree_are_said_to(run):
    """The one command to run after anything strange."""
    code, out, _ = run("audit", "views")
    said = "0 differences between the views and the events"
    assert (code, out) == (0, f"{said}\n")
    code, out, _ = run("audit", "views", "--quick")
    compared = "balances, the sums of rounds, totals, and the accounts of players and providers"
    assert (code, out) == (
        0,
        (
            f"{said}; compared were {compared}, as far as those views have not stopped, but not the"
            " exceptions, nor every row\n"
        ),
    )


DAMAGES = {
    "UPDATE ledger_p00.balances SET held = held + 1 WHERE player_id = 'anna'": "balances",
    "DELETE FROM ledger_p00.balances WHERE player_id = 'chi'": "balances",
    "INSERT INTO ledger_p00.balances VALUES ('zoe', 'EUR', 1, 0, 0, 1, now())": "balances",
    "UPDATE ledger_p00.rounds SET wins = wins + 1 WHERE round_id = 'r1'": "rounds",
    "DELETE FROM ledger_p00.rounds WHERE round_id = 'r4'": "rounds",
    "UPDATE ledger_p00.rounds SET closed_at = NULL, closed_reason = NULL"
    " WHERE round_id = 'r1'": "rounds",
    "UPDATE ledger_p00.totals SET win_count = win_count + 1 WHERE game = 'g2'": "totals",
    "DELETE FROM ledger_p00.totals WHERE currency = 'JPY'": "totals",
    "DELETE FROM ledger_p00.journal WHERE line = 1 AND account = 'player:real'": "journal",
    "UPDATE ledger_p00.account_hours SET credit = credit + 1 WHERE account = 'deposits'": "journal",
    "UPDATE ledger_p00.account_hours SET credit = credit - 100 WHERE account = 'player:bonus'"
    " AND currency = 'EUR'": "journal",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_to_a_view_is_found_and_named(run, execute, damage):
    """An audit that has never found anything has not been tested."""
    execute(damage)
    code, out, _ = run("audit", "views", "--quick")
    assert code == 1
    *named, last = out.splitlines()
    assert {line.partition(",")[0] for line in named if "more" not in line} == {DAMAGES[damage]}
    assert not last.startswith("0 ")
    assert run("rebuild", DAMAGES[damage])[0] == 0


ANNA = "player_id = 'anna' AND round_id = 'r1'"
TOLD = {
    "UPDATE ledger_p00.balances SET held = held + 1 WHERE player_id = 'anna'": (
        "balances, partition 0: anna EUR: events held 0.00, view held 0.00001"
    ),
    "DELETE FROM ledger_p00.balances WHERE player_id = 'chi'": (
        "balances, partition 0: chi JPY: events real 959.5 bonus 0 held 0, view nothing"
    ),
    "UPDATE ledger_p00.balances SET currency = 'XXY' WHERE player_id = 'chi'": (
        "balances, partition 0: chi XXY: events nothing, view real 95950000 ledger units"
        " bonus 0 ledger units held 0 ledger units"
    ),
    f"UPDATE ledger_p00.rounds SET wins = wins + 1, bets = 2 WHERE {ANNA}": (
        "rounds, partition 0: anna slots r1: events bet_count 1 wins 50.00,"
        " view bet_count 2 wins 50.00001"
    ),
    f"UPDATE ledger_p00.rounds SET closed_at = NULL, closed_reason = NULL WHERE {ANNA}": (
        "rounds, partition 0: anna slots r1: events status closed, view status open"
    ),
    "UPDATE ledger_p00.totals SET win_count = win_count + 1 WHERE game = 'g2' AND win_count = 1": (
        "totals, partition 0: 2024-01-31 19:00:00+00:00 slots g2 EUR: events win_count 1,"
        " view win_count 2"
    ),
    "UPDATE ledger_p00.account_hours SET credit = credit - 100 WHERE account = 'player:bonus'"
    " AND currency = 'EUR'": (
        "journal, partition 0: player:bonus EUR: events balance 10.00, view balance 9.999"
    ),
}


@pytest.mark.parametrize("damage", TOLD)
def test_what_an_audit_finds_is_told_in_main_units_and_by_name(run, execute, damage):
    """Finance reads it, and compares it with what the API and the reports say."""
    execute(damage)
    _, out, _ = run("audit", "views", "--quick")
    assert TOLD[damage] in out.splitlines()
    assert run("rebuild", TOLD[damage].partition(",")[0])[0] == 0


def test_a_row_that_only_a_view_made_anew_can_judge_is_found(run, execute):
    """Times and exceptions are not folded twice, but compared with a fresh view."""
    execute("UPDATE ledger_p00.exceptions SET reason = 'nothing to see here'")
    assert run("audit", "views", "--quick")[0] == 0
    code, out, _ = run("audit", "views")
    assert code == 1
    assert out.splitlines()[0] == (
        "exceptions, partition 0: exceptions notification_id 17 kind 'reversal_shortfall':"
        " anew reason None, view reason 'nothing to see here'"
    )
    assert run("rebuild", "exceptions")[0] == 0


def altered(player_id: str, version: int, change: str = ALTERED["a form"][0]) -> str:
    """Alter an event that the views have seen already."""
    return (
        "ALTER TABLE ledger_p00.events DISABLE TRIGGER ALL;"
        f" UPDATE ledger_p00.events SET {change} WHERE originator_id = 'player:{player_id}'"
        f" AND originator_version = {version};"
    )


UNFOLDED = "events, partition 0: event 26 (deposited.v1, player chi, version 4) cannot be folded: "


def test_an_event_that_cannot_be_folded_hides_nothing_else(told, run, execute, postgres):
    """Whoever alters an event and a balance must not have the one cover the other."""
    asyncio.run(catch_up(postgres.url(told), range(1)))
    execute(altered("chi", 4))
    execute("UPDATE ledger_p00.balances SET held = held + 1 WHERE player_id IN ('anna', 'chi')")
    execute("UPDATE ledger_p00.account_hours SET credit = credit + 1 WHERE account = 'deposits'")
    code, out, _ = run("audit", "views", "--quick")
    assert code == 1
    event, balance, *hours, _ = out.splitlines()
    assert event.startswith(UNFOLDED)
    assert event.endswith("; its player, the totals and the accounts are not compared")
    assert balance == "balances, partition 0: anna EUR: events held 0.00, view held 0.00001"
    assert {line.partition(" of the hour")[0] for line in hours if "hour" in line} == {
        "journal, partition 0: deposits EUR",
        "journal, partition 0: deposits JPY",
    }
    code, out, _ = run("audit", "views")
    assert code == 1
    anew = [line for line in out.splitlines() if "cannot be made anew: event" in line]
    assert [line.partition(",")[0] for line in anew] == ["balances", "journal"]


def test_what_was_found_is_shown_although_the_database_goes_away(told, run, execute, monkeypatch):
    """An auditor's run of hours is not to end with nothing."""

    async def gone(*_):
        raise psycopg.OperationalError("the server closed the connection")

    assert run("audit", "views")[0] == 0
    monkeypatch.setattr("adapters.cli_audit.compare", gone)
    execute("UPDATE ledger_p00.balances SET real = real + 1")
    code, out, err = run("audit", "views")
    assert code == 2
    assert "balances, partition 0: " in out
    assert "wallet-ledger: database: the server closed the connection" in err


def test_an_event_that_fits_nothing_is_a_finding_too(told, run, execute, postgres):
    """Its form is right, and yet no wallet can come of it: a session closed that was never open."""
    asyncio.run(catch_up(postgres.url(told), range(1)))
    execute(altered("chi", 3, _replaced('"session":"[^"]*"', '"session":"x"')))
    execute(
        altered(
            "chi",
            4,
            "topic = 'session_closed.v1', state = (SELECT state FROM"
            " ledger_p00.events WHERE originator_id = 'player:chi' AND originator_version = 3)",
        )
    )
    execute(altered("chi", 4, _replaced('"session":"[^"]*"', '"session":"y"')))
    code, out, _ = run("audit", "views", "--quick")
    assert code == 1
    assert "version 4) cannot be folded: 'y'; its player" in out


def test_a_rebuilt_view_is_as_it_should_be(run, execute):
    """What an audit found is mended by one command."""
    execute("DELETE FROM ledger_p00.totals")
    assert run("audit", "views", "--quick")[0] == 1
    code, out, _ = run("rebuild", "totals")
    assert (code, out) == (0, "totals, partition 0: rebuilt up to event 29\n")
    assert run("audit", "views")[0] == 0
    code, out, _ = run("rebuild", "--all", "--partition", "0")
    assert code == 0
    assert len(out.splitlines()) == 5


@pytest.mark.parametrize(
    "arguments", [[], ["profits"], ["totals", "--all"], ["totals", "--partition", "1"]]
)
def test_wrong_usage_of_rebuild_is_code_two(run, arguments):
    """It takes a view or all of them."""
    assert run("rebuild", *arguments)[0] == 2


def test_a_stopped_view_is_no_view_that_agrees(told, run, execute):
    """It differs from the log, and each line says at which event it stands."""
    execute(
        "INSERT INTO ledger_p00.events (originator_id, originator_version, topic, state)"
        " VALUES ('player:zoe', 1, 'deposited.v1', decode(repeat('00', 40), 'hex'))"
    )
    event = "event 30 (deposited.v1, player zoe, version 1)"
    for quick in ([], ["--quick"]):
        code, out, _ = run("audit", "views", *quick)
        assert code == 1
        balances, journal, itself, last = out.splitlines()
        assert balances.startswith(f"balances, partition 0: has stopped: {event}: ")
        assert journal.startswith(f"journal, partition 0: has stopped: {event}: ")
        assert itself.startswith("events, partition 0: event 30 ")
        assert last.startswith("3 differences between the views and the events")


def test_a_view_ahead_of_the_log_is_found_and_a_rebuild_mends_it(run, execute):
    """It lacked nothing yet; what is booked next would never have come into it."""
    execute("UPDATE ledger_p00.projections SET position = 40 WHERE view = 'rounds'")
    said = (
        "rounds, partition 0: has stopped: ahead of the log: rounds stands at event 40, the log"
        " ends at 29; `wallet-ledger rebuild rounds` makes the view anew"
    )
    for quick in ([], ["--quick"]):
        code, out, _ = run("audit", "views", *quick)
        assert code == 1
        assert out.splitlines()[0] == said
    assert run("rebuild", "rounds")[1] == "rounds, partition 0: rebuilt up to event 29\n"
    assert run("audit", "views")[0] == 0


def test_a_stopped_view_keeps_no_other_from_being_compared(told, run, execute):
    """Whoever falsifies totals could have stopped the audit by touching another view."""
    assert run("audit", "views", "--quick")[0] == 0
    execute("UPDATE ledger_p00.projections SET position = 40 WHERE view = 'rounds'")
    execute("UPDATE ledger_p00.totals SET bet_count = bet_count + 1 WHERE game = 'roulette'")
    code, out, _ = run("audit", "views", "--quick")
    assert code == 1
    assert [line.partition(",")[0] for line in out.splitlines()[:-1]] == ["rounds", "totals"]


@pytest.mark.parametrize("view", VIEW_NAMES)
def test_a_view_that_stands_nowhere_is_a_finding_and_in_no_report(told, run, execute, view):
    """Without its row nothing told how old it was, and reports showed it as if it were new."""
    assert run("audit", "views", "--quick")[0] == 0
    execute(f"DELETE FROM ledger_p00.projections WHERE view = '{view}'")
    reason = f"{view} has no row in ledger_p00.projections; as an administrator "
    for quick, lines in (["--quick"], 2), ([], 3):
        code, out, _ = run("audit", "views", *quick)
        assert (code, len(out.splitlines())) == (1, lines)
        assert out.startswith(f"{view}, partition 0: has stopped: {reason}")
    code, out, err = run("rebuild", view)
    assert (code, out) == (2, "")
    assert reason in err
    for name, kind in REPORTS.items():
        if view in kind.views:
            code, out, err = run("report", name)
            assert (code, out) == (2, "")
            assert reason in err
    put_back = re.search(r"with view ('\S+'), tables ('\S+') and position (\d+), then", err)
    assert put_back is not None
    execute(
        "INSERT INTO ledger_p00.projections (view, tables, position)"
        f" VALUES ({', '.join(put_back.groups())})"
    )
    assert "ahead of the log" in run("audit", "views", "--quick")[1]
    assert run("rebuild", view)[0] == 0
    assert run("audit", "views")[0] == 0


def test_every_difference_counts_also_those_that_are_not_shown(told, run, execute):
    """Twenty falsified rows are another matter than twenty thousand."""
    assert run("audit", "views", "--quick")[0] == 0
    execute(
        "INSERT INTO ledger_p00.balances SELECT"
        " (jsonb_populate_record(kept, jsonb_build_object('player_id', 'x' || n))).*"
        " FROM ledger_p00.balances AS kept, generate_series(1, 25) AS n"
        " WHERE player_id = 'anna' AND currency = 'EUR'"
    )
    code, out, _ = run("audit", "views")
    assert code == 1
    folded = [f"balances, partition 0: x{n} EUR: events nothing" for n in range(1, 26)]
    anew = [f"balances, partition 0: balances player_id 'x{n}'" for n in range(1, 26)]
    lines = out.splitlines()
    assert sum(any(map(line.startswith, folded)) for line in lines) == 20
    assert sum(any(map(line.startswith, anew)) for line in lines) == 20
    assert [line for line in lines if "more" in line] == [
        "balances, partition 0: 5 more",
        "balances, partition 0: 5 more rows of balances",
    ]
    assert lines[-1] == "50 differences between the views and the events"
    execute("UPDATE ledger_p00.totals SET win_count = win_count + 1")
    views = {line.partition(",")[0] for line in run("audit", "views")[1].splitlines()[:-1]}
    assert views == {"balances", "totals"}, "one view's hide those of another"


def test_a_rebuild_that_cannot_take_an_event_leaves_the_view_and_is_code_two(told, run, execute):
    """It could not do its work, and half a view in the place of a whole one would be worse."""
    execute(
        "INSERT INTO ledger_p00.events (originator_id, originator_version, topic, state)"
        " VALUES ('player:zoe', 1, 'deposited.v1', decode(repeat('00', 40), 'hex'))"
    )
    code, out, err = run("rebuild", "balances")
    assert (code, out) == (2, "")
    assert "wallet-ledger: the view stays as it was: event deposited.v1" in err
