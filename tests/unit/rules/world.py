"""Given, when, then for the wallet's rules.

A `World` holds every event that was ever booked and decides commands as a committer would: it
answers what `decide` asks from the whole history, and finds what an append would find (a key that
was used, a round that is not new). No database, no clock but its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from ledger.commands import (
    Command,
    CreditWin,
    Deposit,
    GrantBonus,
    MoneyCommand,
    OpenSession,
    PlaceBet,
    Policy,
    RefundBet,
    RegisterPlayer,
    ReverseWin,
    RollbackMovement,
    Stamp,
)
from ledger.decisions import (
    TOMBSTONE,
    Decision,
    Key,
    Known,
    Recall,
    Replayed,
    Transaction,
)
from ledger.events import GameMovement, Movement, RefundTombstoned, SessionOpened
from ledger.player import (
    Player,
    PlayerEvent,
    Round,
    Session,
    Wallet,
    evolve,
    fold_round,
    own_round,
    readmit,
)
from ledger.refusals import Refused
from ledger.wallet import decide

START = datetime(2026, 3, 4, 12, tzinfo=UTC)
"""A Wednesday."""

QUESTIONS_MAX = 8
"""A decision that asks more often than this will never be made."""

Outcome: TypeAlias = tuple[PlayerEvent, ...] | Refused | Replayed


class World:
    """All players, their history, and a clock that the test moves.

    ``remembers`` False: no key is in memory, so that every one has to be asked for.
    """

    def __init__(self, *, remembers: bool = True, policy: Policy | None = None) -> None:
        self.now = START
        self.policy = policy or Policy()
        self.remembers = remembers
        self.players: dict[str, Player] = {}
        self.history: dict[str, list[PlayerEvent]] = {}
        self.transactions: dict[Key, Transaction] = {}
        self.sessions: dict[str, tuple[str, Session]] = {}
        self.disabled_games: set[Key] = set()
        self.questions = 0
        self._moves = 0

    # --- deciding ---------------------------------------------------------------

    def player(self, player_id: str = "p1") -> Player:
        """The player as a committer holds it in memory."""
        return self.players.get(player_id) or Player(player_id)

    def wallet(self, player_id: str = "p1", currency: str = "EUR") -> Wallet:
        """The player's wallet."""
        return self.player(player_id).wallets[currency]

    def execute(self, command: Command) -> Outcome:
        """Decide and book."""
        self._moves += 1
        stamp = Stamp(self.now, f"m{self._moves}")
        known = Known(
            dict(self.transactions) if self.remembers else {},
            disabled_games=set(self.disabled_games),
        )
        player = self.player(command.player_id)
        for _ in range(QUESTIONS_MAX):
            decision = decide(player, command, stamp, known)
            if isinstance(decision, Recall):
                self.questions += 1
                player = self._answer(player, decision, known)
                continue
            found = self._append_finds(player, command, decision, known)
            if found is None:
                return self._book(player, decision)
            player = found
        raise AssertionError(f"no end of questions: {command}")

    def _answer(self, player: Player, asked: Recall, known: Known) -> Player:
        if asked.transaction is not None:
            assert not known.is_settled(asked.transaction), "asked twice"
            known.transactions[asked.transaction] = self.transactions.get(asked.transaction)
        if asked.session is not None:
            assert asked.session not in known.sessions, "asked twice"
            found = self.sessions.get(asked.session)
            known.sessions[asked.session] = found
        if asked.round is not None:
            name = (player.player_id, *asked.round)
            assert name not in known.absent_rounds, "asked twice"
            assert player.round(*asked.round) is None, "asked for what is in memory"
            found_round = self._round(name)
            if found_round is None:
                known.absent_rounds.add(name)
            else:
                return readmit(player, found_round)
        return player

    def _append_finds(
        self, player: Player, command: Command, decision: Decision, known: Known
    ) -> Player | None:
        """What the append would report: the player to decide again with, None if it succeeds."""
        if not isinstance(command, MoneyCommand) or isinstance(decision, Replayed):
            return None
        keys = [(command.integration, command.key)]
        rounds = []
        for event in decision if isinstance(decision, tuple) else ():
            if isinstance(event, RefundTombstoned) and event.keeps_out:
                keys.append((event.integration, event.refers_to))
            if isinstance(event, GameMovement) and event.opens_round:
                rounds.append((event.integration, str(event.round_id)))
        if isinstance(command, PlaceBet) and isinstance(decision, Refused):
            rounds.append((command.integration, command.round_id or own_round(command.key)))
        for key in keys:
            if key in self.transactions and known.transaction(key) is None:
                known.transactions[key] = self.transactions[key]
                return player
        for name in rounds:
            found = self._round((player.player_id, *name))
            if found is not None and player.round(*name) is None:
                return readmit(player, found)
        return None

    def _round(self, name: tuple[str, str, str]) -> Round | None:
        player_id, integration, round_id = name
        return fold_round(
            player_id,
            [
                event
                for event in self.history.get(player_id, [])
                if isinstance(event, GameMovement)
                and (event.integration, event.round_id) == (integration, round_id)
                and (event.closes_round or not isinstance(event, RefundTombstoned))
            ],
        )

    def _book(self, player: Player, decision: Outcome) -> Outcome:
        if player.version:
            self.players[player.player_id] = player
        if not isinstance(decision, tuple):
            return decision
        for event in decision:
            player = self._book_event(player, event)
        return decision

    def _book_event(self, player: Player, event: PlayerEvent) -> Player:
        assert player.recorded_at is None or event.recorded_at >= player.recorded_at
        if isinstance(event, Movement):
            before = player.wallets[event.currency]
            assert event.balance_real == before.real + event.real
            assert event.balance_bonus == before.bonus + event.bonus
        after = evolve(player, event)
        assert after.version == player.version + 1
        self.players[player.player_id] = after
        self.history.setdefault(player.player_id, []).append(event)
        if isinstance(event, Movement):
            self._enter(after, event)
        if isinstance(event, SessionOpened):
            self.sessions[event.session] = (player.player_id, after.sessions[event.session])
        return after

    def _enter(self, player: Player, event: Movement) -> None:
        key = (event.integration, event.key)
        assert key not in self.transactions
        entry = Transaction(player.player_id, player.version, event.NAME, event)
        self.transactions[key] = entry
        if isinstance(event, RefundTombstoned) and event.keeps_out and event.refers_to != event.key:
            refunded = (event.integration, event.refers_to)
            assert refunded not in self.transactions
            self.transactions[refunded] = replace(entry, kind=TOMBSTONE)

    # --- short forms ---------------------------------------------------------------

    def given(self, real: int = 100, bonus: int = 0, *, currency: str = "EUR") -> World:
        """A registered player with money and a live session ``s1``."""
        self.execute(RegisterPlayer(player_id="p1", currency=currency))
        self.money(Deposit, "start-real", real, currency=currency)
        self.money(GrantBonus, "start-bonus", bonus, currency=currency)
        self.open_session("s1", currency=currency)
        return self

    def money(self, kind: type[Any], key: str, amount: int, **changes: Any) -> Outcome:
        """A movement of the operator."""
        fields = {
            "player_id": "p1",
            "operation": kind.__name__,
            "key": key,
            "transaction_id": key,
            "amount": amount,
            "currency": "EUR",
        }
        return self.execute(kind(**fields | changes))

    def open_session(self, session: str, **changes: Any) -> Outcome:
        """Open a session of integration ``a``."""
        fields = {
            "player_id": "p1",
            "session": session,
            "integration": "a",
            "game": "slot",
            "currency": "EUR",
        }
        return self.execute(OpenSession(**fields | changes))

    def game(self, kind: type[Any], key: str, **changes: Any) -> Outcome:
        """A call of provider ``a`` in session ``s1``, round ``r1``."""
        return self.execute(self.command(kind, key, **changes))

    def command(self, kind: type[Any], key: str, **changes: Any) -> Any:
        """The command of `game`."""
        fields = {
            "player_id": "p1",
            "integration": "a",
            "operation": kind.__name__,
            "key": key,
            "transaction_id": key,
            "policy": self.policy,
            "session": "s1",
            "game": "slot",
            "round_id": "r1",
            "currency": "EUR",
        }
        return kind(**fields | changes)

    def bet(self, key: str, amount: int, **changes: Any) -> Outcome:
        """Place a bet."""
        return self.game(PlaceBet, key, amount=amount, **changes)

    def win(self, key: str, amount: int, **changes: Any) -> Outcome:
        """Credit a win."""
        return self.game(CreditWin, key, amount=amount, **changes)

    def refund(self, key: str, original: str, **changes: Any) -> Outcome:
        """Refund a bet."""
        return self.game(RefundBet, key, original_key=original, **changes)

    def reverse(self, key: str, original: str, **changes: Any) -> Outcome:
        """Reverse a win."""
        return self.game(ReverseWin, key, original_key=original, **changes)

    def rollback(self, key: str, original: str, **changes: Any) -> Outcome:
        """Roll back whatever the key names."""
        return self.game(RollbackMovement, key, original_key=original, **changes)

    def after(self, **duration: float) -> World:
        """Time passes."""
        self.now += timedelta(**duration)
        return self

    def with_policy(self, **changes: Any) -> World:
        """Switch the provider's policy."""
        self.policy = msgspec.structs.replace(self.policy, **changes)
        return self


def code(outcome: Outcome) -> str:
    """An outcome in a word: a refusal's name, ``replayed``, ``nothing``, or the events' names."""
    if isinstance(outcome, Refused):
        return outcome.refusal.value
    if isinstance(outcome, Replayed):
        return "replayed"
    return "+".join(event.NAME.removesuffix(".v1") for event in outcome) or "nothing"


def only(outcome: Outcome) -> Any:
    """The one event that was booked."""
    assert isinstance(outcome, tuple), outcome
    assert len(outcome) == 1
    return outcome[0]


def moved(outcome: Outcome) -> tuple[int, int]:
    """Real and bonus money that the one event moved."""
    event = only(outcome)
    return event.real, event.bonus


def replay(player_id: str, events: Sequence[PlayerEvent]) -> Player:
    """The state that a history leaves behind."""
    player = Player(player_id)
    for event in events:
        player = evolve(player, event)
    return player
