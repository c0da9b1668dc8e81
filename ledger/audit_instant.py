"""How an audit reads: one instant of the database, without a hurry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from ledger.connections import Connection, connect

_SETTINGS: Final = {
    "default_transaction_read_only": "on",
    "statement_timeout": "0",  # a table may have to be sorted first, however large it is
    "client_connection_check_interval": "500ms",
    "cursor_tuple_fraction": "1.0",  # every row will be read
    "jit": "off",
}


@asynccontextmanager
async def one_instant(
    url: str, purpose: str, *, role: str | None = None
) -> AsyncIterator[Connection]:
    """A connection on which nothing changes until the block ends. Raises `psycopg.Error`.

    ``role`` None: in the login's own rights.
    """
    async with await connect(url, purpose, role=role, settings=_SETTINGS) as connection:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection
