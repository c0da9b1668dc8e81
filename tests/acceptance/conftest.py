"""A database for services: with the schema of as many partitions as the test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.embedded import SUPERUSER, EmbeddedPostgres
from tests.acceptance.provider import Site, visiting
from tests.acceptance.service import Service, running
from tests.conftest import Databases


@pytest.fixture
def shared_database(database_url: str, admin_url: str) -> dict[str, Any]:
    """The section of a configuration for a fresh database of one partition."""
    return {"url": database_url, "migrate_url": admin_url}


@pytest.fixture
def four_partitions(postgres: EmbeddedPostgres, databases: Databases) -> Iterator[dict[str, Any]]:
    """The section of a configuration for a fresh database of four partitions."""
    with databases.fresh(databases.template(4)) as name:
        yield {
            "url": postgres.url(name),
            "migrate_url": postgres.url(name, SUPERUSER),
            "partitions": 4,
        }


@pytest.fixture
def service(tmp_path: Path, shared_database: dict[str, Any]) -> Iterator[Service]:
    """A running service of one worker on a fresh database."""
    with running(tmp_path / "service", database=shared_database) as service:
        yield service


@pytest.fixture
async def site(service: Service) -> AsyncIterator[Site]:
    """That service, as providers and the operator see it."""
    async with visiting(service.base_url) as site:
        yield site
