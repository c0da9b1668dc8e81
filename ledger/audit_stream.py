"""Verifies one stream, event by event: pure, from the rows as they are stored."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, cast

from ledger.batch import empty_head
from ledger.chain import GENESIS, HASH_SIZE, link
from ledger.codec import GAME_STREAM, PLAYER_STREAM, State, UnreadableEvent, decode, game_stream
from ledger.currencies import Currencies
from ledger.events import (
    Event,
    GameDisabled,
    GameEnabled,
    Movement,
    PlayerRegistered,
    WinReversed,
)
from ledger.findings import EVENTS, Findings, amount_told, told_error
from ledger.games import Game, evolve_game
from ledger.player import PlayerEvent, evolve


class LogRow(NamedTuple):
    """An event as stored, with its place in the partition's log."""

    notification_id: int
    stream: str
    version: int
    topic: str
    state: bytes

    def __str__(self) -> str:
        return f"{self.stream} version {self.version} (event {self.notification_id})"


class StreamAudit:
    """What a stream comes to, and what is wrong in it.

    ``state`` is None from the first event on with which it cannot be folded. ``is_read``: all of
    its events could be read.
    """

    def __init__(self, stream: str, findings: Findings, currencies: Currencies) -> None:
        self.stream = stream
        self.player_id: str | None = None  # whose it is; a game's is nobody's
        self.version = 0
        self.hash = GENESIS
        self.state: State | None = empty_head(stream).state
        self.is_read = True
        self._findings = findings
        self._currencies = currencies
        self._notification_id = 0
        self._recorded_at: datetime | None = None
        self._balances: dict[str, tuple[int, int]] = {}
        self._is_empty_at_first = True
        if stream.startswith(PLAYER_STREAM):
            self.player_id = stream.removeprefix(PLAYER_STREAM)
        elif not stream.startswith(GAME_STREAM):
            self._find(f"{stream} is the stream of neither a player nor a game")
            self.state = None

    def take(self, row: LogRow) -> Event | None:
        """Verify the stream's next event; None where it cannot be read."""
        self._check_place(row)
        self.version, self.hash = row.version, row.state[:HASH_SIZE]
        self._notification_id = row.notification_id
        try:
            event = decode(row.topic, memoryview(row.state)[HASH_SIZE:])
        except UnreadableEvent as error:
            self._find(f"{row} cannot be read: {told_error(error)}")
            self.state, self.is_read = None, False
            self._forget_balances()
            return None
        if not self._belongs(event):
            self._find(f"{row} is about something else: {event.NAME}")
            self.state = None
            return event
        self._check_time(row, event)
        if isinstance(event, Movement):
            self._check_balance(row, event)
        self._fold(row, event)
        return event

    def _check_place(self, row: LogRow) -> None:
        """Versions without a gap and in the log's order, each hash over the one before."""
        if row.version != self.version + 1:
            self._find(f"{self.stream}: nothing between versions {self.version} and {row.version}")
            self.state, self.is_read = None, False
            self._forget_balances()
        elif row.state[:HASH_SIZE] != link(
            self.hash, row.stream, row.version, row.topic, row.state[HASH_SIZE:]
        ):
            self._find(f"{row}: its hash is not that of its bytes and of the hash before it")
        if row.notification_id <= self._notification_id:
            self._find(f"{row} stands in the log before the version before it")

    def _belongs(self, event: Event) -> bool:
        """Whether the event is one of this stream."""
        if isinstance(event, GameEnabled | GameDisabled):
            return self.stream == game_stream(event.integration, event.game)
        if isinstance(event, PlayerRegistered):
            return self.player_id == event.player_id
        return self.player_id is not None

    def _check_time(self, row: LogRow, event: Event) -> None:
        """A player's time never goes back; a game's may, with the clock."""
        last, self._recorded_at = self._recorded_at, event.recorded_at
        if self.player_id is not None and last is not None and event.recorded_at < last:
            self._find(f"{row}: recorded at {event.recorded_at}, the version before it at {last}")

    def _check_balance(self, row: LogRow, event: Movement) -> None:
        """A balance follows from the one before, and only what is there is taken (rule 11)."""
        before = self._balances.get(event.currency)
        after = (event.balance_real, event.balance_bonus)
        self._balances[event.currency] = after
        if before is None:
            if not self._is_empty_at_first:
                return
            before = (0, 0)
        changes = (event.real, event.bonus)
        for part, was, change, now in zip(("real", "bonus"), before, changes, after, strict=True):
            if was + change != now:
                self._find(
                    f"{row}: {part} {self._amount(was, event)} and {self._amount(change, event)}"
                    f" come to {self._amount(was + change, event)}, it says"
                    f" {self._amount(now, event)}"
                )
            elif now < 0 and change < 0 and not isinstance(event, WinReversed):
                self._find(f"{row}: takes {part} down to {self._amount(now, event)}")

    def _fold(self, row: LogRow, event: Event) -> None:
        if self.state is None:
            return
        try:
            if isinstance(self.state, Game):
                self.state = evolve_game(self.state, cast("GameEnabled", event))
            else:
                self.state = evolve(self.state, cast("PlayerEvent", event))
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest is audited all the same
            self._find(f"{row} cannot be folded: {told_error(error)}")
            self.state = None

    def _forget_balances(self) -> None:
        """Behind what is missing only the next movement of each currency tells them again."""
        self._balances.clear()
        self._is_empty_at_first = False

    def _amount(self, units: int, event: Movement) -> str:
        return amount_told(units, event.currency, self._currencies)

    def _find(self, what: str) -> None:
        self._findings.add(EVENTS, what)
