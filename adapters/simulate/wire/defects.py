"""Bodies that no wallet may accept: the list of malformed calls, applied to any protocol's JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from adapters.simulate.wire.base import Request, Wire

BROKEN_IDS: tuple[Any, ...] = ("", None, True, ["a"], "nul\x00", "half\ud800")

OVERSIZE_BYTES = 65 * 1024


def malformed(wire: Wire, request: Request, variation: int) -> Request:
    """One of the malformed bodies made of a good request, with a good signature."""
    builders = _builders(wire, request)
    body = builders[variation % len(builders)]()
    return wire.signed(replace(request, body=body))


def count(wire: Wire, request: Request) -> int:
    """How many different malformed bodies can be made of this request."""
    return len(_builders(wire, request))


def _builders(wire: Wire, request: Request) -> list[Callable[[], bytes]]:
    body = request.body
    inserted = (b'"zz":1,"zz":2,', b'"zz":NaN,', b'"zz":' + b"[" * 9 + b"]" * 9 + b",")
    builders: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: body[: len(body) // 2],
        lambda: b"[" + body + b"]",
        lambda: b'{"zz":"' + b"x" * OVERSIZE_BYTES + b'",' + body[1:],
        *(lambda piece=piece: b"{" + piece + body[1:] for piece in inserted),
    ]
    for path in wire.id_paths:
        builders.extend(_with(body, path, value) for value in BROKEN_IDS)
        builders.append(_without(body, path))
    amounts: list[Any] = [-1, None, True]
    amounts += [100.0] if wire.amount_is_integer else [0.000001, "12,5"]
    amounts += [] if wire.amount_text_is_number else ["100"]
    builders.extend(_with(body, wire.amount_path, value) for value in amounts)
    builders.append(_without(body, wire.amount_path))
    return builders


def _with(body: bytes, path: str, value: object) -> Callable[[], bytes]:
    def build() -> bytes:
        payload, holder, name = _open(body, path)
        holder[name] = deepcopy(value)
        return json.dumps(payload).encode()

    return build


def _without(body: bytes, path: str) -> Callable[[], bytes]:
    def build() -> bytes:
        payload, holder, name = _open(body, path)
        del holder[name]
        return json.dumps(payload).encode()

    return build


def _open(body: bytes, path: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    payload: dict[str, Any] = json.loads(body)
    *parents, name = path.split(".")
    holder = payload
    for parent in parents:
        holder = holder[parent]
    return payload, holder, name
