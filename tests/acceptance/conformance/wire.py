"""How a provider calls us, written from the protocols and not from the adapters' code.

A wire builds its provider's requests, signs them itself and holds every answer against the
protocol's form: the fields, nothing but the fields, JSON, and the signature where there is one.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from yarl import URL

if TYPE_CHECKING:
    from tests.acceptance.conformance.service import Guest, Service

EXPONENTS = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3, "string": 2}
"""Decimals that ISO 4217 gives the currencies of these tests."""


class _Missing:
    def __repr__(self) -> str:
        """The same in every process, as it stands in ids of tests."""
        return "missing"


MISSING: Any = _Missing()
"""As a field's value: the field is not there."""

_numbers = count(1)


def unique(kind: str) -> str:
    """An id that no other test uses."""
    return f"{kind}-{next(_numbers)}"


@dataclass(frozen=True)
class Raw:
    """A JSON token, written as it stands."""

    token: str


def encode(value: object) -> bytes:
    """JSON in which decimals keep their digits and `Raw` tokens stand as they are."""

    def plain(inner: object) -> str:
        return f"\0{inner.token if isinstance(inner, Raw) else inner}\0"

    text = json.dumps(value, default=plain)
    return re.sub(r'"\\u0000(.*?)\\u0000"', r"\1", text).encode()


@dataclass(frozen=True)
class Request:
    """A call before it is signed."""

    operation: str
    path: str
    body: dict[str, Any] | bytes | None = None
    method: str = "POST"
    query: Mapping[str, str] | str = field(default_factory=dict)
    """The parameters, or the very text."""
    headers: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    """The provider's id of the transaction."""
    round_id: str = ""

    @property
    def raw(self) -> bytes:
        """The body's bytes."""
        if isinstance(self.body, dict):
            return encode(self.body)
        return self.body or b""

    @property
    def query_string(self) -> str:
        """The query as it is sent."""
        if isinstance(self.query, str):
            return self.query
        return "&".join(f"{name}={quote(value, safe='')}" for name, value in self.query.items())

    def but(self, **changes: Any) -> Request:
        """The same call with fields of the body changed; ``__`` steps into an object."""
        body = deepcopy(self.body)
        assert isinstance(body, dict)
        for path, value in changes.items():
            *way, name = path.split("__")
            place = body
            for step in way:
                place = place[step]
            if value is MISSING:
                del place[name]
            else:
                place[name] = value
        return replace(self, body=body)

    def asking(self, **query: str) -> Request:
        """The same call with parameters of the query changed."""
        assert not isinstance(self.query, str)
        return replace(self, query={**self.query, **query})


@dataclass(frozen=True)
class Answer:
    """What came back, whose form was checked already."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    body: dict[str, Any]
    error: Any
    """The protocol's own code of an error; None in a success."""
    balance: Decimal | None
    """Main units; None in an error and where the protocol shows none."""

    @property
    def refusal(self) -> tuple[int, Any]:
        """HTTP status and code, as the table of refusals has them."""
        return self.status, self.error


class Wire(ABC):
    """One integration as its provider sees it."""

    protocol: ClassVar[str]
    settings: ClassVar[str]
    """Its own keys of the configuration.

    ``{secrets}``, ``{keys}`` (files of RSA keys) and ``{base_url}`` are filled in; the secrets are
    the protocol's name with ``-new`` and ``-old``.
    """
    signature: ClassVar[str]
    """The header that holds the signature."""
    names: ClassVar[Mapping[str, str]]
    """The protocol's field for an idea of ours, as `Request.but` takes it."""
    required: ClassVar[Mapping[str, Sequence[str]]]
    """Required fields of each operation, as `Request.but` takes them."""

    def __init__(self, service: Service, integration: str, *, key: str = "current") -> None:
        """``key`` is which of the provider's secrets signs: "current", "old" or "wrong"."""
        self.service = service
        self.integration = integration
        self.key = key

    @abstractmethod
    def amount(self, amount: str, currency: str) -> Any:
        """An amount of main units as this protocol writes it."""

    @abstractmethod
    def bet(self, guest: Guest, amount: str = "1", **fields: Any) -> Request:
        """A stake; ``id``, ``round_id`` and ``closes`` may be given."""

    @abstractmethod
    def win(self, guest: Guest, bet: Request, amount: str = "1", **fields: Any) -> Request:
        """A win on a bet."""

    @abstractmethod
    def refund(self, guest: Guest, bet: Request, **fields: Any) -> Request:
        """A bet's reversal."""

    @abstractmethod
    def balance(self, guest: Guest) -> Request:
        """A question for the balance."""

    def reverse_win(self, guest: Guest, win: Request, **fields: Any) -> Request:
        """A win's reversal, where the protocol has one."""
        raise NotImplementedError

    async def enter(self, guest: Guest) -> str:
        """The session that the provider plays in: here the operator's own token."""
        return guest.launch

    @abstractmethod
    def sign(self, request: Request, raw: bytes) -> Mapping[str, str]:
        """The headers that vouch for the call."""

    @abstractmethod
    def read(self, request: Request, status: int, body: dict[str, Any]) -> tuple[Any, Any]:
        """Error code and balance of an answer whose fields are exactly the protocol's."""

    def check_headers(self, headers: Mapping[str, str], raw: bytes) -> None:  # noqa: B027
        """What the protocol wants of an answer's headers: mostly nothing."""

    @property
    def counts_integers(self) -> bool:
        """Whether an amount is a JSON integer."""
        return isinstance(self.amount("1", "EUR"), int)

    def field(self, request: Request, name: str) -> str:
        """The protocol's field for an idea of ours."""
        return self.names.get(f"{request.operation}.{name}") or self.names[name]

    def in_session(self, request: Request, session: str) -> Request:
        """The same call in another session."""
        return self.altered(request, session=session)

    def without_original(self, request: Request) -> Request:
        """The same reversal, which no longer says of what."""
        return self.altered(request, original=MISSING)

    def altered(self, request: Request, **ideas: Any) -> Request:
        """The same call with what our names stand for changed."""
        return request.but(**{self.field(request, name): value for name, value in ideas.items()})

    async def send(self, request: Request, **headers: str | None) -> Answer:
        """Sign, send, and hold the answer against the protocol's form.

        ``headers`` replace the signed ones by name (``_`` for ``-``); None leaves one out.
        """
        raw = request.raw
        signed = dict(request.headers) | dict(self.sign(request, raw))
        for name, value in headers.items():
            signed.pop(name.replace("_", "-"), None)
            if value is not None:
                signed[name.replace("_", "-")] = value
        query = request.query_string
        url = f"/{self.integration}{request.path}" + (f"?{query}" if query else "")
        response = await self.service.client.request(
            request.method, URL(url, encoded=True), data=raw or None, headers=signed
        )
        async with response:
            return self.judge(request, response.status, response.headers, await response.read())

    async def ok(self, request: Request) -> Answer:
        """Send a call that must succeed."""
        answer = await self.send(request)
        assert answer.error is None, answer.raw
        return answer

    def judge(
        self, request: Request, status: int, headers: Mapping[str, str], raw: bytes
    ) -> Answer:
        """The answer, once its form is the protocol's."""
        self.check_headers(headers, raw)
        if not raw:
            assert status == 200
            return Answer(status, headers, raw, {}, None, None)
        assert headers["Content-Type"] == "application/json", headers
        assert b"Traceback" not in raw
        body = json.loads(raw, parse_float=Decimal)
        error, balance = self.read(request, status, body)
        return Answer(status, headers, raw, body, error, balance)
