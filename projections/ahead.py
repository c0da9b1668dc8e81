"""A view whose position cannot be gone on from.

It stands ahead of its log (that was cut or swapped, or the position altered) and would pass over
the next events without a word: it stops, and only a view made anew goes on. Or it has none.
"""

from __future__ import annotations

from typing import Final

from projections.registry import view_named

_BEGINNING: Final = "ahead of the log: "
_NOWHERE: Final = 2**63 - 1


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
    """Why a view cannot be judged whose row is missing: nobody knows how far it is.

    Put back at 0 it would take every event a second time; ahead of the log it waits for a rebuild.
    """
    tables = ",".join(view_named(view).tables)
    return (
        f"{view} has no row in {schema}.projections; as an administrator put one in with view"
        f" '{view}', tables '{{{tables}}}' and position {_NOWHERE}, then"
        f" `wallet-ledger rebuild {view}`"
    )


def was_ahead(error: str | None) -> bool:
    """Whether that is why a view stopped: it stays so although the log may be longer by now."""
    return error is not None and error.startswith(_BEGINNING)
