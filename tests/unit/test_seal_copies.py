"""Copies of seals: whole lines, in order, only ever longer, whatever the machine was doing."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters import seal_copies
from adapters.seal_copies import SealCopies, UnreadableCopy, read_copy
from ledger.chain import GENESIS
from ledger.seals import Seal, to_line

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


def seal(number: int, partition: int = 0) -> Seal:
    """A seal of that number."""
    return Seal(
        partition=partition,
        number=number,
        through_id=10 * number,
        events=10,
        root=bytes(32),
        previous=GENESIS,
        sealed_at=NOON + timedelta(seconds=number),
        key_id="0123abcd",
        signature=bytes(64),
    )


@pytest.fixture
def copies(tmp_path: Path) -> SealCopies:
    """A directory that is not there yet."""
    return SealCopies(tmp_path / "copies")


def numbers(file: Path, partition: int = 0) -> list[int]:
    """What an audit would read."""
    return [each.number for each in read_copy(file, partition)]


def test_each_partition_has_a_file(copies, tmp_path):
    """The files sort as the partitions do; nothing is made for a question."""
    assert copies.file(7) == tmp_path / "copies" / "seals-07.jsonl"
    assert copies.newest(7) is None
    assert not (tmp_path / "copies").exists()


def test_what_is_added_is_what_is_read(copies):
    """Line by line, as the command prints them."""
    copies.add(0, [seal(1), seal(2)])
    copies.add(0, [seal(3)])
    assert copies.newest(0) == seal(3)
    assert list(read_copy(copies.file(0), 0)) == [seal(1), seal(2), seal(3)]
    text = copies.file(0).read_bytes()
    assert text == b"".join(to_line(seal(number)) + b"\n" for number in (1, 2, 3))


def test_what_is_there_already_is_not_added_again(copies):
    """Another process was faster."""
    copies.add(0, [seal(1), seal(2), seal(3)])
    copies.add(0, [seal(2), seal(3), seal(4)])
    copies.add(0, [seal(1)])
    assert numbers(copies.file(0)) == [1, 2, 3, 4]


def test_one_process_waits_for_another(copies):
    """Each reads where the file ends before it writes there."""
    copies.add(0, [seal(1)])
    with copies.file(0).open("rb") as held, ThreadPoolExecutor() as threads:
        fcntl.flock(held, fcntl.LOCK_EX)
        adding = threads.submit(copies.add, 0, [seal(2), seal(3)])
        with pytest.raises(TimeoutError):
            adding.result(0.2)
        with copies.file(0).open("ab") as other:
            other.write(to_line(seal(2)) + b"\n")
        fcntl.flock(held, fcntl.LOCK_UN)
        adding.result(20)
    assert numbers(copies.file(0)) == [1, 2, 3]


def test_what_is_added_is_on_the_disk(copies, monkeypatch):
    """A copy that a power cut takes away is none."""
    synced: list[bytes] = []

    def sync(number: int) -> None:
        synced.append(os.pread(number, 100_000, 0))

    monkeypatch.setattr(os, "fsync", sync)
    copies.add(0, [seal(1)])
    assert synced == [to_line(seal(1)) + b"\n"]


@pytest.mark.parametrize("tail", [None, 1_000])
@pytest.mark.parametrize("cut", range(0, 450, 50))
def test_wherever_a_line_is_cut_off_it_is_written_anew(cut, tail, copies, monkeypatch):
    """Nothing before it is touched, however little is read from the end."""
    if tail is not None:
        monkeypatch.setattr(seal_copies, "_TAIL", tail)
    file = copies.file(0)
    copies.add(0, [seal(number) for number in range(1, 10)])
    with file.open("ab") as kept:
        kept.write(to_line(seal(10))[:cut])
    assert copies.newest(0) == seal(9)
    assert numbers(file)[:9] == [*range(1, 10)]
    copies.add(0, [seal(10), seal(11)])
    assert numbers(file) == [*range(1, 12)]


def test_the_newest_of_a_long_file_is_found(copies):
    """A year's file is not read whole every five seconds."""
    copies.add(0, [seal(number) for number in range(1, 1_000)])
    assert copies.file(0).stat().st_size > 2 * seal_copies._TAIL
    assert copies.newest(0) == seal(999)


@pytest.mark.parametrize("garbage", [b"garbage\n", b"\n", b"{}\n", b"\0" * 200_000, b"x" * 70_000])
def test_a_file_that_is_no_copy_is_left_as_it_is(garbage, copies):
    """What cannot be the rest of a line is not cut off."""
    copies.add(0, [seal(1)])
    file = copies.file(0)
    for text in (garbage, file.read_bytes() + garbage):
        file.write_bytes(text)
        with pytest.raises(UnreadableCopy, match=r"seals-00\.jsonl"):
            copies.newest(0)
        with pytest.raises(UnreadableCopy, match=r"seals-00\.jsonl"):
            copies.add(0, [seal(2)])
        assert file.read_bytes() == text


def test_a_place_that_is_no_directory_is_an_error_of_the_system(tmp_path):
    """The caller tells it from one without a copy."""
    (tmp_path / "file").write_text("")
    copies = SealCopies(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        copies.newest(0)
    with pytest.raises(FileExistsError):
        copies.add(0, [seal(1)])


def test_other_partitions_are_passed_over(tmp_path):
    """One file may hold what a command printed of all of them, each in its own order."""
    file = tmp_path / "known"
    given = [seal(5, 1), seal(1), seal(6, 1), seal(2)]
    file.write_bytes(b"".join(to_line(each) + b"\n" for each in given))
    assert numbers(file, 0) == [1, 2]
    assert numbers(file, 1) == [5, 6]
    assert numbers(file, 2) == []


@pytest.mark.parametrize("second", [3, 2])
def test_seals_that_are_not_in_order_are_refused(second, tmp_path):
    """They would be compared with the wrong ones, and missed or passed over."""
    file = tmp_path / "known"
    file.write_bytes(b"".join(to_line(seal(number)) + b"\n" for number in (3, second)))
    seals = read_copy(file, 0)
    assert next(seals) == seal(3)
    with pytest.raises(UnreadableCopy, match="line 2: seals are not in order"):
        next(seals)


@pytest.mark.parametrize("first", [0, -1])
def test_a_first_number_below_one_is_refused(first, tmp_path):
    """No seal has one."""
    file = tmp_path / "known"
    file.write_bytes(to_line(seal(first)) + b"\n")
    with pytest.raises(UnreadableCopy, match="line 1: no seal"):
        numbers(file)


@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_line_that_is_none_is_named(place, tmp_path):
    """In a file of millions."""
    file = tmp_path / "known"
    lines = [to_line(seal(number)) + b"\n" for number in (1, 2, 3)]
    lines[place - 1] = b"no seal\n"
    file.write_bytes(b"".join(lines))
    with pytest.raises(UnreadableCopy, match=f"known, line {place}: no seal: "):
        numbers(file)


def test_what_is_added_while_it_is_read_is_left_out(copies):
    """It may be newer than the database that it is compared with."""
    copies.add(0, [seal(1), seal(2)])
    seals = read_copy(copies.file(0), 0)
    assert next(seals) == seal(1)
    copies.add(0, [seal(number) for number in range(3, 100)])
    assert list(seals) == [seal(2)]


def test_a_file_that_is_missing_is_named(tmp_path):
    """It was there when the command began."""
    with pytest.raises(UnreadableCopy, match="missing: No such file or directory"):
        numbers(tmp_path / "missing")
