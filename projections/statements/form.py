"""The form of a statement: its columns, the words for operations, and what a row holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from projections.reports.errors import BadRequest

Operation: TypeAlias = Literal["bet", "win", "refund", "reversal", "rollback"]
"""What a row says was done; "rollback": a refund or a reversal, it does not say which."""

WORDS: Final[Mapping[str, Operation]] = {
    "bet": "bet",
    "debit": "bet",
    "stake": "bet",
    "wager": "bet",
    "withdraw": "bet",
    "win": "win",
    "credit": "win",
    "deposit": "win",
    "payout": "win",
    "refund": "refund",
    "cancel": "refund",
    "cancel-bet": "refund",
    "rollback-bet": "refund",
    "reversal": "reversal",
    "reverse-win": "reversal",
    "rollback-win": "reversal",
    "cancel-win": "reversal",
    "rollback": "rollback",
}
"""What statements call operations, in small letters, with hyphens for blanks and underscores."""

REQUIRED: Final = ("transaction_id", "operation", "amount", "currency")
OPTIONAL: Final = ("player_id", "round_id", "reference")
COLUMNS: Final = (*REQUIRED, *OPTIONAL)
"""Every column that is read; others are ignored."""


class Form(msgspec.Struct, frozen=True):
    """How a provider's file differs from ours.

    ``columns``: the file's header by our name, where it is another. ``minor_units``: amounts count
    subunits (cents), not main units.
    """

    columns: Mapping[str, str] = {}
    minor_units: bool = False

    def header(self, column: str) -> str:
        """What the file calls a column of ours."""
        return self.columns.get(column, column)


class Row(msgspec.Struct, gc=False):
    """A row of a statement. ``amount`` is in ledger units, ``line`` where it begins, from 1.

    What it left out, a repetition may add. ``met`` is the comparison's own mark.
    """

    line: int
    transaction_id: str
    operation: Operation
    amount: int
    currency: str
    player_id: str | None = None
    round_id: str | None = None
    reference: str | None = None
    met: bool = False


def read_columns(pairs: tuple[str, ...]) -> dict[str, str]:
    """What ``OURS=THEIRS`` says, of each pair. Raises `BadRequest`."""
    columns: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or ours not in COLUMNS or not theirs:
            raise BadRequest(
                f"column: {pair!r} is not NAME=HEADER with a NAME of {', '.join(COLUMNS)}"
            )
        if ours in columns:
            raise BadRequest(f"column: {ours} is named twice")
        columns[ours] = theirs
    return columns


def operation_of(word: str) -> Operation | None:
    """The operation that a statement's word means; None for one that is not known."""
    return WORDS.get(word.strip().lower().replace("_", "-").replace(" ", "-"))
