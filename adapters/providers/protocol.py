"""The port that every provider's protocol implements: what its module must say, and nothing else.

A module verifies signatures, parses calls into commands and phrases answers and refusals. Routing,
limits, timing, logging, journaling and what happens when something breaks are the gateway's
(`adapters.providers.gateway`), the same for all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from adapters.settings import CommonSettings, IntegrationSettings
from adapters.settings_reader import Section
from ledger.money import Currency
from ledger.refusals import Refusal, Refused

if TYPE_CHECKING:
    from ledger.service import Ledger


class RefusedCall(Exception):
    """Ends a call with a refusal.

    Raised by `Provider.verify`, by handlers and by the parsing they use.
    """

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        """``detail`` is for people; it never holds a token or a secret."""
        super().__init__(refusal.value, detail)
        self.refused = Refused(refusal, detail)


class Call(msgspec.Struct):
    """One provider call.

    The adapter fills in what it learns, for the log, the journal and the refusal's body.
    """

    method: str
    path: str
    """The provider's own path, without the integration's name, e.g. ``/movements/credit``."""
    query: str
    """The raw query string, without the question mark."""
    headers: Mapping[str, str]
    """Case-insensitive."""
    body: bytes
    trace_id: str
    operation: str = ""
    """A label of the metrics, so from a closed list and never from the wire."""
    player_id: str | None = None
    transaction_id: str | None = None
    """The provider's own id of the transaction."""
    replayed: bool | None = None
    """Whether the answer is that of an earlier call; None: nothing was booked yet."""
    key_id: str | None = None
    """Id of the secret or key that verified the signature."""


class Reply(msgspec.Struct, frozen=True):
    """What goes back to the provider."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    """Latin-1, as HTTP has it. A body is JSON where they name no Content-Type."""


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(slots=True, frozen=True)
class Route:
    """One call of a protocol.

    ``operation`` names it in logs and metrics until the handler sets a finer one.
    """

    method: str
    path: str
    """Fixed: nothing of it is a variable."""
    operation: str
    handler: Handler


class Provider(Protocol):
    """A provider's protocol, made for one integration with its settings and the ledger."""

    SETTINGS: ClassVar[type[IntegrationSettings]]
    """Its fields beyond those that all have are the protocol's own keys of the configuration."""

    TOKEN_FIELDS: ClassVar[Sequence[str]]
    """JSON fields, form fields and query parameters whose values are session tokens or signatures.

    Blotted out in the call journal.
    """

    def __init__(
        self, name: str, settings: Any, ledger: Ledger, currencies: Mapping[str, Currency]
    ) -> None: ...

    @classmethod
    def read_settings(cls, section: Section, common: CommonSettings) -> IntegrationSettings:
        """Read the protocol's own keys of an integration. Raises `SettingsError`."""
        ...

    def routes(self) -> Sequence[Route]:
        """Every call that the protocol knows."""
        ...

    def verify(self, call: Call) -> None:
        """Check the signature over the raw bytes, before anything is parsed.

        Where it covers parsed parameters, what cannot be parsed is an invalid signature too. Raises
        `RefusedCall`.
        """
        ...

    @classmethod
    def keys_of(cls, transaction_id: str) -> Sequence[str]:
        """Every idempotency key under which the provider's id may have been booked.

        Also asked of an integration that is no longer configured.
        """
        ...

    def refuse(self, call: Call, refused: Refused) -> Reply:
        """The protocol's own answer to a refusal.

        Also of a call whose body was not read, verified or parsed.
        """
        ...
