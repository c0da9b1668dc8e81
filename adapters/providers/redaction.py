"""Blots session tokens out of what the call journal keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from adapters.providers.payload import BACKSLASH, parse_object
from adapters.providers.protocol import RefusedCall

REDACTED: Final = "[redacted]"
_REDACTED: Final = REDACTED.encode()

UNVERIFIED_MAX: Final = 4_096
"""Bytes of a body that are kept though nobody vouches for it: several times a usual call."""


class Redactor:
    """Knows the names under which a protocol carries tokens."""

    def __init__(self, token_fields: Sequence[str]) -> None:
        self._fields = frozenset(name.lower() for name in token_fields)
        self._quoted = tuple(b'"' + name.encode() + b'"' for name in token_fields)
        names = b"|".join(re.escape(name.encode()) for name in token_fields)
        name = rb'("(?:' + names + rb')"\s*:\s*)'
        text, other = rb'"(?:[^"\\]|\\.)*"?', rb"[^\s,}\]]+"
        self._in_json = re.compile(name + b"(" + text + b"|" + other + b")", re.DOTALL)
        # Of a list or an object in a token's place nobody can say where it ends.
        wide = name + b"(" + text + rb"|[\[{].*|" + other + b")"
        self._in_malformed = re.compile(wide, re.DOTALL | re.IGNORECASE)

    def body(self, body: bytes, *, verified: bool, malformed: bool) -> bytes:
        """The body without tokens; ``malformed``: the call was refused as that.

        Escapes can hide a token's name or value from the pattern: such a body is written anew from
        what it says, or, where it cannot be read or nobody vouches for it, withheld under its
        SHA-256. So is one that is malformed and may hide a token in another way, and a large one
        that anybody may have sent: it would fill the disk that bets need.
        """
        if not verified and len(body) > UNVERIFIED_MAX:
            return _withheld(body)
        if malformed and verified and b"\\u" not in body:
            return self._malformed(body)
        if body[:1] != b"{":
            body = self._form(body)
        if BACKSLASH not in body:
            return self._plain(body)
        if b"\\u" not in body:
            return self._in_json.sub(rb'\1"[redacted]"', body)
        if verified:
            with suppress(RefusedCall):
                # Not orjson, which takes no integer beyond 64 bits.
                return json.dumps(self._walk(parse_object(body)), default=str).encode()
        return _withheld(body)

    def _form(self, body: bytes) -> bytes:
        """A body that may be form fields, as some protocols send them."""
        text = body.decode(errors="replace")
        redacted = self.query(text)
        return body if redacted is text else redacted.encode()

    def _plain(self, body: bytes) -> bytes:
        """A body without escapes, where one search finds the usual single token."""
        for name in self._quoted:
            start = body.find(name) + len(name)
            if start < len(name):
                continue
            opening = body.find(b'"', start)
            closing = body.find(b'"', opening + 1)
            usual = body[start:opening].strip() == b":" and closing > opening > 0
            if not usual or body.find(name, closing) >= 0:
                return self._in_json.sub(rb'\1"[redacted]"', body)
            body = body[: opening + 1] + _REDACTED + body[closing:]
        return body

    def _malformed(self, body: bytes) -> bytes:
        """What a provider sent by mistake: names in another case, or quotes that are none."""
        redacted, found = self._in_malformed.subn(rb'\1"[redacted]"', body)
        return redacted if found or not body or _hides_nothing(body) else _withheld(body)

    def answer(self, answer: bytes) -> bytes:
        """Our own answer without tokens; we escape none."""
        for name in self._quoted:
            if answer.find(name) >= 0:
                return self._in_json.sub(rb'\1"[redacted]"', answer)
        return answer

    def query(self, query: str) -> str:
        """The query string without tokens."""
        if not query:
            return query
        pairs = parse_qsl(query, keep_blank_values=True)
        if self._fields.isdisjoint(name.lower() for name, _ in pairs):
            return query
        return urlencode(
            [(name, REDACTED if name.lower() in self._fields else value) for name, value in pairs]
        )

    def _walk(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: REDACTED if name.lower() in self._fields else self._walk(inner)
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self._walk(inner) for inner in value]
        return value


def _withheld(body: bytes) -> bytes:
    return b"[withheld, sha256 " + sha256(body).hexdigest().encode() + b"]"


def _hides_nothing(body: bytes) -> bool:
    """Whether it is a JSON object without escapes: with them a string may hold another object."""
    try:
        value = json.loads(body.decode(), parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and BACKSLASH not in body
