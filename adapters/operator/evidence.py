"""Evidence about a player: one file to hand over, that verifies without the ledger."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from adapters.beside import TIMEOUT_S
from adapters.operator.bodies import Body, Edge, Identifier
from adapters.operator.problems import ProblemFound, malformed
from adapters.operator.route import Api, ApiCall, Reply, Route
from adapters.providers.payload import ID_LENGTH_MAX
from ledger.evidence import NoSuchEvents, NoSuchPlayer, Wanted
from projections.reports.errors import BadRequest

_JSON_LINES = "application/x-ndjson"


class EvidenceQuery(Body, frozen=True, kw_only=True):
    """What the dispute is about: all of the player's events, where nothing is given."""

    begin: Edge | None = msgspec.field(name="from", default=None)
    end: Edge | None = msgspec.field(name="to", default=None)
    tz: Annotated[str | None, Meta(description="As in reports.", examples=["UTC"])] = None
    integration: Identifier | None = None
    round_id: Annotated[str, Meta(min_length=1, max_length=2 * ID_LENGTH_MAX)] | None = None
    transaction_id: Annotated[Identifier | None, Meta(description="The provider's own.")] = None


async def get_evidence(api: Api, call: ApiCall, given: EvidenceQuery) -> Reply:
    """The player's events, from the first to the last that fit, with proofs and calls."""
    try:
        period = api.period(given.begin, given.end, given.tz)
        wanted = Wanted(
            begins=period.begins,
            ends=period.ends,
            integration=given.integration,
            round_id=given.round_id,
            transaction_id=given.transaction_id,
        )
        content = await api.views.evidence(call.path["player_id"], wanted)
    except NoSuchPlayer as error:
        raise ProblemFound("unknown_player", str(error)) from error
    except NoSuchEvents as error:
        raise ProblemFound("not_found", str(error)) from error
    except BadRequest as error:
        malformed(str(error))
    headers = {
        "Content-Type": _JSON_LINES,
        "Content-Disposition": 'attachment; filename="evidence.jsonl"',
    }
    return Reply(200, content, headers)


ROUTES: tuple[Route[Any], ...] = (
    Route(
        method="GET",
        path="/players/{player_id}/evidence",
        role="viewer",
        summary="A bundle of evidence about a player, to download",
        takes=EvidenceQuery,
        answers={200: None},
        handler=get_evidence,
        problems=("unknown_player", "not_found"),
        timeout_s=TIMEOUT_S + 5,
        downloads=(_JSON_LINES,),
    ),
)
"""The call for evidence."""
