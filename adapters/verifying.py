"""Verifies the whole log in several processes: each is bound by its core."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Final, TypeAlias, cast

import msgspec
import psycopg

from adapters.command_line import WRONG, CommandError
from ledger.audit import Share, Verified, verify
from ledger.currencies import Currencies
from ledger.findings import Findings

_CONTEXT: Final = multiprocessing.get_context("spawn")


class Outcome(msgspec.Struct):
    """What was verified, a partition each; ``error``: what kept the rest from it."""

    verified: list[Verified]
    error: Exception | None = None


_Message: TypeAlias = int | Outcome
"""How many events a process has verified so far; at last what it found."""


def verify_all(
    url: str, partitions: int, currencies: Currencies, jobs: int, show: Callable[[int], None]
) -> Outcome:
    """Verify every partition, the streams of each shared out to ``jobs`` processes.

    ``show`` is told how many events were verified so far. An error is a `psycopg.Error`, or a
    `CommandError` where a process was killed; the other processes go on. From the main thread only.
    """
    outcome = Outcome([Verified(Findings(partition)) for partition in range(partitions)])
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
                    for mine, theirs in zip(outcome.verified, message.verified, strict=False):
                        mine.join(theirs)
                    outcome.error = outcome.error or message.error
                    working.remove(receiver)
    finally:
        for process in processes:
            process.terminate()
            process.join()
    return outcome


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started meanwhile do not hear Ctrl-C: it is for this one."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _received(receiver: Connection) -> _Message:
    try:
        message: _Message = receiver.recv()
    except EOFError:
        killed = CommandError("a process of the audit was killed: is there memory left?")
        return Outcome([], killed)
    return message


def _verify(sender: Connection, url: str, shares: list[Share], currencies: Currencies) -> None:
    """A process: its shares one after the other."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    outcome = Outcome([Verified(Findings(share.partition)) for share in shares])

    def tell() -> None:
        _send(sender, sum(each.events for each in outcome.verified))

    try:
        for share, verified in zip(shares, outcome.verified, strict=True):
            asyncio.run(verify(url, share, currencies, verified, tell))
    except Exception as error:  # noqa: BLE001 - the process's edge: the parent raises it
        if not isinstance(error, psycopg.Error):
            error.add_note(traceback.format_exc())
        outcome.error = error
    _send(sender, outcome)


def _send(sender: Connection, message: _Message) -> None:
    with suppress(BrokenPipeError):  # nobody waits any more: this process is about to end
        sender.send(message)


def _end_with_parent() -> None:
    """End at once when the parent has, whatever the database is busy with."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(WRONG)
