"""What goes wrong at a first start is said at once, in one line, with exit code 2."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.service import Service, running

PROGRAM = Path(sys.executable).parent / "wallet-ledger"


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which somebody listens, ready to share it as workers do."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def refusal(directory: Path, configuration: str, *command: str) -> str:
    """The last line that a command says before it ends with 2."""
    file = directory / "wallet-ledger.toml"
    file.write_text(configuration, encoding="utf-8")
    file.chmod(0o600)
    done = subprocess.run(
        [PROGRAM, *(command or ("serve",)), "--config", file],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_taken_port_is_said_before_a_database_is_made(tmp_path, taken_port, workers):
    """Two servers on different ledgers that shared a port would each get half of the calls."""
    said = refusal(tmp_path, f"[server]\nport = {taken_port}\nworkers = {workers}\n")
    address = f"127.0.0.1:{taken_port}"
    assert said == f"wallet-ledger: cannot listen on {address}: Address already in use"
    assert not (tmp_path / "var").exists()


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path):
    """The reader has to learn which directory, and why, not where in the code."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    said = refusal(tmp_path, '[server]\nport = 0\n[database]\ndata_dir = "file/postgres"\n')
    directory = re.escape(str(tmp_path / "file"))
    pattern = rf"wallet-ledger: database: cannot use {directory}/postgres: .+ \({directory}.*\)"
    assert re.fullmatch(pattern, said), said


def test_a_database_that_does_not_answer_is_said(tmp_path):
    """A wrong host or a stopped server is the usual mistake of a first start."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"postgresql://wallet_app@127.0.0.1:{sock.getsockname()[1]}/wallet_ledger"
        said = refusal(tmp_path, f'[server]\nport = 0\n[database]\nurl = "{url}"\n')
    assert said.startswith("wallet-ledger: database: connection failed")


def test_an_example_that_cannot_be_printed_is_no_reason_not_to_serve(
    tmp_path: Path, shared_database: dict[str, Any]
):
    """Its output may go to a full disk, or to a pipe that nobody reads any more."""
    player = {"player_id": "ann", "currency": "EUR", "deposit": "10.00"}
    service = Service(tmp_path, database=shared_database, demo={"players": [player]})
    command = [str(PROGRAM), "serve", "--config", str(service.file)]
    with Path("/dev/full").open("w") as full, service.log_file.open("w") as log:
        service.process = subprocess.Popen(command, stdout=full, stderr=log)
    try:
        service.wait_ready()
        while "example_not_printed" not in service.log:
            time.sleep(0.05)
        assert service.stop() == 0
    finally:
        service.close()


def test_a_simulation_without_a_server_ends_at_once(tmp_path):
    """It would otherwise repeat its first call for a minute, as providers do."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        configuration = (
            f"[server]\nport = {port}\n"
            '[operator]\ntokens = [{ name = "a", role = "admin", token = "b" }]\n'
            '[integrations.betbrothers]\nprotocol = "betbrothers"\nsecrets = ["c"]\n'
        )
        said = refusal(tmp_path, configuration, "simulate")
    assert said == f"wallet-ledger: no server at http://127.0.0.1:{port}: Connection refused"


def test_other_decimals_than_those_that_money_is_kept_with_are_refused(
    tmp_path: Path, shared_database: dict[str, Any]
) -> None:
    """One line changed in a configuration must not turn 12.50 into 0.0125, in no command."""
    with running(tmp_path / "service", database=shared_database):
        pass
    lines = [f"{name} = {json.dumps(value)}" for name, value in shared_database.items()]
    configuration = "\n".join(["[server]", "port = 0", "[database]", *lines])
    configuration += "\n[currencies.EUR]\nscale = 8\n"
    for command in (("serve",), ("report", "totals")):
        assert refusal(tmp_path, configuration, *command) == (
            "wallet-ledger: database: the database keeps EUR with 5 decimals, the configuration "
            "with 8: a currency's scale cannot change"
        )
