"""Calls that no provider would send on purpose: valid ones, bent in every way we could think of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.acceptance.conformance.service import Guest
from tests.acceptance.conformance.wire import Raw, Request, Wire, encode
from tests.acceptance.conformance.wire_gpas import GpasWire

Draw = Callable[[st.SearchStrategy[Any]], Any]

IDS = st.integers(0, 300).map("id-{}".format)
ROUNDS = st.integers(0, 60).map("round-{}".format)
PLACES = st.integers(0, 10_000)
"""Not up to a call's own length: the same choices must mean the same, and calls carry the time."""

AMOUNTS = st.sampled_from(["0", "0.01", "1", "2", "5", "1000000"])
"""Main units; the last is more than any player has."""

_TOKENS = (
    *("NaN", "-Infinity", "1e400", "1e-400", "-0", "-0.0", "1E+2", "0.1", "-1", "100.0", "1e2"),
    *("01", ".5", "+1", "0x10", "tru", r'"\ud800"', r'"\u0000"', "[" * 10, "9" * 400, "1" * 5000),
)
TOKENS = st.sampled_from(_TOKENS).map(Raw)
TEXTS = st.text(max_size=20) | st.sampled_from(["", "\0", "x" * 300, "EUR", "true", "1", "null"])
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats().map(repr).map(Raw)
    | TEXTS
    | TOKENS
)
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
HEADER = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=80)
QUERY = st.text(st.sampled_from("abz019&=;%+/?.~_-\u00e9"), max_size=60)


@dataclass(frozen=True)
class Cast:
    """The players who are called for: in good standing, blocked, out of session, in yen."""

    wire: Wire
    guests: tuple[Guest, ...]


@dataclass(frozen=True)
class Bent:
    """A call as it will be sent, and the headers that replace the signed ones."""

    request: Request
    headers: Mapping[str, str | None]
    kind: str


def bent(draw: Draw, cast: Cast) -> Bent:
    """A call of any operation, bent in one way or none."""
    request = _valid(draw, cast)
    bends = [*_BENDS, _bend_query] if cast.wire.protocol == "gpas" else _BENDS
    bend = draw(st.sampled_from(bends))
    kind = bend.__name__.removeprefix("_bend_")
    if bend is _bend_signature:
        name = draw(st.sampled_from(sorted(cast.wire.sign(request, request.raw))))
        return Bent(request, {name: draw(st.none() | HEADER)}, kind)
    return Bent(bend(draw, request), {}, kind)


def _valid(draw: Draw, cast: Cast) -> Request:
    """A call as its provider would make it; ids repeat, so that some are replays or conflicts."""
    wire, guest = cast.wire, draw(st.sampled_from(cast.guests))
    bet = wire.bet(guest, id=draw(IDS), round_id=draw(ROUNDS))
    amount = draw(AMOUNTS.filter(lambda text: guest.currency != "JPY" or "." not in text))
    closes = draw(st.sampled_from([False, False, False, True]))
    calls = {
        "bet": lambda: wire.bet(guest, amount, id=bet.id, round_id=bet.round_id, closes=closes),
        "win": lambda: wire.win(guest, bet, amount, id=draw(IDS), closes=closes),
        "refund": lambda: wire.refund(guest, bet, amount=amount, id=draw(IDS)),
        "balance": lambda: wire.balance(guest),
    }
    if wire.protocol == "betbrothers":
        calls["reverse_win"] = lambda: wire.reverse_win(guest, bet, amount=amount, id=draw(IDS))
    if isinstance(wire, GpasWire):
        opening = wire.opening(guest)
        my_balance = replace(wire.balance(guest), path="/wallets/my/balance")
        closing = wire.closing(replace(guest, session=draw(IDS)))
        calls |= {"open": lambda: opening, "my": lambda: my_balance, "close": lambda: closing}
    return calls[draw(st.sampled_from(sorted(calls)))]()


def _bend_nothing(_draw: Draw, request: Request) -> Request:
    return request


def _bend_field(draw: Draw, request: Request) -> Request:
    """Another value in a field, or the field gone, or one more."""
    body = deepcopy(request.body)
    if not isinstance(body, dict):
        return request
    place, name = draw(st.sampled_from(_fields(body)))
    change = draw(st.sampled_from(["replace", "replace", "remove", "add", "rename"]))
    if change == "replace":
        place[name] = draw(JSON)
    elif change == "add":
        place[draw(TEXTS)] = draw(JSON)
    else:
        value = place.pop(name)
        if change == "rename":
            place[draw(TEXTS)] = value
    return replace(request, body=encode(body))


def _bend_twice(draw: Draw, request: Request) -> Request:
    """A key that comes twice."""
    body = request.raw
    if not body.endswith(b"}"):
        return request
    name = draw(st.sampled_from(sorted(request.body or ["a"])))
    return replace(request, body=body[:-1] + encode({name: draw(JSON)}).replace(b"{", b", ", 1))


def _bend_bytes(draw: Draw, request: Request) -> Request:
    """A few bytes of the body changed, put in or cut out; signed as they are."""
    body = bytearray(request.raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(PLACES) % (len(body) + 1)
        body[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return replace(request, body=bytes(body))


def _bend_garbage(draw: Draw, request: Request) -> Request:
    """Bytes that have nothing to do with the call."""
    return replace(request, body=draw(st.binary(max_size=400)))


def _bend_json(draw: Draw, request: Request) -> Request:
    """JSON that has nothing to do with the call."""
    return replace(request, body=encode(draw(JSON)))


def _bend_query(draw: Draw, request: Request) -> Request:
    """The query changed; signed as it is."""
    text = request.query_string
    at = draw(PLACES) % (len(text) + 1)
    query = text[:at] + draw(QUERY) + text[at + draw(st.integers(0, 30)) :]
    return replace(request, query=query.encode("ascii", "ignore").decode())


def _bend_signature(_draw: Draw, request: Request) -> Request:
    return request


_BENDS = [
    _bend_nothing,
    _bend_nothing,
    _bend_field,
    _bend_field,
    _bend_twice,
    _bend_bytes,
    _bend_garbage,
    _bend_json,
    _bend_signature,
]


def _fields(body: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Every field of the body and of the objects in it."""
    found = [(body, name) for name in body]
    for value in body.values():
        if isinstance(value, dict):
            found += _fields(value)
    return found
