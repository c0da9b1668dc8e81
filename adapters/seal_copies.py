"""A copy of every seal outside the database: a file a partition, a line a seal, only ever longer.

It is what the database cannot be rewritten behind, so it belongs on another machine or medium.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ledger.seals import MalformedSeal, Seal, from_line, to_line

_TAIL: Final = 64 * 1024
"""A line is half a kilobyte."""


class UnreadableCopy(Exception):
    """A file of seals cannot be read; the text names it, and the line."""


class SealCopies:
    """The files of a directory, which is made where it is missing. Methods raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def file(self, partition: int) -> Path:
        """Where a partition's seals are."""
        return self._directory / f"seals-{partition:02d}.jsonl"

    def newest(self, partition: int) -> Seal | None:
        """The last seal that is there; what follows it of a line that was cut off is passed over.

        Raises `UnreadableCopy`.
        """
        file = self.file(partition)
        try:
            with file.open("rb") as found:
                found.seek(max(found.seek(0, os.SEEK_END) - _TAIL, 0))
                lines = found.read().split(b"\n")[:-1]
                if not lines and found.tell() > _TAIL:
                    raise UnreadableCopy(f"{file}: its end is no line of a seal")
        except FileNotFoundError:
            return None
        return _read(file, "its last line", lines[-1]) if lines else None

    def add(self, partition: int, seals: Sequence[Seal]) -> None:
        """Add seals behind those that are there; on the disk when this returns.

        Those that another process has added meanwhile are left out. Raises `UnreadableCopy`.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with self.file(partition).open("a+b") as kept:
            fcntl.flock(kept, fcntl.LOCK_EX)  # until it is closed
            newest = self.newest(partition)
            kept.truncate(_end_of_lines(kept.seek(0, os.SEEK_END), kept.fileno()))
            number = 0 if newest is None else newest.number
            added = [seal for seal in seals if seal.number > number]
            kept.write(b"".join(to_line(seal) + b"\n" for seal in added))
            kept.flush()
            os.fsync(kept.fileno())


def read_copy(file: Path, partition: int) -> Iterator[Seal]:
    """The partition's seals in a file, which must be in order; not a last line that was cut off.

    What is added behind the first one's reading is left out: it is newer than what the database
    may be read as of. Raises `UnreadableCopy`.
    """
    last = 0
    try:
        with file.open("rb") as lines:
            unread = os.fstat(lines.fileno()).st_size
            for place, line in enumerate(lines, 1):
                unread -= len(line)
                if unread < 0:
                    return
                try:
                    seal = _read(file, f"line {place}", line.removesuffix(b"\n"))
                except UnreadableCopy:
                    if line.endswith(b"\n"):
                        raise
                    return
                if seal.partition == partition:
                    if seal.number <= last:
                        raise UnreadableCopy(f"{file}, line {place}: seals are not in order")
                    last = seal.number
                    yield seal
    except OSError as error:
        raise UnreadableCopy(f"{file}: {error.strerror}") from error


def _read(file: Path, place: str, line: bytes) -> Seal:
    try:
        return from_line(line)
    except MalformedSeal as error:
        raise UnreadableCopy(f"{file}, {place}: {error}") from error


def _end_of_lines(size: int, number: int) -> int:
    """How long the file is up to the end of its last whole line."""
    start = max(size - _TAIL, 0)
    return start + os.pread(number, size - start, start).rfind(b"\n") + 1
