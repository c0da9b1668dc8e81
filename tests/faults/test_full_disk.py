"""The disk of the database is full, again and again, under load (P9)."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.embedded import DATABASE, SUPERUSER, EmbeddedPostgres
from tests.acceptance.provider import visiting
from tests.acceptance.service import Service
from tests.faults.checker.run import providers

DISK = "256m"
"""The server's files take 50 MB, and its log of writes comes to as much again."""
BETWEEN = 100
FULL_S = 3.0
TIMES = 3


@pytest.fixture
def disk(directory: Path) -> Iterator[Path]:
    """A small file system of its own, where the embedded server's directory will be."""
    place = directory / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root only, and not in every container")
    yield place
    server = EmbeddedPostgres(place / "pg")
    if server.pid is not None:
        server.start()
        server.stop()
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk_loses_nothing_and_ends_by_itself_when_there_is_room(
    disk: Path, embedded_service: Callable[..., Service], directory: Path
) -> None:
    """PostgreSQL crashes where it cannot write its log, and is started again until it can."""
    service = embedded_service(database={"data_dir": str(disk / "pg")})
    url = EmbeddedPostgres(disk / "pg").url(DATABASE, SUPERUSER)
    await asyncio.to_thread(service.start)
    healed = []
    async with (
        visiting(service.base_url, timeout_s=5) as site,
        providers(site, directory, lambda: url) as run,
    ):
        for _ in range(TIMES):
            await run.grows(BETWEEN)
            with filled(disk):
                await asyncio.sleep(FULL_S)
                status, _ = await asyncio.to_thread(service.get, "/health/ready")
                assert status == 503
            began = time.monotonic()
            await run.grows(1)
            healed.append(time.monotonic() - began)
        await run.grows(BETWEEN)
    print(f"first answer {max(healed):.1f} s after there was room, at most")
    run.reckoning.clean({"acknowledged": BETWEEN * TIMES, "unknown": TIMES})
    assert await asyncio.to_thread(service.audit) == 0
    assert service.stop() == 0


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """No byte fits until the block ends."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            yield
        finally:
            ballast.unlink()
