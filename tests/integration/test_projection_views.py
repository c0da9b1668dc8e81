"""The views hold what the events say, however the log was cut into batches."""

from __future__ import annotations

from ledger.store import Store
from projections.rebuild import compare
from projections.registry import VIEW_NAMES
from projections.runner import Runner, RunnerLimits
from tests.integration.projection_history import History, contents


async def catch_up(url: str, batch_max: int = 5_000) -> None:
    """Bring every view to the head."""
    runner = Runner(url, 0, limits=RunnerLimits(batch_max=batch_max))
    try:
        await runner.catch_up()
        assert [writer.error for writer in runner.writers] == [None] * 5
    finally:
        await runner.close()


async def test_smoke(store: Store, database_url: str):
    """First light."""
    history = History()
    history.play(500)
    await history.append(store)
    await catch_up(database_url)
    found = contents(database_url)
    for table, rows in found.items():
        print(table, len(rows), rows[:2])
    for name in VIEW_NAMES:
        assert await compare(database_url, 0, name) == []
