"""A view whose position cannot be gone on from.

It stands ahead of its log (that was cut or swapped, or the position altered) and would pass over
the next events without a word: it stops, and only a view made anew goes on. Or it has none.
"""

from __future__ import annotations

from typing import Final

_BEGINNING: Final = "ahead of the log: "


def ahead_of_log(view: str, position: int, head: int) -> str | None:
    """Why the view has to stop, None where its position is one that the log has.

    ``position`` and ``head`` must be of one instant.
    """
    if position <= head:
        return None
    return (
        f"{_BEGINNING}{view} stands at event {position}, the log ends at {head};"
        f" `wallet-ledger rebuild {view}` makes the view anew"
    )


def gone(view: str, schema: str) -> str:
    """Why a view cannot be judged whose row is missing: nobody knows how far it is."""
    return f"{view} has no row in {schema}.projections; an administrator must put it back"


def was_ahead(error: str | None) -> bool:
    """Whether that is why a view stopped: it stays so although the log may be longer by now."""
    return error is not None and error.startswith(_BEGINNING)
