"""One service for all conformance tests of a worker: every test brings players of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.conformance.configuration import configure, write_keys
from tests.acceptance.conformance.service import Guest, Service, serving
from tests.acceptance.conformance.wire import Wire
from tests.acceptance.conformance.wires import WIRES


@pytest.fixture(scope="session")
def configuration_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the configuration and the RSA keys are."""
    directory = tmp_path_factory.mktemp("conformance")
    write_keys(directory)
    return directory


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service(
    postgres, databases, template_database, configuration_directory
) -> AsyncIterator[Service]:
    """The whole service on a database of its own."""
    settings = configure(configuration_directory)
    with databases.fresh(template_database) as name:
        log = configuration_directory / "log"
        async with serving(settings, postgres.url(name), log) as running:
            yield running


MakeWire = Callable[..., Wire]


@pytest.fixture
def make_wire(service) -> MakeWire:
    """Another integration of a protocol, or another key: ``make_wire("gpas", "-today")``."""

    def make(protocol: str, ending: str = "", *, key: str = "current") -> Wire:
        return WIRES[protocol](service, protocol + ending, key=key)

    return make


@pytest.fixture
def wire(protocol, make_wire) -> Wire:
    """The protocol's integration with every switch at its default."""
    made: Wire = make_wire(protocol)
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def guest(service, wire) -> Guest:
    """A player with 100.00 EUR of real money and a session."""
    made: Guest = await service.guest(wire)
    return made
