"""A primary and a synchronous standby of it, behind one URL."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg

from ledger.embedded import EmbeddedPostgres
from ledger.postgres_programs import server_processes
from ledger.schema import initialise
from tests.faults.ledgers import query

_STANDBY = "standby"
_PATIENCE_S = 60.0


class Pair:
    """Two servers that change places; `pair` makes one and ends it."""

    def __init__(self, primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> None:
        self.primary = primary
        self.standby = standby

    @property
    def url(self) -> str:
        """Both for the service's login, the one that is the standby now first."""
        servers = (self.standby, self.primary)
        hosts = ",".join(quote(str(server.socket_dir), safe="") for server in servers)
        return (
            f"postgresql://wallet_ledger@/wallet_ledger?host={hosts}&port=5432,5432"
            "&target_session_attrs=read-write"
        )

    def kill_primary(self) -> None:
        """All of it at once, as a machine that dies."""
        for pid in server_processes(self.primary.data_dir):
            with suppress(ProcessLookupError):  # one that has just ended by itself
                os.kill(pid, signal.SIGKILL)
        _wait_until(lambda: not server_processes(self.primary.data_dir))

    def cut_standby_off(self) -> None:
        """It gets nothing from the primary any more; commits wait."""
        configure(self.standby, "primary_conninfo", "")
        receiver = "SELECT FROM pg_stat_wal_receiver"
        _wait_until(lambda: not query(self.standby.migrate_url, receiver))

    def restart_primary(self) -> None:
        """It recovers what it had written, whether its standby got that or not."""
        self.primary._run()

    def promote(self) -> None:
        """The standby takes over from a primary that is dead; commits wait for nobody now."""
        assert self.standby._pg_ctl("promote")
        self.primary, self.standby = self.standby, self.primary

    def replace_standby(self) -> None:
        """Make the dead server a standby that commits wait for, from a copy of the primary."""
        (self.standby.data_dir / "postmaster.pid").unlink()  # else it is waited for
        self.standby.stop()
        shutil.rmtree(self.standby.data_dir)
        self.standby = copy_of(self.primary, self.standby.data_dir)
        self.standby.start()
        require_standby(self.primary, _STANDBY)

    def close(self) -> None:
        """Stop both, dead or alive."""
        self.standby.stop()
        self.primary.stop()


def copy_of(primary: EmbeddedPostgres, directory: Path) -> EmbeddedPostgres:
    """A hot standby of the primary, not yet started."""
    owner = primary.data_dir.stat()
    directory.mkdir(mode=0o700)
    os.chown(directory, owner.st_uid, owner.st_gid)
    standby = EmbeddedPostgres(directory)
    source = f"host={primary.socket_dir} user=postgres application_name={_STANDBY}"
    standby._execute(
        "pg_basebackup", "-D", str(directory), "-d", source, "-R", "-X", "stream", "-c", "fast"
    )
    return standby


@contextmanager
def pair(directory: Path) -> Iterator[Pair]:
    """A primary with the schema that waits for its standby before it calls a commit one."""
    primary = EmbeddedPostgres(directory / "a")
    primary.start()
    servers = Pair(primary, primary)
    try:
        asyncio.run(initialise(primary.migrate_url, 1))
        servers.standby = copy_of(primary, directory / "b")
        servers.standby.start()
        require_standby(primary, _STANDBY)
        yield servers
    finally:
        servers.close()


def require_standby(server: EmbeddedPostgres, name: str) -> None:
    """Make commits wait for the standby of a name; "" for none."""
    configure(server, "synchronous_standby_names", name)


def configure(server: EmbeddedPostgres, setting: str, value: str) -> None:
    """Change a setting of a running server, and return when it is in force."""
    with psycopg.connect(server.migrate_url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'".encode())
        connection.execute("SELECT pg_reload_conf()")
    _wait_until(lambda: query(server.migrate_url, f"SHOW {setting}") == [(value,)])


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
