"""Holds the views of a partition against its events, folded once more by other code.

Balances come from the wallet's own rules (`ledger.player.evolve`), rounds and totals from plain
sums; the journal must balance and agree with both. What of a reversed win was left to the player
(`projections.rounds.uncovered`) is the one rule that the views and this share. Nothing is written.
An event that cannot be folded is a finding; its player is passed over, and so is what is summed
over all players.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

from ledger.codec import PLAYER_STREAM, open_state
from ledger.currencies import Currencies
from ledger.events import BetPlaced, BetRefunded, Event, GameMovement, WinCredited, WinReversed
from ledger.findings import EVENTS, Finding, Findings, amount_told, told_error
from ledger.player import Player, PlayerEvent, evolve
from projections.journal import PLAYER_BONUS, PLAYER_HELD, PLAYER_REAL, provider_account
from projections.registry import VIEW_NAMES
from projections.reports.errors import ViewsStopped
from projections.reports.period import hour_begin
from projections.reports.report import Column, columns
from projections.reports.source import Snapshot, open_snapshot
from projections.reports.totals import SUM_NAMES, SUMS, ggr, sums_of
from projections.reports.trial_balance import accounts

Progress: TypeAlias = Callable[[int, int], None]
"""Is told how many events were folded, of how many about."""

_PLAYERS: Final = 500
_TELL: Final = 5_000
_GAME: Final = (BetPlaced, BetRefunded, WinCredited, WinReversed)

_Rows: TypeAlias = dict[tuple[Any, ...], tuple[Any, ...]]


async def audit(
    url: str, partition: int, currencies: Currencies, progress: Progress
) -> list[Finding]:
    """Everything in the views that does not agree with the events; empty: all is well.

    Amounts are told in main units of ``currencies``.

    A view that has stopped is a finding; the others are compared without it.

    Raises `projections.reports.errors.ViewsBehind` and `psycopg.Error`.
    """
    moving = list(VIEW_NAMES)
    stopped: list[Finding] = []
    while moving:
        try:
            async with open_snapshot(url, partition, moving) as snapshot:
                work = _Audit(snapshot, currencies, progress)
                await work.fold()
                await work.check_totals()
                await work.check_journal()
                return stopped + work.findings.told()
        except ViewsStopped as error:
            stopped += [
                Finding(view, partition, f"has stopped: {reason}")
                for view, reason in error.reasons.items()
            ]
            moving = [name for name in moving if name not in error.reasons]
    return stopped


class _Fold:
    """One player's events, folded as far as they can be."""

    def __init__(self, player_id: str) -> None:
        self.is_whole = True
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
        sums = self.rounds.setdefault(key, [event.currency, "open", *([0] * 8)])
        if event.closes_round:
            sums[1] = "closed"
        if isinstance(event, _GAME):
            totals = sums_of(event)
            for at, name in enumerate(_ROUND_SUMS, 2):
                sums[at] += totals[name]


_BALANCE: Final = columns(real="amount", bonus="amount", held="amount")
_ACCOUNT: Final = columns(balance="amount")
_ROUND: Final = columns(
    currency="text",
    status="text",
    bet_count="count",
    stakes="amount",
    refund_count="count",
    refunds="amount",
    win_count="count",
    wins="amount",
    reversal_count="count",
    reversals="amount",
)

_ROUND_SUMS: Final = tuple(
    SUM_NAMES.index(name)
    for kind in ("bet", "refund", "win", "reversal")
    for name in (f"{kind}_count", f"{kind}s")
)
"""Where a round's counts and amounts stand among those of `sums_of`."""


