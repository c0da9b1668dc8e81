"""Journal: double entry. Every event that moves money becomes postings that sum to zero.

A credit is positive, a debit negative, and the balance of an account is credit - debit. Players'
accounts are what the operator owes them; every event moves some of them against one other account:

    deposits, withdrawals     money that came in and went out
    provider:{name}:{game}    gaming revenue: stakes in, wins out; its balance is the GGR
    bonus_cost                bonuses given, less those forfeited
    adjustments               corrections by staff
    shortfalls                reversed wins that the player had spent and keeps (rule 10, "clamp")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, TypeAlias

from ledger import arrays
from ledger.events import (
    BalanceAdjusted,
    BetPlaced,
    BetRefunded,
    BonusConverted,
    BonusForfeited,
    BonusGranted,
    Deposited,
    GameMovement,
    Movement,
    RefundRepeated,
    RefundTombstoned,
    RoundClosed,
    WinCredited,
    WinReversalRepeated,
    WinReversed,
    WithdrawalCancelled,
    WithdrawalConfirmed,
    WithdrawalHeld,
    Withdrawn,
)
from projections.balances import held_change
from projections.entries import Entry, names_of, pick
from projections.rounds import uncovered
from projections.writes import (
    HOUR,
    NULL,
    BrokenView,
    Change,
    Packed,
    TextCells,
    Write,
    copied,
    numerics,
    timestamps,
)

PLAYER_REAL: Final = "player:real"
PLAYER_BONUS: Final = "player:bonus"
PLAYER_HELD: Final = "player:held"
_OF_PLAYERS: Final = frozenset({PLAYER_REAL, PLAYER_BONUS, PLAYER_HELD})
DEPOSITS: Final = "deposits"
WITHDRAWALS: Final = "withdrawals"
BONUS_COST: Final = "bonus_cost"
ADJUSTMENTS: Final = "adjustments"
SHORTFALLS: Final = "shortfalls"

Posting: TypeAlias = tuple[str, int]
"""An account and what it is credited (negative: debited)."""

_NAMES: Final = names_of(Movement)
_FIXED: Final = Struct("!hiqihiqiq").pack
_FIELDS: Final = 7

_Hour: TypeAlias = tuple[int, str, str]


def provider_account(integration: str, game: str | None) -> str:
    """The gaming revenue of a provider's game; a call that names no game has an empty name."""
    return f"provider:{integration}:{game or ''}"


def postings(event: Movement) -> list[Posting]:
    """What an event posts, in order; accounts that it does not move are left out.

    Raises `BrokenView` if what the event moved does not sum to zero with what it stands for.
    """
    found = []
    if event.real:
        found.append((PLAYER_REAL, event.real))
    if event.bonus:
        found.append((PLAYER_BONUS, event.bonus))
    left = event.real + event.bonus
    for posting in _AGAINST[type(event)](event):
        if posting[1]:
            found.append(posting)
            left += posting[1]
    if left:
        raise BrokenView("its postings do not sum to zero")
    return found


class Journal:
    """A row a posting, and the same summed by hour."""

    name: Final = "journal"
    tables: Final = ("journal", "account_hours")

    def fold(self, entries: Sequence[Entry]) -> list[Change]:
        """The postings of a batch."""
        parts: list[bytes] = []
        hours: dict[_Hour, list[int]] = {}
        texts = TextCells()
        lines = 0
        for entry, event in pick(entries, _NAMES):
            moment = entry.moment
            hour = moment - moment % HOUR
            currency = event.currency
            for line, (account, amount) in enumerate(postings(event), 1):
                parts += (
                    _FIXED(_FIELDS, 8, entry.notification_id, 2, line, 8, amount, 8, moment),
                    texts[account],
                    texts[currency],
                    texts[entry.player_id] if account in _OF_PLAYERS else NULL,
                )
                lines += 1
                _add(hours, (hour, account, currency), amount)
        if not lines:
            return []
        return [
            copied("copy_journal", parts, lines),
            Write("add_account_hours", _columns(hours), len(hours)),
        ]


def _add(hours: dict[_Hour, list[int]], key: _Hour, amount: int) -> None:
    sums = hours.get(key)
    if sums is None:
        hours[key] = sums = [0, 0]
    if amount < 0:
        sums[0] -= amount
    else:
        sums[1] += amount


def _columns(rows: dict[_Hour, list[int]]) -> list[Packed]:
    hours, accounts, currencies = zip(*rows, strict=True)
    debits, credits_ = zip(*rows.values(), strict=True)
    return [
        timestamps(hours),
        Packed(arrays.texts(accounts)),
        Packed(arrays.texts(currencies)),
        numerics(debits),
        numerics(credits_),
    ]


def _game(event: GameMovement) -> tuple[Posting, ...]:
    account = provider_account(event.integration, event.game)
    return ((account, -event.real - event.bonus),)


def _reversal(event: WinReversed) -> tuple[Posting, ...]:
    account = provider_account(event.integration, event.game)
    kept = uncovered(event)
    return ((account, kept - event.real - event.bonus), (SHORTFALLS, -kept))


def _held(event: Movement) -> tuple[Posting, ...]:
    return ((PLAYER_HELD, held_change(event)),)


def _paid_out(event: WithdrawalConfirmed) -> tuple[Posting, ...]:
    return ((PLAYER_HELD, event.held), (WITHDRAWALS, -event.held))


def _nothing(_: Movement) -> tuple[Posting, ...]:
    return ()


_AGAINST: Final[dict[type[Movement], Callable[[Any], tuple[Posting, ...]]]] = {
    BetPlaced: _game,
    WinCredited: _game,
    BetRefunded: _game,
    WinReversed: _reversal,
    RefundRepeated: _nothing,
    RefundTombstoned: _nothing,
    WinReversalRepeated: _nothing,
    RoundClosed: _nothing,
    Deposited: lambda event: ((DEPOSITS, -event.real),),
    Withdrawn: lambda event: ((WITHDRAWALS, -event.real),),
    WithdrawalHeld: _held,
    WithdrawalConfirmed: _paid_out,
    WithdrawalCancelled: _held,
    BonusGranted: lambda event: ((BONUS_COST, -event.bonus),),
    BonusForfeited: lambda event: ((BONUS_COST, -event.bonus),),
    BonusConverted: _nothing,
    BalanceAdjusted: lambda event: ((ADJUSTMENTS, -event.real),),
}
