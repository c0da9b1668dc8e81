"""Makes the seals of a partition.

What is read is believed: a seal says what the log held when it was made, and the audit whether that
was right. A seal that was made or known before must still be there, though: where it is not, the
log was put back or somebody changed it, and nothing is sealed behind that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
import structlog
from msgspec.structs import astuple
from psycopg.errors import Diagnostic

from ledger.chain import GENESIS
from ledger.connections import Connection, connect, hung_up_after, is_doubt
from ledger.durability import Undurable, keep_durability
from ledger.merkle import Tree
from ledger.seals import Keys, Seal, Signer, leaf, wrong
from ledger.sql import schema_name, statement

log = structlog.get_logger(__name__)

ROLE: Final = "ledger_seal"
"""The role that seals; the login must be a member."""
EVENTS_MAX: Final = 100_000
"""What one seal covers at most."""

_FETCH: Final = 5_000
_SLICE: Final = 500
_SEALS: Final = 1_000
_ANSWER_S: Final = 30.0
_SETTINGS: Final = {
    # A server process whose client has given up must not wait for another sealer for ever.
    "client_connection_check_interval": "500ms",
    # Along the index: a plan from old statistics would read and sort the whole log.
    "enable_seqscan": "off",
    "enable_sort": "off",
}


class SealsDiffer(Exception):
    """The database's seals are not those that were made, or that are known from elsewhere."""


class NotSealed(Exception):
    """Nothing was sealed, or it is not known whether: the database cannot do it now."""


