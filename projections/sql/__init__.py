"""The SQL of the projections: named statements from `queries.sql`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)

LIVE: Final = ""
"""Suffix of the tables that everybody reads."""

REBUILD: Final = "_rebuild"
"""Suffix of their twins, in which a view is built anew."""


def statement(name: str, schema: str, suffix: str = LIVE) -> bytes:
    """A statement for a partition's schema and, where it writes a view, for one of its two sets.

    Raises KeyError for an unknown name.
    """
    return _queries()[name].replace("{schema}", schema).replace("{suffix}", suffix).encode()


@cache
def _queries() -> dict[str, str]:
    text = (files("projections.sql") / "queries.sql").read_text("utf-8")
    pieces = _NAME.split(text)
    return {name: body.strip() for name, body in zip(pieces[1::2], pieces[2::2], strict=True)}
