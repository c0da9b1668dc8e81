"""Strict reading of a provider's JSON: each bad body is one that some lax parser lets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers import payload as module
from adapters.providers.payload import ID_LENGTH_MAX, NESTING_MAX, BrokenText, Fields, parse_object
from adapters.providers.protocol import RefusedCall
from ledger.refusals import Refusal


def refusal(read: Callable[[], Any]) -> str:
    """The words with which reading was refused as malformed."""
    with pytest.raises(RefusedCall) as caught:
        read()
    assert caught.value.refused.refusal is Refusal.MALFORMED_REQUEST
    return caught.value.refused.detail


def nested(depth: int) -> bytes:
    """A body nested ``depth`` deep, its own object included."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: not JSON at character 0: Expecting value"),
        (b"{", "body: not JSON at character 1"),
        (b"[]", "body: expected an object, got a list"),
        (b'"a"', "body: expected an object, got a string"),
        (b"null", "body: expected an object, got null"),
        (b"12", "body: expected an object, got an integer"),
        (b"{} {}", "body: not JSON at character 3: Extra data"),
        (b"{'a':1}", "body: not JSON at character 1"),
        (b'{"a":1,}', "body: not JSON at character"),
        (b'{"a":01}', "body: not JSON at character"),
        (b'{"a":.5}', "body: not JSON at character"),
        (b'{"a":+5}', "body: not JSON at character"),
        (b'{"a":0x10}', "body: not JSON at character"),
        (b'{"a":"\x01"}', "body: not JSON at character"),
        (b'{"a":"\n"}', "body: not JSON at character"),
        (b'\xef\xbb\xbf{"a":1}', "body: not JSON at character 0"),
        ('{"a":1}'.encode("utf-16"), "body: not UTF-8 at byte 0"),
        (b'{"a":"\xff"}', "body: not UTF-8 at byte 6"),
        (b'{"a":"\xed\xa0\x80"}', "body: not UTF-8 at byte 6"),
        (b'{"a":"\xc0\x80"}', "body: not UTF-8 at byte 6"),
        (b'{"a":1,"a":1}', "body: a key comes twice in one object"),
        (b'{"a":1,"\\u0061":2}', "body: a key comes twice in one object"),
        (b'{"a":[{"b":1,"b":2}]}', "body: a key comes twice in one object"),
        (b'{"a":NaN}', "body: NaN is no number"),
        (b'{"a":Infinity}', "body: Infinity is no number"),
        (b'{"a":-Infinity}', "body: -Infinity is no number"),
        (b'{"a":' + b"9" * 5000 + b"}", "body: a number is too long"),
        (b'{"a":1e' + b"9" * 5000 + b"}", "body: a number is too long"),
        (b'{"a":1e99999999999999999999}', "body: a number is too long"),
        (nested(NESTING_MAX + 1), "body: nested deeper than 8"),
        (b'{"a":' * 8 + b"{}" + b"}" * 8, "body: nested deeper than 8"),
        (nested(30_000), "body: nested deeper than 8"),
        (b"[" * 60_000, "body: nested deeper than 8"),
        (b'{"a":' * 10_000, "body: nested deeper than 8"),
    ],
)
def test_a_body_that_could_be_read_in_two_ways_is_refused(body: bytes, message: str) -> None:
    """Where two parsers could disagree, signer and ledger could disagree on the amount."""
    assert refusal(lambda: parse_object(body)).startswith(message)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' \r\n\t{ "a" : 1 } \n', {"a": 1}),
        (b'{"a":0.1}', {"a": Decimal("0.1")}),
        (b'{"a":42.0}', {"a": Decimal("42.0")}),
        (b'{"a":1e2}', {"a": Decimal("1E+2")}),
        (b'{"a":12345678901234567.89}', {"a": Decimal("12345678901234567.89")}),
        (b'{"a":9223372036854775808}', {"a": 2**63}),
        (b'{"a":-0}', {"a": 0}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ('{"a":"\u00e9"}'.encode(), {"a": "\u00e9"}),
        (b'{"a":[{"b":1},{"b":1}]}', {"a": [{"b": 1}, {"b": 1}]}),
        (b'{"a":"[[[[[[[[[[[["}', {"a": "[[[[[[[[[[[["}),
        (b'{"a":[[],[],[],[],[],[],[],[],[]]}', {"a": [[] for _ in range(9)]}),
    ],
)
def test_a_good_body_is_read_exactly(body: bytes, value: dict[str, Any]) -> None:
    """Numbers keep every digit, brackets in strings do not nest, pairs of surrogates are text."""
    read = parse_object(body)
    assert read == value
    assert repr(read) == repr(value)


_TEXTS = st.text(st.sampled_from('ab:"\\/{}[],.eE\u00e9\x7f '), max_size=4)
_NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False).map(str)
_SCALARS = st.none() | st.booleans() | st.integers() | _TEXTS
_BODIES = st.recursive(
    st.dictionaries(_TEXTS, _SCALARS, max_size=3),
    lambda inner: st.dictionaries(_TEXTS, inner | _SCALARS | st.lists(inner, max_size=2)),
    max_leaves=12,
)


@given(_BODIES, _NUMBERS, st.data())
def test_the_fast_way_reads_what_the_careful_way_reads_or_nothing(
    values: dict[str, Any], number: object, data: st.DataObject
) -> None:
    """Two parsers must never disagree about money: with bytes swapped in, repeated and cut, too."""
    body = json.dumps(values, ensure_ascii=data.draw(st.booleans())).encode()
    body = body.replace(b"null", str(number).encode())
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(body))] * 2)))
    for candidate in (body, body[:end] + body[start:], body[:start] + body[end:]):
        plain = module._plain_object(candidate)
        if plain is not None:
            assert plain == module._careful_object(candidate)


