"""Whether what forbids changes is in place: owners, rights, keys, checks, triggers, functions.

That an event was changed is for chain and seals to show; this shows that somebody has made it
possible. `guards.txt` says what the migrations made, a line each; tests hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from ledger.audit_instant import one_instant
from ledger.connections import Connection
from ledger.findings import Finding
from ledger.sql import schema_name, statement

GUARDS: Final = "guards"

_SHARED: Final = "ledger"


class Guards(msgspec.Struct, frozen=True):
    """What has to be there, a line each: of the roles, the shared schema, and every partition's."""

    roles: tuple[str, ...]
    shared: tuple[str, ...]
    partition: tuple[str, ...]


class GuardsVerified(msgspec.Struct):
    """What was found, and how many guards were looked for."""

    findings: list[Finding]
    guards: int = 0


@cache
def expected() -> Guards:
    """Those of `guards.txt`."""
    text = (files("ledger.sql") / "guards.txt").read_text("utf-8")
    sections = [section.split("\n") for section in text.strip().split("\n\n")]
    return Guards(**{name.strip("[]"): tuple(lines) for name, *lines in sections})


async def verify_guards(url: str, partitions: int) -> GuardsVerified:
    """Compare them with the database's. Any login may; raises `psycopg.Error`."""
    wanted, verified = expected(), GuardsVerified([])
    async with one_instant(url, "audit guards") as connection:
        _compare(verified, None, wanted.roles, await found_roles(connection))
        shared = await found_guards(connection, _SHARED, wanted.shared)
        _compare(verified, None, wanted.shared, shared)
        for partition in range(partitions):
            schema = schema_name(partition)
            found = await found_guards(connection, schema, wanted.partition)
            _compare(verified, partition, wanted.partition, found)
    return verified


async def found_roles(connection: Connection) -> Sequence[str]:
    """What the database says of the ledger's roles."""
    roles = sorted({line.split()[1].rstrip(":") for line in expected().roles})
    cursor = await connection.execute(statement("role_guards"), {"roles": roles})
    return [line for (line,) in await cursor.fetchall()]


async def found_guards(connection: Connection, schema: str, wanted: Sequence[str]) -> Sequence[str]:
    """What the database says of a schema and of those of its tables that ``wanted`` is about."""
    tables = sorted({line.split()[1].rstrip(":") for line in wanted if line.startswith("table ")})
    parameters = {"schema": schema, "tables": tables}
    cursor = await connection.execute(statement("guards"), parameters)
    return [line for (line,) in await cursor.fetchall()]


def _compare(
    verified: GuardsVerified, partition: int | None, wanted: Sequence[str], found: Sequence[str]
) -> None:
    verified.guards += len(wanted)
    for said, lines, others in (("missing", wanted, found), ("not ours", found, wanted)):
        absent = set(others)
        verified.findings += [
            Finding(GUARDS, partition, f"{said}: {line}") for line in lines if line not in absent
        ]
