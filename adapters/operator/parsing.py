"""Reads what a call of the operator API carries: path, query and body, all strictly.

What is wrong is said by field. Nothing is repaired or guessed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web
from msgspec.inspect import (
    DateType,
    Field,
    IntType,
    LiteralType,
    Metadata,
    StructType,
    Type,
    UnionType,
    type_info,
)

from adapters.operator.problems import malformed
from adapters.operator.route import Given, Route
from adapters.providers.payload import ID_LENGTH_MAX, BrokenText, parse_object
from adapters.providers.protocol import RefusedCall
from adapters.settings import Limits
from projections.reports.period import read_moment

_WRONG_FIELD = re.compile(r"(?P<what>.*) - at `\$\.?(?P<field>.*)`", re.DOTALL)
_BLANK = r"Expected `str` matching regex '\\S'"
_GOT_NUMBER = re.compile(r"Expected `str( \| null)?`, got `(int|float|decimal)`")


def read_path(variables: Mapping[str, str]) -> dict[str, str]:
    """The path's variables. Ends the call as malformed where one is no id."""
    for name, value in variables.items():
        if len(value) > ID_LENGTH_MAX:
            malformed(f"{name}: longer than {ID_LENGTH_MAX} characters")
        _check_text(name, value)
    return dict(variables)


async def read_input(request: web.Request, route: Route[Given], limits: Limits) -> Given:
    """The query of a GET, else the body, as the route's own type.

    Ends the call as malformed.
    """
    if route.method == "GET":
        return convert(_query(request), route.takes, strict=False)
    if not route.takes_body:
        return route.takes()
    body = await _read_body(request, limits)
    return convert(parse_body(body), route.takes, strict=True)


def parse_body(body: bytes) -> dict[str, Any]:
    """The body's JSON object; an empty body is an empty object."""
    if not body.strip():
        return {}
    try:
        return parse_object(body)
    except RefusedCall as call:
        malformed(call.refused.detail)


def convert(values: dict[str, Any], kind: type[Given], *, strict: bool) -> Given:
    """``values`` as ``kind``; not ``strict``: texts may stand for numbers, as in a query."""
    for name, value in values.items():
        if isinstance(value, str):
            _check_text(name, value)
        elif isinstance(value, BrokenText):
            malformed(f"{name}: holds half a surrogate")
    try:
        return msgspec.convert(values, kind, strict=strict)
    except msgspec.ValidationError as error:
        malformed(_explain(str(error), kind))


def parse_moment(name: str, text: str) -> datetime:
    """The moment that the text means, in UTC: a date its first, else a date with its time.

    Without an offset it is UTC already. Ends the call as malformed.
    """
    try:
        return read_moment(text, UTC)
    except (ValueError, OverflowError):
        malformed(
            f"{name}: expected a time in ISO 8601 such as 2030-01-31T12:00:00Z,"
            " or a date such as 2030-01-31 for its first moment in UTC"
        )


def _query(request: web.Request) -> dict[str, Any]:
    values = dict(request.query)
    if len(values) != len(request.query):
        malformed("query: a parameter comes twice")
    return values


async def _read_body(request: web.Request, limits: Limits) -> bytes:
    if (request.content_length or 0) > limits.body_bytes_max:
        _too_long(limits)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limits.body_bytes_max:
                    _too_long(limits)
    except TimeoutError:
        malformed(f"body: not here within {limits.body_timeout_s:g} s")
    return bytes(body)


def _too_long(limits: Limits) -> None:
    malformed(f"body: longer than {limits.body_bytes_max} bytes")


def _check_text(name: str, text: str) -> None:
    if "\0" in text:
        malformed(f"{name}: holds NUL")


def _explain(error: str, kind: type[msgspec.Struct]) -> str:
    """The parser's message with the field in front, and in words where the type has them."""
    found = _WRONG_FIELD.fullmatch(error)
    if found is None:
        return error
    field = found["field"]
    return f"{field}: {_expected(kind, field) or _in_words(found['what'])}"


def _expected(kind: type[msgspec.Struct], name: str) -> str | None:
    """What the field takes: one of some words, a whole number or a date; None: something else."""
    (declared,) = [field.type for field in _fields(kind) if field.encode_name == name]
    for each in _alternatives(declared):
        match each:
            case LiteralType(values=words):
                return f"expected one of {', '.join(map(str, words))}"
            case IntType(ge=least, le=most):
                return f"expected a whole number from {least} to {most}"
            case DateType():
                return "expected a date such as 2030-01-31"
            case _:
                pass
    return None


def _fields(kind: type[msgspec.Struct]) -> tuple[Field, ...]:
    declared = type_info(kind)
    assert isinstance(declared, StructType)
    return declared.fields


def _alternatives(declared: Type) -> Iterator[Type]:
    """The types behind a declaration, without what only describes them."""
    if isinstance(declared, Metadata):
        yield from _alternatives(declared.type)
    elif isinstance(declared, UnionType):
        for each in declared.types:
            yield from _alternatives(each)
    else:
        yield declared


def _in_words(what: str) -> str:
    if what == _BLANK:
        return "expected more than blanks"
    if _GOT_NUMBER.fullmatch(what):
        return 'expected a string (amounts are decimal strings such as "12.50"), got a number'
    return what
