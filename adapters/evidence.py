"""A bundle of evidence: what a player's dispute is about, in one file that verifies offline.

JSON, a record a line: what the bundle is about, the events, the seals that cover them, the calls,
and how many of each there are. `deploy/verify_evidence.py` reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from io import BytesIO
from typing import IO, Any, Final

import msgspec
from psycopg.rows import dict_row

from adapters.beside import beside, in_time
from adapters.operator.answers import CallView, call_view
from adapters.settings import Settings
from ledger.audit_instant import one_instant
from ledger.connections import ROLE, Connection
from ledger.currencies import Currencies
from ledger.evidence import Evidence, Stretch, Wanted
from ledger.sql import statement
from projections.reports.errors import BadRequest

FORMAT: Final = 1
"""Of the file; another number where its reader would not understand it."""

MARGIN: Final = timedelta(minutes=1)
"""Before the first and behind the last event: calls of the player in it belong to the evidence."""

BYTES_MAX: Final = 32 * 2**20
"""Of a bundle that is made by a call; the command line has no such limit."""

_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_FETCH: Final = 500


class CurrencyRecord(msgspec.Struct, frozen=True):
    """Amounts in events are integers of 10**-scale; people use ``exponent`` decimals."""

    exponent: int
    scale: int


class Header(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="evidence"):
    """The first line. ``previous`` is the chain hash (hex) before version ``first``.

    ``wanted`` is what was asked for. Calls that name the player are there from ``calls_from`` to
    before ``calls_to``.
    """

    format: int = FORMAT
    made_at: datetime
    made_by: str
    operator: str | None
    player_id: str
    stream: str
    partition: int
    wanted: Wanted
    first: int
    last: int
    previous: str
    currencies: Mapping[str, CurrencyRecord]
    calls_from: datetime
    calls_to: datetime


class CallRecord(CallView, frozen=True, kw_only=True, tag_field="record", tag="call"):
    """A call of a provider, without tokens and signatures."""

    integration: str
    transaction_id: str | None


class End(msgspec.Struct, kw_only=True, tag_field="record", tag="end"):
    """The last line: how many records of each kind there are."""

    events: int = 0
    seals: int = 0
    calls: int = 0


class Bundle(msgspec.Struct, frozen=True):
    """What was written.

    ``sealed``: the last version that a seal covers, 0 for none; ``wrong``: what does not fit
    together.
    """

    stretch: Stretch
    counts: End
    sealed: int
    wrong: list[str]


@dataclass(frozen=True, slots=True, repr=False)
class Bundles:
    """Makes bundles of evidence from a ledger. A URL may hold a password, so none is printed."""

    url: str
    partitions: int
    currencies: Currencies
    operator: str | None

    async def write(
        self,
        player_id: str,
        wanted: Wanted,
        file: IO[bytes],
        *,
        role: str | None = None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Bundle:
        """Write the evidence of a player to ``file``, as of one instant.

        ``role`` None: in the login's own rights. ``progress`` is told of events, done and in all.
        Raises `ledger.evidence.NoSuchEvents`, `psycopg.Error`, and OSError of the file.
        """
        async with one_instant(self.url, "evidence", role=role) as connection:
            evidence = Evidence(connection, self.partitions, player_id)
            stretch = await evidence.find(wanted)
            header = self._header(player_id, evidence, wanted, stretch)
            counts, sealed = End(), 0
            _write(file, header)
            async for event in evidence.events(stretch, wanted):
                _write(file, event)
                counts.events += 1
                progress(counts.events, stretch.last - stretch.first + 1)
            async for seal in evidence.seals():
                _write(file, seal)
                counts.seals += 1
                sealed = max(sealed, seal.version)
            counts.calls = await _write_calls(file, connection, header, evidence)
            _write(file, counts)
        return Bundle(stretch, counts, sealed, evidence.wrong)

    def _header(
        self, player_id: str, evidence: Evidence, wanted: Wanted, stretch: Stretch
    ) -> Header:
        now = datetime.now(UTC)
        begins, ends = wanted.begins, wanted.ends
        if stretch.began is not None and stretch.ended is not None:
            begins = begins or _apart(stretch.began, -MARGIN)
            ends = ends or (_apart(stretch.ended, MARGIN) if wanted.of_play else now)
        return Header(
            made_at=now,
            made_by=f"wallet-ledger {version('wallet-ledger')}",
            operator=self.operator,
            player_id=player_id,
            stream=evidence.stream,
            partition=evidence.partition,
            wanted=wanted,
            first=stretch.first,
            last=stretch.last,
            previous=stretch.previous.hex(),
            currencies={
                code: CurrencyRecord(unit.exponent, unit.scale)
                for code in stretch.currencies
                if (unit := self.currencies.get(code)) is not None
            },
            calls_from=begins or _EARLIEST,
            calls_to=ends or now,
        )


def _apart(moment: datetime, margin: timedelta) -> datetime:
    """Never further than time goes: somebody may have altered when an event was recorded."""
    try:
        return moment + margin
    except OverflowError:
        return moment


def configured_bundles(url: str, settings: Settings) -> Bundles:
    """Those of this configuration."""
    return Bundles(
        url, settings.database.partitions, settings.currencies, settings.reports.operator
    )


class Evidences:
    """Makes bundles beside the service, one at a time; every worker has one of these."""

    def __init__(self, bundles: Bundles) -> None:
        self._bundles = bundles
        self._turn = asyncio.Lock()

    async def make(self, player_id: str, wanted: Wanted) -> bytes:
        """The bundle of a player.

        Raises `ledger.evidence.NoSuchEvents`, `psycopg.Error`, and
        `projections.reports.errors.ReportError`.
        """
        async with self._turn:
            return await beside(partial(_make, self._bundles, player_id, wanted))


def _make(bundles: Bundles, player_id: str, wanted: Wanted) -> bytes:
    file = _Bounded()
    asyncio.run(in_time(bundles.write(player_id, wanted, file, role=ROLE)))
    return file.getvalue()


class _Bounded(BytesIO):
    """Holds `BYTES_MAX` at most."""

    def write(self, content: Any, /) -> int:
        if self.tell() + len(content) > BYTES_MAX:
            raise BadRequest(
                f"more than {BYTES_MAX // 2**20} MiB: narrow what is asked for, or use the command"
                " line"
            )
        return super().write(content)


async def _write_calls(
    file: IO[bytes], connection: Connection, header: Header, evidence: Evidence
) -> int:
    names = evidence.transactions
    wanted = {
        "player_id": header.player_id,
        "begin": header.calls_from,
        "end": header.calls_to,
        "integrations": [integration for integration, _ in names],
        "transaction_ids": [transaction_id for _, transaction_id in names],
    }
    count = 0
    async with connection.cursor("calls", row_factory=dict_row) as cursor:
        cursor.itersize = _FETCH
        await cursor.execute(statement("calls_of_player"), wanted)
        async for row in cursor:
            _write(file, _call(row))
            count += 1
    return count


def _call(row: Mapping[str, Any]) -> CallRecord:
    view = msgspec.structs.asdict(call_view(row))
    return CallRecord(integration=row["integration"], transaction_id=row["transaction_id"], **view)


def _write(file: IO[bytes], record: msgspec.Struct) -> None:
    file.write(msgspec.json.encode(record) + b"\n")
