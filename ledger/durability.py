"""Whether a database server keeps what it commits: asked at the start, and of every connection.

A setting may change while the service runs, and another server of the URL may have its own.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import psycopg

from ledger.sql import statement

_Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

_UNSAFE: Final = ("fsync", "full_page_writes", "synchronous_commit")


class Undurable(Exception):
    """The server may lose what it has acknowledged; the text says why."""


async def check_durability(connection: _Connection) -> None:
    """Raises `Undurable` where this connection's commits could be lost (reliability 1.8)."""
    cursor = await connection.execute(statement("durability"))
    settings: dict[str, str] = dict(await cursor.fetchall())
    for name in _UNSAFE:
        if settings[name] == "off":
            raise Undurable(f"the database server runs with {name} = off: it could lose money")
    if settings["synchronous_commit"] == "local" and settings["synchronous_standby_names"]:
        raise Undurable(
            "the database server runs with synchronous_commit = local: it would not wait for its"
            " synchronous standby, and could lose money"
        )


async def keep_durability(connection: _Connection) -> None:
    """As `check_durability`; and no setting that changes later makes its commits wait for less."""
    await check_durability(connection)
    await connection.execute(statement("keep_synchronous_commit"), prepare=False)
