"""PostgreSQL 18 from a wheel, run on a unix socket: the database where none is configured.

The server outlives the process that started it, so that a killed service finds it again; it stops
with the last process that uses it. Its data directory must never be handed to another server.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import psycopg
import structlog
from psycopg import sql

from ledger.postgres_programs import (
    MAJOR_VERSION,
    PROCESSES,
    EmbeddedError,
    binaries,
    execute,
    make_reachable,
    server_account,
    server_processes,
    serves,
)
from ledger.sql import embedded_login

__all__ = ["DATABASE", "SUPERUSER", "EmbeddedError", "EmbeddedPostgres"]

log = structlog.get_logger(__name__)

DATABASE: Final = "wallet_ledger"
"""The database, and the login of the service."""

SUPERUSER: Final = "postgres"
"""The login that creates and upgrades the schema."""

_PORT: Final = 5432
_SOCKET_NAME: Final = f".s.PGSQL.{_PORT}"
_SOCKET_PATH_BYTES_MAX: Final = 103  # 107 on Linux, 103 on macOS
_START_S: Final = 60.0
_LAUNCH_S: Final = 5
_LAUNCH_TRIES: Final = 3
_RETRY_PAUSE_S: Final = 0.2
_WATCH_INTERVAL_S: Final = 0.1
_RESTART_PAUSE_S: Final = 1.0
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_FATAL: Final = re.compile(
    r"FATAL(?!.*contains errors)|PANIC|invalid value|unrecognized|syntax error|LOG: +could not open"
)
_INITDB: Final = (
    f"--username={SUPERUSER}",
    "--encoding=UTF8",
    # Texts compare by their bytes: the fastest there is, and the same on every machine.
    "--locale-provider=builtin",
    "--locale=C.UTF-8",
    "--lc-messages=C",
    # The socket is the guard: only its owner (and root) reaches it.
    "--auth-local=trust",
    "--auth-host=reject",
)


def _shared_buffers() -> str:
    """An eighth of what memory the machine or its container has, from 128 MB to 4 GB.

    A log's indexes must stay in it, or views slow down as it grows.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or "max"
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return f"{min(max(memory >> 23, 128), 4096)}MB"


_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # Durability, stated so that nobody need look up a default.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    "max_wal_size": "4GB",
    # What a busy hour has made of the log stays for the next: commits wait while files are made.
    "min_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "shared_buffers": _shared_buffers(),
    "max_connections": "200",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A week of logs, each day over the one before it.
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
}


class EmbeddedPostgres:
    """A PostgreSQL server in ``data_dir`` (relative: to the working directory).

    Several processes may use the same directory at once. ``settings`` are further server
    parameters, in force whenever this object starts the server.
    """

    def __init__(
        self, data_dir: str | Path = "var/postgres", *, settings: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self._settings = dict(settings or {})
        self._use: int | None = None
        self._launched_at = datetime.now(UTC)
        self._complaint = "it does not say why"

    def start(self) -> None:
        """Start the server or adopt the one that runs; returns when it takes connections.

        Creates the data directory, the database `wallet_ledger` and its login where they are
        missing. Blocks for up to a minute. Raises `EmbeddedError`; OSError where a directory cannot
        be made, `psycopg.Error` where the server does not do what it is asked at its start.
        """
        with self._exclusive():
            if self._account() is not None:
                make_reachable(self.data_dir)
                make_reachable(binaries() / "postgres")
            if not (self.data_dir / "PG_VERSION").exists():
                self._create()
            self._check_version()
            self._run()
            if self._use is None:
                self._use = os.open(self.data_dir, os.O_RDONLY)
                fcntl.flock(self._use, fcntl.LOCK_SH)
            self._create_database()

    def stop(self) -> None:
        """Stop the server, unless another process still uses it."""
        with self._exclusive():
            if self._use is None:
                return
            try:
                fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("embedded_postgres_left_running", data_dir=str(self.data_dir))
            else:
                self._pg_ctl("stop", "-m", "fast", "-t", "60")
            os.close(self._use)
            self._use = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def url(self, database: str = DATABASE, user: str = DATABASE) -> str:
        """The address of a database for a login: the service's, or `SUPERUSER`."""
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{quote(user)}@/{quote(database)}?host={host}&port={_PORT}"

    @property
    def migrate_url(self) -> str:
        """The address for `ledger.schema.initialise`."""
        return self.url(user=SUPERUSER)

    @property
    def socket_dir(self) -> Path:
        """Where the server's socket is: the data directory, or where its path is too long, /tmp."""
        if len(os.fsencode(self.data_dir / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES_MAX:
            return self.data_dir
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"wallet-ledger-{digest}"

    @property
    def _socket(self) -> Path:
        return self.socket_dir / _SOCKET_NAME

    @property
    def _socket_lock(self) -> Path:
        return self.socket_dir / f"{_SOCKET_NAME}.lock"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None where no server runs."""
        lines = self._pid_file()
        if not lines or not lines[0].strip().isdecimal():
            return None
        pid = int(lines[0])
        return pid if serves(pid, self.data_dir) else None

    def is_running(self) -> bool:
        """Whether the server runs and takes connections."""
        return self.pid is not None and self._state() in {"ready", "standby"}

    async def watch(self) -> None:
        """Start the server again whenever it dies, until cancelled."""
        while True:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            if self._use is not None and self.pid is None:
                try:
                    await asyncio.to_thread(self._restart)
                except (EmbeddedError, OSError) as error:
                    log.error("embedded_postgres_restart_failed", error=str(error))
                    await asyncio.sleep(_RESTART_PAUSE_S)

    def _restart(self) -> None:
        with self._exclusive():
            if self._use is None or self.pid is not None:
                return  # it was stopped on purpose, or another process was first
            log.error("embedded_postgres_died", data_dir=str(self.data_dir))
            started = time.monotonic()
            self._run()
            seconds = round(time.monotonic() - started, 3)
            log.warning("embedded_postgres_restarted", seconds=seconds, pid=self.pid)

    # -- the server -------------------------------------------------------------------------------

    def _run(self) -> None:
        """Launch until the server takes connections.

        Recovery, and leftovers of a dead one, pass.
        """
        deadline = time.monotonic() + _START_S
        failures = 0
        while not self.is_running():
            if self.pid is not None:
                time.sleep(0.02)  # starting, recovering, or on its way down
            elif not self._launch():
                failures += 1
                if failures >= _LAUNCH_TRIES:
                    raise EmbeddedError(f"PostgreSQL does not start: {self._last_words()}")
                log.warning("embedded_postgres_start_failed", error=self._last_words())
                time.sleep(_RETRY_PAUSE_S * failures)
            if time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL is not ready: {self._last_words()}")

    def _launch(self) -> bool:
        """One try. What a killed postmaster left behind is cleared first.

        False: it did not start.
        """
        if self._answers():
            raise EmbeddedError(f"a server that is not of this system runs in {self.data_dir}")
        if PROCESSES.is_dir():
            # Where processes cannot be seen, PostgreSQL itself decides what is stale.
            self._end_orphans()
            for stale in (self.data_dir / "postmaster.pid", self._socket, self._socket_lock):
                stale.unlink(missing_ok=True)
        self._prepare_socket_dir()
        self._launched_at = datetime.now(UTC)
        settings = {"unix_socket_directories": str(self.socket_dir), "port": str(_PORT)}
        options = " ".join(
            f"-c {shlex.quote(f'{name}={value}')}"
            for name, value in (settings | self._settings).items()
        )
        log_file = str(self.data_dir / "start.log")
        started = self._pg_ctl("start", "-w", "-t", str(_LAUNCH_S), "-l", log_file, "-o", options)
        return started or self.pid is not None

    def _answers(self) -> bool:
        """Whether somebody listens, perhaps from a container whose processes are hidden from us."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._socket)) == 0

    def _end_orphans(self) -> None:
        """Kill backends whose postmaster is dead.

        They keep its shared memory, and recovery waits.
        """
        for pid in server_processes(self.data_dir):
            log.warning("embedded_postgres_orphan_killed", pid=pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _LAUNCH_S
        while server_processes(self.data_dir) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _pid_file(self) -> list[str]:
        try:
            return (self.data_dir / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _state(self) -> str:
        lines = self._pid_file()
        return lines[7].strip() if len(lines) > 7 else ""

    def _last_words(self) -> str:
        """Why the last launch failed, in the server's words or in those of pg_ctl."""
        words = self._complaint
        for log_file in (self.data_dir / "start.log", *self.data_dir.glob("log/*.log")):
            with suppress(OSError):
                for line in log_file.read_text(errors="replace").splitlines():
                    if line >= f"{self._launched_at:%Y-%m-%d %H:%M:%S}" and _FATAL.search(line):
                        words = line
        return words

    # -- the data directory -----------------------------------------------------------------------

    def _create(self) -> None:
        """Make the data directory beside its place, and move it there whole."""
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise EmbeddedError(f"{self.data_dir} is not empty and holds no database")
        if self.data_dir.is_mount():
            raise EmbeddedError(f"{self.data_dir} is a mount point: name a directory below it")
        fresh = self.data_dir.with_name(f".{self.data_dir.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        account = self._account()
        if account is not None:
            os.chown(fresh, account.pw_uid, account.pw_gid)
        settings = [part for item in _SETTINGS.items() for part in ("-c", "=".join(item))]
        self._execute("initdb", "-D", str(fresh), *_INITDB, *settings)
        fresh.rename(self.data_dir)
        log.info("embedded_postgres_created", data_dir=str(self.data_dir))

    def _check_version(self) -> None:
        version = (self.data_dir / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise EmbeddedError(
                f"{self.data_dir} belongs to PostgreSQL {version}, this is {MAJOR_VERSION}"
            )

    def _create_database(self) -> None:
        with psycopg.connect(self.url("postgres", SUPERUSER), autocommit=True) as connection:
            connection.execute(embedded_login())
            query = "SELECT FROM pg_catalog.pg_database WHERE datname = %s"
            if connection.execute(query, (DATABASE,)).fetchone() is None:
                name = sql.Identifier(DATABASE)
                connection.execute(sql.SQL("CREATE DATABASE {}").format(name))

    def _prepare_socket_dir(self) -> None:
        """A directory of our own in /tmp: nobody else may have put it there."""
        if self.socket_dir == self.data_dir:
            return
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        account = self._account()
        owner = os.geteuid() if account is None else account.pw_uid
        if account is not None and self.socket_dir.lstat().st_uid == 0:
            os.chown(self.socket_dir, account.pw_uid, account.pw_gid, follow_symlinks=False)
        found = self.socket_dir.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
            raise EmbeddedError(f"{self.socket_dir} is not a private directory of this user")

    # -- commands ---------------------------------------------------------------------------------

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.data_dir.with_name(f".{self.data_dir.name}.lock"), _LOCK_FLAGS, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _pg_ctl(self, action: str, *options: str) -> bool:
        try:
            self._execute("pg_ctl", action, "-D", str(self.data_dir), "-s", *options)
        except EmbeddedError as error:
            self._complaint = str(error)
            log.info("embedded_postgres_pg_ctl", action=action, error=self._complaint)
            return False
        return True

    def _execute(self, program: str, *arguments: str) -> None:
        execute(self._account(), program, *arguments)

    def _account(self) -> pwd.struct_passwd | None:
        return server_account(self.data_dir)
