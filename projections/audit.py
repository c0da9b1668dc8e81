"""Holds the views of a partition against its events, folded once more by other code.

Balances come from the wallet's own rules (`ledger.player.evolve`), rounds and totals from plain
sums; the journal must balance and agree with both. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias, cast

import msgspec

from ledger.codec import PLAYER_STREAM, open_state
from ledger.events import BetPlaced, BetRefunded, Event, GameMovement, WinCredited, WinReversed
from ledger.player import Player, PlayerEvent, evolve
from projections.journal import PLAYER_BONUS, PLAYER_HELD, PLAYER_REAL, provider_account
from projections.registry import VIEW_NAMES
from projections.reports.period import hour_begin
from projections.reports.source import Snapshot, open_snapshot
from projections.reports.totals import ggr, sums_of
from projections.reports.trial_balance import accounts

Progress: TypeAlias = Callable[[int, int], None]
"""Is told how many events were folded, of how many about."""

_PLAYERS: Final = 500
_TELL: Final = 5_000
_GAME: Final = (BetPlaced, BetRefunded, WinCredited, WinReversed)
_Rows: TypeAlias = dict[tuple[Any, ...], tuple[Any, ...]]


class Finding(msgspec.Struct, frozen=True):
    """Something in a view that is not as the events have it."""

    view: str
    partition: int
    what: str


async def audit(url: str, partition: int, progress: Progress) -> list[Finding]:
    """Everything in the views that does not agree with the events; empty: all is well.

    Raises `projections.reports.errors.ViewsBehind`, `ledger.codec.UnreadableEvent` and
    `psycopg.Error`.
    """
    async with open_snapshot(url, partition, VIEW_NAMES) as snapshot:
        work = _Audit(snapshot, progress)
        await work.fold()
        await work.check_totals()
        await work.check_journal()
        return work.findings


class _Fold:
    """One player's events, folded."""

    def __init__(self, player_id: str) -> None:
        self.player = Player(player_id)
        self.rounds: dict[tuple[str, str], list[Any]] = {}

    def add(self, event: Event) -> None:
        self.player = evolve(self.player, cast("PlayerEvent", event))
        if isinstance(event, GameMovement) and event.round_id is not None:
            self._add_round(event, event.round_id)

    def _add_round(self, event: GameMovement, round_id: str) -> None:
        key = (event.integration, round_id)
        if key not in self.rounds and not event.opens_round:
            return  # a tombstone names a round that never was
        sums = self.rounds.setdefault(key, [event.currency, True, *([0] * 8)])
        sums[1] = sums[1] and not event.closes_round
        if isinstance(event, _GAME):
            totals = sums_of(event)
            for at, name in enumerate(_ROUND_SUMS, 2):
                sums[at] += totals[name]


_ROUND_SUMS: Final = (0, 1, 3, 4, 5, 6, 8, 9)
"""Where a round's counts and amounts stand among those of `sums_of`."""


