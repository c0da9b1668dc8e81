"""`audit` over two partitions: what goes wrong in one takes nothing from the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from adapters import cli, cli_audit
from ledger.embedded import SUPERUSER
from projections.rebuild import RebuildBusy

Audit = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def damaged(postgres, databases) -> Iterator[str]:
    """A database with an event that cannot be folded in p00, and a row too many in p01."""
    with databases.fresh(databases.template(2)) as name:
        with psycopg.connect(postgres.url(name, SUPERUSER)) as connection:
            connection.execute(
                "INSERT INTO ledger_p00.events (originator_id, originator_version, topic, state)"
                " VALUES ('player:p1', 1, 'player_blocked.v1', decode(repeat('00', 40), 'hex'));"
                " INSERT INTO ledger_p01.balances VALUES ('zoe', 'EUR', 1, 0, 0, 1, now())"
            )

        yield name


@pytest.fixture
def audit(postgres, damaged, tmp_path, capsys) -> Audit:
    """Audit that database."""
    file = tmp_path / "two.toml"
    file.write_text(f'[database]\nurl = "{postgres.url(damaged)}"\npartitions = 2\n')
    file.chmod(0o600)
    capsys.readouterr()  # what the making of the database has said

    def run(*options: str) -> tuple[int, list[str]]:
        code = cli.run(["audit", "--config", str(file), *options])
        return code, capsys.readouterr().out.splitlines()

    return run


EVENT = "events, partition 0: event 1 (player_blocked.v1, player p1, version 1) cannot be folded: "
ROW = "balances, partition 1: zoe EUR: events nothing, view real 0.00001 bonus 0.00 held 0.00"


def test_an_event_that_cannot_be_folded_leaves_the_other_partitions_to_the_audit(audit):
    """The findings of a thousand players are not thrown away for the sake of one."""
    code, (event, row, last) = audit("views", "--quick")
    assert code == 1
    assert event.startswith(EVENT)
    assert row == ROW
    assert last.startswith("2 differences between the views and the events")


def test_what_was_found_is_told_also_where_the_audit_cannot_go_on(audit, monkeypatch):
    """It took an hour, and the second one may not come as far."""

    async def busy(_url: str, partition: int, name: str, _progress: object) -> list[object]:
        if partition == 1:
            raise RebuildBusy(f"view {name} of partition 1 is being rebuilt already")
        return []

    monkeypatch.setattr(cli_audit, "compare", busy)
    code, (event, row) = audit("views")
    assert code == 2
    assert event.startswith(EVENT)
    assert row == ROW


def test_what_was_found_in_the_log_is_told_also_where_the_database_goes_away(
    audit, postgres, damaged
):
    """The first partition took an hour; of the second the table cannot be read."""
    with psycopg.connect(postgres.url(damaged, SUPERUSER)) as connection:
        connection.execute("ALTER TABLE ledger_p01.sessions RENAME TO elsewhere")
    code, (home, chained, read) = audit("chain", "--jobs", "1")
    assert code == 2
    assert home == "events, partition 0: player:p1 belongs in partition 1"
    place = "events, partition 0: player:p1 version 1 (event 1)"
    assert chained == f"{place}: its hash is not that of its bytes and of the hash before it"
    assert read.startswith(f"{place} cannot be read: ")
