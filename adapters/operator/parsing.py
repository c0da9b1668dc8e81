"""Reads what a call of the operator API carries: path, query and body, all strictly.

What is wrong is said by field. Nothing is repaired or guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import unquote

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

from adapters.body import read_body
from adapters.operator.bodies import PATH_LENGTH_MAX
from adapters.operator.problems import malformed, refused
from adapters.operator.route import Given, Route
from adapters.providers.payload import ID_LENGTH_MAX, BrokenText, parse_object, parse_query
from adapters.providers.protocol import RefusedCall
from adapters.settings import Limits
from projections.reports.period import read_moment

_WRONG_FIELD = re.compile(r"(?P<what>.*) - at `\$\.?(?P<field>.*)`", re.DOTALL)
_BLANK = r"Expected `str` matching regex '\\S'"
_WHOLE_NUMBER = re.compile("-?[0-9]{1,20}")
_GOT_NUMBER = re.compile(r"Expected `str( \| null)?`, got `(int|float|decimal)`")


def read_path(request: web.Request) -> dict[str, str]:
    """The path's variables. Ends the call as malformed where one is no id."""
    try:  # the router takes what is not UTF-8 as it is written, which is another id's name
        unquote(request.raw_path.partition("?")[0], errors="strict")
    except UnicodeDecodeError:
        malformed("path: not UTF-8")
    variables: Mapping[str, str] = request.match_info
    for name, value in variables.items():
        most = PATH_LENGTH_MAX.get(name, ID_LENGTH_MAX)
        if len(value) > most:
            malformed(f"{name}: longer than {most} characters")
        _check_text(name, value)
    return dict(variables)


async def read_input(request: web.Request, route: Route[Given], limits: Limits) -> Given:
    """The query of a GET or beside a file, else the body, as the route's own type.

    Ends the call as malformed.
    """
    try:
        if route.takes_query:
            return convert_query(parse_query(request.rel_url.raw_query_string), route.takes)
        body = await read_body(request, limits) if route.takes_body else b""
        return convert(parse_object(body) if body.strip() else {}, route.takes)
    except RefusedCall as call:
        raise refused(call.refused) from None


def convert_query(texts: Mapping[str, str], kind: type[Given]) -> Given:
    """A query's parameters as ``kind``. Ends the call as malformed."""
    numbers = _whole_numbers(kind)
    values = {
        name: int(text) if name in numbers and _WHOLE_NUMBER.fullmatch(text) else text
        for name, text in texts.items()
    }
    return convert(values, kind)


def convert(values: Mapping[str, Any], kind: type[Given]) -> Given:
    """``values`` as ``kind``. Ends the call as malformed."""
    for name, value in values.items():
        if isinstance(value, str):
            _check_text(name, value)
        elif isinstance(value, BrokenText):
            malformed(f"{name}: holds half a surrogate")
    try:
        return msgspec.convert(values, kind)
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


@cache
def _whole_numbers(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The fields that take a whole number."""
    return frozenset(
        field.encode_name
        for field in _fields(kind)
        if any(isinstance(each, IntType) for each in _alternatives(field.type))
    )


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
