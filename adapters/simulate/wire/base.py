"""What the four protocols have in common on the provider's side, and how answers are compared."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from adapters.simulate.calls import Call, Outcome, Session, Switches


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request. ``path`` begins with the integration's name and carries the query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    echo: Mapping[str, str] = field(default_factory=dict)
    """What the answer must repeat."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, wholly read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    tries: int = 1
    """How often the call was sent until this came."""

    def fields(self) -> dict[str, Any]:
        """The body as JSON with exact decimals. Raises ValueError when it is no JSON object."""
        parsed = json.loads(self.body, parse_float=Decimal)
        if not isinstance(parsed, dict):
            raise ValueError("the answer is no JSON object")  # noqa: TRY004  (as bad JSON)
        return parsed

    def __str__(self) -> str:
        return f"{self.status} {self.body[:300].decode(errors='replace')}"


class Text:
    """Matches any text that is not empty."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and bool(other)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "<text>"


class TextOrNull(Text):
    """Matches null, or any text that is not empty."""

    def __eq__(self, other: object) -> bool:
        return other is None or (isinstance(other, str) and bool(other))

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "<text or null>"


TEXT: Final = Text()
TEXT_OR_NULL: Final = TextOrNull()


@dataclass(frozen=True, slots=True)
class Expected:
    """The one right answer; `TEXT` stands where only the server knows the value."""

    status: int
    body: Mapping[str, Any] | None
    """None: nothing at all."""

    def __str__(self) -> str:
        return f"{self.status} {'' if self.body is None else dict(self.body)}"

    def fits(self, answer: Answer) -> bool:
        """Status, the exact set of fields, and every value with its JSON type."""
        if answer.status != self.status:
            return False
        if self.body is None:
            return not answer.body
        try:
            fields = answer.fields()
        except ValueError:
            return False
        return same(dict(self.body), fields)


def same(expected: object, got: object) -> bool:
    """Equal as JSON: true is no 1, and 1.0 equals 1 only where a decimal is expected."""
    if isinstance(expected, dict):
        return (
            isinstance(got, dict)
            and expected.keys() == got.keys()
            and all(same(value, got[name]) for name, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(got, list)
            and len(expected) == len(got)
            and all(same(one, other) for one, other in zip(expected, got, strict=True))
        )
    if isinstance(expected, Decimal):
        return isinstance(got, int | Decimal) and not isinstance(got, bool) and expected == got
    return expected == got and (isinstance(expected, Text) or type(expected) is type(got))


@dataclass(frozen=True, slots=True)
class Raw:
    """A piece of JSON that is sent as it is written."""

    text: str


def compact(payload: object) -> bytes:
    """JSON without blanks, in ASCII; decimals digit for digit, never through a float."""
    return _encode(payload).encode("ascii")


def _encode(value: object) -> str:
    match value:
        case Raw(text):
            return text
        case Decimal():
            return format(value, "f")
        case dict():
            return "{" + ",".join(f"{json.dumps(n)}:{_encode(v)}" for n, v in value.items()) + "}"
        case list():
            return "[" + ",".join(_encode(one) for one in value) + "]"
        case float():
            raise TypeError("money is no float")
        case _:
            return json.dumps(value)


def spelt(an_id: str, variation: int) -> str | int:
    """An id of digits may come as a JSON integer and is the same id."""
    return int(an_id) if variation % 2 and an_id.isdigit() else an_id


class Wire(ABC):
    """One integration as its provider calls it."""

    id_paths: Sequence[str] = ()
    """Fields that hold ids, by dotted path: what malformed calls are made of."""
    amount_path: str = ""
    amount_text_is_number: bool = False
    """The protocol takes a number in quotes for a number."""
    amount_is_integer: bool = True
    betless_tags: Sequence[str] = ("jackpot", "promo", "tournament")
    """Tags under which this wire can pay without a bet, given the ability."""
    amount_in_undo: bool = False
    """A refund carries an amount (which must not matter)."""
    abilities: frozenset[str] = frozenset()
    """Situations that this protocol can bring about beyond those that all can."""

    def __init__(self, switches: Switches) -> None:
        """``switches`` also name the integration, which is the first part of every path."""
        self.switches = switches

    @abstractmethod
    def smallest(self, currency: str) -> int:
        """The smallest amount that a stake can have on this wire."""

    @abstractmethod
    def request(self, call: Call, variation: int) -> Request:
        """Build and sign the call; ``variation`` picks among spellings that mean the same."""

    @abstractmethod
    def signed(self, request: Request) -> Request:
        """The same request with its signature made afresh."""

    @abstractmethod
    def forged(self, request: Request, variation: int) -> Request:
        """The same request with a signature that does not fit."""

    @abstractmethod
    def expected(self, call: Call, outcome: Outcome, request: Request) -> Sequence[Expected]:
        """The right answer; more than one only where the protocol leaves it open."""

    def unsigned(self, answer: Answer) -> str | None:
        """What is wrong with the answer's signature, where answers are signed."""
        del answer
        return None

    def unavailable(self, answer: Answer) -> bool:
        """Nothing was booked, or nobody knows: the call must be repeated."""
        return answer.status == 503

    def movement_id(self, answer: Answer) -> str | None:
        """The operator's id of what was booked, where the protocol carries it."""
        del answer
        return None

    def stable(self, answer: Answer) -> tuple[int, dict[str, Any]]:
        """What must be the same in every copy of an answer."""
        return (answer.status, answer.fields() if answer.body else {})

    def opening(self, session: Session, player_id: str) -> Request | None:
        """The call that makes a session of the provider's own from the operator's token, if any."""
        del session, player_id
        return None

    def opened(self, session: Session, player_id: str, answer: Answer) -> str | None:
        """Take the session token from the answer to `opening`; what was expected, or None."""
        del session, player_id, answer
        return None
