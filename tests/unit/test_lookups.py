"""Session look-ups: who asks at once shares a query and a commit, and each keeps his deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from ledger.lookups import SessionLookups
from ledger.store import AppendBatch, CommitUnknown, SessionRow, Store, StoreUnavailable

KNOWN = [number.to_bytes(32) for number in range(50)]
UNKNOWN = [number.to_bytes(32) for number in range(50, 100)]


class Sessions:
    """A partition with the sessions of `KNOWN`; ``commit`` is what its commits end with."""

    generation = 0

    def __init__(self, commit: Exception | None = None, read_s: float = 0.01) -> None:
        self.asked: list[int] = []
        self.commits = 0
        self._commit = commit
        self._read_s = read_s

    async def sessions(self, hashes: Iterable[bytes], within_s: float) -> list[SessionRow]:
        """Those that are there."""
        wanted = list(hashes)
        self.asked.append(len(wanted))
        await asyncio.sleep(min(within_s, self._read_s))
        return [_row(each) for each in wanted if each in KNOWN]

    async def append(self, batch: AppendBatch, _deadline_s: float, _generation: int) -> None:
        """A commit that writes nothing."""
        assert batch == AppendBatch()
        self.commits += 1
        if self._commit is not None:
            raise self._commit


def _row(token_hash: bytes) -> SessionRow:
    return SessionRow(token_hash, "ann", "gpas", "dice", "EUR", None, datetime.now(UTC))


def _lookups(sessions: Sessions) -> SessionLookups:
    return SessionLookups(cast("Store", sessions), 10.0)


async def _find_all(lookups: SessionLookups, hashes: Iterable[bytes], within_s: float) -> list[Any]:
    deadline = asyncio.get_running_loop().time() + within_s
    finding = (lookups.find(each, deadline) for each in hashes)
    return await asyncio.gather(*finding, return_exceptions=True)


async def test_who_asks_at_once_shares_a_query_and_a_commit() -> None:
    """Else 1000 look-ups took 1000 turns on the connections that bets need."""
    sessions = Sessions()
    lookups = _lookups(sessions)
    found = await _find_all(lookups, [*KNOWN, *UNKNOWN, *KNOWN], 10)
    assert [each and each.token_hash for each in found] == [*KNOWN, *[None] * 50, *KNOWN]
    assert (sessions.asked, sessions.commits) == ([100], 1)


async def test_those_that_come_meanwhile_are_the_next() -> None:
    """Nothing is answered from a query that began before it was asked."""
    sessions = Sessions()
    lookups = _lookups(sessions)
    first = asyncio.create_task(_find_all(lookups, KNOWN[:1], 10))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await _find_all(lookups, KNOWN[:3], 10)
    await first
    assert sessions.asked == [1, 3]
    assert sessions.commits == 0


async def test_that_a_session_is_unknown_needs_a_commit_that_is_known() -> None:
    """The others of the query are found all the same."""
    lookups = _lookups(Sessions(commit=CommitUnknown("cut off")))
    known, unknown = await _find_all(lookups, [KNOWN[0], UNKNOWN[0]], 10)
    assert known.token_hash == KNOWN[0]
    assert isinstance(unknown, StoreUnavailable)
    assert str(unknown) == "cut off"


async def test_nobody_waits_beyond_his_deadline() -> None:
    """A provider's call has to be answered, whatever the database does."""
    lookups = _lookups(Sessions(read_s=1.0))
    patient = asyncio.create_task(_find_all(lookups, KNOWN[:1], 10))
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        await lookups.find(KNOWN[0], asyncio.get_running_loop().time() + 0.05)
    assert [each.token_hash for each in await patient] == KNOWN[:1]
