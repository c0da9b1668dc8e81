"""Whether what filters name exists. Where it does not, "no activity" would hide a typing error."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ledger.codec import player_stream
from ledger.commands import OPERATOR
from projections.exceptions import KINDS
from projections.reports.asked import Filters
from projections.reports.errors import BadRequest, UnknownPlayer
from projections.reports.source import open_snapshot


async def check_names(
    url: str, partitions: int, filters: Filters, integrations: Collection[str]
) -> None:
    """For a result that is empty: refuse a filter that could not but make it so.

    ``integrations`` are those that are configured; one that is no longer, but under which something
    was booked, can be asked for as well. Raises `UnknownPlayer`, `BadRequest`, `ViewsBehind` (games
    are looked up in a view) and `psycopg.Error`.
    """
    await _check_player(url, partitions, filters.player_id)
    await _check_integration(url, partitions, filters.integration, (*integrations, OPERATOR))
    await _check_kind(url, partitions, filters.kind)
    await _check_game(url, partitions, filters.game)


async def _check_player(url: str, partitions: int, player_id: str | None) -> None:
    if player_id is None or await _found(url, partitions, "stream_head", player_stream(player_id)):
        return
    raise UnknownPlayer(f"player_id: there is no player {player_id}")


async def _check_integration(
    url: str, partitions: int, name: str | None, known: Collection[str]
) -> None:
    if name is None or name in known or await _found(url, partitions, "has_integration", name):
        return
    raise BadRequest(
        f"integration: {name!r} is none of {', '.join(known)}, and nothing was booked under it"
    )


async def _check_kind(url: str, partitions: int, kind: str | None) -> None:
    if kind is None or kind in KINDS or await _found(url, partitions, "has_kind", kind):
        return
    raise BadRequest(f"kind: {kind!r} is none of {', '.join(KINDS)}")


async def _check_game(url: str, partitions: int, game: str | None) -> None:
    if game is None or await _found(url, partitions, "has_game", game, ("totals",)):
        return
    raise BadRequest(f"game: no movement ever named {game!r}")


async def _found(
    url: str, partitions: int, query: str, name: str, views: Sequence[str] = ()
) -> bool:
    for partition in range(partitions):
        async with open_snapshot(url, partition, views) as snapshot:
            if await snapshot.value(query, (name,)):
                return True
    return False
