"""Verifies a partition's seals: their chain, their signatures, and the events that each covers.

What was changed in the events after they were sealed is found, whoever computed which hashes anew;
so is that sealed events are gone, were added or changed places. What is behind the last seal is not
covered, and that the last seals are gone themselves shows only in seals known from elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from ledger.audit_instant import one_instant
from ledger.connections import Connection
from ledger.findings import Findings
from ledger.merkle import Tree
from ledger.sealing import seal_of
from ledger.seals import Keys, Seal, leaf, wrong
from ledger.sql import schema_name, statement

SEALS: Final = "seals"

_FETCH: Final = 5_000


class SealsVerified(msgspec.Struct):
    """What was found so far, in how many seals over how many events.

    ``known``: how many seals from elsewhere were looked for; ``unsealed``: events without a seal.
    """

    findings: Findings
    seals: int = 0
    events: int = 0
    known: int = 0
    unsealed: int = 0


async def verify_seals(
    url: str,
    partition: int,
    keys: Keys,
    verified: SealsVerified,
    *,
    known: Sequence[Iterable[Seal]] = (),
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Verify a partition's seals, as of one instant. Raises `psycopg.Error`.

    ``known``: seals of this partition from elsewhere, each series in the order of its numbers.
    ``progress`` is called whenever ``verified`` has grown. The login needs the right to read.
    """
    async with one_instant(url, f"audit seals {schema_name(partition)}") as connection:
        audit = _SealAudit(connection, partition, keys, known, verified)
        await audit.run(progress)


class _Known:
    """Seals from elsewhere, to be met in order."""

    def __init__(self, seals: Iterable[Seal]) -> None:
        self._seals: Iterator[Seal] = iter(seals)
        self._next = next(self._seals, None)

    def until(self, number: float) -> Iterator[Seal]:
        """Those up to and with a number that were not met yet."""
        while self._next is not None and self._next.number <= number:
            yield self._next
            self._next = next(self._seals, None)


class _SealAudit:
    """One seal after the other, and the events of each."""

    def __init__(
        self,
        connection: Connection,
        partition: int,
        keys: Keys,
        known: Sequence[Iterable[Seal]],
        verified: SealsVerified,
    ) -> None:
        self._connection = connection
        self._partition = partition
        self._schema = schema_name(partition)
        self._keys = keys
        self._known = [_Known(seals) for seals in known]
        self._verified = verified

    async def run(self, progress: Callable[[], None]) -> None:
        """Everything, from the first seal on."""
        before: Seal | None = None
        through_id = await self._value("sealed_through")
        events = self._rows("audit_hashes", through_id)
        event = await anext(events, None)
        async for row in self._rows("audit_seals"):
            if None in row:
                self._find(f"seal {row[0]}: it cannot be read")
                continue
            seal = seal_of(self._partition, row)
            tree = Tree()
            while event is not None and event[0] <= seal.through_id:
                tree.add(leaf(*event))
                event = await anext(events, None)
            self._compare(seal, before)
            self._judge(seal, before, tree)
            before = seal
            self._verified.seals += 1
            self._verified.events += tree.size
            progress()
        for missing in self._missing(float("inf")):
            self._find(f"{_name(missing, before)}: known, and not in the database")
        self._verified.unsealed = await self._value("unsealed", through_id)

    def _judge(self, seal: Seal, before: Seal | None, tree: Tree) -> None:
        name = _name(seal, before)
        if reason := wrong(seal, before, self._keys):
            self._find(f"{name}: {reason}")
        if seal.number != (0 if before is None else before.number) + 1:
            return  # where its events begin is not known
        if seal.events != tree.size:
            self._find(f"{name}: it covered {seal.events} events, and there are {tree.size}")
        elif seal.root != tree.root():
            self._find(f"{name}: the events, or their order, are not those that it covered")

    def _compare(self, seal: Seal, before: Seal | None) -> None:
        """With what is known of it, and of those that should be before it."""
        for known in self._missing(seal.number):
            if known.number < seal.number:
                self._find(f"{_name(known, before)}: known, and not in the database")
            elif known.digest() != seal.digest():
                self._find(f"{_name(seal, before)}: another one is known")

    def _missing(self, number: float) -> Iterator[Seal]:
        """The known seals up to a number that were not met yet."""
        for series in self._known:
            for known in series.until(number):
                self._verified.known += 1
                yield known

    async def _rows(self, name: str, *parameters: object) -> AsyncIterator[Sequence[Any]]:
        async with self._connection.cursor(name, binary=True) as cursor:
            cursor.itersize = _FETCH
            await cursor.execute(statement(name, self._schema), parameters)
            async for row in cursor:
                yield row

    async def _value(self, name: str, *parameters: object) -> int:
        """A statement's only number."""
        cursor = await self._connection.execute(statement(name, self._schema), parameters)
        (value,) = await cursor.fetchone() or (0,)
        return int(value)

    def _find(self, what: str) -> None:
        self._verified.findings.add(SEALS, what)


def _name(seal: Seal, before: Seal | None) -> str:
    """Which one it is, and which events it is about."""
    after = 0 if before is None else before.through_id
    since = "" if before is None else f"{before.sealed_at:%Y-%m-%d %H:%M:%S} to "
    return (
        f"seal {seal.number} (events {after + 1} to {seal.through_id},"
        f" {since}{seal.sealed_at:%Y-%m-%d %H:%M:%S} UTC)"
    )
