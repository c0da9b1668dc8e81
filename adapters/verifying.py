"""Verifies the whole log in several processes: each is bound by its core."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Final, TypeAlias, cast

import psycopg

from adapters.command_line import CommandError
from ledger.audit import Share, Verified, verify
from ledger.currencies import Currencies

_CONTEXT: Final = multiprocessing.get_context("spawn")

_Message: TypeAlias = int | list[Verified] | psycopg.Error
"""How many events a process has verified so far; then what it found, or why it could not go on."""


def verify_all(
    url: str, partitions: int, currencies: Currencies, jobs: int, show: Callable[[int], None]
) -> list[Verified]:
    """Verify every partition, its streams shared out to ``jobs`` processes; one a partition.

    ``show`` is told how many events were verified so far. Raises `psycopg.Error`, and
    `CommandError` where a process was killed.
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
            with sender:
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


def _received(receiver: Connection) -> int | list[Verified]:
    try:
        message: _Message = receiver.recv()
    except EOFError:
        raise CommandError("a process of the audit was ended: is there memory left?") from None
    if isinstance(message, psycopg.Error):
        raise message
    return message


def _verify(sender: Connection, url: str, shares: list[Share], currencies: Currencies) -> None:
    """A process: its shares one after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to hear
    verified: list[Verified] = []

    def tell(events: int) -> None:
        sender.send(sum(each.events for each in verified) + events)

    try:
        for share in shares:
            verified += [asyncio.run(verify(url, share, currencies, tell))]
    except psycopg.Error as error:
        sender.send(error)
    else:
        sender.send(verified)
