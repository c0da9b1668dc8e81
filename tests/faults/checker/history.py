"""What the providers did, as they saw it: a file of lines, written before each send and after.

Times are `time.monotonic_ns` of the one process that plays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO, TypeAlias

import msgspec

from tests.acceptance.provider import movement

Action: TypeAlias = Literal["bet", "win", "refund", "rollback-win"]
FINAL_BELOW = 500
"""A status from here on says nothing about what became of the call."""


class Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """One body; repeated as it is. Two calls of one key and other content are a provider's error.

    ``amount`` in cents; ``original`` is the transaction that a refund or a rollback names; a
    ``promo`` win needs no bet (rule 5).
    """

    number: int
    player_id: str
    action: Action
    transaction_id: str
    round_id: str
    amount: int
    original: str | None = None
    closes: bool = False
    promo: bool = False

    @property
    def key(self) -> str:
        """The idempotency key."""
        return f"{self.action}:{self.transaction_id}"

    def content(self) -> tuple[object, ...]:
        """Rule 1: what a repetition must have in common with the first."""
        return (self.player_id, self.amount, self.round_id, self.original)

    def body(self, token: str) -> bytes:
        """As The Bet Brothers send it."""
        transfer: dict[str, object] = {}
        if self.action in ("bet", "win"):
            transfer["round_close"] = self.closes
            if self.promo:
                transfer["promo"] = {"type": "drop", "id": "1"}
        elif self.action == "refund":
            transfer["refunded_transaction_id"] = self.original
        else:
            transfer["rollback_win_transaction_id"] = self.original
        return movement(
            self.action,
            self.player_id,
            token,
            self.transaction_id,
            round_id=self.round_id,
            amount=self.amount,
            transfer=transfer,
        )


class Began(msgspec.Struct, frozen=True, tag=True):
    """The clock when the playing began: monotonic, and that of the wall."""

    monotonic: int
    wall: int


class Intent(msgspec.Struct, frozen=True, tag=True):
    """A call will be sent."""

    call: Call


class Sent(msgspec.Struct, frozen=True, tag=True):
    """An attempt of a call goes out now."""

    attempt: int
    call: int
    at: int


class Returned(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What came of an attempt; no status where nothing came."""

    attempt: int
    at: int
    status: int | None = None
    body: str = ""


Record: TypeAlias = Began | Intent | Sent | Returned
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


class Recorder:
    """Writes a history; a line is in the file before the call goes on."""

    def __init__(self, file: TextIO) -> None:
        """``file`` is buffered by lines."""
        self._file = file

    def write(self, record: Record) -> None:
        """Append a record."""
        self._file.write(_encode(record).decode() + "\n")


@dataclass
class Attempt:
    """One sending of a call, and what came back: ``status`` None where nothing did."""

    call: Call
    sent: int
    returned: int | None = None
    status: int | None = None
    body: str = ""

    @property
    def ok(self) -> bool:
        """Whether the provider was told that it is booked."""
        return self.status == 200

    @property
    def refused(self) -> bool:
        """Whether the provider was told that it is not."""
        return self.status is not None and not self.ok and self.status < FINAL_BELOW

    @property
    def unknown(self) -> bool:
        """Whether the provider was told nothing that is final."""
        return not self.ok and not self.refused


@dataclass
class History:
    """All calls and attempts, in the order of their sending."""

    calls: list[Call] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    wall_offset: int = 0
    """What a monotonic time lacks to one of the wall."""


def read(file: Path) -> History:
    """A history from its file."""
    with file.open(encoding="utf-8") as lines:
        return gather(map(_decode, lines))


def gather(records: Iterable[Record]) -> History:
    """The history that records tell."""
    history = History()
    calls: dict[int, Call] = {}
    attempts: dict[int, Attempt] = {}
    for record in records:
        match record:
            case Began():
                history.wall_offset = record.wall - record.monotonic
            case Intent():
                calls[record.call.number] = record.call
                history.calls.append(record.call)
            case Sent():
                attempt = attempts[record.attempt] = Attempt(calls[record.call], record.at)
                history.attempts.append(attempt)
            case Returned():
                attempt = attempts[record.attempt]
                attempt.returned, attempt.status = record.at, record.status
                attempt.body = record.body
    return history
