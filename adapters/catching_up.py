"""Brings the views to the head of the log for a command: without a service nobody else does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from psycopg.errors import InsufficientPrivilege

from projections.runner import Runner


async def catch_up(url: str, partitions: Iterable[int]) -> None:
    """Move every view that no other process runs; those of others move by themselves.

    A login that may not write views leaves them as they are. Raises `psycopg.Error`.
    """
    for partition in partitions:
        runner = Runner(url, partition)
        try:
            with contextlib.suppress(InsufficientPrivilege):
                await runner.catch_up()
        finally:
            await runner.close()
