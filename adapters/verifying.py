"""Verifies the whole log in several processes: each is bound by its core."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Final, TypeAlias, cast

import psycopg

from adapters.command_line import WRONG, CommandError
from ledger.audit import Share, Verified, verify
from ledger.currencies import Currencies

_CONTEXT: Final = multiprocessing.get_context("spawn")

_Message: TypeAlias = int | list[Verified] | Exception
"""How many events a process has verified so far; then what it found, or why it could not go on."""


def verify_all(
    url: str, partitions: int, currencies: Currencies, jobs: int, show: Callable[[int], None]
) -> list[Verified]:
    """Verify every partition, its streams shared out to ``jobs`` processes; one a partition.

    ``show`` is told how many events were verified so far. Raises `psycopg.Error`, and
    `CommandError` where a process was killed. From the main thread only.
    """
    found: list[list[Verified]] = []
    counts: dict[Connection, int] = {}
    processes = []
    try:
        for number in range(jobs):
            receiver, sender = _CONTEXT.Pipe(duplex=False)
            shares = [Share(each, partitions, number, jobs) for each in range(partitions)]
            process = _CONTEXT.Process(
                target=_verify, args=(sender, url, shares, currencies), daemon=True
            )
            with sender, _deaf():
                process.start()
            processes.append(process)
            counts[receiver] = 0
        working = set(counts)
        while working:
            for receiver in cast("list[Connection]", wait(working)):
                message = _received(receiver)
                if isinstance(message, int):
                    counts[receiver] = message
                    show(sum(counts.values()))
                else:
                    found.append(message)
                    working.remove(receiver)
    finally:
        for process in processes:
            process.terminate()
            process.join()
    return [_joined(parts) for parts in zip(*found, strict=True)]


def _joined(parts: Sequence[Verified]) -> Verified:
    """What the processes found in one partition."""
    first, *others = parts
    for other in others:
        first.findings.join(other.findings)
    events, streams = (sum(each.events for each in parts), sum(each.streams for each in parts))
    return Verified(events, streams, first.findings)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started meanwhile do not hear Ctrl-C: it is for this one."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _received(receiver: Connection) -> int | list[Verified]:
    try:
        message: _Message = receiver.recv()
    except EOFError:
        raise CommandError("a process of the audit was killed: is there memory left?") from None
    if isinstance(message, Exception):
        raise message
    return message


def _verify(sender: Connection, url: str, shares: list[Share], currencies: Currencies) -> None:
    """A process: its shares one after the other."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    verified: list[Verified] = []

    def tell(events: int) -> None:
        _send(sender, sum(each.events for each in verified) + events)

    try:
        for share in shares:
            verified += [asyncio.run(verify(url, share, currencies, tell))]
    except Exception as error:  # noqa: BLE001 - the process's edge: the parent raises it
        if not isinstance(error, psycopg.Error):
            error.add_note(traceback.format_exc())
        _send(sender, error)
    else:
        _send(sender, verified)


def _send(sender: Connection, message: _Message) -> None:
    with suppress(BrokenPipeError):  # nobody waits any more: this process is about to end
        sender.send(message)


def _end_with_parent() -> None:
    """End at once when the parent has, whatever the database is busy with."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(WRONG)
