"""Reconciliations in the database: begun, finished, and page by page. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ledger.connections import connect
from ledger.sql import statement
from projections.reports.report import PeriodView
from projections.statements.findings import Difference, Outcome, StatementView
from projections.statements.service import Asked

RECONCILIATION_S: Final = 1_800.0
"""How long a reconciliation of the API may take, from the call on."""

OVERDUE_S: Final = RECONCILIATION_S + 120.0
"""When one that has no result is given up: what was to finish it has ended without a word."""

LOST: Final = "the process that was to finish it has ended"

_PURPOSE: Final = "reconciliation"
_encode: Final = msgspec.json.encode
_outcome: Final = msgspec.json.Decoder(Outcome).decode
_difference: Final = msgspec.json.Decoder(Difference).decode


class Received(msgspec.Struct, frozen=True):
    """A statement that was received: where it is, and what it is."""

    path: str
    sha256: str
    bytes: int

    def remove(self) -> None:
        """Remove the file, which may be gone already."""
        Path(self.path).unlink(missing_ok=True)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A reconciliation as it stands.

    ``outcome`` without its differences, None where there is none (yet); ``error``: why there will
    be none. ``differences`` are a page of them, each with its number.
    """

    id: str
    begun_at: datetime
    begun_by: str
    integration: str
    period: PeriodView
    edge_s: int
    statement: StatementView
    finished_at: datetime | None
    outcome: Outcome | None
    error: str | None
    differences: Sequence[tuple[int, Difference]] = ()


class ReconciliationStore:
    """Of the database behind ``url``; every call is a connection. All raise `psycopg.Error`."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def begin(self, name: str, asked: Asked, received: Received, by: str) -> None:
        """Note that it was asked for, before anything is compared."""
        period = asked.period
        row = (
            name,
            by,
            asked.integration,
            period.begins,
            period.ends,
            period.zone,
            asked.edge_s,
            bytes.fromhex(received.sha256),
            received.bytes,
        )
        async with await connect(self._url, _PURPOSE) as connection:
            await connection.execute(statement("begin_reconciliation"), row)

    async def finish(self, name: str, outcome: Outcome) -> None:
        """Keep what was found; one that was given up meanwhile, or is overdue, stays so."""
        found = outcome.differences
        told = _encode(replace(outcome, differences=[])).decode()
        async with await connect(self._url, _PURPOSE) as connection, connection.transaction():
            row = (told, None, name, OVERDUE_S)
            cursor = await connection.execute(statement("finish_reconciliation"), row)
            if await cursor.fetchone() is None:
                return
            numbers = list(range(1, len(found) + 1))
            kinds = [each.kind for each in found]
            contents = [_encode(each).decode() for each in found]
            columns = (name, numbers, kinds, contents)
            await connection.execute(statement("add_differences"), columns)

    async def fail(self, name: str, error: str) -> None:
        """Note why there is no outcome; where there is one, nothing changes."""
        async with await connect(self._url, _PURPOSE) as connection:
            row = (None, error, name, OVERDUE_S)
            await connection.execute(statement("finish_reconciliation"), row)

    async def read(self, name: str, after: int, limit: int) -> Kept | None:
        """How it stands, with its differences behind a number; None: there is no such one."""
        async with await connect(self._url, _PURPOSE) as connection:
            cursor = await connection.execute(statement("reconciliation"), (OVERDUE_S, name))
            row = await cursor.fetchone()
            if row is None:
                return None
            kept = _kept(row)
            # Between two looks at one that goes on both may be added.
            page = (name, after, limit if kept.outcome else 0)
            cursor = await connection.execute(statement("reconciliation_differences"), page)
            differences = [
                (number, _difference(content)) for number, content in await cursor.fetchall()
            ]
        return replace(kept, differences=differences)

    async def page(self, integration: str | None, after: str | None, limit: int) -> list[Kept]:
        """Those of an integration, or all, without differences: the newest behind ``after``."""
        wanted = {
            "overdue_s": OVERDUE_S,
            "integration": integration,
            "after": after,
            "limit": limit,
        }
        async with await connect(self._url, _PURPOSE) as connection:
            cursor = await connection.execute(statement("reconciliations"), wanted)
            return [_kept(row) for row in await cursor.fetchall()]


def _kept(row: Sequence[Any]) -> Kept:
    """A row of `reconciliation` or `reconciliations`."""
    name, begun_at, by, integration, begins, ends, zone, edge_s, digest, size, *result = row
    finished_at, told, error, is_overdue = result
    outcome = None if told is None else _outcome(told)
    return Kept(
        id=name,
        begun_at=begun_at.astimezone(UTC),
        begun_by=by,
        integration=integration,
        period=PeriodView(begins=begins.astimezone(UTC), ends=ends.astimezone(UTC), time_zone=zone),
        edge_s=edge_s,
        statement=StatementView(
            sha256=bytes(digest).hex(),
            bytes=size,
            rows=None if outcome is None else outcome.statement.rows,
        ),
        finished_at=finished_at and finished_at.astimezone(UTC),
        outcome=outcome,
        error=LOST if finished_at is None and is_overdue else error,
    )
