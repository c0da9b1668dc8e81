"""The SQL of the projections: named statements from `queries.sql`."""

from __future__ import annotations

from typing import Final

from ledger.sql import named_statements

LIVE: Final = ""
"""Suffix of the tables that everybody reads."""

REBUILD: Final = "_rebuild"
"""Suffix of their twins, in which a view is built anew."""


def statement(name: str, schema: str, suffix: str = LIVE) -> bytes:
    """A statement for a partition's schema and, where it writes a view, for one of its two sets.

    Raises KeyError for an unknown name.
    """
    text = named_statements("projections.sql")[name]
    return text.replace("{schema}", schema).replace("{suffix}", suffix).encode()
