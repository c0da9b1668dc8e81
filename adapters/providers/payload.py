"""Reads a provider's JSON strictly: what cannot be taken exactly as meant is refused as malformed.

Nothing is repaired, rounded or guessed here, and no number ever passes through a float.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

import orjson

from adapters.providers.protocol import RefusedCall
from ledger.refusals import Refusal

NESTING_MAX: Final = 8
"""Deepest nesting of objects and lists; the body's own object is the first level."""

ID_LENGTH_MAX: Final = 255
"""Longest id in characters. Providers use UUIDs and names; a longer one does not fit an index."""

QUERY_FIELDS_MAX: Final = 32
"""More parameters than these are malformed: no call knows half as many."""

BACKSLASH: Final = ord("\\")
"""Looked for as a byte: as one of bytes it would cost many times as much, for every call."""

_NOT_PLAIN: Final = -(2**40)
"""Makes a count of keys negative, whatever else is counted."""


class _Ambiguous(ValueError):
    """JSON that reads in more than one way."""


class BrokenText:
    """What stands for a string with half a surrogate, which no database holds: it is no string.

    So it is refused where a field is needed, and ignored where it is not: a win is not to be lost
    for a description that was cut within a character.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        """The text, with the half spelled out as in JSON."""
        return self._text.encode(errors="backslashreplace").decode()


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``: integers as int, all other numbers as exact Decimal.

    A string with half a surrogate becomes a `BrokenText`. Raises `RefusedCall` (malformed_request)
    unless the body is UTF-8 and one JSON object without a key that comes twice, NaN or infinity,
    nested at most `NESTING_MAX` deep.
    """
    plain = _plain_object(body)
    return _careful_object(body) if plain is None else plain


def parse_query(query: str) -> dict[str, str]:
    """The parameters of a raw query string.

    Raises `RefusedCall` (malformed_request) where it is not UTF-8, a parameter comes twice, or
    there are more than `QUERY_FIELDS_MAX`.
    """
    return _parameters(query, "query")


def parse_form(body: bytes) -> dict[str, str]:
    """The fields of a body that is a form (application/x-www-form-urlencoded).

    Raises `RefusedCall` (malformed_request) as `parse_query`.
    """
    return _parameters(body.decode("ascii", "replace"), "body")


def _parameters(text: str, where: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX
        )
    except ValueError:
        malformed(f"{where}: not UTF-8, or too many parameters")
    values = dict(pairs)
    if len(values) != len(pairs):
        malformed(f"{where}: a parameter comes twice")
    return values


def malformed(detail: str) -> NoReturn:
    """Refuse the call as malformed. ``detail`` names the field and the fault, never the value."""
    raise RefusedCall(Refusal.MALFORMED_REQUEST, detail)


class Fields:
    """An object of a provider's payload, read field by field.

    Every reader raises `RefusedCall` (malformed_request) that names the field by its full path.
    An optional field that is null counts as missing.
    """

    __slots__ = ("_path", "_values")

    def __init__(self, values: dict[str, Any], path: str = "") -> None:
        """``path`` is the way to the object in the body, with a point at its end."""
        self._values = values
        self._path = path

    def identifier(self, name: str) -> str:
        """A required opaque id: a string, or a JSON integer, which becomes a string.

        Of `ID_LENGTH_MAX` characters at most, none of them NUL.
        """
        value = self._values.get(name)
        if type(value) is str and 0 < len(value) <= ID_LENGTH_MAX and "\0" not in value:
            return value
        if type(value) is int:
            value = str(value)
        if type(value) is not str:
            self._expected("an id", name)
        problem = _id_problem(value)
        if problem is not None:
            malformed(f"{self._path}{name}: {problem}")
        return value

    def optional_identifier(self, name: str) -> str | None:
        """As `identifier`; None where it is missing."""
        return None if self._values.get(name) is None else self.identifier(name)

    def peek(self, name: str) -> str | None:
        """The id if it is a good one, else None: for what is echoed or logged of a bad body."""
        value = self._values.get(name)
        if type(value) is int:
            value = str(value)
        return value if type(value) is str and _id_problem(value) is None else None

    def text(self, name: str) -> str:
        """A required string that would do as an `identifier`, such as a currency's code."""
        if type(self._values.get(name)) is not str:
            self._expected("a string", name)
        return self.identifier(name)

    def flag(self, name: str) -> bool:
        """A required boolean."""
        value = self._values.get(name)
        if type(value) is not bool:
            self._expected("a boolean", name)
        return value

    def optional_flag(self, name: str) -> bool:
        """As `flag`; False where it is missing."""
        return False if self._values.get(name) is None else self.flag(name)

    def integer(self, name: str) -> int:
        """A required JSON integer; 100.0 is none."""
        value = self._values.get(name)
        if type(value) is not int:
            self._expected("an integer", name)
        return value

    def number(self, name: str) -> Decimal:
        """A required JSON number, exact."""
        value = self._values.get(name)
        if type(value) is int:
            return Decimal(value)
        if type(value) is not Decimal:
            self._expected("a number", name)
        return value

    def optional_number(self, name: str) -> Decimal | None:
        """As `number`; None where it is missing."""
        return None if self._values.get(name) is None else self.number(name)

    def section(self, name: str) -> Fields:
        """A required object."""
        value = self._values.get(name)
        if type(value) is not dict:
            self._expected("an object", name)
        return Fields(value, f"{self._path}{name}.")

    def optional_section(self, name: str) -> Fields | None:
        """As `section`; None where it is missing."""
        return None if self._values.get(name) is None else self.section(name)

    def mark(self, name: str) -> str | None:
        """An optional text; a number becomes text.

        Of any length that a body has. None also for one that is empty or cannot be stored: a win is
        not to be lost for it.
        """
        value = self._values.get(name)
        if value is None or type(value) is BrokenText:
            return None
        if type(value) is int or type(value) is Decimal:
            value = str(value)
        if type(value) is not str:
            self._expected("a string", name)
        return value if value and "\0" not in value else None

    def marks(self, *names: str) -> dict[str, str]:
        """Those of the named `mark`s that are there, for an event's tags."""
        return {name: mark for name in names if (mark := self.mark(name)) is not None}

    def value(self, name: str) -> Any:
        """Whatever stands there; None where nothing does."""
        return self._values.get(name)

    def refuse(self, name: str, problem: str) -> NoReturn:
        """Refuse the call because of this field."""
        malformed(f"{self._path}{name}: {problem}")

    def _expected(self, what: str, name: str) -> NoReturn:
        if name not in self._values:
            self.refuse(name, "missing")
        self.refuse(name, f"expected {what}, got {_kind(self._values[name])}")