class Sealer:
    """Seals one partition. Connects when it is used; `close` when done.

    Several may work at a time: each goes on behind the others' seals. Methods raise `NotSealed`;
    the next call connects again.
    """

    def __init__(self, url: str, partition: int, key: Signer, keys: Keys) -> None:
        """``keys`` hold the public half of ``key`` too."""
        self._url = url
        self._partition = partition
        self._schema = schema_name(partition)
        self._key = key
        self._keys = keys
        self._connection: Connection | None = None
        self._durable = 0  # the number of a seal that is, as all before it
        self._warnings: list[str] = []

    async def newest(self) -> Seal | None:
        """The database's last seal. Raises `SealsDiffer` where it cannot be read."""
        rows = await self._fetch("newest_seal")
        return self._read(rows[0]) if rows else None

    async def behind(self, last: Seal | None) -> list[Seal]:
        """The next seals behind ``last``, each verified; from the first one on where it is None.

        Raises `SealsDiffer`.
        """
        number = 1 if last is None else last.number
        rows = await self._fetch("seals_from", number, _SEALS)
        found = [self._read(row) for row in rows]
        if last is not None:
            if not found or found[0].digest() != last.digest():
                raise SealsDiffer(f"seal {number} is known and not in the database")
            del found[0]
        for seal in found:
            if reason := wrong(seal, last, self._keys):
                raise SealsDiffer(f"seal {seal.number}: {reason}")
            last = seal
        return found

    async def advance(
        self, last: Seal | None, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> Seal | None:
        """Seal what is behind ``last`` and was there when this was called; the newest seal.

        It is durable, and all that it covers. ``progress`` is told how far it has come, and how far
        it has to. Raises `SealsDiffer`.
        """
        await self._keep_durability()
        ((head,),) = await self._fetch("last_event")
        while True:
            while found := await self.behind(last):
                last = found[-1]
            if last is not None:
                progress(last.through_id, head)
            if head <= (0 if last is None else last.through_id):
                break
            last = await self._make(last) or last
        if last is not None and last.number > self._durable:
            # Another one's seal may be visible here before a standby has it (reliability 1.1).
            await self._commit("commit_nothing")
            self._durable = last.number
        return last

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    def _read(self, row: Any) -> Seal:
        if None in row:  # somebody has loosened the schema
            raise SealsDiffer(f"seal {row[0]}: it cannot be read")
        return seal_of(self._partition, row)

    async def _make(self, last: Seal | None) -> Seal | None:
        """The next seal; None where another sealer was first."""
        tree = Tree()
        through_id = 0 if last is None else last.through_id
        while tree.size < EVENTS_MAX:
            rows = await self._fetch("hashes", through_id, min(_FETCH, EVENTS_MAX - tree.size))
            if not rows:
                break
            for start in range(0, len(rows), _SLICE):
                for notification_id, digest in rows[start : start + _SLICE]:
                    tree.add(leaf(notification_id, digest))
                await asyncio.sleep(0)  # others of this process have work to do, too
            through_id = rows[-1][0]
        now = datetime.now(UTC)
        seal = Seal(
            partition=self._partition,
            number=1 if last is None else last.number + 1,
            through_id=through_id,
            events=tree.size,
            root=tree.root(),
            previous=GENESIS if last is None else last.digest(),
            sealed_at=now if last is None else max(now, last.sealed_at),
            key_id=self._key.id,
        ).signed(self._key)
        if not await self._commit("add_seal", *_row(seal)):
            return None
        self._durable = seal.number
        log.info(
            "sealed",
            partition=self._partition,
            number=seal.number,
            through_id=seal.through_id,
            events=seal.events,
            digest=seal.digest().hex(),
        )
        return seal

    async def _commit(self, name: str, *parameters: object) -> list[Any]:
        """As `_fetch`; returns when the commit is durable."""
        self._warnings.clear()
        rows = await self._fetch(name, *parameters)
        if self._warnings:
            # The wait for the standby was cancelled: committed here, perhaps nowhere else.
            await self.close()
            raise NotSealed("; ".join(self._warnings))
        return rows

    async def _fetch(self, name: str, *parameters: object) -> list[Any]:
        try:
            connection = await self._connected()
            with hung_up_after(_ANSWER_S, connection):
                async with connection.cursor(binary=True) as cursor:
                    await cursor.execute(statement(name, self._schema), parameters)
                    return await cursor.fetchall()
        except (psycopg.Error, OSError) as error:
            await self.close()
            raise NotSealed(str(error)) from error

    async def _keep_durability(self) -> None:
        """No seal is to be told of that the database may lose."""
        try:
            connection = await self._connected()
            with hung_up_after(_ANSWER_S, connection):
                await keep_durability(connection)
        except (psycopg.Error, OSError, Undurable) as error:
            await self.close()
            raise NotSealed(str(error)) from error

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            purpose = f"seal {self._schema}"
            self._connection = await connect(self._url, purpose, role=ROLE, settings=_SETTINGS)
            self._connection.add_notice_handler(self._take_notice)
        return self._connection

    def _take_notice(self, notice: Diagnostic) -> None:
        if is_doubt(notice):
            self._warnings.append(f"{notice.sqlstate} {notice.message_primary}")


async def newest_seals(url: str, partitions: int) -> list[Seal]:
    """The newest seal of each partition that has one. Raises `psycopg.Error`."""
    found = []
    async with await connect(url, "seals") as connection:
        for partition in range(partitions):
            with hung_up_after(_ANSWER_S, connection):
                cursor = await connection.execute(statement("newest_seal", schema_name(partition)))
                found += [seal_of(partition, row) for row in await cursor.fetchall()]
    return found


async def seals_behind(url: str, partition: int, after: int, limit: int) -> list[Seal]:
    """The next seals of a partition behind a number. Raises `psycopg.Error`."""
    async with await connect(url, "seals") as connection:
        query = statement("seals_from", schema_name(partition))
        with hung_up_after(_ANSWER_S, connection):
            cursor = await connection.execute(query, (after + 1, limit))
        return [seal_of(partition, row) for row in await cursor.fetchall()]


def seal_of(partition: int, row: Any) -> Seal:
    """The seal in a row of `seals_from` or `newest_seal`: its columns are a seal's fields."""
    return Seal(**dict(zip(Seal.__struct_fields__, (partition, *row), strict=True)))


def _row(seal: Seal) -> tuple[object, ...]:
    return astuple(seal)[1:]
