"""Game sessions: opened for a launch, closed by their token.

A token is in one answer and in one path; it is never logged and never kept.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from adapters.operator.answers import SessionView
from adapters.operator.bodies import SessionBody
from adapters.operator.problems import ProblemFound, malformed
from adapters.operator.route import Api, ApiCall, Nothing, Reply, Route
from ledger.commands import CloseSession, OpenSession
from ledger.service import token_hash


async def open_session(api: Api, call: ApiCall, given: SessionBody) -> Reply:
    """Begin a session and show its token, this once."""
    integration = api.integration(given.integration)
    if integration is None:
        malformed("integration: not configured")
    api.unit(given.currency)
    player_id = call.path["player_id"]
    token = api.ledger.mint_token(player_id)
    command = OpenSession(
        player_id=player_id,
        actor=call.actor,
        session=token_hash(token),
        integration=given.integration,
        game=given.game,
        currency=given.currency,
        policy=integration.policy,
    )
    player = (await api.execute(command)).player
    opened_at = player.sessions[command.session].opened_at
    lifetime = timedelta(seconds=integration.policy.session_ttl_s)
    return Reply(201, SessionView(session_token=token, expires_at=opened_at + lifetime))


async def close_session(api: Api, call: ApiCall, _: Nothing) -> Reply:
    """End the session and those that a provider opened from it; one that is over stays so."""
    token = call.path["token"]
    session = await api.ledger.session(token)
    if session is None:
        raise ProblemFound("unknown_session", "no such session")
    await api.execute(
        CloseSession(player_id=session.player_id, actor=call.actor, session=token_hash(token))
    )
    return Reply(204, None)


ROUTES: tuple[Route[Any], ...] = (
    Route(
        method="POST",
        path="/players/{player_id}/sessions",
        role="operator",
        summary="Open a game session and mint its token",
        takes=SessionBody,
        answers={201: SessionView},
        handler=open_session,
        problems=("unknown_player", "currency_mismatch"),
    ),
    Route(
        method="DELETE",
        path="/sessions/{token}",
        role="operator",
        summary="Close a session",
        takes=Nothing,
        answers={204: None},
        handler=close_session,
        problems=("unknown_session",),
    ),
)
"""Calls about sessions."""
