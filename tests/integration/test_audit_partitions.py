"""`audit views` over two partitions: what goes wrong in one takes nothing from the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from adapters import cli, cli_audit
from ledger.embedded import SUPERUSER
from projections.rebuild import RebuildBusy

Audit = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def audit(postgres, databases, tmp_path, capsys) -> Iterator[Audit]:
    """Audit a database with an event that cannot be folded in p00, and a row too many in p01."""
    with databases.fresh(databases.template(2)) as name:
        file = tmp_path / "two.toml"
        file.write_text(f'[database]\nurl = "{postgres.url(name)}"\npartitions = 2\n')
        file.chmod(0o600)
        with psycopg.connect(postgres.url(name, SUPERUSER)) as connection:
            connection.execute(
                "INSERT INTO ledger_p00.events (originator_id, originator_version, topic, state)"
                " VALUES ('player:p1', 1, 'player_blocked.v1', decode(repeat('00', 40), 'hex'));"
                " INSERT INTO ledger_p01.balances VALUES ('zoe', 'EUR', 1, 0, 0, 1, now())"
            )

        capsys.readouterr()  # what the making of the database has said

        def run(*options: str) -> tuple[int, list[str]]:
            code = cli.run(["audit", "views", "--config", str(file), *options])
            return code, capsys.readouterr().out.splitlines()

        yield run


EVENT = "events, partition 0: event 1 (player_blocked.v1, player p1, version 1) cannot be folded: "
ROW = "balances, partition 1: zoe EUR: events nothing, view real 0.00001 bonus 0.00 held 0.00"


def test_an_event_that_cannot_be_folded_leaves_the_other_partitions_to_the_audit(audit):
    """The findings of a thousand players are not thrown away for the sake of one."""
    code, (event, row, last) = audit("--quick")
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
    code, (event, row) = audit()
    assert code == 2
    assert event.startswith(EVENT)
    assert row == ROW
