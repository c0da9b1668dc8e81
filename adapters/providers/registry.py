"""Every protocol that the service speaks: a new one is a module, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from adapters.providers.betbrothers import BetBrothersProvider
from adapters.providers.fizzybubbly import FizzyBubblyProvider
from adapters.providers.gpas import GpasProvider
from adapters.providers.marbles import MarblesProvider
from adapters.providers.protocol import Provider

PROVIDERS: Final[Mapping[str, type[Provider]]] = {
    "betbrothers": BetBrothersProvider,
    "marbles": MarblesProvider,
    "gpas": GpasProvider,
    "fizzybubbly": FizzyBubblyProvider,
}
"""The class by the name that ``protocol`` has in the configuration."""
