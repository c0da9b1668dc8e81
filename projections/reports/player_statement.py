"""Player statement: opening balance, every movement, closing balance, in each currency.

Read from the player's events themselves. Balances are real, bonus and held money; the closing
balance of a day is the opening balance of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

import msgspec

from ledger.codec import UnreadableEvent, open_state, player_stream
from ledger.events import (
    BalanceAdjusted,
    BetPlaced,
    BetRefunded,
    BonusForfeited,
    BonusGranted,
    Deposited,
    Movement,
    WinCredited,
    WinReversed,
    WithdrawalConfirmed,
    Withdrawn,
)
from ledger.player import Wallet
from projections.balances import held_change
from projections.reports.asked import Asked
from projections.reports.errors import UnknownPlayer, UnsoundEvents
from projections.reports.kind import ReportKind
from projections.reports.report import Row, Table, amount, columns
from projections.reports.source import Snapshot
from projections.reports.wallets import MOVEMENT_TYPES, first_since, wallets_before

OPENING: Final = "opening_balance"
CLOSING: Final = "closing_balance"

_COLUMNS: Final = columns(
    recorded_at="moment",
    version="count",
    type="text",
    integration="text",
    operation="text",
    transaction_id="text",
    movement_id="text",
    round_id="text",
    game="text",
    reason="text",
    currency="text",
    real="amount",
    bonus="amount",
    held="amount",
    balance_real="amount",
    balance_bonus="amount",
    balance_held="amount",
    balance="amount",
)
SUMS: Final[dict[str, tuple[type[Movement], ...]]] = {
    "deposits": (Deposited,),
    "withdrawals": (Withdrawn, WithdrawalConfirmed),
    "bonuses": (BonusGranted, BonusForfeited),
    "adjustments": (BalanceAdjusted,),
    "stakes": (BetPlaced,),
    "refunds": (BetRefunded,),
    "wins": (WinCredited,),
    "reversals": (WinReversed,),
}
"""What is summed, and which events each sum is of."""
_SUMMED: Final = frozenset(kind for of in SUMS.values() for kind in of)
"""What changes the sum of all balances; anything else moves money between them at most."""
_TOTALS: Final = columns(
    currency="text",
    opening_balance="amount",
    deposits="amount",
    withdrawals="amount",
    bonuses="amount",
    adjustments="amount",
    stakes="amount",
    refunds="amount",
    wins="amount",
    reversals="amount",
    closing_balance="amount",
)


class Statement(msgspec.Struct):
    """A player's wallets at the beginning, and what happened to them, in ledger units."""

    opening: dict[str, Wallet]
    movements: list[tuple[int, Movement]]


async def read(asked: Asked, snapshot: Snapshot) -> Statement | None:
    """The statement, None where the player is in another partition.

    Raises `BadRequest` for too many movements and for a time to come, `UnsoundEvents` for an event
    that cannot be read.
    """
    asked.check_begun()
    player_id = asked.filters.player_id or ""
    try:
        return await _read(asked, snapshot, player_stream(player_id))
    except UnreadableEvent as error:
        raise UnsoundEvents(f"there is no statement of player {player_id}: {error}") from error


async def _read(asked: Asked, snapshot: Snapshot, stream: str) -> Statement | None:
    head = await snapshot.value("stream_head", (stream,))
    if not head:
        return None
    begins = asked.period.begins
    first = 1 if begins is None else await first_since(snapshot, stream, begins, head)
    last = await first_since(snapshot, stream, asked.ends, head)
    opening = await wallets_before(snapshot, stream, first)
    return Statement(opening, await _movements(asked, snapshot, stream, first, last))


