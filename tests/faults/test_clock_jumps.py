"""The clocks of service and database jump by a day and back, under load (P9).

Only what they tell of the time of day: how long something takes is measured by another clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ledger.embedded import DATABASE, SUPERUSER, EmbeddedPostgres
from tests.acceptance.provider import visiting
from tests.acceptance.service import Service, copied_seals, sealed
from tests.faults.checker.run import providers

DAY_S = 86_400
JUMPS = (DAY_S, 0, -DAY_S, 3_600, 0)
"""By how much both clocks are ahead of the real one, one after the other."""
NOTICED_S = 1.5
"""The preloaded library looks once a second how late it shall be."""
BETWEEN = 100
SESSIONS_LIVE_S = 30 * DAY_S


async def test_a_clock_that_jumps_moves_no_money_and_refuses_nobody(
    embedded_service: Callable[..., Service], directory: Path
) -> None:
    """Sessions of a month outlast it; events keep their order, and their times never go back."""
    ahead = directory / "ahead"
    ahead.write_text("+0")
    service = embedded_service(
        environment={
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(ahead),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
        },
        server={"workers": 2},
        seals=sealed(directory / "seals"),
        integrations__betbrothers={"session_ttl_s": SESSIONS_LIVE_S},
    )
    url = EmbeddedPostgres(directory / "pg").url(DATABASE, SUPERUSER)
    await asyncio.to_thread(service.start)
    async with (
        visiting(service.base_url, timeout_s=5) as site,
        providers(site, directory, lambda: url) as run,
    ):
        for jump in JUMPS:
            ahead.write_text(f"{jump:+}")
            await asyncio.sleep(NOTICED_S)
            await run.grows(BETWEEN)
    run.reckoning.clean({"acknowledged": BETWEEN * len(JUMPS)})
    assert service.log.count('"clock_jumped"') >= len(JUMPS)
    assert await asyncio.to_thread(service.audit) == 0
    assert copied_seals(service, directory / "seals") > len(JUMPS)
    assert service.stop() == 0


def _library() -> Path:
    """The library itself: what its package does in Python is for one process only."""
    package = find_spec("libfaketime")
    assert package is not None
    assert package.origin is not None
    (library,) = Path(package.origin).parent.rglob("libfaketime.so.1")
    return library
