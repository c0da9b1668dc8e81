"""A run of the checker: providers in a process of their own, faults by the test, the reckoning."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from tests.acceptance.provider import Site
from tests.acceptance.service import ROOT
from tests.faults.checker import history
from tests.faults.checker.check import Result, check
from tests.faults.checker.clients import Orders
from tests.faults.checker.history import FINAL_BELOW, History
from tests.faults.checker.log import dump
from tests.faults.ledgers import query

HOT_PLAYERS = 3
CLIENTS = 6
REAL, BONUS = 150, 50
"""Main units that each player begins with."""
POLL_S = 0.05
SNAPSHOT_S = 0.5
SETTLE_S = 300.0
JOURNAL_MAY_MISS_S = 1.0
"""So much of the call journal a crash may cost, counted back from the crash."""
SEEN_LATE_S = 0.1
"""So long after it was sent a client may see an answer."""


@dataclass
class Reckoning:
    """What a run came to."""

    history: History = field(default_factory=History)
    result: Result = field(default_factory=Result)

    def clean(self, least: dict[str, int]) -> None:
        """Nothing was found, and each of these situations was reached so often (I11)."""
        assert not self.result.findings, "\n".join(self.result.findings)
        reached = self.result.situations
        print(", ".join(f"{times} {name}" for name, times in sorted(reached.items())))
        short = {name: reached[name] for name, times in least.items() if reached[name] < times}
        assert not short, f"too seldom to show anything: {short}"


class Run:
    """The providers, while they play. ``url``: the database as a superuser, wherever it is now."""

    def __init__(self, file: Path, url: Callable[[], str], partitions: int, *, views: bool) -> None:
        self._file = file
        self._url = url
        self._partitions = partitions
        self._views = views
        self._read = 0
        self._looked = 0.0
        self._acknowledged = 0
        self.snapshots = 0
        """How often the double entry was seen to sum to zero while they played."""
        self.reckoning = Reckoning()

    async def grows(self, calls: int, deadline_s: float = 120.0) -> None:
        """Wait until so many further calls were acknowledged."""
        wanted = self._count() + calls
        await self._looks_until(lambda: self._count() >= wanted, deadline_s)

    async def is_seen(self, deadline_s: float = 120.0) -> None:
        """Wait until the double entry was looked at once more."""
        wanted = self.snapshots + 1
        await self._looks_until(lambda: self.snapshots >= wanted, deadline_s)

    async def _looks_until(self, true: Callable[[], bool], deadline_s: float) -> None:
        async with asyncio.timeout(deadline_s):
            while not true():
                await asyncio.to_thread(self._look)
                await asyncio.sleep(POLL_S)

    def _count(self) -> int:
        """Reads what the file has got since the last time, up to its last whole line."""
        if not self._file.exists():
            return 0
        with self._file.open("rb") as file:
            file.seek(self._read)
            lines = file.read()
        lines = lines[: lines.rfind(b"\n") + 1]
        self._read += len(lines)
        self._acknowledged += lines.count(b'"status":200')
        return self._acknowledged

    def _look(self) -> None:
        """I7: in every snapshot each currency's postings sum to zero."""
        if not self._views or time.monotonic() < self._looked + SNAPSHOT_S:
            return
        self._looked = time.monotonic()
        for partition in range(self._partitions):
            statement = (
                f"SELECT currency, sum(amount) FROM ledger_p{partition:02}.journal"
                " GROUP BY 1 HAVING sum(amount) <> 0"
            )
            try:
                assert query(self._url(), statement) == []
            except psycopg.OperationalError:
                return  # it was killed
        self.snapshots += 1

    def reckon(self) -> None:
        """Compare what was told with what the database holds."""
        of = history.read(self._file)
        result = check(of, dump(self._url(), self._partitions))
        self.reckoning = Reckoning(of, result)
        if self._views:
            self._compare_views(result)

    def _compare_views(self, result: Result) -> None:
        """I8, by the checker's own model: the view of balances comes to what it says."""
        deadline = time.monotonic() + 30.0
        while (told := self._balances()) != result.balances and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if told != result.balances:
            result.findings.append(f"I8 balances: {told}, and {result.balances} is right")

    def _balances(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for partition in range(self._partitions):
            statement = f"SELECT player_id, real, bonus FROM ledger_p{partition:02}.balances"
            found |= {who: (real, bonus) for who, real, bonus in query(self._url(), statement)}
        return found


@asynccontextmanager
async def providers(
    site: Site,
    directory: Path,
    url: Callable[[], str],
    *,
    partitions: int = 1,
    clients: int = CLIENTS,
    players: int = HOT_PLAYERS,
    calls: int = 0,
    seed: int = 0,
    views: bool = True,
) -> AsyncIterator[Run]:
    """They play until the block ends, settle what is unknown, and the reckoning is made.

    ``calls``: they end by themselves, after so many. ``views``: whether somebody keeps them.
    """
    orders = Orders(
        base_url=site.base_url,
        history=str(directory / "history.jsonl"),
        players={name: await _player(site, name) for name in _names("hot", players)},
        own={name: await _player(site, name) for name in _names("own", clients)},
        money=(REAL + BONUS) * 100,
        seed=seed,
        calls=calls,
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.checker.clients"), cwd=ROOT, stdin=subprocess.PIPE
    )
    run = Run(Path(orders.history), url, partitions, views=views)
    try:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(orders))
        process.stdin.write_eof()
        await run.grows(10)
        yield run
        if not calls:
            process.terminate()
        async with asyncio.timeout(None if calls else SETTLE_S):
            assert await process.wait() == 0
        await asyncio.to_thread(run.reckon)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def play(site: Site, directory: Path, url: str, *, calls: int, **more: Any) -> Reckoning:
    """The reckoning of so many calls where nothing is broken; ``more``: see `providers`."""
    async with providers(site, directory, lambda: url, calls=calls, **more) as run:
        pass
    return run.reckoning


def _names(kind: str, count: int) -> list[str]:
    return [f"{kind}-{number}" for number in range(count)]


async def _player(site: Site, name: str) -> str:
    token = await site.player(name, f"{REAL}.00")
    bonus = {"reference": f"bonus-{name}", "amount": f"{BONUS}.00", "currency": "EUR"}
    given = await site.operate("POST", f"/players/{name}/bonuses", bonus)
    assert given.status == 201, given
    return token


def check_the_journal(of: History, strikes: Sequence[float], url: str) -> int:
    """I10: every final answer is there that came well before the next kill; how many those were.

    ``strikes``: times of the kills, as `time.time` tells them.
    """
    statement = (
        "SELECT operation, transaction_id, status, count(*) FROM ledger.calls GROUP BY 1,2,3"
    )
    kept = {(what, which, status): times for what, which, status, times in query(url, statement)}
    owed: Counter[tuple[str, str, int]] = Counter()
    for attempt in of.attempts:
        if attempt.status is None or attempt.status >= FINAL_BELOW:
            continue
        assert attempt.returned is not None
        answered_at = (attempt.returned + of.wall_offset) / 1e9
        if not any(
            -SEEN_LATE_S <= strike - answered_at <= JOURNAL_MAY_MISS_S for strike in strikes
        ):
            owed[attempt.call.action, attempt.call.transaction_id, attempt.status] += 1
    missing = {call: times for call, times in owed.items() if kept.get(call, 0) < times}
    assert not missing, missing
    return owed.total()
