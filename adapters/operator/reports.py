"""Reports: made from the views, as JSON or as a file to download."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from adapters.beside import TIMEOUT_S
from adapters.operator.bodies import Body, CurrencyCode, Edge, Identifier
from adapters.operator.problems import ProblemFound, malformed
from adapters.operator.rounds import Hours
from adapters.operator.route import Api, ApiCall, Reply, Route
from projections.reports.asked import Filters
from projections.reports.errors import BadRequest, UnknownPlayer
from projections.reports.formats import MEDIA_TYPES, Format, finest, render
from projections.reports.registry import REPORTS
from projections.reports.report import Report, ReportView, file_name


def _filter(name: str, what: str) -> Meta:
    """A filter: what it is, and which reports take it."""
    takers = (kind for kind in REPORTS.values() if name in kind.filters)
    named = (f"{kind.name} (required)" if name in kind.required else kind.name for kind in takers)
    return Meta(description=f"{what} Reports that take it: {', '.join(named)}.")


class ReportQuery(Body, frozen=True, kw_only=True):
    """Period, format and filters. A filter that the report does not know is refused."""

    begin: Edge | None = msgspec.field(name="from", default=None)
    end: Edge | None = msgspec.field(name="to", default=None)
    tz: Annotated[
        str | None,
        Meta(
            description="Whose days: a time zone's IANA name; as configured where left out.",
            examples=["UTC"],
        ),
    ] = None
    format: Format = "json"
    integration: Annotated[Identifier | None, _filter("integration", "One with movements.")] = None
    game: Annotated[str | None, _filter("game", "One with movements.")] = None
    currency: Annotated[CurrencyCode | None, _filter("currency", "One.")] = None
    player_id: Annotated[Identifier | None, _filter("player_id", "One.")] = None
    kind: Annotated[Identifier | None, _filter("kind", "Such as late_win.")] = None
    type: Annotated[
        str | None, _filter("type", "Any types of events, as deposited.v1,withdrawn.v1.")
    ] = None
    threshold: Annotated[str | None, _filter("threshold", "In main units, as 5000.")] = None
    older_than_h: Annotated[Hours | None, _filter("older_than_h", "Hours since opening.")] = None
    by: Annotated[str | None, _filter("by", "Any of day, provider, game, as day,game.")] = None


async def get_report(api: Api, call: ApiCall, given: ReportQuery) -> Reply:
    """The report of that name."""
    name = call.path["name"]
    if name not in REPORTS:
        detail = f"{name!r} is no report; there are {', '.join(REPORTS)}"
        raise ProblemFound("not_found", detail)
    try:
        period = api.period(given.begin, given.end, given.tz)
        finish = partial(
            as_file, wanted=given.format, scale=finest(api.settings.currencies.values())
        )
        content, file = await api.views.report(name, period, filters_of(given), finish)
    except UnknownPlayer as error:
        raise ProblemFound("unknown_player", str(error)) from error
    except BadRequest as error:
        malformed(str(error))
    headers = {"Content-Type": MEDIA_TYPES[given.format]}
    if given.format != "json":
        headers["Content-Disposition"] = f'attachment; filename="{file}"'
    return Reply(200, content, headers)


def as_file(report: Report, wanted: Format, scale: int) -> tuple[bytes, str]:
    """The report's bytes in that format, and a name for them. Raises as `render`."""
    return render(report, wanted, scale), file_name(report, wanted)


def filters_of(given: ReportQuery) -> Filters:
    """The query's filters."""
    return Filters(**{name: getattr(given, name) for name in Filters.__struct_fields__})


ROUTES: tuple[Route[Any], ...] = (
    Route(
        method="GET",
        path="/reports/{name}",
        role="viewer",
        summary="A report, as JSON or to download",
        takes=ReportQuery,
        answers={200: ReportView},
        handler=get_report,
        problems=("not_found", "unknown_player"),
        timeout_s=TIMEOUT_S + 5,
        names={"name": tuple(REPORTS)},
        downloads=(MEDIA_TYPES["csv"], MEDIA_TYPES["parquet"]),
    ),
)
"""Calls about reports."""
