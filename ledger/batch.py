"""One attempt at a batch.

Decide every command on top of what the others of the batch did, and gather the append.

An attempt changes nothing outside of itself. Its results count once the append has committed;
otherwise it is thrown away and the commands are decided again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias, cast

import msgspec

from ledger.chain import GENESIS
from ledger.codec import (
    GAME_STREAM,
    PLAYER_STREAM,
    State,
    encode_snapshot,
    game_stream,
    player_stream,
    seal,
)
from ledger.commands import Command, MoneyCommand, PlaceBet, SetGame, Stamp
from ledger.decisions import (
    TOMBSTONE,
    Decision,
    Key,
    Known,
    Recall,
    Recent,
    Replayed,
    Transaction,
    first_answer,
)
from ledger.events import Event, GameMovement, Movement, RefundTombstoned, SessionOpened
from ledger.games import Game, GameEvent, decide_game, evolve_game
from ledger.player import (
    PAST_ROUNDS_MAX,
    Player,
    PlayerEvent,
    Round,
    evolve,
    own_round,
    readmit,
)
from ledger.refusals import Refusal, Refused
from ledger.rows import session_row, transaction_row
from ledger.store import AppendBatch, EventRow, SessionRow, SnapshotRow
from ledger.wallet import decide

_EVENTS_MAX: Final = PAST_ROUNDS_MAX
"""Of one stream in a batch; a command beyond waits for the next one. So no round that the batch
opened falls out of memory within it: a bet would take it for new, and no append could tell."""


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A command that was executed, now or before.

    ``player`` is the state after it, without its rounds where another worker decided; ``event`` the
    first event it booked, at ``version`` of the stream, of a replay the event of the first answer;
    None where there was nothing to do. ``replayed``: the key was known, nothing was appended
    (rule 1).
    """

    player: Player
    event: Event | None = None
    version: int = 0
    replayed: bool = False


Outcome: TypeAlias = Accepted | Refused
"""What became of a command."""


class Pending:
    """A command on its way, and the future that waits for its outcome.

    ``taken_at``: monotonic seconds. ``overtaken``: how often others had written when it was tried
    alone.
    """

    __slots__ = ("_stamp", "answer", "command", "movement_id", "overtaken", "stream", "taken_at")

    def __init__(
        self,
        command: Command | SetGame,
        movement_id: str,
        taken_at: float,
        answer: asyncio.Future[Outcome],
    ) -> None:
        self.command = command
        self.movement_id = movement_id
        self.taken_at = taken_at
        self.answer = answer
        self.overtaken = 0
        self._stamp: Stamp | None = None
        self.stream = (
            game_stream(command.integration, command.game)
            if isinstance(command, SetGame)
            else player_stream(command.player_id)
        )

    def stamp(self, now: datetime) -> Stamp:
        """The time of its first decision, for all of them.

        What is decided again on the same versions must come out the same, however late it is.
        """
        if self._stamp is None:
            self._stamp = Stamp(now, self.movement_id)
        return self._stamp

    def game_stream(self) -> str | None:
        """The stream of the game that the decision looks at, for a bet."""
        command = self.command
        if isinstance(command, PlaceBet) and command.game is not None:
            return game_stream(command.integration, command.game)
        return None

    @property
    def player_id(self) -> str:
        """The player that the command is about; none for a game's."""
        return "" if isinstance(self.command, SetGame) else self.command.player_id

    def resolve(self, outcome: Outcome) -> None:
        """Answer, unless the deadline has answered already."""
        if not self.answer.done():
            self.answer.set_result(outcome)


def streams_of(batch: Sequence[Pending]) -> dict[str, None]:
    """Every stream that the decisions look at, once."""
    streams = dict.fromkeys(pending.stream for pending in batch)
    for pending in batch:
        game = pending.game_stream()
        if game is not None:
            streams[game] = None
    return streams


def set_aside(batch: Sequence[Pending], unreadable: set[str]) -> None:
    """Refuse who needs a stream that cannot be read: the others shall not pay for it."""
    for pending in batch if unreadable else ():
        if not unreadable.isdisjoint((pending.stream, pending.game_stream())):
            pending.resolve(Refused(Refusal.INTERNAL, "the history cannot be read"))


