"""Services with a database server of their own, which a test may kill."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.embedded import EmbeddedPostgres
from tests.acceptance.service import Service
from tests.faults.pair import Pair, pair


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short name, so that the path of a socket fits."""
    made = Path(tempfile.mkdtemp(prefix="wl-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def embedded_service(directory: Path) -> Iterator[Callable[..., Service]]:
    """Makes a service on an embedded database of its own; both are gone after the test."""
    services: list[Service] = []

    def make(**sections: Any) -> Service:
        database = {"data_dir": str(directory / "pg"), **sections.pop("database", {})}
        services.append(Service(directory, database=database, **sections))
        return services[-1]

    yield make
    for service in services:
        service.close()
    server = EmbeddedPostgres(directory / "pg")
    if server.pid is not None:
        server.start()
        server.stop()


@pytest.fixture
def servers(directory: Path) -> Iterator[Pair]:
    """A primary and its synchronous standby."""
    with pair(directory) as servers:
        yield servers