def build(asked: Asked, parts: Sequence[Statement | None]) -> tuple[Table, Table]:
    """Rows by currency, between opening and closing balance; totals of what moved, signed.

    In the totals the opening balance and all that moved add up to the closing balance. Raises
    `UnknownPlayer`, and `UnsoundEvents` where they do not.
    """
    found = next((part for part in parts if part is not None), None)
    if found is None:
        raise UnknownPlayer(f"player_id: there is no player {asked.filters.player_id}")
    codes = {*found.opening, *(event.currency for _, event in found.movements)}
    if asked.filters.currency is not None:
        codes &= {asked.filters.currency}
    rows: list[Row] = []
    totals: list[Row] = []
    activity = 0
    for code in sorted(codes):
        moved = [entry for entry in found.movements if entry[1].currency == code]
        opening = found.opening.get(code, Wallet())
        rows_of_code, closing = _rows(asked, code, opening, moved)
        rows += rows_of_code
        activity += len(moved)
        totals.append(_totals(asked, code, opening, closing, [event for _, event in moved]))
    return Table(_COLUMNS, rows, activity), Table(_TOTALS, totals)


async def _movements(
    asked: Asked, snapshot: Snapshot, stream: str, first: int, last: int
) -> list[tuple[int, Movement]]:
    found: list[tuple[int, Movement]] = []
    while page := await snapshot.rows("stream_between", (stream, first, last, MOVEMENT_TYPES)):
        for version, name, state in page:
            found.append((version, cast("Movement", open_state(name, state)[1])))
        asked.check_rows(len(found))
        first = page[-1][0] + 1
    return found


def _rows(
    asked: Asked, code: str, opening: Wallet, moved: Sequence[tuple[int, Movement]]
) -> tuple[list[Row], Wallet]:
    """The rows of one currency, and its closing balance."""
    unit = asked.unit(code)
    wallet = opening
    rows = [_balance_row(asked, code, OPENING, asked.period.begins, opening)]
    for version, event in moved:
        held = held_change(event)
        before = wallet
        wallet = Wallet(event.balance_real, event.balance_bonus, wallet.held + held)
        if not _adds_up(before, event, wallet):
            raise UnsoundEvents(
                f"the statement of player {asked.filters.player_id} does not add up at version "
                f"{version}: its {code} balance does not follow from the one before it"
            )
        rows.append(
            (
                event.recorded_at,
                version,
                event.NAME,
                event.integration,
                event.operation,
                event.transaction_id,
                event.movement_id,
                getattr(event, "round_id", None),
                getattr(event, "game", None),
                event.reason,
                code,
                amount(event.real, unit),
                amount(event.bonus, unit),
                amount(held, unit),
                *_balances(asked, code, wallet),
            )
        )
    rows.append(_balance_row(asked, code, CLOSING, asked.ends, wallet))
    return rows, wallet


def _adds_up(before: Wallet, event: Movement, after: Wallet) -> bool:
    summed = type(event) in _SUMMED
    return (
        before.real + event.real == after.real
        and before.bonus + event.bonus == after.bonus
        and (summed or before.total + before.held == after.total + after.held)
    )


def _balance_row(asked: Asked, code: str, kind: str, at: datetime | None, wallet: Wallet) -> Row:
    blank = (None,) * 7
    return (at, None, kind, *blank, code, None, None, None, *_balances(asked, code, wallet))


def _balances(asked: Asked, code: str, wallet: Wallet) -> tuple[str, str, str, str]:
    unit = asked.unit(code)
    return (
        amount(wallet.real, unit),
        amount(wallet.bonus, unit),
        amount(wallet.held, unit),
        amount(wallet.total + wallet.held, unit),
    )


def _totals(
    asked: Asked, code: str, opening: Wallet, closing: Wallet, moved: Sequence[Movement]
) -> Row:
    unit = asked.unit(code)
    sums = [
        sum(event.real + event.bonus + held_change(event) for event in moved if type(event) in of)
        for of in SUMS.values()
    ]
    return (
        code,
        amount(opening.total + opening.held, unit),
        *(amount(units, unit) for units in sums),
        amount(closing.total + closing.held, unit),
    )


PLAYER_STATEMENT: Final = ReportKind(
    name="player-statement",
    title="Player statement",
    version=1,
    views=(),
    filters=("player_id", "currency"),
    required=("player_id",),
    read=read,
    build=build,
)
"""The report `player-statement`."""
