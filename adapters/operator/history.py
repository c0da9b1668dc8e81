"""What happened: a player's events, the wallets at a moment, and what became of a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

from adapters.operator import movements
from adapters.operator.answers import (
    CallView,
    EventsPage,
    TransactionsView,
    TransactionView,
    WalletsAt,
    call_view,
    wallet_views,
)
from adapters.operator.auth import utc_now
from adapters.operator.bodies import EventsQuery, WalletQuery
from adapters.operator.events import EventView, event_view
from adapters.operator.parsing import parse_moment
from adapters.operator.problems import ProblemFound, malformed
from adapters.operator.route import Api, ApiCall, Nothing, Reply, Route
from adapters.providers.registry import PROVIDERS
from ledger.commands import OPERATOR

SKEW_MAX: Final = timedelta(minutes=1)
"""How far ahead of ours the clock of a caller may be."""

_AT_A_TIME: Final = 50

_Movement: TypeAlias = tuple[str, str]
"""Operation and player: what tells the movements of one id apart."""


async def get_events(api: Api, call: ApiCall, given: EventsQuery) -> Reply:
    """A page of the player's events; one more than asked for is read to see if there is another."""
    player_id = call.path["player_id"]
    found = await api.ledger.events(player_id, given.after, given.limit + 1)
    if not found:
        await api.player(player_id)
    page = found[: given.limit]
    events: list[EventView] = []
    for start in range(0, len(page), _AT_A_TIME):
        slice_ = page[start : start + _AT_A_TIME]
        events += [event_view(api.settings.currencies, *entry) for entry in slice_]
        await asyncio.sleep(0)  # providers' calls go first
    following = page[-1][0] if len(found) > given.limit else None
    return Reply(200, EventsPage(events=events, next=following))


async def get_wallet(api: Api, call: ApiCall, given: WalletQuery) -> Reply:
    """The player's wallets as they stood at a moment; now, where none is named.

    A moment that lies ahead by no more than clocks differ is now.
    """
    player_id = call.path["player_id"]
    now = utc_now()
    at = now if given.at is None else parse_moment("at", given.at)
    if at > now + SKEW_MAX:
        malformed("at: lies in the future")
    if at >= now:
        player = await api.player(player_id)
        at, version, wallets = now, player.version, player.wallets
    else:
        version, wallets = await api.views.wallets(player_id, at)
        if not version:
            await api.player(player_id)
    shown = wallet_views(api.settings.currencies, wallets)
    return Reply(200, WalletsAt(at=at, version=version, wallets=shown))


async def get_transactions(api: Api, call: ApiCall, _: Nothing) -> Reply:
    """Every movement that bears the id, with the calls that carried it.

    Where nothing was booked, the problem shows them: why a call was refused is evidence too.
    """
    integration, transaction_id = call.path["integration"], call.path["transaction_id"]
    views = await _movements(api, integration, _keys(api, integration, transaction_id))
    if not views and (views := await _movements(api, integration, (transaction_id,))):
        # A key of ours, as `refers_to` and the list of exceptions name it.
        transaction_id = views[0][1].transaction_id or transaction_id
    rows, left_out = await api.journal.calls(integration, transaction_id)
    calls = [call_view(row) for row in rows]
    if not views:
        if integration != OPERATOR and integration not in api.keys_of and not calls:
            raise ProblemFound("not_found", "no such integration")
        detail = "no movement bears this id"
        raise ProblemFound("not_found", detail, calls=calls, calls_left_out=left_out)
    booked = {(view.operation, player_id) for player_id, view in views}
    transactions = [
        TransactionView(
            operation=view.operation,
            player_id=player_id,
            round_id=view.round_id,
            event=view,
            calls=calls_about((view.operation, player_id), booked, calls),
        )
        for player_id, view in views
    ]
    return Reply(200, TransactionsView(transactions=transactions, calls_left_out=left_out))


def _keys(api: Api, integration: str, transaction_id: str) -> Sequence[str]:
    """Of an integration that is no longer configured: those of every protocol."""
    if integration == OPERATOR:
        return movements.keys_of(transaction_id)
    if integration in api.keys_of:
        return api.keys_of[integration](transaction_id)
    return sorted({key for each in PROVIDERS.values() for key in each.keys_of(transaction_id)})


async def _movements(
    api: Api, integration: str, keys: Sequence[str]
) -> list[tuple[str, EventView]]:
    """The events behind the keys, each once, with their players.

    A refund of an unknown bet has two keys: its own, and the tombstone under the bet's.
    """
    found = await api.ledger.transactions(integration, keys)
    views = {
        (entry.player_id, entry.version): event_view(
            api.settings.currencies, entry.version, event, link
        )
        for entry, event, link in found
    }
    return [(player_id, view) for (player_id, _), view in views.items()]


def calls_about(
    movement: _Movement, booked: set[_Movement], calls: Sequence[CallView]
) -> list[CallView]:
    """The calls of that operation and player, and those that belong to no movement at all."""
    return [
        call for call in calls if not (fitting := _fitting(call, booked)) or movement in fitting
    ]


def _fitting(call: CallView, booked: set[_Movement]) -> set[_Movement]:
    """The movements that a call may have booked; one that was refused early names no player."""
    alike = {found for found in booked if found[0] == call.operation}
    return {found for found in alike if call.player_id in (None, found[1])} or alike


ROUTES: tuple[Route[Any], ...] = (
    Route(
        method="GET",
        path="/players/{player_id}/events",
        role="viewer",
        summary="A player's events, page by page",
        takes=EventsQuery,
        answers={200: EventsPage},
        handler=get_events,
        problems=("unknown_player",),
    ),
    Route(
        method="GET",
        path="/players/{player_id}/wallet",
        role="viewer",
        summary="A player's wallets as they stood at a moment",
        takes=WalletQuery,
        answers={200: WalletsAt},
        handler=get_wallet,
        problems=("unknown_player",),
    ),
    Route(
        method="GET",
        path="/transactions/{integration}/{transaction_id}",
        role="viewer",
        summary="Every movement that bears a provider's or the operator's id, and its calls",
        takes=Nothing,
        answers={200: TransactionsView},
        handler=get_transactions,
        problems=("not_found",),
    ),
)
"""Calls about what happened."""
