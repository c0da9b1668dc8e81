"""What the rows of keys and sessions must be by an event, and how one differs: pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from ledger.decisions import TOMBSTONE, Transaction
from ledger.events import Event, Movement, RefundTombstoned
from ledger.rows import transaction_row
from ledger.store import TransactionRow


def entries_of(player_id: str, version: int, event: Event) -> Iterator[TransactionRow]:
    """What the keys that an event uses are entered as: its own, and that of a bet it keeps out."""
    if not isinstance(event, Movement):
        return
    used = Transaction(player_id, version, event.NAME, event)
    yield transaction_row((event.integration, event.key), used)
    if isinstance(event, RefundTombstoned) and event.keeps_out and event.refers_to != event.key:
        tombstone = Transaction(player_id, version, TOMBSTONE, event)
        yield transaction_row((event.integration, event.refers_to), tombstone)


def unlike(said: msgspec.Struct, kept: msgspec.Struct) -> str:
    """The fields of a row that are not as its event has them."""
    return ", ".join(
        f"{field} {_cell(getattr(kept, field))}, by the event {_cell(getattr(said, field))}"
        for field in said.__struct_fields__
        if getattr(said, field) != getattr(kept, field)
    )


def _cell(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else str(value)
