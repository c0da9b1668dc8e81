"""`wallet-ledger init` on a real PostgreSQL: what it creates, refuses and says."""

import subprocess
from pathlib import Path

import psycopg
import pytest

from adapters import cli
from tests.acceptance.service import COMMAND, START_S


@pytest.fixture
def configured(tmp_path):
    """A configuration file with an embedded database of its own, by number of partitions."""

    def write(partitions: int) -> str:
        file = tmp_path / "wallet-ledger.toml"
        file.write_text(f'[database]\ndata_dir = "postgres"\npartitions = {partitions}\n')
        return str(file)

    return write


def on_server(directory: Path, url: str) -> str:
    """A configuration file with a database of a server that runs already."""
    file = directory / "wallet-ledger.toml"
    file.write_text(f'[server]\nport = 0\n[database]\nurl = "{url}"\n')
    file.chmod(0o600)
    return str(file)


def test_init_may_be_repeated_but_never_changes_the_number_of_partitions(configured, capsys):
    """Deployments run it every time; another number would look for players where they are not."""
    assert cli.run(["init", "--config", configured(2)]) == 0
    assert cli.run(["init", "--config", configured(2)]) == 0
    assert capsys.readouterr().out == "the ledger is ready: partitions 2\n" * 2
    assert cli.run(["init", "--config", configured(3)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("wallet-ledger: database: the database has 2 partition")


def test_init_refuses_a_database_that_may_lose_what_it_commits(
    tmp_path, empty_database_url, capsys
):
    """It said that the ledger is ready, and the service then refused to start."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    assert cli.run(["init", "--config", on_server(tmp_path, empty_database_url)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "wallet-ledger: database: the database server runs with synchronous_commit = off:"
        " it could lose money\n"
    )


def test_init_refuses_currencies_that_the_service_would_not_start_with(
    tmp_path, database_url, admin_url, capsys
):
    """A deployment's init said that the ledger is ready, and the service then refused to start."""
    with psycopg.connect(admin_url) as connection:
        connection.execute("INSERT INTO ledger.currency_scales (currency, scale) VALUES ('EUR', 7)")
    assert cli.run(["init", "--config", on_server(tmp_path, admin_url)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "EUR with 7 decimals, the configuration with 5: a currency's scale cannot" in err


@pytest.mark.parametrize("command", ["init", "serve", "audit views --quick"])
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_does_not_keep_unicode_is_said_in_one_line(
    tmp_path, databases, command, encoding
):
    """It is made by whoever trusts the server's default; a traceback does not tell them that."""
    with databases.encoded(encoding) as url:
        done = subprocess.run(
            [COMMAND, *command.split(), "--config", on_server(tmp_path, url)],
            check=False,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        f"wallet-ledger: database: the database's encoding is {encoding}: ids could come back as"
        " others; create the database with ENCODING 'UTF8'"
    )
    assert "Traceback" not in done.stderr


def test_a_database_that_is_not_there_is_said_in_one_line_without_its_password(tmp_path, capsys):
    """The first start in a new place fails here more often than anywhere else."""
    file = tmp_path / "wallet-ledger.toml"
    file.write_text('[database]\nurl = "postgresql://app:canary-pw@127.0.0.1:1/ledger"\n')
    file.chmod(0o600)
    assert cli.run(["init", "--config", str(file)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("wallet-ledger: database: connection failed")
    assert err.count("\n") == 1
    assert "canary-pw" not in err
