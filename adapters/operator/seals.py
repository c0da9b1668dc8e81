"""Seals of the log: to be kept elsewhere, so that nobody can rewrite what they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
import structlog
from msgspec import Meta

from adapters.operator.bodies import Body
from adapters.operator.problems import ProblemFound
from adapters.operator.route import Api, ApiCall, Nothing, Reply, Route
from ledger.sealing import NotSealed, SealsDiffer
from ledger.seals import Seal, SealLine, line_of

log = structlog.get_logger(__name__)

SEALS_PAGE_MAX: Final = 1_000
"""Seals on one page at most."""


class SealsQuery(Body, frozen=True, kw_only=True):
    """Which page of a partition's seals."""

    after: Annotated[int, Meta(ge=0, le=2**63 - 2)] = 0
    limit: Annotated[int, Meta(ge=1, le=SEALS_PAGE_MAX)] = 100


class SealBody(Body, frozen=True, kw_only=True):
    """Nothing: everything is sealed."""


class NewestSeals(msgspec.Struct, frozen=True, kw_only=True):
    """The newest seal of each partition that has one: it fixes all events up to it."""

    seals: list[SealLine]


class SealsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Seals of a partition by number. `next` is the next page's `after`, null at the end."""

    seals: list[SealLine]
    next: int | None


async def get_newest_seals(api: Api, _call: ApiCall, _: Nothing) -> Reply:
    """The newest seal of each partition."""
    return Reply(200, _newest(await api.views.newest_seals()))


async def get_seals(api: Api, call: ApiCall, given: SealsQuery) -> Reply:
    """A page of a partition's seals; one more is read to see if there is another page."""
    text = call.path["partition"]
    partition = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else -1
    if partition not in range(api.settings.database.partitions):
        raise ProblemFound("not_found", "no such partition")
    found = await api.views.seals(partition, given.after, given.limit + 1)
    page = found[: given.limit]
    following = page[-1].number if len(found) > given.limit else None
    return Reply(200, SealsPage(seals=[line_of(seal) for seal in page], next=following))


async def seal(api: Api, _call: ApiCall, _: SealBody) -> Reply:
    """Seal now what is not sealed yet."""
    if api.settings.seals.key is None:
        raise ProblemFound("not_found", "seals.key is not configured: nothing is sealed here")
    try:
        made = await api.views.seal()
    except NotSealed as error:
        log.warning("sealing_failed", error=str(error))
        raise ProblemFound("unavailable", "not sealed; the log says why") from error
    except SealsDiffer as error:
        raise ProblemFound("internal", str(error)) from error
    return Reply(200, _newest(made))


def _newest(seals: Sequence[Seal]) -> NewestSeals:
    return NewestSeals(seals=[line_of(seal) for seal in seals])


ROUTES: tuple[Route[Any], ...] = (
    Route(
        method="GET",
        path="/seals",
        role="viewer",
        summary="The newest seal of each partition",
        takes=Nothing,
        answers={200: NewestSeals},
        handler=get_newest_seals,
    ),
    Route(
        method="POST",
        path="/seals",
        role="admin",
        summary="Seal the log now",
        takes=SealBody,
        answers={200: NewestSeals},
        handler=seal,
        problems=("not_found",),
    ),
    Route(
        method="GET",
        path="/seals/{partition}",
        role="viewer",
        summary="A partition's seals, page by page",
        takes=SealsQuery,
        answers={200: SealsPage},
        handler=get_seals,
        problems=("not_found",),
    ),
)
"""Calls about seals."""
