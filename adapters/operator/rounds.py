"""Rounds: the list of them, and one by its provider's id, as the view of rounds has them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from adapters.operator.auth import utc_now
from adapters.operator.bodies import Body, Identifier
from adapters.operator.events import Moment
from adapters.operator.problems import ProblemFound, malformed
from adapters.operator.route import Api, ApiCall, Reply, Route
from ledger.money import to_decimal_string
from projections.reports.errors import BadRequest, UnknownPlayer
from projections.reports.rounds import FIRST, RoundFilters, RoundKey, RoundRow

ROUNDS_PAGE_MAX: Final = 1_000
"""Rounds on one page at most."""

Hours = Annotated[int, Meta(ge=0, le=24 * 3_660, description="Opened more than so many hours ago.")]
After = Annotated[str, Meta(max_length=4_096, description="`next` of the page before.")]
Limit = Annotated[int, Meta(ge=1, le=ROUNDS_PAGE_MAX)]


class RoundsQuery(Body, frozen=True, kw_only=True):
    """Which rounds, and which page of them."""

    integration: Identifier | None = None
    status: Literal["open", "closed"] | None = None
    older_than_h: Hours | None = None
    player_id: Identifier | None = None
    after: After | None = None
    limit: Limit = 100


class RoundQuery(Body, frozen=True, kw_only=True):
    """Which page of the players' rounds of one id."""

    after: After | None = None
    limit: Limit = ROUNDS_PAGE_MAX


class RoundView(msgspec.Struct, frozen=True, kw_only=True):
    """A round of a player. `ggr` = stakes - refunds - wins + reversals."""

    integration: str
    round_id: str
    player_id: str
    game: str
    currency: str
    status: Literal["open", "closed"]
    opened_at: Moment
    closed_at: Moment | None
    closed_reason: str | None
    last_activity_at: Moment
    bet_count: int
    stakes: str
    refund_count: int
    refunds: str
    win_count: int
    wins: str
    reversal_count: int
    reversals: str
    ggr: str


class RoundsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rounds by player, integration and id. `next` is the next page's `after`, null at the end."""

    rounds: list[RoundView]
    next: str | None


async def list_rounds(api: Api, _call: ApiCall, given: RoundsQuery) -> Reply:
    """A page of rounds."""
    filters = RoundFilters(
        player_id=given.player_id,
        integration=given.integration,
        is_open=None if given.status is None else given.status == "open",
        opened_before=_opened_before(given.older_than_h),
    )
    try:
        page = await _page(api, filters, given)
    except UnknownPlayer as error:
        raise ProblemFound("unknown_player", str(error)) from error
    except BadRequest as error:
        malformed(str(error))
    return Reply(200, page)


async def get_round(api: Api, call: ApiCall, given: RoundQuery) -> Reply:
    """A page of the rounds of that provider's id, one a player: a live table's are many."""
    filters = RoundFilters(integration=call.path["integration"], round_id=call.path["round_id"])
    try:
        page = await _page(api, filters, given)
    except BadRequest as error:
        raise ProblemFound("not_found", "no such integration") from error
    if not page.rounds and given.after is None:
        raise ProblemFound("not_found", "no such round")
    return Reply(200, page)


async def _page(api: Api, filters: RoundFilters, given: RoundsQuery | RoundQuery) -> RoundsPage:
    """The page asked for; one round more is read to see if there is another page."""
    after = FIRST if given.after is None else _read_place(given.after)
    found = await api.views.rounds(filters, after, given.limit + 1)
    page = found[: given.limit]
    following = _write_place(page[-1].key) if len(found) > given.limit else None
    return RoundsPage(rounds=[_view(api, row) for row in page], next=following)


def _opened_before(older_than_h: int | None) -> datetime | None:
    return None if older_than_h is None else utc_now() - timedelta(hours=older_than_h)


def _write_place(key: RoundKey) -> str:
    return urlsafe_b64encode(msgspec.json.encode(key)).decode()


_NO_PLACE: Final = "after: expected the next of the page before"


def _read_place(text: str) -> RoundKey:
    try:
        place: RoundKey = msgspec.json.decode(urlsafe_b64decode(text.encode()), type=RoundKey)
    except (ValueError, msgspec.MsgspecError):
        malformed(_NO_PLACE)
    if any("\0" in part for part in place):
        malformed(_NO_PLACE)
    return place


def _view(api: Api, row: RoundRow) -> RoundView:
    unit = api.settings.currencies[row.currency]
    fields: dict[str, Any] = msgspec.structs.asdict(row)
    amounts = {
        name: to_decimal_string(units, unit)
        for name, units in (
            ("stakes", row.stakes),
            ("refunds", row.refunds),
            ("wins", row.wins),
            ("reversals", row.reversals),
            ("ggr", row.stakes - row.refunds - row.wins + row.reversals),
        )
    }
    return RoundView(**fields | amounts)


ROUTES: tuple[Route[Any], ...] = (
    Route(
        method="GET",
        path="/rounds",
        role="viewer",
        summary="Rounds, page by page",
        takes=RoundsQuery,
        answers={200: RoundsPage},
        handler=list_rounds,
        problems=("unknown_player",),
    ),
    Route(
        method="GET",
        path="/rounds/{integration}/{round_id}",
        role="viewer",
        summary="The rounds of a provider's id, one a player, page by page",
        takes=RoundQuery,
        answers={200: RoundsPage},
        handler=get_round,
        problems=("not_found",),
    ),
)
"""Calls about rounds."""
