"""The table of every call of the operator API."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from adapters.operator import (
    evidence,
    games,
    history,
    movements,
    players,
    reconciliations,
    reports,
    rounds,
    seals,
    sessions,
)
from adapters.operator.openapi import document
from adapters.operator.route import Api, ApiCall, Nothing, Reply, Route


async def get_openapi(_api: Api, _call: ApiCall, _: Nothing) -> Reply:
    """The description of the API itself: it holds no secret, and tools read it without a token."""
    return Reply(200, openapi())


@cache
def openapi() -> msgspec.Raw:
    """The OpenAPI document as JSON."""
    return msgspec.Raw(msgspec.json.encode(document(ROUTES)))


ROUTES: tuple[Route[Any], ...] = (
    *players.ROUTES,
    *sessions.ROUTES,
    *movements.ROUTES,
    *games.ROUTES,
    *history.ROUTES,
    *rounds.ROUTES,
    *reports.ROUTES,
    *evidence.ROUTES,
    *reconciliations.ROUTES,
    *seals.ROUTES,
    Route(
        method="GET",
        path="/openapi.json",
        role=None,
        summary="This document",
        takes=Nothing,
        answers={200: dict[str, Any]},
        handler=get_openapi,
    ),
)
"""Every call, in the order of the document."""
