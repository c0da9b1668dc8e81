"""GPAS's own daily report, at ``/{integration}/report``: what GPAS checks its books against.

Its page leaves path and authentication to the operator: ours is a bearer token of a viewer.
"""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Any, Final, Literal

import msgspec

from adapters.beside import TIMEOUT_S
from adapters.operator.bodies import Body, Identifier
from adapters.operator.problems import malformed
from adapters.operator.route import Api, ApiCall, Reply, Route
from projections.reports.asked import Filters
from projections.reports.errors import BadRequest
from projections.reports.formats import MEDIA_TYPES
from projections.reports.period import read_period
from projections.reports.report import Cell, Report

_FIELDS: Final = {
    "from": "date_from",
    "to": "date_to",
    "from, to": "date_from, date_to",
}
"""GPAS's names for a report's period."""


class GpasQuery(Body, frozen=True, kw_only=True):
    """Days in UTC, both included."""

    date_from: date
    date_to: date
    provider_code: Identifier | None = None


class GpasRow(msgspec.Struct, frozen=True, kw_only=True):
    """A day, game and currency. Amounts are exact numbers in main units."""

    date: date
    provider_code: str
    game_id: str
    game_name: str
    currency: str
    total_bet: msgspec.Raw
    total_bet_rollback: msgspec.Raw
    total_win: msgspec.Raw
    total_win_rollback: msgspec.Raw
    total_ggr: msgspec.Raw
    transaction_count_bet: int
    transaction_count_win: int
    transaction_count_rollback: int


class GpasReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer."""

    status: Literal["success"] = "success"
    data: list[GpasRow]


async def get_gpas_report(api: Api, call: ApiCall, given: GpasQuery) -> Reply:
    """The totals of one integration, in GPAS's words."""
    filters = Filters(integration=call.path["integration"])
    try:
        period = read_period(str(given.date_from), str(given.date_to), "UTC")
        finish = partial(as_gpas_report, provider=given.provider_code)
        content = await api.views.report("totals", period, filters, finish)
    except BadRequest as error:
        malformed(_in_gpas_words(str(error)))
    return Reply(200, content, {"Content-Type": MEDIA_TYPES["json"]})


def as_gpas_report(totals: Report, provider: str | None) -> bytes:
    """The totals as GPAS's answer; of one provider's games where it is named."""
    rows = [_row(record) for record in totals.table.records()]
    if provider is not None:
        rows = [row for row in rows if row.provider_code.upper() == provider.upper()]
    return msgspec.json.encode(GpasReport(data=rows))


def provider_code(game: str) -> str:
    """The provider behind GPAS whose game it is: their ids begin with it, e.g. agt-54 is AGT's."""
    return game.partition("-")[0].upper()


def _in_gpas_words(message: str) -> str:
    """What is wrong with a report, under the names that its query has here."""
    fields, colon, problem = message.partition(": ")
    return f"{_FIELDS.get(fields, fields)}{colon}{problem}"


def _row(record: dict[str, Cell]) -> GpasRow:
    cells: dict[str, Any] = record
    return GpasRow(
        date=cells["day"],
        provider_code=provider_code(cells["game"]),
        game_id=cells["game"],
        game_name=cells["game"],
        currency=cells["currency"],
        total_bet=_number(cells["bets"]),
        total_bet_rollback=_number(cells["refunds"]),
        total_win=_number(cells["wins"]),
        total_win_rollback=_number(cells["reversals"]),
        total_ggr=_number(cells["ggr"]),
        transaction_count_bet=cells["bet_count"],
        transaction_count_win=cells["win_count"],
        transaction_count_rollback=cells["refund_count"] + cells["reversal_count"],
    )


def _number(amount: str) -> msgspec.Raw:
    return msgspec.Raw(amount.encode())


GPAS_REPORT: Route[Any] = Route(
    method="GET",
    path="/{integration}/report",
    role="viewer",
    summary="The daily report that GPAS asks for",
    takes=GpasQuery,
    answers={200: GpasReport},
    handler=get_gpas_report,
    timeout_s=TIMEOUT_S + 5,
)
"""The call, outside of ``/api``."""