class _Audit:
    def __init__(self, snapshot: Snapshot, progress: Progress) -> None:
        self.findings: list[Finding] = []
        self._snapshot = snapshot
        self._progress = progress
        self._totals: dict[tuple[datetime, str, str, str], list[int]] = {}
        self._owed: dict[tuple[str, str], int] = {}
        self._folds: list[_Fold] = []
        self._after = ""

    async def fold(self) -> None:
        """Fold every player's events, and compare balances and rounds some players at a time."""
        count = 0
        position = max(self._snapshot.positions.values())
        async for row in self._snapshot.stream("player_events", {"position": position}):
            _, stream, _, name, state = row
            player_id = stream[len(PLAYER_STREAM) :]
            if not self._folds or self._folds[-1].player.player_id != player_id:
                if len(self._folds) >= _PLAYERS:
                    await self._compare_players(self._folds[-1].player.player_id)
                self._folds.append(_Fold(player_id))
            event = open_state(name, state)[1]
            self._folds[-1].add(event)
            self._sum(event)
            count += 1
            if count % _TELL == 0:
                self._progress(count, position)
        await self._compare_players(None)
        self._progress(count, count)

    async def check_totals(self) -> None:
        """The view of totals has the sums over the events."""
        rows = await self._snapshot.rows("all_totals")
        kept = {tuple(row[:4]): tuple(row[4:]) for row in rows}
        self._compare("totals", {key: tuple(sums) for key, sums in self._totals.items()}, kept)

    async def check_journal(self) -> None:
        """The journal balances, and agrees with the wallets and with the totals."""
        for event, currency, rest in await self._snapshot.rows("unbalanced_events"):
            self._find("journal", f"the postings of event {event} sum to {rest} in {currency}")
        for hour, account, currency in await self._snapshot.rows("unequal_hours"):
            self._find("journal", f"{account} {currency} of the hour {hour} is not its postings")
        balances = {
            key: (credit - debit,)
            for key, (debit, credit) in (await accounts(self._snapshot, None, None, None)).items()
        }
        for currency in sorted({currency for _, currency in balances}):
            rest = sum(units for (_, code), (units,) in balances.items() if code == currency)
            if rest:
                self._find("journal", f"all accounts in {currency} sum to {rest}, not to zero")
        expected = self._owed | self._revenue()
        mine = {key: (units,) for key, units in expected.items() if units}
        judged = {
            key: units
            for key, units in balances.items()
            if key[0].startswith(("player:", "provider:")) and units[0]
        }
        self._compare("journal", mine, judged)

    def _sum(self, event: Event) -> None:
        if isinstance(event, _GAME):
            hour = hour_begin(event.recorded_at)
            key = (hour, event.integration, event.game or "", event.currency)
            sums = self._totals.setdefault(key, [0] * len(sums_of(event)))
            for at, units in enumerate(sums_of(event)):
                sums[at] += units

    def _revenue(self) -> dict[tuple[str, str], int]:
        revenue: dict[tuple[str, str], int] = {}
        for (_, integration, game, currency), sums in self._totals.items():
            key = (provider_account(integration, game), currency)
            revenue[key] = revenue.get(key, 0) + ggr(sums)
        return revenue

    async def _compare_players(self, until: str | None) -> None:
        """Compare the players folded since the last time; ``until`` None: nobody comes after."""
        between = {"after": self._after, "until": until}
        balances: _Rows = {}
        rounds: _Rows = {}
        for fold in self._folds:
            player_id = fold.player.player_id
            for code, wallet in fold.player.wallets.items():
                balances[player_id, code] = (wallet.real, wallet.bonus, wallet.held)
                self._owe(code, wallet.real, wallet.bonus, wallet.held)
            for (integration, round_id), sums in fold.rounds.items():
                rounds[player_id, integration, round_id] = tuple(sums)
        kept = await self._snapshot.rows("balances_between", between)
        self._compare("balances", balances, {row[:2]: row[2:] for row in kept})
        kept = await self._snapshot.rows("rounds_between", between)
        self._compare("rounds", rounds, {row[:3]: row[3:] for row in kept})
        self._folds, self._after = [], until or self._after

    def _owe(self, code: str, *parts: int) -> None:
        for account, units in zip((PLAYER_REAL, PLAYER_BONUS, PLAYER_HELD), parts, strict=True):
            self._owed[account, code] = self._owed.get((account, code), 0) + units

    def _compare(
        self,
        view: str,
        expected: Mapping[tuple[Any, ...], tuple[Any, ...]],
        kept: Mapping[tuple[Any, ...], tuple[Any, ...]],
    ) -> None:
        for key in _in_order(expected.keys() | kept.keys()):
            if expected.get(key) != kept.get(key):
                name = " ".join(str(part) for part in key)
                self._find(view, f"{name}: events {expected.get(key)}, view {kept.get(key)}")

    def _find(self, view: str, what: str) -> None:
        self.findings.append(Finding(view, self._snapshot.partition, what))


def _in_order(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(keys, key=lambda key: tuple(str(part) for part in key))
