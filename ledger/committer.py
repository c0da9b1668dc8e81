"""Group commit: one partition's commands, decided and appended a batch at a time.

While one batch commits the next one gathers; there is no timer, so an idle ledger commits at once.
Wallets come from a cache and are trusted, because the append itself verifies the version of every
stream that a decision looked at, for refusals and replays too. No answer leaves before a commit
that began after everything it rests on was read.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from enum import Enum

import msgspec
import structlog

from ledger.batch import Attempt, Head, Outcome, Pending, set_aside, streams_of
from ledger.codec import UnreadableEvent, player_stream
from ledger.commands import Command, SetGame
from ledger.decisions import Recall
from ledger.loading import Loader
from ledger.observer import Observer
from ledger.outage import Outage
from ledger.player import Player, readmit
from ledger.recent import RecentKeys
from ledger.refusals import Refusal, Refused
from ledger.repeated import Repeated
from ledger.store import (
    AppendBatch,
    CommitUnknown,
    Conflicts,
    MemoryOutdated,
    RoundName,
    SnapshotRow,
    Store,
    StoreUnavailable,
)

log = structlog.get_logger(__name__)


class CommitterLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a committer takes on, and how long anybody waits. Times in seconds, sizes in entries."""

    queue_max: int = 10_000
    batch_max: int = 256
    queue_wait_s: float = 2.0
    """A command older than this when its turn comes is answered `unavailable` and not executed."""
    answer_s: float = 4.0
    """After this the answer is `unavailable`, whatever became of the commit: a repetition tells."""
    wallets_max: int = 20_000
    keys_max: int = 20_000
    snapshot_every: int = 200
    notify_pause_s: float = 0.05
    retry_pause_s: float = 0.05


_TRIES_TOGETHER = 3
_TRIES_ALONE = 3  # in a row; then the command goes behind the others
_QUESTION_ROUNDS_MAX = 8
_DEADLINE_TICK_S = 0.05
_LATE = "no answer from the database in time"


class Tried(Enum):
    """How a try at a batch ended; but for the first it is decided again."""

    DONE = "done"
    CONFLICT = "conflict"  # others had written
    LOST = "lost"  # the database failed, perhaps after the commit, or it got too late for some


