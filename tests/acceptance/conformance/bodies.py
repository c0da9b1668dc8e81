"""Values that a field must never hold, and bodies that nobody should send."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.acceptance.conformance.wire import MISSING, Raw, Request, Wire

_FLAGS = {"is_mobile", "round_close", "roundClosed", "isGameRoundFinished"}
_SECTIONS = {"payload", "provider_transfer_data", "meta"}
_TEXTS = {"action", "currency", "currency_code"}
_PARTS = {"cashAmount"}
BODY_MAX = 64 * 1024
NESTING_MAX = 8

_NEVER: list[Any] = [MISSING, None, [], [1]]
WRONG_IDS = [*_NEVER, "", True, False, {}, Decimal("1.5"), "a\0b", "x" * 256, Raw(r'"\ud800"')]
WRONG_TEXTS = [*WRONG_IDS, 1]
WRONG_FLAGS = [*_NEVER, "", "true", 0, 1, {}]
WRONG_SECTIONS = [*_NEVER, "", "{}", 1, True]
WRONG_NUMBERS = [
    *_NEVER,
    "",
    "one",
    True,
    {},
    -1,
    Decimal("-0.01"),
    Raw("NaN"),
    Raw("Infinity"),
    Raw("-Infinity"),
    Raw("1e400"),
    Raw("1" * 5000),
    Raw("1e-6"),
    2**63,
]
WRONG_INTEGERS = [*WRONG_NUMBERS, "100", Raw("100.0"), Raw("1e2"), Decimal("0.5")]
WRONG_STRINGS_OF_NUMBERS = ["1e2", "NaN", "Infinity", "-1", " 1", "1 ", "+1", "1,5", "1.", ".5"]


def wrong_values(wire: Wire, path: str) -> list[Any]:
    """What the field at this path must never hold."""
    name = path.rsplit("__", maxsplit=1)[-1]
    if path == wire.names["amount"]:
        return _wrong_amounts(wire)
    if name in _PARTS:
        # A part that does not fit is booked and listed, so a large or fine one is no fault.
        return [*WRONG_NUMBERS[:10], "1"]
    if name in _FLAGS:
        return WRONG_FLAGS
    if name in _SECTIONS:
        return WRONG_SECTIONS
    return WRONG_TEXTS if name in _TEXTS else WRONG_IDS


def _wrong_amounts(wire: Wire) -> list[Any]:
    if wire.counts_integers:
        return WRONG_INTEGERS
    if wire.protocol == "gpas":  # which takes a string too
        return [*WRONG_NUMBERS, *WRONG_STRINGS_OF_NUMBERS, "0x1", "٣", "1" * 70]
    return [*WRONG_NUMBERS, "1"]


def nested(levels: int) -> str:
    """An object of so many levels."""
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


def with_more(request: Request, more: str) -> bytes:
    """The request's body with something behind its last field."""
    return request.raw[:-1] + b", " + more.encode() + b"}"


def padded(request: Request, size: int) -> bytes:
    """The request's body with an unknown field that brings it to the size."""
    bare = len(with_more(request, '"padding": ""'))
    return with_more(request, f'"padding": "{"x" * (size - bare)}"')


def broken_bodies(request: Request, id_field: str) -> dict[str, bytes]:
    """Bodies that must be refused as malformed, by what is wrong with them."""
    good = request.raw
    name = id_field.rsplit("__", maxsplit=1)[-1].encode()
    return {
        "empty": b"",
        "blank": b"  \n",
        "null": b"null",
        "a-list": b"[" + good + b"]",
        "a-string": b'"bet"',
        "a-number": b"42",
        "cut": good[:-1],
        "open": b"{",
        "two-objects": good + good,
        "a-comma-too-many": good[:-1] + b",}",
        "single-quotes": good.replace(b'"', b"'"),
        "a-comment": good + b"// bet",
        "a-byte-order-mark": b"\xef\xbb\xbf" + good,
        "utf-16": good.decode().encode("utf-16"),
        "latin-1": with_more(request, '"name": "é"').decode().encode("latin-1"),
        "no-utf-8": good[:-1] + b', "a": "\xff\xfe"}',
        "a-control-character": good[:-1] + b', "a": "\x01"}',
        "a-key-twice": with_more(request, '"twice": 1, "twice": 1'),
        "an-id-twice": good.replace(b'"%b": ' % name, b'"%b": "first", "%b": ' % (name, name), 1),
        "a-nested-key-twice": with_more(request, '"a": {"b": [{"c": 1, "c": 2}]}'),
        "nan": with_more(request, '"a": NaN'),
        "infinity": with_more(request, '"a": [Infinity]'),
        "minus-infinity": with_more(request, '"a": -Infinity'),
        "too-deep": with_more(request, f'"a": {nested(NESTING_MAX)}'),
        "far-too-deep": with_more(request, '"a": ' + "[" * 20_000 + "]" * 20_000),
        "a-number-without-end": with_more(request, '"a": ' + "9" * 60_000),
        "too-large": padded(request, BODY_MAX + 1),
        "far-too-large": padded(request, BODY_MAX * 16),
        "form": b"amount=1&currency=EUR",
        "html": b"<html></html>",
        "nul": b"\0" * 100,
    }


def odd_but_good_bodies(request: Request) -> dict[str, bytes]:
    """Bodies that look odd and must be taken as they are meant."""
    return {
        "unknown-fields": with_more(request, '"a": null, "b": [1, {"c": 1e999}], "": ""'),
        "as-deep-as-allowed": with_more(request, f'"a": {nested(NESTING_MAX - 1)}'),
        "many-brackets": with_more(request, '"a": [' + ", ".join(["[]"] * 500) + "]"),
        "as-large-as-allowed": padded(request, BODY_MAX),
        "blanks": b"\r\n\t " + request.raw + b"\n\n",
        "escapes": with_more(request, r'"\u0061": "\ud83c\udfb2 \u0000"'),
        # As in a description that was cut within a character: a win was refused for good.
        "half-a-surrogate": with_more(request, r'"a": ["b \ud83c"]'),
        "half-a-surrogate-as-a-key": with_more(request, r'"\udfff": 1'),
        # The call journal once could not write this pair: the bet was booked, the answer a 500.
        "escapes-and-a-huge-integer": with_more(request, r'"\u0061": ' + "9" * 40),
        "other-letters": with_more(request, '"имя": "Zażółć 🎲"'),
    }
