"""Rounds: what was staked and won in each, and whether it is over."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, TypeAlias

from ledger import arrays
from ledger.events import (
    BetPlaced,
    BetRefunded,
    GameMovement,
    WinCredited,
    WinReversed,
    in_its_round,
)
from projections.entries import Entry, names_of, pick
from projections.writes import (
    NULL,
    BrokenView,
    Change,
    Packed,
    TextCells,
    Write,
    copied,
    text_cell,
    timestamps,
)

_NAMES: Final = names_of(GameMovement)

_Key: TypeAlias = tuple[str, str, str]
SUMS: Final = 8
"""Of a round: how many bets, refunds, wins and reversals, each with its amount behind it."""

_BETS, _STAKES, _REFUNDS_COUNT, _REFUNDS, _WINS_COUNT, _WINS, _REVERSALS_COUNT, _REVERSALS = range(
    SUMS
)

_FIXED: Final = Struct("!h" + 10 * "iq").pack
_MOMENT: Final = Struct("!iq").pack
_FIELDS: Final = 17


class _Round:
    __slots__ = (
        "closed_at",
        "closed_reason",
        "currency",
        "game",
        "last_activity_at",
        "opened",
        "opened_at",
        "sums",
    )

    def __init__(self, event: GameMovement, moment: int) -> None:
        self.game = event.game or ""
        self.currency = event.currency
        self.opened = event.opens_round
        self.opened_at = moment
        self.closed_at = moment
        self.closed_reason: str | None = None
        self.last_activity_at = moment
        self.sums = [0] * SUMS


class Rounds:
    """One row a round of a player; wins without a bet have their rounds, too."""

    name: Final = "rounds"
    tables: Final = ("rounds",)

    def fold(self, entries: Sequence[Entry]) -> list[Change]:
        """Rounds opened and moved."""
        rounds: dict[_Key, _Round] = {}
        for entry, event in pick(entries, _NAMES):
            if not in_its_round(event):
                continue
            key = (entry.player_id, event.integration, event.round_id)
            found = rounds.get(key)
            if found is None:
                if event.round_id is None:
                    raise BrokenView(f"{entry}: it names no round")
                rounds[key] = found = _Round(event, entry.moment)
            elif event.opens_round or event.currency != found.currency:
                raise BrokenView(f"{entry}: it does not fit its round")
            add_to(found.sums, event)
            found.last_activity_at = entry.moment
            if event.closes_round and found.closed_reason is None:
                found.closed_at = entry.moment
                found.closed_reason = closed_reason(event)
        return _changes(rounds)


def closed_reason(event: GameMovement) -> str:
    """Why a movement closed its round: the reason given, else the provider's operation."""
    return event.reason or event.operation


def reversed_amount(event: WinReversed) -> int:
    """The whole win that was reversed, what could not be taken included."""
    return uncovered(event) - event.real - event.bonus


def uncovered(event: WinReversed) -> int:
    """The part of a reversed win that the player keeps (rule 10, "clamp").

    Under "negative" the shortfall was taken all the same, and left the real balance below zero; it
    was not taken if the event either took no real money or left the balance at zero.
    """
    return 0 if event.real < 0 and event.balance_real < 0 else event.shortfall


def add_to(sums: list[int], event: GameMovement) -> None:
    """Add a movement to the `SUMS` of its round. Raises `BrokenView`."""
    if isinstance(event, BetPlaced):
        sums[_BETS] += 1
        sums[_STAKES] -= event.real + event.bonus
    elif isinstance(event, WinCredited):
        sums[_WINS_COUNT] += 1
        sums[_WINS] += event.real + event.bonus
    elif isinstance(event, BetRefunded):
        sums[_REFUNDS_COUNT] += 1
        sums[_REFUNDS] += event.real + event.bonus
    elif isinstance(event, WinReversed):
        sums[_REVERSALS_COUNT] += 1
        sums[_REVERSALS] += reversed_amount(event)
    elif event.real or event.bonus:
        raise BrokenView(f"{event.NAME} moves money")


def _changes(rounds: dict[_Key, _Round]) -> list[Change]:
    opened = [(key, found) for key, found in rounds.items() if found.opened]
    moved = [(key, found) for key, found in rounds.items() if not found.opened]
    changes: list[Change] = []
    if opened:
        texts = TextCells()
        parts = [part for key, found in opened for part in _opened(key, found, texts)]
        changes.append(copied("copy_rounds", parts, len(opened)))
    if moved:
        changes.append(Write("move_rounds", _columns(moved), len(moved)))
    return changes


def _opened(key: _Key, found: _Round, texts: TextCells) -> tuple[bytes, ...]:
    """A new round's row, cell by cell in the order of `copy_rounds`."""
    player_id, integration, round_id = key
    bets, stakes, refunds_count, refunds, wins_count, wins, reversals_count, reversals = found.sums
    reason = found.closed_reason
    return (
        _FIXED(
            *(_FIELDS, 8, found.opened_at, 8, found.last_activity_at),
            *(8, bets, 8, stakes, 8, refunds_count, 8, refunds),
            *(8, wins_count, 8, wins, 8, reversals_count, 8, reversals),
        ),
        NULL if reason is None else _MOMENT(8, found.closed_at),
        NULL if reason is None else texts[reason],
        texts[integration],
        text_cell(round_id),
        texts[player_id],
        texts[found.game],
        texts[found.currency],
    )


def _columns(rows: list[tuple[_Key, _Round]]) -> list[Packed]:
    players, integrations, round_ids = zip(*(key for key, _ in rows), strict=True)
    found = [row for _, row in rows]
    return [
        Packed(arrays.texts(players)),
        Packed(arrays.texts(integrations)),
        Packed(arrays.texts(round_ids)),
        Packed(arrays.texts([row.game for row in found])),
        Packed(arrays.texts([row.currency for row in found])),
        timestamps([row.last_activity_at for row in found]),
        timestamps([row.closed_at for row in found]),
        Packed(arrays.optional_texts([row.closed_reason for row in found])),
        *(Packed(arrays.bigints(sums)) for sums in zip(*(row.sums for row in found), strict=True)),
    ]
