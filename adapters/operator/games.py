"""Games: enabled or disabled for new bets."""

from __future__ import annotations

from typing import Any

from adapters.operator.answers import GameView
from adapters.operator.bodies import GameBody
from adapters.operator.problems import ProblemFound, refused
from adapters.operator.route import Api, ApiCall, Reply, Route
from ledger.commands import SetGame
from ledger.refusals import Refused


async def set_game(api: Api, call: ApiCall, given: GameBody) -> Reply:
    """Accept or refuse bets on the game from here on."""
    integration, game = call.path["integration"], call.path["game"]
    if api.integration(integration) is None:
        raise ProblemFound("not_found", "no such integration")
    command = SetGame(
        integration=integration,
        game=game,
        enabled=given.enabled,
        actor=call.actor,
        reason=given.reason,
    )
    outcome = await api.ledger.set_game(command)
    if isinstance(outcome, Refused):
        raise refused(outcome)
    return Reply(200, GameView(integration=integration, game=game, enabled=given.enabled))


ROUTES: tuple[Route[Any], ...] = (
    Route(
        method="PUT",
        path="/games/{integration}/{game}",
        role="admin",
        summary="Enable or disable a game for new bets",
        takes=GameBody,
        answers={200: GameView},
        handler=set_game,
        problems=("not_found",),
    ),
)
"""Calls about games."""