class Committer:
    """Runs the commands of one partition. `submit` hands in, `run` works until it is cancelled."""

    def __init__(
        self,
        store: Store,
        observer: Observer,
        outage: Outage,
        limits: CommitterLimits | None = None,
    ) -> None:
        self.limits = limits or CommitterLimits()
        self._store = store
        self._loader = Loader(store)
        self._observer = observer
        self._outage = outage
        self._failures = Repeated()
        self._queue: deque[Pending] = deque()
        self._working: Sequence[Pending] = ()
        self._ready = asyncio.Event()
        self._appended = asyncio.Event()
        self._heads: OrderedDict[str, Head] = OrderedDict()
        self._recent = RecentKeys(self.limits.keys_max)
        self._snapshots: dict[str, SnapshotRow] = {}
        self._generation = store.generation

    @property
    def queue_length(self) -> int:
        """Commands that wait for their batch."""
        return len(self._queue)

    def submit(
        self, command: Command | SetGame, movement_id: str, taken_at: float
    ) -> asyncio.Future[Outcome]:
        """Hand in a command that came at ``taken_at`` (monotonic seconds).

        The future always gets an outcome, at the latest after ``answer_s``.
        """
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if len(self._queue) >= self.limits.queue_max:
            answer.set_result(Refused(Refusal.UNAVAILABLE, "too many calls are waiting"))
            return answer
        self._queue.append(Pending(command, movement_id, taken_at, answer))
        self._ready.set()
        return answer

    async def run(self) -> None:
        """Commit batches, keep deadlines, save snapshots and notify readers, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._commit_batches, self._keep_deadlines, self._after_appends):
                tasks.create_task(self._keep_at(work))

    async def _keep_at(self, work: Callable[[], Awaitable[None]]) -> None:
        """Begin anew after an error that nobody expected: else every caller waits for ever."""
        while True:
            try:
                await work()
            except Exception:
                # The outermost loop: what it cannot name it logs, and goes on after a pause.
                log.exception("committer_failed", work=work.__name__)
            await asyncio.sleep(self.limits.retry_pause_s)

    async def check(self) -> None:
        """Raises `StoreUnavailable`, `CommitUnknown` while appends fail.

        Where none has failed for a while it tries an empty one: perhaps nobody has asked since.
        """
        if self._outage.in_doubt:
            await self._store.append(AppendBatch(), self.limits.answer_s)
            self._outage.passed(events=0)
        if self._outage.lasts:
            raise StoreUnavailable("the last append failed")

    async def drain(self) -> None:
        """Wait until everything handed in so far has been answered; more may come meanwhile."""
        answers = [pending.answer for pending in (*self._working, *self._queue)]
        if answers:
            await asyncio.wait(answers)

    async def _commit_batches(self) -> None:
        self._break_off()
        while True:
            await self._ready.wait()
            self._ready.clear()
            while batch := self._take():
                self._working = batch
                started = time.monotonic()
                await self._commit(batch)
                self._working = ()
                self._observer.batch(len(batch), time.monotonic() - started)

    def _break_off(self) -> None:
        """Answer a batch that an error has ended; who asks again finds what was booked."""
        working, self._working = self._working, ()
        for pending in working:
            pending.resolve(Refused(Refusal.UNAVAILABLE, "the batch was broken off"))
        self._forget()
        self._ready.set()

    def _take(self) -> list[Pending]:
        oldest = time.monotonic() - self.limits.queue_wait_s
        batch: list[Pending] = []
        while self._queue and len(batch) < self.limits.batch_max:
            pending = self._queue.popleft()
            if pending.answer.done():
                continue
            if pending.overtaken:  # alone, so that the others are not overtaken with it
                if not batch:
                    return [pending]
                self._queue.appendleft(pending)
                break
            if pending.taken_at < oldest:
                pending.resolve(Refused(Refusal.UNAVAILABLE, "waited too long"))
            else:
                batch.append(pending)
        return batch

    async def _commit(self, batch: Sequence[Pending]) -> None:
        """See the batch through: together, and one by one when that does not work out (P6)."""
        try:
            conflicts = 0
            while conflicts < _TRIES_TOGETHER:
                if not (batch := self._waiting(batch)):
                    return
                tried = await self._try(batch)
                if tried is Tried.DONE:
                    return
                conflicts += tried is Tried.CONFLICT
        except Exception:
            # Another try command by command: only the one that is at fault shall pay.
            log.exception("batch_failed", commands=len(batch))
            self._forget()
        for pending in batch:
            await self._commit_alone(pending)

    async def _commit_alone(self, pending: Pending) -> None:
        try:
            while self._waiting([pending]):
                if await self._try([pending]) is not Tried.CONFLICT:
                    continue
                pending.overtaken += 1
                if pending.overtaken % _TRIES_ALONE == 0:
                    self._queue.append(pending)
                    return
        except Exception:
            # The outermost edge of one command: logged, answered, and nothing in memory trusted.
            log.exception("command_failed", command=type(pending.command).__name__)
            self._forget()
            pending.resolve(Refused(Refusal.INTERNAL, "the command failed"))

    def _waiting(self, batch: Sequence[Pending]) -> Sequence[Pending]:
        """Those who still wait; the late are told first, as others may have decided since."""
        oldest = time.monotonic() - self.limits.answer_s
        for pending in batch:
            if pending.taken_at < oldest:
                pending.resolve(Refused(Refusal.UNAVAILABLE, _LATE))
        return [pending for pending in batch if not pending.answer.done()]

    async def _try(self, batch: Sequence[Pending]) -> Tried:
        """Decide the batch, append it and answer."""
        attempt = Attempt(self._recent)
        try:
            await self._decide(attempt, batch)
            if len(self._waiting(batch)) < len(batch):
                return Tried.LOST  # nothing more may be booked for who was answered meanwhile
            wanted = attempt.append_batch()
            answer_s = self.limits.answer_s
            told_at = min(pending.taken_at for pending in batch) + answer_s
            conflicts = await self._store.append(wanted, answer_s, self._generation, told_at)
            if conflicts is not None:
                self._observer.conflict()
                await self._refresh(conflicts)
                return Tried.CONFLICT
        except MemoryOutdated:  # a connection that was lost and is there again: no outage
            self._forget()
            return Tried.LOST
        except (CommitUnknown, StoreUnavailable) as error:
            # Whatever was committed is found by its keys when the batch is decided again.
            await self._lost(error)
            return Tried.LOST
        self._outage.passed(len(wanted.events))
        self._keep(attempt)
        self._queue.extendleft(reversed(attempt.to_ask_first))
        self._queue.extend(attempt.postponed)  # behind the others: they may be many, of one player
        for pending, outcome in attempt.outcomes:
            pending.resolve(outcome)
        return Tried.DONE

    async def _decide(self, attempt: Attempt, batch: Sequence[Pending]) -> None:
        for stream, head in (await self._heads_of(batch)).items():
            attempt.admit(stream, head)
        if any(pending.answer.done() for pending in batch):
            return  # the others are decided without them
        now = datetime.now(UTC)
        for pending in batch:
            attempt.decide(pending, pending.stamp(now))
        for _ in range(_QUESTION_ROUNDS_MAX):
            if not attempt.questions:
                return
            await self._answer_questions(attempt, now)
        raise RuntimeError("a decision asks without end")

    async def _heads_of(self, batch: Sequence[Pending]) -> dict[str, Head]:
        wanted = streams_of(batch)
        missing = [stream for stream in wanted if stream not in self._heads]
        if missing:
            found = await self._loader.heads(missing)
            self._heads.update(found)
            set_aside(batch, set(missing) - found.keys())
        return {stream: self._heads[stream] for stream in wanted if stream in self._heads}

    async def _answer_questions(self, attempt: Attempt, now: datetime) -> None:
        """Look up what decisions asked for, and decide those commands again."""
        questions = attempt.take_questions()
        try:
            await self._learn(attempt, questions)
        except UnreadableEvent as error:  # the others of the batch shall not pay for it
            asked = [pending for pending, _ in questions]
            log.error("stream_unreadable", streams=list(streams_of(asked)), error=str(error))
            set_aside(asked, set(streams_of(asked)))
            return
        for pending, _ in questions:
            attempt.decide(pending, pending.stamp(now))

    async def _learn(self, attempt: Attempt, questions: list[tuple[Pending, Recall]]) -> None:
        recalls = [recall for _, recall in questions]
        if keys := {recall.transaction for recall in recalls if recall.transaction}:
            attempt.known.learn(await self._loader.transactions(keys))
        if sessions := {recall.session for recall in recalls if recall.session}:
            attempt.known.sessions |= await self._loader.sessions(sessions)
        rounds = {
            (pending.player_id, *recall.round) for pending, recall in questions if recall.round
        }
        for name, found in (await self._loader.rounds(rounds) if rounds else {}).items():
            attempt.learn_round(name, found)

    async def _refresh(self, conflicts: Conflicts) -> None:
        """Forget what others have overtaken, and read back what they used."""
        for stream in conflicts.streams:
            self._heads.pop(stream, None)
        keys = [(row.integration, row.key) for row in conflicts.transactions]
        if keys:
            found = await self._loader.transactions(keys)
            self._recent.remember({key: used for key, used in found.items() if used is not None})
        if conflicts.rounds:
            await self._readmit(conflicts.rounds)

    async def _readmit(self, names: Collection[RoundName]) -> None:
        """Rounds that are not as new as they looked: they had fallen out of the wallets in memory.

        The wallets are read first. What others book between the two reads is then in a round only,
        and the append finds that its wallet is not at the head; the other way round it would be
        missing from the round, and nothing would tell.
        """
        streams = [player_stream(player_id) for player_id, _, _ in names]
        self._heads.update(await self._loader.heads(streams))
        for (player_id, _, _), found in (await self._loader.rounds(names)).items():
            head = self._heads[player_stream(player_id)]
            # An append that fails for a round nobody can read back would fail for ever.
            assert found is not None
            assert isinstance(head.state, Player)
            head.state = readmit(head.state, found)

    async def _lost(self, error: CommitUnknown | StoreUnavailable) -> None:
        """The connection is gone, and with it the right to trust anything in memory."""
        self._outage.failed()
        if isinstance(error, CommitUnknown):
            self._observer.unknown()
        if times := self._failures.happened():
            log.warning("commit_failed", kind=type(error).__name__, error=str(error), times=times)
        self._forget()
        await asyncio.sleep(self.limits.retry_pause_s)

    def _forget(self) -> None:
        self._heads.clear()
        self._recent.clear()
        self._snapshots.clear()
        self._generation = self._store.generation

    def _keep(self, attempt: Attempt) -> None:
        """Take over what a committed attempt left behind."""
        heads = self._heads
        for stream, head in attempt.heads.items():
            heads[stream] = head
            heads.move_to_end(stream)
        while len(heads) > self.limits.wallets_max:
            heads.popitem(last=False)
        self._recent.remember(attempt.used_keys())
        for row in attempt.snapshots(self.limits.snapshot_every):
            self._snapshots[row.stream] = row
        self._appended.set()

    async def _keep_deadlines(self) -> None:
        """Nobody waits for longer than ``answer_s``, whatever the database does."""
        while True:
            await asyncio.sleep(_DEADLINE_TICK_S)
            oldest = time.monotonic() - self.limits.answer_s
            # All of the queue: what another worker's end gave back is older than what is before it.
            waiting = (*self._working, *self._queue)
            late = [each for each in waiting if each.taken_at < oldest and not each.answer.done()]
            if late:
                self._outage.failed()
                self._queue = deque(each for each in self._queue if each.taken_at >= oldest)
            for pending in late:
                pending.resolve(Refused(Refusal.UNAVAILABLE, _LATE))

    async def _after_appends(self) -> None:
        """Tell readers of the log, save snapshots; both may be late, neither may fail a call."""
        while True:
            await self._appended.wait()
            self._appended.clear()
            rows, generation = list(self._snapshots.values()), self._generation
            self._snapshots = {}
            try:
                await self._store.notify()
                if rows:
                    await self._store.save_snapshots(rows, generation)
            except StoreUnavailable as error:
                log.warning("after_append_failed", error=str(error))
                if generation == self._generation:  # with the next append
                    self._snapshots = {row.stream: row for row in rows} | self._snapshots
            await asyncio.sleep(self.limits.notify_pause_s)