_TOO_DEEP = f"body: nested deeper than {NESTING_MAX}"
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    Decimal: "a decimal number",
    BrokenText: "a string with half a surrogate",
}


def _kind(value: object) -> str:
    return "null" if value is None else _KINDS[type(value)]


def _id_problem(value: str) -> str | None:
    if not value:
        return "empty"
    if len(value) > ID_LENGTH_MAX:
        return f"longer than {ID_LENGTH_MAX} characters"
    return "holds NUL" if "\0" in value else None


def _plain_object(body: bytes) -> dict[str, Any] | None:
    """What the fast parser makes of ``body``, where it is sure to be the same; else None.

    A key that comes twice, or a colon in a string, shows as more colons than keys.
    """
    if BACKSLASH in body and b"\\u" in body:
        return None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if type(value) is dict and _plain_keys(value) == body.count(b":") else None


def _plain_keys(values: dict[str, Any], level: int = 1) -> int:
    """How many keys there are at all levels; below zero where something is not plain."""
    keys = len(values)
    for value in values.values():
        kind = type(value)
        if kind is dict:
            keys += _plain_keys(value, level + 1) if level < NESTING_MAX else _NOT_PLAIN
        elif kind is list or kind is float:
            keys += _NOT_PLAIN
    return keys


def _careful_object(body: bytes) -> dict[str, Any]:
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        malformed(f"body: not UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        malformed(f"body: not JSON at character {error.pos}: {error.msg}")
    except _Ambiguous as error:
        malformed(f"body: {error}")
    except RecursionError:
        malformed(_TOO_DEEP)
    except (ValueError, ArithmeticError):  # more digits than int or Decimal will take
        malformed("body: a number is too long")
    if not isinstance(value, dict):
        malformed(f"body: expected an object, got {_kind(value)}")
    if body.count(b"{") + body.count(b"[") > NESTING_MAX:
        _check_depth(value, 1)
    # Without an escape no string holds half a surrogate.
    return {name: _marked(inner) for name, inner in value.items()} if b"\\u" in body else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _Ambiguous("a key comes twice in one object")
    return values


def _constant(name: str) -> NoReturn:
    raise _Ambiguous(f"{name} is no number")


def _check_depth(value: Any, level: int) -> None:
    if isinstance(value, dict | list):
        if level > NESTING_MAX:
            malformed(_TOO_DEEP)
        for item in value.values() if isinstance(value, dict) else value:
            _check_depth(item, level + 1)


def _marked(value: Any) -> Any:
    """The value with a `BrokenText` for every string that is one."""
    if isinstance(value, str):
        return value if _is_whole(value) else BrokenText(value)
    if isinstance(value, dict):
        return {name: _marked(inner) for name, inner in value.items()}
    return [_marked(inner) for inner in value] if isinstance(value, list) else value


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=Decimal, parse_constant=_constant
)
