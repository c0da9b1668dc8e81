"""Creates, upgrades and checks the database's schema.

Never touches a database that is newer than this code, and never changes the number of partitions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

import psycopg
import structlog

from ledger.connections import ROLE, Connection, connect
from ledger.durability import Undurable, check_durability
from ledger.money import Currency
from ledger.sql import Migration, bootstrap, migrations, schema_name, statement

log = structlog.get_logger(__name__)

_LOCK_POLL_S: Final = 0.1
_UNREPLICATED: Final = {"synchronous_commit": "local"}
"""For what nobody is told of: whatever rests on it is replicated after it."""
_OLDEST_VERSION: Final = 150000


class SchemaError(RuntimeError):
    """The database cannot be used as it is; the message says why, in one line."""


async def initialise(url: str, partitions: int, *, target: int | None = None) -> None:
    """Create the schema or bring it up to date; several processes may do so at once.

    The login must be a superuser, or have CREATEROLE and CREATE on the database. ``target``: stop
    at that migration. Raises `SchemaError`, also for a server that may lose or change what it is
    given, and `psycopg.Error` where the server fails.
    """
    last = migrations()[-1].number if target is None else target
    async with await _connect(url) as connection:
        await _check_server(connection)
        await connection.execute("SET synchronous_commit = local")  # as `_UNREPLICATED`
        await _lock(connection)
        try:
            await _bootstrap(connection, partitions)
            await _check_partitions(connection, partitions)
            done = await _applied(connection)
            for migration in migrations():
                if done < migration.number <= last:
                    await _apply(connection, migration, partitions)
        except psycopg.errors.InsufficientPrivilege as error:
            if await _value(connection, "has_schema"):  # it may be the service's own login
                await _check_rights(connection, (ROLE,))
            reason = error.diag.message_detail or error.diag.message_primary
            raise SchemaError(f"the login may not create the ledger: {reason}") from error


async def check(url: str, partitions: int, roles: Collection[str] = (ROLE,)) -> None:
    """Raises `SchemaError` unless the schema is up to date and the server keeps what it is given.

    And unless the login may work in these roles.
    """
    async with await _connect(url) as connection:
        await _check_server(connection)
        await _check_rights(connection, roles)
        if not await _exists(connection):
            raise SchemaError("the database holds no ledger yet: run `wallet-ledger init`")
        await _check_partitions(connection, partitions)
        done, newest = await _applied(connection), migrations()[-1].number
        if done < newest:
            raise SchemaError(
                f"the database is at migration {done}, this software needs {newest}: "
                "run `wallet-ledger init`"
            )


async def record_currencies(url: str, currencies: Mapping[str, Currency]) -> None:
    """Record the decimals of the currencies that this database has not met yet.

    Raises `SchemaError` as `check_currencies`.
    """
    async with await connect(url, "schema", role=None, settings=_UNREPLICATED) as connection:
        await _compare_currencies(connection, currencies)  # a start that is refused fixes nothing
        codes = list(currencies)
        scales = [unit.scale for unit in currencies.values()]
        exponents = [unit.exponent for unit in currencies.values()]
        await connection.execute(statement("record_scales"), (codes, scales))
        await connection.execute(statement("record_exponents"), (codes, exponents))
        await _compare_currencies(connection, currencies)


async def check_currencies(url: str, currencies: Mapping[str, Currency]) -> None:
    """Raises `SchemaError` where a currency is not configured with the decimals it is kept with.

    Every amount of it, stored or on the wire, would be read as another.
    """
    async with await _connect(url) as connection:
        await _compare_currencies(connection, currencies)


async def _compare_currencies(connection: Connection, currencies: Mapping[str, Currency]) -> None:
    cursor = await connection.execute(statement("currencies"))
    for code, scale, exponent in await cursor.fetchall():
        unit = currencies.get(code)
        known = "its exponent" if exponent is None else f"exponent = {exponent}"
        if unit is None:
            raise SchemaError(
                f"the database keeps {code} with {scale} decimals, the configuration does not know"
                f" it: add [currencies.{code}] with {known} and scale = {scale}"
            )
        if unit.scale != scale:
            raise SchemaError(
                f"the database keeps {code} with {scale} decimals, the configuration with"
                f" {unit.scale}: a currency's scale cannot change"
            )
        if exponent not in (None, unit.exponent):
            raise SchemaError(
                f"the database knows {code} with exponent {exponent}, the configuration with"
                f" {unit.exponent}: a currency's exponent cannot change, set exponent ="
                f" {exponent} in [currencies.{code}]"
            )


async def _connect(url: str) -> Connection:
    return await connect(url, "schema", role=None)


async def _lock(connection: Connection) -> None:
    """Wait until no other process upgrades; held until the connection ends.

    That of a process which died without a word ends after half a minute.
    """
    waits = 0
    while not await _value(connection, "lock_migrations"):
        if waits % 100 == 10:
            log.warning("another_process_upgrades_the_database", waited_s=waits * _LOCK_POLL_S)
        waits += 1
        await asyncio.sleep(_LOCK_POLL_S)


async def _bootstrap(connection: Connection, partitions: int) -> None:
    if await _exists(connection):
        return
    async with connection.transaction():
        await connection.execute(bootstrap(), prepare=False)
        await connection.execute(statement("record_partitions"), (partitions,))


async def _apply(connection: Connection, migration: Migration, partitions: int) -> None:
    schemas = [schema_name(partition) for partition in range(partitions)]
    async with connection.transaction():
        for text in migration.statements(schemas):
            await connection.execute(b"SET LOCAL ROLE NONE")  # the text before took the owner's
            await connection.execute(text, prepare=False)
        await connection.execute(b"SET LOCAL ROLE ledger_owner")
        row = (migration.number, migration.name, migration.checksum)
        await connection.execute(statement("record_migration"), row)
    log.info("migration_applied", number=migration.number, name=migration.name)


async def _exists(connection: Connection) -> bool:
    return bool(await _value(connection, "has_migrations"))


async def _applied(connection: Connection) -> int:
    """The last migration of the database, all of which must be this code's."""
    known = {migration.number: migration for migration in migrations()}
    number = 0
    cursor = await connection.execute(statement("applied_migrations"))
    for number, name, checksum in await cursor.fetchall():
        if number not in known:
            raise SchemaError(
                f"the database is newer than this software: it has migration {number} ({name})"
            )
        if known[number].checksum != checksum:
            raise SchemaError(f"migration {number} ({name}) was changed after it was applied")
    return number


async def _check_partitions(connection: Connection, partitions: int) -> None:
    kept = await _value(connection, "partitions")
    if kept != partitions:
        raise SchemaError(
            f"the database has {kept} partition(s), the configuration {partitions}: "
            "the number of partitions cannot change"
        )


async def _check_server(connection: Connection) -> None:
    if connection.info.server_version < _OLDEST_VERSION:
        raise SchemaError("the database server is older than PostgreSQL 15")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise SchemaError(
            f"the database's encoding is {encoding}: ids could come back as others; create the"
            " database with ENCODING 'UTF8'"
        )
    try:
        await check_durability(connection)
    except Undurable as error:
        raise SchemaError(str(error)) from error


async def _check_rights(connection: Connection, roles: Collection[str]) -> None:
    row = await (await connection.execute(statement("missing_roles"))).fetchone()
    login, missing = row or ("", [])
    if lacking := [role for role in missing if role in roles]:
        raise SchemaError(f"the login {login} lacks rights: GRANT {', '.join(lacking)} TO {login}")


async def _value(connection: Connection, name: str) -> object:
    row = await (await connection.execute(statement(name))).fetchone()
    return row[0] if row else None
