"""How many connections the embedded database allows: all that the service may hold at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.database import _connections_needed
from adapters.settings import Database, Settings


@pytest.mark.parametrize("partitions", [1, 100])
def test_the_sealer_of_each_partition_has_a_connection(partitions):
    """With a hundred partitions it would have been the service's calls that got none.

    A partition holds seven for its views, three a worker, and one for its seals.
    """
    settings = Settings(database=Database(partitions=partitions))
    for workers in (1, 4):
        server = replace(settings.server, workers=workers)
        needed = _connections_needed(replace(settings, server=server))
        assert needed >= partitions * (7 + 3 * workers + 1) + 60