class Head:
    """A stream as it stands.

    Its state, the hash of its last event, and the version of its last snapshot.
    """

    __slots__ = ("hash", "snapshot_version", "state")

    def __init__(self, state: State, digest: bytes = GENESIS, snapshot_version: int = 0) -> None:
        self.state = state
        self.hash = digest
        self.snapshot_version = snapshot_version


def empty_head(stream: str) -> Head:
    """A stream without events."""
    if stream.startswith(PLAYER_STREAM):
        return Head(Player(stream.removeprefix(PLAYER_STREAM)))
    return Head(Game())


class Attempt:
    """One try at a batch of commands."""

    def __init__(self, recent: Recent) -> None:
        self.known = Known(recent)
        self.heads: dict[str, Head] = {}
        self.outcomes: list[tuple[Pending, Outcome]] = []
        self.questions: list[tuple[Pending, Recall]] = []
        self.to_ask_first: list[Pending] = []
        self.postponed: list[Pending] = []
        self._asking: set[str] = set()
        self._read: dict[str, int] = {}
        self._keys: list[Key] = []
        self._booked: list[tuple[str, Head, int, Event]] = []
        self._used: list[tuple[Key, Transaction]] = []
        self._sessions: list[SessionRow] = []
        self._rounds: list[tuple[str, str, str]] = []

    def admit(self, stream: str, head: Head) -> None:
        """Let decisions look at a stream as it stands in ``head``, which is not changed."""
        if stream not in self.heads:
            self.heads[stream] = Head(head.state, head.hash, head.snapshot_version)
            self._read[stream] = head.state.version
            if isinstance(head.state, Game) and not head.state.enabled:
                self._note_game(stream, head.state)

    def decide(self, pending: Pending, stamp: Stamp) -> None:
        """Decide one command whose streams were admitted.

        What needs an answer first goes to `questions`; or, where its player has moved already in
        this batch, to `to_ask_first` of the next one, as others of his would move him again there.
        What must wait for another batch goes to `postponed`.
        """
        head = self.heads[pending.stream]
        if (
            pending.stream in self._asking
            or head.state.version - self._read[pending.stream] >= _EVENTS_MAX
        ):
            self.postponed.append(pending)
            return
        command = pending.command
        if isinstance(command, SetGame):
            assert isinstance(head.state, Game)
            self._accept(pending, head, decide_game(head.state, command, stamp))
            return
        assert isinstance(head.state, Player)
        decision: Decision = decide(head.state, command, stamp, self.known)
        if isinstance(decision, Recall):
            self._ask(pending, head, decision)
            return
        if isinstance(command, MoneyCommand):
            self._must_be_new((command.integration, command.key))
        if isinstance(decision, tuple):
            self._accept(pending, head, decision)
        elif isinstance(decision, Replayed):
            self._replay(pending, head.state, decision.transaction)
        else:
            if isinstance(command, PlaceBet):
                self._round_must_be_new(head.state, command)
            self.outcomes.append((pending, decision))

    def take_questions(self) -> list[tuple[Pending, Recall]]:
        """The questions so far; their commands are to be decided again once they are answered."""
        questions, self.questions = self.questions, []
        self._asking.clear()
        return questions

    def learn_round(self, name: tuple[str, str, str], found: Round | None) -> None:
        """A round that a decision asked for.

        Back into the player's state, or known to be absent.
        """
        head = self.heads[player_stream(name[0])]
        assert isinstance(head.state, Player)
        if found is None:
            self.known.absent_rounds.add(name)
        else:
            # Also over one in memory: another process may have played it on since.
            head.state = readmit(head.state, found)

    def append_batch(self) -> AppendBatch:
        """What the store must verify and append in one commit; asked for once, after the decisions.

        Events are sealed here, one after the other: between decisions each would cost more.
        """
        return AppendBatch(
            streams=list(self._read),
            versions=list(self._read.values()),
            keys=self._keys,
            rounds=self._rounds,
            events=[_event_row(*booked) for booked in self._booked],
            transactions=[transaction_row(key, used) for key, used in self._used],
            sessions=self._sessions,
        )

    def used_keys(self) -> dict[Key, Transaction]:
        """The keys that this attempt uses, or has looked up and found used."""
        return {key: used for key, used in self.known.transactions.items() if used is not None}

    def snapshots(self, every: int) -> list[SnapshotRow]:
        """Snapshots that are due, ``every`` that many events; the heads remember them as taken."""
        rows = []
        for stream, head in self.heads.items():
            if head.state.version - head.snapshot_version >= every:
                head.snapshot_version = head.state.version
                state = encode_snapshot(head.hash, head.state)
                rows.append(SnapshotRow(stream, head.state.version, state))
        return rows

    def _ask(self, pending: Pending, head: Head, recall: Recall) -> None:
        """Nothing may happen to the player between a question and its answer from the database."""
        if head.state.version == self._read[pending.stream]:
            self.questions.append((pending, recall))
            self._asking.add(pending.stream)
        else:
            self.to_ask_first.append(pending)

    def _must_be_new(self, key: Key) -> None:
        if self.known.transaction(key) is None:
            self._keys.append(key)

    def _round_must_be_new(self, player: Player, command: PlaceBet) -> None:
        """A refusal rests on the round being new, too, where it is not in memory."""
        round_id = command.round_id or own_round(command.key)
        if player.round(command.integration, round_id) is None:
            self._rounds.append((player.player_id, command.integration, round_id))

    def _replay(self, pending: Pending, player: Player, used: Transaction) -> None:
        refused = first_answer(used.event) if used.kind != TOMBSTONE else None
        # A commit whose answer was lost is found again under its own movement id: no replay.
        replayed = used.event.movement_id != pending.movement_id
        outcome = refused or Accepted(player, used.event, used.version, replayed)
        self.outcomes.append((pending, outcome))

    def _accept(
        self, pending: Pending, head: Head, events: tuple[PlayerEvent | GameEvent, ...]
    ) -> None:
        version = head.state.version + 1
        for event in events:
            self._record(pending.stream, head, event)
        player = head.state if isinstance(head.state, Player) else Player("")
        if events:
            outcome = first_answer(events[0]) or Accepted(player, events[0], version)
        else:
            outcome = Accepted(player)
        self.outcomes.append((pending, outcome))

    def _record(self, stream: str, head: Head, event: PlayerEvent | GameEvent) -> None:
        version = head.state.version + 1
        self._booked.append((stream, head, version, event))
        if isinstance(head.state, Game):
            head.state = evolve_game(head.state, cast("GameEvent", event))
            self._note_game(stream, head.state)
            return
        head.state = evolve(head.state, cast("PlayerEvent", event))
        if isinstance(event, Movement):
            self._enter(head.state.player_id, version, event)
        elif isinstance(event, SessionOpened):
            self._sessions.append(session_row(head.state.player_id, event))

    def _note_game(self, stream: str, game: Game) -> None:
        """Bets that are decided from now on find the game so."""
        integration, _, name = stream.removeprefix(GAME_STREAM).partition(":")
        if game.enabled:
            self.known.disabled_games.discard((integration, name))
        else:
            self.known.disabled_games.add((integration, name))

    def _enter(self, player_id: str, version: int, event: Movement) -> None:
        """Enter the movement's key, and that of the bet which a tombstone keeps out (rule 8).

        None for an id that is used: by something else, or by a refund under its bet's very key.
        """
        used = Transaction(player_id, version, event.NAME, event)
        self._use((event.integration, event.key), used)
        if isinstance(event, RefundTombstoned):
            if event.refers_to == event.key or not event.keeps_out:
                return
            refunded = (event.integration, event.refers_to)
            self._must_be_new(refunded)
            self._use(refunded, Transaction(player_id, version, TOMBSTONE, event))
        elif isinstance(event, GameMovement) and event.opens_round and event.round_id is not None:
            self._rounds.append((player_id, event.integration, event.round_id))

    def _use(self, key: Key, used: Transaction) -> None:
        self.known.transactions[key] = used
        self._used.append((key, used))


def _event_row(stream: str, head: Head, version: int, event: Event) -> EventRow:
    """The event as stored, behind the stream's last one, which it becomes."""
    head.hash, state = seal(head.hash, stream, version, event)
    return EventRow(stream, version, event.NAME, state)
