"""Reconciliations of this configuration: whose keys are whose, and how much is kept of one."""

from __future__ import annotations

from typing import Final

from adapters.providers.registry import PROVIDERS
from adapters.reporting import configured_reports
from adapters.settings import Settings
from projections.statements.service import Reconciler

KEPT_MAX: Final = 100_000
"""Differences of a kind of which the command line keeps both sides."""


def configured_reconciler(url: str, settings: Settings) -> Reconciler:
    """Reconciles the integrations that are configured."""
    keys_of = {
        name: PROVIDERS[integration.protocol].keys_of
        for name, integration in settings.integrations.items()
    }
    return Reconciler(
        url,
        settings.database.partitions,
        settings.currencies,
        keys_of,
        configured_reports(url, settings),
    )
