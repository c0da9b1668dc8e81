"""Players: registration, state, blocking, reality checks and limits."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from adapters.operator.amounts import parse_amount
from adapters.operator.answers import LimitsView, PlayerView, limits_view, player_view
from adapters.operator.bodies import LimitsBody, PlayerBody, ReasonBody
from adapters.operator.problems import malformed
from adapters.operator.route import Api, ApiCall, Nothing, Reply, Route
from ledger.commands import (
    AcknowledgeRealityCheck,
    BlockPlayer,
    Command,
    RegisterPlayer,
    SetLimits,
    UnblockPlayer,
)


async def register_player(api: Api, call: ApiCall, given: PlayerBody) -> Reply:
    """Create the player, or a wallet in a further currency; 200 where both are there already."""
    api.unit(given.currency)
    accepted = await api.execute(
        RegisterPlayer(player_id=given.player_id, currency=given.currency, actor=call.actor)
    )
    status = 200 if accepted.event is None else 201
    return Reply(status, player_view(api.settings.currencies, accepted.player))


async def get_player(api: Api, call: ApiCall, _: Nothing) -> Reply:
    """The player as the database has it now."""
    player = await api.player(call.path["player_id"])
    return Reply(200, player_view(api.settings.currencies, player))


async def block_player(api: Api, call: ApiCall, given: ReasonBody) -> Reply:
    """Refuse the player's bets. One who is blocked stays so: no event, and no second reason."""
    return await _tell(api, call, given, BlockPlayer)


async def unblock_player(api: Api, call: ApiCall, given: ReasonBody) -> Reply:
    """Accept the player's bets again."""
    return await _tell(api, call, given, UnblockPlayer)


async def acknowledge_reality_check(api: Api, call: ApiCall, given: ReasonBody) -> Reply:
    """The player has seen the reality check."""
    return await _tell(api, call, given, AcknowledgeRealityCheck)


async def get_limits(api: Api, call: ApiCall, _: Nothing) -> Reply:
    """The player's limits."""
    player = await api.player(call.path["player_id"])
    return Reply(200, limits_view(api.settings.currencies, player))


async def set_limits(api: Api, call: ApiCall, given: LimitsBody) -> Reply:
    """Change those limits that the body names."""
    accepted = await api.execute(
        SetLimits(
            player_id=call.path["player_id"],
            actor=call.actor,
            reason=given.reason,
            **await _limits(api, call, given),
        )
    )
    return Reply(200, limits_view(api.settings.currencies, accepted.player))


async def _tell(api: Api, call: ApiCall, given: ReasonBody, kind: type[Command]) -> Reply:
    command = kind(player_id=call.path["player_id"], actor=call.actor, reason=given.reason)
    accepted = await api.execute(command)
    return Reply(200, player_view(api.settings.currencies, accepted.player))


async def _limits(api: Api, call: ApiCall, given: LimitsBody) -> dict[str, Any]:
    """The command's own fields."""
    if given.max_bet is given.loss_limit is given.reality_check_min is UNSET:
        malformed("expected at least one of max_bet, loss_limit, reality_check_min")
    if (given.loss_limit is UNSET) != (given.period is None):
        malformed("period: required with loss_limit, and with nothing else")
    currency = given.currency
    if currency is None and (given.max_bet is not UNSET or given.loss_limit is not UNSET):
        currency = await _only_currency(api, call.path["player_id"])
    fields: dict[str, Any] = {
        "currency": currency,
        "max_bet": _limit(api, "max_bet", given.max_bet, currency),
        "reality_check_min": given.reality_check_min,
    }
    if given.period is not None:
        limit = _limit(api, "loss_limit", given.loss_limit, currency)
        fields[f"loss_limit_{given.period}"] = limit
    if currency is not None:
        api.unit(currency)
    return fields


def _limit(
    api: Api, name: str, text: str | UnsetType | None, currency: str | None
) -> int | UnsetType | None:
    if isinstance(text, str) and currency is not None:
        return parse_amount(name, text, api.unit(currency))
    return UNSET if text is UNSET else None


async def _only_currency(api: Api, player_id: str) -> str:
    """The currency of a player who has one wallet: amounts cannot be read without."""
    wallets = (await api.player(player_id)).wallets
    if len(wallets) != 1:
        malformed("currency: required, the player does not have exactly one wallet")
    return next(iter(wallets))


ROUTES: tuple[Route[Any], ...] = (
    Route(
        method="POST",
        path="/players",
        role="operator",
        summary="Register a player, or give one a wallet in a further currency",
        takes=PlayerBody,
        answers={201: PlayerView, 200: PlayerView},
        handler=register_player,
    ),
    Route(
        method="GET",
        path="/players/{player_id}",
        role="viewer",
        summary="A player's state and wallets",
        takes=Nothing,
        answers={200: PlayerView},
        handler=get_player,
        problems=("unknown_player",),
    ),
    Route(
        method="POST",
        path="/players/{player_id}/block",
        role="operator",
        summary="Refuse the player's bets; one who is blocked stays so, and nothing is recorded",
        takes=ReasonBody,
        answers={200: PlayerView},
        handler=block_player,
        problems=("unknown_player",),
    ),
    Route(
        method="POST",
        path="/players/{player_id}/unblock",
        role="operator",
        summary="Accept the player's bets again; of one who is not blocked nothing is recorded",
        takes=ReasonBody,
        answers={200: PlayerView},
        handler=unblock_player,
        problems=("unknown_player",),
    ),
    Route(
        method="POST",
        path="/players/{player_id}/reality-checks",
        role="operator",
        summary="The player has acknowledged the reality check",
        takes=ReasonBody,
        answers={200: PlayerView},
        handler=acknowledge_reality_check,
        problems=("unknown_player",),
    ),
    Route(
        method="GET",
        path="/players/{player_id}/limits",
        role="viewer",
        summary="A player's limits",
        takes=Nothing,
        answers={200: LimitsView},
        handler=get_limits,
        problems=("unknown_player",),
    ),
    Route(
        method="PUT",
        path="/players/{player_id}/limits",
        role="operator",
        summary="Change a player's limits",
        takes=LimitsBody,
        answers={200: LimitsView},
        handler=set_limits,
        problems=("unknown_player", "currency_mismatch"),
    ),
)
"""Calls about players."""