class _Audit:
    def __init__(self, snapshot: Snapshot, currencies: Currencies, progress: Progress) -> None:
        self.findings = Findings(snapshot.partition)
        self._snapshot = snapshot
        self._currencies = currencies
        self._progress = progress
        self._totals: dict[tuple[datetime, str, str, str], list[int]] = {}
        self._owed: dict[tuple[str, str], int] = {}
        self._is_whole = True
        self._folds: list[_Fold] = []
        self._after = ""

    async def fold(self) -> None:
        """Fold every player's events, and compare balances and rounds some players at a time."""
        count = 0
        position = max(self._snapshot.positions.values())
        async for row in self._snapshot.stream("player_events", {"position": position}):
            player_id = row[1][len(PLAYER_STREAM) :]
            if not self._folds or self._folds[-1].player.player_id != player_id:
                if len(self._folds) >= _PLAYERS:
                    await self._compare_players(self._folds[-1].player.player_id)
                self._folds.append(_Fold(player_id))
            if self._folds[-1].is_whole:
                self._take(self._folds[-1], row)
            count += 1
            if count % _TELL == 0:
                self._progress(count, position)
        await self._compare_players(None)
        self._progress(count, count)

    async def check_totals(self) -> None:
        """The view of totals has the sums over the events, where all could be folded."""
        if not self._is_whole or not self._moves("totals"):
            return
        rows = await self._snapshot.rows("all_totals")
        kept = {tuple(row[:4]): tuple(row[4:]) for row in rows}
        expected = {key: tuple(sums) for key, sums in self._totals.items()}
        self._compare("totals", SUMS, expected, kept)

    async def check_journal(self) -> None:
        """The journal balances, and agrees with the wallets and with the totals."""
        if not self._moves("journal"):
            return
        for event, currency, rest in await self._snapshot.rows("unbalanced_events"):
            told = self._amount(rest, currency)
            self._find("journal", f"the postings of event {event} sum to {told} in {currency}")
        for hour, account, currency in await self._snapshot.rows("unequal_hours"):
            self._find("journal", f"{account} {currency} of the hour {hour} is not its postings")
        balances = {
            key: (credit - debit,)
            for key, (debit, credit) in (await accounts(self._snapshot, None, None, None)).items()
        }
        for currency in sorted({currency for _, currency in balances}):
            rest = sum(units for (_, code), (units,) in balances.items() if code == currency)
            if rest:
                told = self._amount(rest, currency)
                self._find("journal", f"all accounts in {currency} sum to {told}, not to zero")
        if self._is_whole:
            self._compare_accounts(balances)

    def _compare_accounts(self, balances: _Rows) -> None:
        expected = self._owed | self._revenue()
        mine = {key: (units,) for key, units in expected.items() if units}
        judged = {
            key: units
            for key, units in balances.items()
            if key[0].startswith(("player:", "provider:")) and units[0]
        }
        self._compare("journal", _ACCOUNT, mine, judged)

    def _take(self, fold: _Fold, row: Sequence[Any]) -> None:
        """Fold one more event of a player; where that cannot be done, give the player up."""
        notification_id, _, version, name, state = row
        try:
            event = open_state(name, state)[1]
            fold.add(event)
            self._sum(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest is audited all the same
            self._is_whole = fold.is_whole = False
            self._find(
                EVENTS,
                f"event {notification_id} ({name}, player {fold.player.player_id}, version"
                f" {version}) cannot be folded: {told_error(error)}; its player, the totals and the"
                " accounts are not compared",
            )

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
        broken = {fold.player.player_id for fold in self._folds if not fold.is_whole}
        for fold in self._folds:
            player_id = fold.player.player_id
            if player_id in broken:
                continue
            for code, wallet in fold.player.wallets.items():
                balances[player_id, code] = (wallet.real, wallet.bonus, wallet.held)
                self._owe(code, wallet.real, wallet.bonus, wallet.held)
            for (integration, round_id), sums in fold.rounds.items():
                rounds[player_id, integration, round_id] = tuple(sums)
        for view, fields, expected, width in (
            ("balances", _BALANCE, balances, 2),
            ("rounds", _ROUND, rounds, 3),
        ):
            if not self._moves(view):
                continue
            rows = await self._snapshot.rows(f"{view}_between", between)
            kept = {row[:width]: row[width:] for row in rows if row[0] not in broken}
            self._compare(view, fields, expected, kept)
        self._folds, self._after = [], until or self._after

    def _moves(self, view: str) -> bool:
        """Whether the view is one of those that are compared."""
        return view in self._snapshot.positions

    def _owe(self, code: str, *parts: int) -> None:
        for account, units in zip((PLAYER_REAL, PLAYER_BONUS, PLAYER_HELD), parts, strict=True):
            self._owed[account, code] = self._owed.get((account, code), 0) + units

    def _compare(
        self,
        view: str,
        fields: Sequence[Column],
        expected: Mapping[tuple[Any, ...], tuple[Any, ...]],
        kept: Mapping[tuple[Any, ...], tuple[Any, ...]],
    ) -> None:
        for key in _in_order(expected.keys() | kept.keys()):
            one, other = expected.get(key), kept.get(key)
            if one != other:
                name = " ".join(str(part) for part in key)
                mine = self._told(fields, key, one, other)
                theirs = self._told(fields, key, other, one)
                self._find(view, f"{name}: events {mine}, view {theirs}")

    def _told(
        self,
        fields: Sequence[Column],
        key: tuple[Any, ...],
        row: tuple[Any, ...] | None,
        other: tuple[Any, ...] | None,
    ) -> str:
        """What a row says otherwise than another, by name."""
        if row is None:
            return "nothing"
        currency = row[0] if fields is _ROUND else key[-1]
        return " ".join(
            f"{field.name} {self._amount(cell, currency) if field.kind == 'amount' else cell}"
            for at, (field, cell) in enumerate(zip(fields, row, strict=True))
            if other is None or cell != other[at]
        )

    def _amount(self, units: int | Decimal, currency: str) -> str:
        """Sums come from the database as whole decimals."""
        return amount_told(int(units), currency, self._currencies)

    def _find(self, view: str, what: str) -> None:
        self.findings.add(view, what)


def _in_order(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(keys, key=lambda key: tuple(str(part) for part in key))
