"""Reconciliations: a provider's statement in, what differs from the ledger out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from adapters.operator.bodies import Body, Edge, Identifier
from adapters.operator.events import Moment
from adapters.operator.problems import ProblemFound, malformed
from adapters.operator.route import Api, ApiCall, Reply, Route
from adapters.reconciliation_store import Kept
from adapters.reconciling import API_KEPT_MAX, API_ROWS_MAX
from projections.reports.errors import BadRequest
from projections.reports.report import PeriodView
from projections.statements.findings import Difference, StatementView, TotalsRow
from projections.statements.form import Form, read_columns
from projections.statements.service import EDGE_MAX_S, EDGE_S, Asked

DIFFERENCES_PAGE_MAX: Final = 1_000
"""Differences on one page at most."""
RECONCILIATIONS_PAGE_MAX: Final = 1_000
"""Reconciliations on one page at most."""


class ReconciliationQuery(Body, frozen=True, kw_only=True):
    """Whose statement of which time the body is, and how it is written."""

    integration: Identifier
    begin: Edge = msgspec.field(name="from")
    end: Edge = msgspec.field(name="to")
    tz: Annotated[
        str | None, Meta(description="Whose days: a time zone's IANA name.", examples=["UTC"])
    ] = None
    column: Annotated[
        str | None,
        Meta(
            description="The file's headers of our columns, as NAME=HEADER,NAME=HEADER.",
            examples=["transaction_id=TransactionId"],
        ),
    ] = None
    minor_units: Annotated[
        Literal["true", "false"], Meta(description="Whether amounts count subunits (cents).")
    ] = "false"
    edge: Annotated[
        int,
        Meta(
            ge=0,
            le=EDGE_MAX_S,
            description="Seconds at the period's edges in which the statement may lack a movement.",
        ),
    ] = EDGE_S


class DifferencesQuery(Body, frozen=True, kw_only=True):
    """Which page of the differences."""

    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=DIFFERENCES_PAGE_MAX)] = 100


class ReconciliationBegun(msgspec.Struct, frozen=True, kw_only=True):
    """It goes on; ask for it by its `id`."""

    id: str
    status: Literal["running"]


class ReconciliationSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A reconciliation. `error`: why it failed; the rest that is null is not known (yet).

    `counts` are the differences by kind, all of them; `left_out` of these are not listed. `noted`
    are no differences. `columns` and `minor_units` are how the file was read.
    """

    id: str
    status: Literal["running", "done", "failed"]
    integration: str
    period: PeriodView
    edge_s: int
    columns: dict[str, str] | None
    minor_units: bool | None
    statement: StatementView
    by: str
    started_at: Moment
    finished_at: datetime | None
    read_at: datetime | None
    error: str | None
    counts: dict[str, int] | None
    noted: dict[str, int] | None
    left_out: int | None


class ReconciliationView(ReconciliationSummary, frozen=True, kw_only=True):
    """A reconciliation, with a page of its differences.

    `next` is the `after` of the next page, null at the end.
    """

    totals: list[TotalsRow] | None
    differences: list[Difference]
    next: int | None


class ReconciliationsQuery(Body, frozen=True, kw_only=True):
    """Whose reconciliations, and which page of them."""

    integration: Identifier | None = None
    after: Annotated[
        Identifier | None, Meta(description="The id behind which the page begins.")
    ] = None
    limit: Annotated[int, Meta(ge=1, le=RECONCILIATIONS_PAGE_MAX)] = 100


class ReconciliationsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Reconciliations, the newest first. `next` is the next page's `after`, null at the end."""

    reconciliations: list[ReconciliationSummary]
    next: str | None


async def reconcile(api: Api, call: ApiCall, given: ReconciliationQuery) -> Reply:
    """Take a statement and begin to compare it; what it asks for is judged before it is read."""
    assert call.upload is not None
    assert call.actor is not None
    try:
        columns = () if given.column is None else tuple(given.column.split(","))
        asked = Asked(
            integration=given.integration,
            period=api.period(given.begin, given.end, given.tz),
            form=Form(read_columns(columns), given.minor_units == "true"),
            edge_s=given.edge,
            rows_max=API_ROWS_MAX,
            kept_max=API_KEPT_MAX,
        )
        name = await api.views.begin_reconciliation(asked, call.upload.receive, call.actor)
    except BadRequest as error:
        malformed(str(error))
    return Reply(202, ReconciliationBegun(id=name, status="running"))


async def get_reconciliations(api: Api, _call: ApiCall, given: ReconciliationsQuery) -> Reply:
    """A page of reconciliations; one more is read to see if there is another page."""
    found = await api.views.reconciliations(given.integration, given.after, given.limit + 1)
    page = [ReconciliationSummary(**_summary(kept)) for kept in found[: given.limit]]
    following = page[-1].id if len(found) > given.limit else None
    return Reply(200, ReconciliationsPage(reconciliations=page, next=following))


async def get_reconciliation(api: Api, call: ApiCall, given: DifferencesQuery) -> Reply:
    """A reconciliation, with a page of its differences."""
    kept = await api.views.reconciliation(call.path["id"], given.after, given.limit + 1)
    if kept is None:
        raise ProblemFound("not_found", "no such reconciliation")
    page = kept.differences[: given.limit]
    view = ReconciliationView(
        **_summary(kept),
        totals=None if kept.outcome is None else kept.outcome.totals,
        differences=[each for _, each in page],
        next=page[-1][0] if len(kept.differences) > given.limit else None,
    )
    return Reply(200, view)


def _summary(kept: Kept) -> dict[str, Any]:
    outcome = kept.outcome
    without = "running" if kept.error is None else "failed"
    found = ("columns", "minor_units", "read_at", "counts", "noted", "left_out")
    return {
        "id": kept.id,
        "status": without if outcome is None else "done",
        "integration": kept.integration,
        "period": kept.period,
        "edge_s": kept.edge_s,
        "statement": kept.statement,
        "by": kept.begun_by,
        "started_at": kept.begun_at,
        "finished_at": kept.finished_at,
        "error": kept.error,
        **{name: getattr(outcome, name, None) for name in found},
    }


ROUTES: tuple[Route[Any], ...] = (
    Route(
        method="POST",
        path="/reconciliations",
        role="operator",
        summary="Compare a provider's statement with the ledger",
        takes=ReconciliationQuery,
        answers={202: ReconciliationBegun},
        handler=reconcile,
        uploads=("text/csv", "application/x-ndjson"),
    ),
    Route(
        method="GET",
        path="/reconciliations",
        role="viewer",
        summary="Reconciliations, the newest first",
        takes=ReconciliationsQuery,
        answers={200: ReconciliationsPage},
        handler=get_reconciliations,
    ),
    Route(
        method="GET",
        path="/reconciliations/{id}",
        role="viewer",
        summary="A reconciliation: how it stands, and what differs",
        takes=DifferencesQuery,
        answers={200: ReconciliationView},
        handler=get_reconciliation,
        problems=("not_found",),
    ),
)
"""Calls about reconciliations."""
