"""As many connections as are configured, whatever limit of open files a shell leaves a process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.acceptance.service import Service, running

CONNECTIONS_MAX = 2_000
WORKERS = {"workers": 2}


def limited(limit: str) -> list[str]:
    """What runs the service under a limit of the shell's."""
    return ["sh", "-c", f'ulimit {limit} && exec "$0" "$@"']


def open_files_max(service: Service) -> set[int]:
    """The soft limits of the supervisor and of all the processes it has."""
    found = set()
    for pid in (service.pid, *service.children()):
        limits = Path(f"/proc/{pid}/limits").read_text()
        (soft,) = re.findall(r"^Max open files +(\d+)", limits, re.MULTILINE)
        found.add(int(soft))
    return found


def test_a_low_soft_limit_is_raised_for_every_worker(
    tmp_path: Path, shared_database: dict[str, Any]
) -> None:
    """Most systems start a process with 1024: half of the connections were closed, and no word."""
    with running(
        tmp_path, through=limited("-S -n 1024"), database=shared_database, server=WORKERS
    ) as service:
        assert min(open_files_max(service)) > CONNECTIONS_MAX
        assert "warning" not in service.log


def test_a_hard_limit_that_is_too_low_is_said_once(
    tmp_path: Path, shared_database: dict[str, Any]
) -> None:
    """It may do for all who ever come, so the service starts; nothing else would ever say it."""
    with running(
        tmp_path, through=limited("-n 1500"), database=shared_database, server=WORKERS
    ) as service:
        assert open_files_max(service) == {1500}
        warnings = [line for line in service.log.splitlines() if "warning" in line]
    (warning,) = warnings
    assert warning == (
        "wallet-ledger: warning: a process may open 1500 files and limits.connections_max = 2000"
        " takes 3000: clients beyond that cannot connect; raise the hard limit (ulimit -Hn,"
        " LimitNOFILE of systemd) or lower limits.connections_max"
    )
