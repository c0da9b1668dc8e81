"""The operator API under /api: players, sessions, money in and out, games, history.

One table of routes (`adapters.operator.routes`) drives the registration, the rights and OpenAPI.
"""

from adapters.operator.application import setup

__all__ = ["setup"]
