"""Seals the log at intervals, beside the service or apart from it, and keeps the copies.

Money does not depend on seals: whatever goes wrong here is logged, and tried again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
import uvloop

from adapters.children import NICENESS, stop_signals, stop_without
from adapters.seal_copies import SealCopies, UnreadableCopy
from adapters.settings import SealSettings
from adapters.settings_file import load_as_read
from adapters.telemetry import configure_logging
from ledger.repeated import Repeated
from ledger.sealing import NotSealed, Sealer, SealsDiffer
from ledger.seals import Seal, unsigned

log = structlog.get_logger(__name__)


def seal_as_child(file: Path | None, texts: Mapping[Path, str], url: str, parent: int) -> None:
    """Seal in a process of the service's; ends when the service is gone."""
    configure_logging()
    os.nice(NICENESS)
    settings = load_as_read(file, texts)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_seal_under(parent, url, settings.database.partitions, settings.seals))


async def _seal_under(parent: int, url: str, partitions: int, settings: SealSettings) -> None:
    stopped = stop_signals()
    helper = asyncio.create_task(stop_without(parent, stopped))
    await keep_sealed(url, partitions, settings, stopped)
    helper.cancel()


async def keep_sealed(
    url: str, partitions: int, settings: SealSettings, stopped: asyncio.Event
) -> None:
    """Seal every partition at intervals until then. Raises what ended one of them for good."""
    async with asyncio.TaskGroup() as tasks:
        keeping = [
            tasks.create_task(_keep(url, partition, settings), name=f"seals-{partition:02d}")
            for partition in range(partitions)
        ]
        await stopped.wait()
        for task in keeping:
            task.cancel()


async def _keep(url: str, partition: int, settings: SealSettings) -> None:
    failed, differed, uncopied = Repeated(), Repeated(), Repeated()
    sealing = Sealing(url, partition, settings)
    try:
        while True:
            try:
                await sealing.seal()
                await sealing.copy()
            except SealsDiffer as error:
                if times := differed.happened():
                    log.error("seals_differ", partition=partition, error=str(error), times=times)
            except (OSError, UnreadableCopy) as error:
                if times := uncopied.happened():
                    log.error(
                        "seals_not_copied", partition=partition, error=str(error), times=times
                    )
            except NotSealed as error:
                if times := failed.happened():
                    log.warning(
                        "sealing_failed", partition=partition, error=str(error), times=times
                    )
            await asyncio.sleep(settings.interval_s)
    finally:
        await sealing.close()


async def seal_now(url: str, partition: int, settings: SealSettings) -> Seal | None:
    """A partition's newest seal, made where there is something to seal; no copy is kept of it.

    What the copy knows must be there all the same. Raises `NotSealed`, `SealsDiffer`.
    """
    sealing = Sealing(url, partition, settings)
    try:
        return await sealing.seal()
    finally:
        await sealing.close()


class Sealing:
    """Seals a partition, and copies its seals where the configuration says."""

    def __init__(self, url: str, partition: int, settings: SealSettings) -> None:
        """``settings`` must name a key."""
        assert settings.key is not None
        self._partition = partition
        self._sealer = Sealer(url, partition, settings.key, settings.keys)
        self._keys = settings.keys
        self._copies = None if settings.copy_to is None else SealCopies(settings.copy_to)
        self._last: Seal | None = None

    async def seal(
        self, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> Seal | None:
        """Seal what is not sealed; the newest seal. ``progress`` as of `Sealer.advance`.

        It goes on behind the last seal that it knows of: of an earlier turn, of the copy, or where
        no copy is kept the database's own. Raises `NotSealed`, `SealsDiffer`.
        """
        if self._last is None:
            try:
                self._last = await self._copied()
            except (OSError, UnreadableCopy) as error:
                raise NotSealed(f"the copy cannot be read: {error}") from error
            if self._copies is None:
                self._last = await self._sealer.newest()
        self._last = await self._sealer.advance(self._last, progress)
        return self._last

    async def copy(self) -> None:
        """Copy what is not copied yet. Raises OSError, `UnreadableCopy`, and as `seal`."""
        if self._copies is None or self._last is None:
            return
        copied = await self._copied()
        while copied is None or copied.number < self._last.number:
            found = await self._sealer.behind(copied)
            # Those behind the last one are others', and perhaps no standby has them yet.
            seals = [seal for seal in found if seal.number <= self._last.number]
            if not seals:
                raise SealsDiffer(f"seal {self._last.number} is known and not in the database")
            await asyncio.to_thread(self._copies.add, self._partition, seals)
            copied = seals[-1]

    async def close(self) -> None:
        """Close the connection."""
        await self._sealer.close()

    async def _copied(self) -> Seal | None:
        if self._copies is None:
            return None
        newest = await asyncio.to_thread(self._copies.newest, self._partition)
        if newest is not None and (reason := unsigned(newest, self._keys)):
            file = self._copies.file(self._partition)
            raise UnreadableCopy(f"{file}, its last line: {reason}")
        return newest
