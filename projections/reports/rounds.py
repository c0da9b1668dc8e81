"""Rounds one by one: the list of them, page by page, and all that bear a provider's id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from projections.reports.asked import Filters
from projections.reports.known import check_names
from projections.reports.source import open_snapshot

RoundKey: TypeAlias = tuple[str, str, str]
"""Player, integration, round: what rounds are ordered by."""

FIRST: Final[RoundKey] = ("", "", "")
"""Before every round."""

_VIEWS: Final = ("rounds",)


class RoundRow(msgspec.Struct, frozen=True):
    """A round of a player, as the view has it. Amounts in ledger units."""

    player_id: str
    integration: str
    round_id: str
    game: str
    currency: str
    status: str
    opened_at: datetime
    closed_at: datetime | None
    closed_reason: str | None
    last_activity_at: datetime
    bet_count: int
    stakes: int
    refund_count: int
    refunds: int
    win_count: int
    wins: int
    reversal_count: int
    reversals: int

    @property
    def key(self) -> RoundKey:
        """Its place in the order of rounds."""
        return self.player_id, self.integration, self.round_id


class RoundFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which rounds; None: whatever."""

    player_id: str | None = None
    integration: str | None = None
    round_id: str | None = None
    is_open: bool | None = None
    opened_before: datetime | None = None


class Rounds:
    """Rounds over all partitions of one database."""

    def __init__(self, url: str, partitions: int, integrations: Collection[str] = ()) -> None:
        """``integrations`` are those that are configured."""
        self._url = url
        self._partitions = partitions
        self._integrations = integrations

    async def page(self, filters: RoundFilters, after: RoundKey, limit: int) -> Sequence[RoundRow]:
        """The next rounds behind ``after``, ``limit`` at most.

        Raises `projections.reports.errors.ReportError` and `psycopg.Error`.
        """
        found: list[RoundRow] = []
        for partition in range(self._partitions):
            async with open_snapshot(self._url, partition, _VIEWS) as snapshot:
                rows = await snapshot.rows("rounds", _parameters(filters, after, limit))
            found += [RoundRow(*row) for row in rows]
        if not found:
            named = Filters(player_id=filters.player_id, integration=filters.integration)
            await check_names(self._url, self._partitions, named, self._integrations)
        return sorted(found, key=lambda row: row.key)[:limit]


def _parameters(filters: RoundFilters, after: RoundKey, limit: int) -> dict[str, Any]:
    return {
        "player_id": filters.player_id,
        "integration": filters.integration,
        "round_id": filters.round_id,
        "open": filters.is_open,
        "opened_before": filters.opened_before,
        "after_player": after[0],
        "after_integration": after[1],
        "after_round": after[2],
        "limit": limit,
    }
