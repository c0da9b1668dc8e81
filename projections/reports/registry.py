"""The reports there are."""

from __future__ import annotations

from typing import Final

from projections.reports.account_summary import ACCOUNT_SUMMARY
from projections.reports.exceptions import EXCEPTIONS
from projections.reports.interventions import INTERVENTIONS
from projections.reports.kind import ReportKind
from projections.reports.large_wins import LARGE_WINS
from projections.reports.liabilities import LIABILITIES
from projections.reports.movements import MOVEMENTS
from projections.reports.open_rounds import OPEN_ROUNDS
from projections.reports.player_statement import PLAYER_STATEMENT
from projections.reports.totals import TOTALS
from projections.reports.trial_balance import TRIAL_BALANCE

REPORTS: Final[dict[str, ReportKind]] = {
    kind.name: kind
    for kind in (
        TOTALS,
        TRIAL_BALANCE,
        EXCEPTIONS,
        OPEN_ROUNDS,
        PLAYER_STATEMENT,
        LARGE_WINS,
        LIABILITIES,
        ACCOUNT_SUMMARY,
        MOVEMENTS,
        INTERVENTIONS,
    )
}
"""Every report by its name."""
