"""How a call of the operator API is declared, and what its handler is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from adapters.operator.ports import Journal, KeyNames, Ledger, Views
from adapters.operator.problems import ProblemFound, malformed, refused
from adapters.operator.upload import Upload
from adapters.settings import IntegrationSettings, Role, Settings
from ledger.commands import Command, MoneyCommand, ReadPlayer
from ledger.money import Currency
from ledger.player import Player
from ledger.refusals import Refusal, Refused
from ledger.service import Accepted
from projections.reports.period import Period, read_period

_UNSETTLED: Final = (
    "; whether it was executed is not known: repeated with the same reference, it is executed once"
)

READ_TIMEOUT_S: Final = 10.0
"""How long a GET may take, where its route does not say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What handlers work with."""

    ledger: Ledger
    settings: Settings
    keys_of: Mapping[str, KeyNames]
    """By integration."""
    journal: Journal
    views: Views

    def unit(self, code: str) -> Currency:
        """The currency of that code. Ends the call as malformed where nobody knows it."""
        unit = self.settings.currencies.get(code)
        return unit or malformed(f"currency: {code} is not known")

    def period(self, begin: str | None, end: str | None, tz: str | None) -> Period:
        """What `read_period` makes of a query, in the configured zone where it names none.

        Raises `projections.reports.errors.BadRequest`.
        """
        zone = self.settings.reports.time_zone if tz is None else tz
        return read_period(begin, end, zone)

    def integration(self, name: str) -> IntegrationSettings | None:
        """The configured integration of that name."""
        return self.settings.integrations.get(name)

    async def execute(self, command: Command) -> Accepted:
        """Execute the command; a refusal ends the call."""
        outcome = await self.ledger.execute(command)
        if isinstance(outcome, Refused):
            if outcome.refusal is Refusal.UNAVAILABLE and isinstance(command, MoneyCommand):
                raise ProblemFound(outcome.refusal.value, outcome.detail + _UNSETTLED)
            raise refused(outcome)
        return outcome

    async def player(self, player_id: str) -> Player:
        """The player's state; an unknown player ends the call."""
        return (await self.execute(ReadPlayer(player_id=player_id))).player


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """A call that was let in. ``path`` holds its decoded variables, ``actor`` the token's name.

    ``logged``: what its log line shall say beyond what every line says.
    """

    path: Mapping[str, str]
    actor: str | None
    logged: dict[str, str] = field(default_factory=dict)
    upload: Upload | None = None
    """The body of a route that takes a file, not read yet."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: a status and what is encoded as JSON; None for no body.

    Bytes are the body as it is; ``headers`` then say what they are. ``replayed``: it is the answer
    to an earlier call.
    """

    status: int
    body: msgspec.Struct | msgspec.Raw | bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that takes neither body nor query."""


Given = TypeVar("Given", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[Given]):
    """One call: registration, rights, parsing and OpenAPI all follow from this.

    ``path`` stands below ``/api``. ``takes`` is the query of a GET and the JSON body of a POST or
    PUT. ``answers`` maps each good status to its body. ``problems`` are the codes that this call
    adds to those that any call can meet. ``role`` None: public. ``timeout_s`` bounds a GET;
    commands have the ledger's own deadline. ``names``: what the path's variables may be, where that
    is a closed list. ``downloads``: media types that the answer comes in besides JSON. ``uploads``:
    media types of the file that is the body; ``takes`` is the query then.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    role: Role | None
    summary: str
    takes: type[Given]
    answers: Mapping[int, type[Any] | None]
    handler: Callable[[Api, ApiCall, Given], Awaitable[Reply]]
    problems: tuple[str, ...] = ()
    timeout_s: float = READ_TIMEOUT_S
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    downloads: Sequence[str] = ()
    uploads: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The call's name in OpenAPI."""
        return self.handler.__name__

    @property
    def takes_body(self) -> bool:
        """Whether it has a JSON body."""
        return self.method in ("POST", "PUT") and not self.uploads

    @property
    def takes_query(self) -> bool:
        """Whether its input is the query."""
        return self.method == "GET" or bool(self.uploads)
