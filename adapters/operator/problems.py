"""Errors of the operator API as RFC 9457 problems: one closed table of codes and their statuses.

A problem never holds a token, a secret or the path it was asked under.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final, NoReturn

import msgspec
from aiohttp import web
from aiohttp.hdrs import SERVER
from msgspec import Meta

from adapters.operator.answers import CallView
from ledger.refusals import Refusal, Refused

TYPE_PREFIX: Final = "urn:wallet-ledger:problem:"
"""Every problem's ``type`` is this and its code."""

SERVER_NAME: Final = "wallet-ledger"
"""What an answer's ``Server`` says: by itself the library tells its version and Python's."""

RETRY_AFTER_S: Final = 1
"""After how long a call that was not answered may be tried again."""

REFUSALS: Mapping[Refusal, tuple[int, str]] = MappingProxyType(
    {
        Refusal.INVALID_SIGNATURE: (401, "The signature does not verify"),
        Refusal.MALFORMED_REQUEST: (400, "The request is malformed"),
        Refusal.DUPLICATE_CONFLICT: (409, "The reference was used with other content"),
        Refusal.ALREADY_REVERSED: (409, "The movement was reversed before it came"),
        Refusal.UNKNOWN_PLAYER: (404, "No such player"),
        Refusal.UNKNOWN_SESSION: (404, "No such session"),
        Refusal.SESSION_EXPIRED: (409, "The session is over"),
        Refusal.CURRENCY_MISMATCH: (422, "The player has no wallet in this currency"),
        Refusal.PLAYER_BLOCKED: (409, "The player is blocked"),
        Refusal.GAME_DISABLED: (409, "The game is disabled"),
        Refusal.LIMIT_EXCEEDED: (422, "A limit of the player is exceeded"),
        Refusal.REALITY_CHECK_DUE: (409, "A reality check is due"),
        Refusal.ROUND_CLOSED: (409, "The round is closed"),
        Refusal.ORIGINAL_NOT_FOUND: (404, "The movement it refers to does not exist"),
        Refusal.ORIGINAL_REVERSED: (409, "The movement it refers to was reversed"),
        Refusal.ORIGINAL_SETTLED: (409, "The movement it refers to is settled"),
        Refusal.INSUFFICIENT_FUNDS: (422, "The balance does not cover the amount"),
        Refusal.UNAVAILABLE: (503, "Unavailable for now"),
        Refusal.INTERNAL: (500, "Something broke on our side"),
    }
)
"""Status and title of every refusal of the ledger."""

PROBLEMS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {refusal.value: kind for refusal, kind in REFUSALS.items()}
    | {
        "unauthorized": (401, "A valid bearer token is required"),
        "forbidden": (403, "The token's role does not allow this"),
        "not_found": (404, "There is nothing here"),
        "method_not_allowed": (405, "The method is not allowed here"),
    }
)
"""Status and title of every code that the operator API can answer."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong (RFC 9457). `code` is for programs, `detail` for people."""

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Meta(extra_json_schema={"enum": sorted(PROBLEMS)})]
    calls: Annotated[
        list[CallView] | msgspec.UnsetType,
        Meta(description="Of an id under which nothing was booked: the calls that carried it."),
    ] = msgspec.UNSET
    calls_left_out: Annotated[
        int | msgspec.UnsetType,
        Meta(description="How many more calls there were than the first 50 and the last 50."),
    ] = msgspec.UNSET


class ProblemFound(Exception):
    """Ends a call with a problem. ``code`` is one of `PROBLEMS`."""

    def __init__(
        self,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        calls: Sequence[CallView] = (),
        calls_left_out: int = 0,
    ) -> None:
        """``detail`` is for people; it never holds a token or a secret."""
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.calls = calls
        self.calls_left_out = calls_left_out


def malformed(detail: str) -> NoReturn:
    """End the call as malformed. ``detail`` names the field and what is wrong with it."""
    raise ProblemFound(Refusal.MALFORMED_REQUEST.value, detail)


def refused(refusal: Refused) -> ProblemFound:
    """The problem that a refusal of the ledger is."""
    return ProblemFound(refusal.refusal.value, refusal.detail)


def problem_response(found: ProblemFound) -> web.Response:
    """The answer to a call that ended with a problem."""
    status, title = PROBLEMS[found.code]
    return _response(status, title, found)


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """The answer with an HTTP status that no route of ours chose, such as a 404 of the server."""
    code = _CODES.get(status, "internal" if status >= 500 else Refusal.MALFORMED_REQUEST.value)
    named = {SERVER: SERVER_NAME, **(headers or {})}
    return _response(status, PROBLEMS[code][1], ProblemFound(code, detail, named))


def _response(status: int, title: str, found: ProblemFound) -> web.Response:
    content = Problem(
        type=TYPE_PREFIX + found.code,
        title=title,
        status=status,
        detail=found.detail or title,
        code=found.code,
        calls=list(found.calls) or msgspec.UNSET,
        calls_left_out=found.calls_left_out if found.calls else msgspec.UNSET,
    )
    response = web.Response(
        status=status,
        body=msgspec.json.encode(content),
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store", **found.headers},
    )
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


_CODES = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    503: Refusal.UNAVAILABLE.value,
}