def test_the_fast_way_is_the_usual_one() -> None:
    """Else it would be tested and never taken."""
    body = b'{"action": "bet", "amount": 100, "payload": {"transfer": {"closes": true}}}'
    assert module._plain_object(body) == orjson.loads(body)
    assert module._plain_object(b'{"a":1,"a":1}') is None
    assert module._plain_object(b'{"a":1.0}') is None


def test_half_a_surrogate_is_no_string() -> None:
    """No database holds it. Where it is not needed, a win must not be lost for it."""
    fields = Fields(parse_object(b'{"a":"b \\ud83c","\\udfff":[{"b":"\\udfff"}]}'))
    assert str(fields.value("a")) == r"b \ud83c"
    assert isinstance(fields.value("\udfff")[0]["b"], BrokenText)
    for read, what in (
        (fields.identifier, "an id"),
        (fields.optional_identifier, "an id"),
        (fields.text, "a string"),
        (fields.flag, "a boolean"),
    ):
        problem = refusal(lambda read=read: read("a"))  # type: ignore[misc]
        assert problem == f"a: expected {what}, got a string with half a surrogate"
    assert fields.peek("a") is None
    assert fields.marks("a") == {}


def test_nesting_is_allowed_up_to_the_limit() -> None:
    """The limit is a limit, not one less."""
    parse_object(nested(NESTING_MAX))


BAD_IDS: list[tuple[object, str]] = [
    (None, "expected an id, got null"),
    (True, "expected an id, got a boolean"),
    ([], "expected an id, got a list"),
    ({}, "expected an id, got an object"),
    (Decimal("1.0"), "expected an id, got a decimal number"),
    ("", "empty"),
    ("a\0b", "holds NUL"),
    (BrokenText("a\ud800"), "expected an id, got a string with half a surrogate"),
    ("x" * (ID_LENGTH_MAX + 1), "longer than 255 characters"),
    (10**300, "longer than 255 characters"),
]


@pytest.mark.parametrize(("value", "problem"), BAD_IDS)
def test_a_bad_id_is_refused_with_its_full_path(value: object, problem: str) -> None:
    """An id is an identity: one that is bent to fit could be another transaction's."""
    inner = Fields({"outer": {"id": value}}).section("outer")
    assert refusal(lambda: inner.identifier("id")) == f"outer.id: {problem}"
    assert inner.peek("id") is None


@pytest.mark.parametrize(
    ("value", "identity"), [("6", "6"), (6, "6"), (-1, "-1"), (" a ", " a "), ("\u00e9", "\u00e9")]
)
def test_an_id_is_opaque(value: object, identity: str) -> None:
    """Integers become strings; nothing is trimmed, folded or normalised."""
    fields = Fields({"id": value})
    assert fields.identifier("id") == fields.peek("id") == fields.optional_identifier("id")
    assert fields.identifier("id") == identity


@pytest.mark.parametrize("value", ["1", True, None, [], {}, Decimal("100.0")])
def test_an_integer_is_an_integer(value: object) -> None:
    """100.0 subunits or "100" may mean anything; 100 means 100."""
    refusal(lambda: Fields({"n": value}).integer("n"))


@pytest.mark.parametrize("value", ["1", "1.5", True, None, [], {}])
def test_a_number_is_no_string(value: object) -> None:
    """Only gpas writes amounts as strings, and it reads them itself."""
    refusal(lambda: Fields({"n": value}).number("n"))


@pytest.mark.parametrize("value", [0, 1, "true", "", None, []])
def test_a_flag_is_a_boolean(value: object) -> None:
    """Most languages hold the string "false" to be true."""
    refusal(lambda: Fields({"f": value}).flag("f"))


def test_a_missing_field_is_named_as_missing() -> None:
    """The provider's engineer must see that it is not there, rather than null."""
    empty = Fields({})
    for read in (empty.identifier, empty.text, empty.flag, empty.integer, empty.number):
        assert refusal(lambda read=read: read("x")) == "x: missing"  # type: ignore[misc]
    assert refusal(lambda: empty.section("x")) == "x: missing"


def test_an_optional_field_may_be_missing_or_null_but_not_wrong() -> None:
    """Vendors send null for what they do not use."""
    for fields in (Fields({}), Fields({"x": None})):
        assert fields.optional_identifier("x") is None
        assert fields.optional_flag("x") is False
        assert fields.optional_number("x") is None
        assert fields.optional_section("x") is None
    wrong = Fields({"x": []})
    refusal(lambda: wrong.optional_identifier("x"))
    refusal(lambda: wrong.optional_flag("x"))
    refusal(lambda: wrong.optional_number("x"))
    refusal(lambda: wrong.optional_section("x"))


def test_marks_are_texts_and_those_that_cannot_be_kept_are_passed_over() -> None:
    """A player's win must not be lost for a mark that is empty, or was cut within a character."""
    fields = Fields(
        {
            "a": "x",
            "b": 1,
            "c": Decimal("0.10"),
            "d": None,
            "e": "",
            "f": "\0",
            "g": BrokenText("x"),
        }
    )
    assert fields.marks(*"abcdefgh") == {"a": "x", "b": "1", "c": "0.10"}


@pytest.mark.parametrize("value", [True, False, [], {}])
def test_a_mark_is_no_flag_and_no_object(value: object) -> None:
    """What the vendors' pages call a string is checked to be one."""
    problem = refusal(lambda: Fields({"outer": {"m": value}}).section("outer").mark("m"))
    assert problem.startswith("outer.m: expected a string, got a")
