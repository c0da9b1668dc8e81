"""Games: enabled or disabled for new bets."""

from __future__ import annotations

from typing import Any

from adapters.operator.answers import GameHistory, GameView
from adapters.operator.bodies import GameBody
from adapters.operator.events import event_view
from adapters.operator.problems import ProblemFound, refused
from adapters.operator.route import Api, ApiCall, Nothing, Reply, Route
from ledger.commands import SetGame
from ledger.events import GameDisabled
from ledger.refusals import Refused


async def get_game(api: Api, call: ApiCall, _: Nothing) -> Reply:
    """Who switched the game, when and why; refused in one partition, it is disabled."""
    integration, game = call.path["integration"], call.path["game"]
    histories = await api.ledger.game_events(integration, game)
    if api.integration(integration) is None and not any(histories):
        raise ProblemFound("not_found", "no such integration")
    lasts = [history[-1][1] for history in histories if history]
    # A switch has one movement id in every partition; a repetition after half a failure another.
    switches = {entry[1].movement_id: entry for history in histories for entry in history}
    return Reply(
        200,
        GameHistory(
            integration=integration,
            game=game,
            enabled=not any(isinstance(last, GameDisabled) for last in lasts),
            events=[
                event_view(api.settings.currencies, *entry)
                for entry in sorted(switches.values(), key=lambda entry: entry[1].recorded_at)
            ],
        ),
    )


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
        method="GET",
        path="/games/{integration}/{game}",
        role="viewer",
        summary="Whether a game is enabled, and who switched it",
        takes=Nothing,
        answers={200: GameHistory},
        handler=get_game,
        problems=("not_found",),
    ),
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
