"""The SQL of the reports: named statements from `queries.sql`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def query(name: str, schema: str) -> bytes:
    """A statement for a partition's schema. Raises KeyError for an unknown name."""
    return _queries()[name].replace("{schema}", schema).encode()


@cache
def _queries() -> dict[str, str]:
    text = (files("projections.reports") / "queries.sql").read_text("utf-8")
    pieces = _NAME.split(text)
    return {name: body.strip() for name, body in zip(pieces[1::2], pieces[2::2], strict=True)}
