"""Histories for the projections: random commands decided by the rules, their events appended."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from ledger.chain import GENESIS
from ledger.codec import game_stream, player_stream, seal
from ledger.commands import CreditWin, ForfeitBonus, Policy, RefundBet, ReverseWin, Withdraw
from ledger.events import Event, GameDisabled, GameEnabled
from ledger.money import UNITS_MAX
from ledger.player import Player, PlayerEvent
from ledger.store import AppendBatch, EventRow, Store
from tests.unit.rules.commands import Maker, opening
from tests.unit.rules.world import World

TABLES = {
    "balances": "player_id, currency",
    "rounds": "integration, round_id, player_id",
    "journal": "notification_id, line",
    "account_hours": "hour, account, currency",
    "totals": "hour, integration, game, currency",
    "exceptions": "notification_id, kind",
}
"""Every table of the views, and what its rows are ordered by."""

DEADLINE_S = 10.0


@dataclass
class Booked:
    """An event and its player (empty: a game's)."""

    player_id: str
    event: Event


class _Recording(World):
    def __init__(self) -> None:
        super().__init__()
        self.booked: list[Booked] = []

    def _book_event(self, player: Player, event: PlayerEvent) -> Player:
        self.booked.append(Booked(player.player_id, event))
        return super()._book_event(player, event)


class History:
    """An endless random history; the same seed gives the same one."""

    def __init__(self, seed: int = 1) -> None:
        print(f"history of seed {seed}")
        self._world = _Recording()
        self._maker = Maker(random.Random(seed).choice)
        self._log = Log()
        for command in opening():
            self._world.execute(command)
        self._games = 0
        self._spent = 0

    @property
    def booked(self) -> Sequence[Booked]:
        """Every event so far, in the log's order."""
        return self._world.booked

    def play(self, events: int) -> None:
        """Go on until there are that many more events."""
        wanted = len(self.booked) + events
        while len(self.booked) < wanted:
            self._world.now += self._maker.pause()
            self._world.execute(self._maker.command())
            if len(self.booked) % 50 == 0:
                self._switch_a_game()
                self._take_back_a_spent_win()
                self._close_a_round_by_its_lost_bet()

    def win_the_largest_sums(self) -> None:
        """Pay out as much as a wallet holds, staked and won three times within the hour."""
        for number in range(3):
            wallet = self._world.wallet("p1", "EUR")
            self._world.money(ForfeitBonus, f"forfeit{number}", wallet.bonus)
            self._world.money(Withdraw, f"payout{number}", wallet.real)
            fields = self._of_provider(f"huge{number}w", "win")
            self._world.execute(CreditWin(**fields, amount=UNITS_MAX))

    async def append(self, store: Store) -> None:
        """Append what is not in the log yet, in one batch."""
        rows = self._log.rows(self.booked[self._log.length :])
        if rows:
            assert await store.append(AppendBatch(events=rows), DEADLINE_S) is None

    def _take_back_a_spent_win(self) -> None:
        """Reverse a win of an empty wallet: below zero, or kept by the player."""
        self._spent += 1
        key = f"spent{self._spent}"
        policy = Policy(reversal_shortfall="clamp" if self._spent % 2 else "negative")
        self._world.execute(CreditWin(**self._of_provider(f"{key}w", "win"), amount=70))
        wallet = self._world.wallet("p1", "EUR")
        self._world.money(Withdraw, f"{key}out", max(wallet.real, 0) // 10 * 10)
        self._world.money(ForfeitBonus, f"{key}forfeit", wallet.bonus)
        fields = self._of_provider(f"{key}r", "reversal") | {"policy": policy}
        self._world.execute(ReverseWin(**fields, original_key=f"{key}w"))

    def _close_a_round_by_its_lost_bet(self) -> None:
        """Refund a bet that never came: the tombstone is the last event of the round."""
        key = f"lost{self._spent}"
        promotion = self._of_provider(f"{key}w", "win") | {"tags": {"promo": True}}
        self._world.execute(CreditWin(**promotion, round_id=key, amount=0))
        refund = self._of_provider(f"{key}f", "refund") | {"acknowledged": True}
        self._world.execute(RefundBet(**refund, original_key=key, round_id=key, closes_round=True))

    @staticmethod
    def _of_provider(key: str, operation: str) -> dict[str, Any]:
        return {
            "player_id": "p1",
            "integration": "a",
            "policy": Policy(),
            "operation": operation,
            "key": key,
            "transaction_id": key,
            "currency": "EUR",
        }

    def _switch_a_game(self) -> None:
        self._games += 1
        kind = GameDisabled if self._games % 2 else GameEnabled
        event = kind(
            movement_id=f"g{self._games}",
            recorded_at=self._world.now,
            integration="a",
            operation="set_game",
            game="dice",
        )
        self._world.booked.append(Booked("", event))


class Log:
    """Turns events into rows: versions and hashes go on from the ones before."""

    def __init__(self) -> None:
        self.length = 0
        self._heads: dict[str, tuple[int, bytes]] = {}

    def rows(self, booked: Iterable[Booked]) -> list[EventRow]:
        """The rows of the next events."""
        return [self._row(entry) for entry in booked]

    def _row(self, entry: Booked) -> EventRow:
        event = entry.event
        stream = player_stream(entry.player_id) if entry.player_id else game_stream("a", "dice")
        version, digest = self._heads.get(stream, (0, GENESIS))
        version += 1
        digest, state = seal(digest, stream, version, event)
        self._heads[stream] = version, digest
        self.length += 1
        return EventRow(stream, version, event.NAME, state)


def contents(url: str, schema: str = "ledger_p00") -> dict[str, list[Any]]:
    """Every row of every view, ordered by its key."""
    with psycopg.connect(url) as connection:
        connection.execute("SET timezone = 'UTC'")
        return {
            table: connection.execute(
                f"SELECT * FROM {schema}.{table} ORDER BY {key}".encode()
            ).fetchall()
            for table, key in TABLES.items()
        }


def images(url: str, schema: str = "ledger_p00") -> dict[str, bytes]:
    """Every table of the views as the database sends it in binary, ordered by its key."""
    found = {}
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for table, key in TABLES.items():
            rows = f"SELECT * FROM {schema}.{table} ORDER BY {key}"
            with cursor.copy(f"COPY ({rows}) TO STDOUT (FORMAT BINARY)".encode()) as copy:
                found[table] = b"".join(copy)
    return found


def positions(url: str, schema: str = "ledger_p00") -> dict[str, int]:
    """Where each view is."""
    with psycopg.connect(url) as connection:
        query = f"SELECT view, position FROM {schema}.projections WHERE tables <> '{{}}'"
        return dict(connection.execute(query.encode()).fetchall())
