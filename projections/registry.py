"""The views there are."""

from __future__ import annotations

from typing import Final

from projections.balances import Balances
from projections.exceptions import Exceptions
from projections.journal import Journal
from projections.rounds import Rounds
from projections.totals import Totals
from projections.view import View

VIEWS: Final[tuple[View, ...]] = (Balances(), Rounds(), Journal(), Totals(), Exceptions())
"""Every view of a partition."""

VIEW_NAMES: Final = tuple(view.name for view in VIEWS)
"""Their names."""


def view_named(name: str) -> View:
    """The view of that name. Raises KeyError."""
    for view in VIEWS:
        if view.name == name:
            return view
    raise KeyError(name)
