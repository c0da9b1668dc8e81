"""The SQL of the reports: named statements from `queries.sql`."""

from __future__ import annotations

from ledger.sql import named_statements


def query(name: str, schema: str) -> bytes:
    """A statement for a partition's schema. Raises KeyError for an unknown name."""
    return named_statements("projections.reports")[name].replace("{schema}", schema).encode()
