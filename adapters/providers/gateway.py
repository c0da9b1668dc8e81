"""What is the same for every provider's call: limits, timing, errors, log, metrics and journal.

A call gets its protocol's own answer whatever happens; a client that leaves cancels nothing.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

import msgspec
import structlog
from aiohttp import web

from adapters.body import read_body
from adapters.journal import Entry, Journal
from adapters.metrics import ACCEPTED, REPLAYED, Metrics
from adapters.providers.answers import Answer
from adapters.providers.protocol import Call, Provider, RefusedCall, Reply, Route
from adapters.providers.redaction import Redactor
from adapters.providers.turn import Turn
from adapters.remote import is_within, remote_address
from adapters.settings import IntegrationSettings, Settings
from adapters.telemetry import LineWriter, render_line
from ledger.refusals import Refusal, Refused

log = structlog.get_logger(__name__)

BROKEN = Refused(Refusal.INTERNAL, "internal error")
"""With what a call is refused that a defect of ours ended."""

LAST_RESORT = Reply(500, b'{"error":"internal"}')
"""The answer where the protocol has none, not even to `BROKEN`."""

_PROCESS = secrets.token_hex(4)
_numbers = count(1)


class _Answered(msgspec.Struct, frozen=True, gc=False):
    """A call and what became of it; ``seconds`` from its last byte to its answer."""

    call: Call
    request: web.Request
    reply: Reply
    refused: Refused | None
    seconds: float
    at: datetime


class Gateway:
    """Turns HTTP requests of one integration into calls of its provider, and back."""

    def __init__(
        self,
        provider: Provider,
        integration: IntegrationSettings,
        settings: Settings,
        *,
        metrics: Metrics,
        journal: Journal,
        writer: LineWriter,
        turn: Turn,
    ) -> None:
        self._provider = provider
        self._name = integration.name
        self._allow_ips = integration.allow_ips
        self._limits = settings.limits
        self._trusted_proxies = settings.server.trusted_proxies
        self._metrics = metrics
        self._journal = journal
        self._writer = writer
        self._redactor = Redactor(provider.TOKEN_FIELDS)
        self._turn = turn
        for route in provider.routes():
            metrics.expect_calls(self._name, route.operation)

    def routes(self) -> list[web.RouteDef]:
        """The provider's calls under the integration's name."""
        return [
            web.route(route.method, f"/{self._name}{route.path}", partial(self._answer, route))
            for route in self._provider.routes()
        ]

    async def _answer(self, route: Route, request: web.Request) -> web.StreamResponse:
        """The call's answer, whatever happens."""
        call = Call(
            method=route.method,
            path=route.path,
            query=request.rel_url.raw_query_string,
            headers=request.headers,
            body=b"",
            trace_id=f"{_PROCESS}-{next(_numbers):08x}",
            operation=route.operation,
        )
        refused: Refused | None = None
        started = time.perf_counter()
        try:
            call.body = await read_body(request, self._limits)
            started = time.perf_counter()
            self._check_address(request)
            self._provider.verify(call)
            reply = await route.handler(call)
        except RefusedCall as error:
            reply, refused = self._refuse(call, error.refused)
        except Exception:
            # The outermost edge of a call: a defect is answered in the protocol's own form.
            log.exception("call_failed", integration=self._name, trace_id=call.trace_id)
            reply, refused = self._refuse(call, BROKEN)
        seconds = time.perf_counter() - started
        answered = _Answered(call, request, reply, refused, seconds, datetime.now(UTC))
        self._turn.record(partial(self._record, answered))
        return Answer(reply, self._turn, keep_alive=request.content.is_eof())

    def _refuse(self, call: Call, refused: Refused) -> tuple[Reply, Refused]:
        """The refusal in the protocol's own form, or as much of one as a defect there leaves."""
        try:
            return self._provider.refuse(call, refused), refused
        except Exception:  # a defect in the module's own words: its provider gets some answer
            log.exception("call_failed", integration=self._name, trace_id=call.trace_id)
        return (LAST_RESORT, BROKEN) if refused is BROKEN else self._refuse(call, BROKEN)

    def _check_address(self, request: web.Request) -> None:
        if not self._allow_ips:
            return
        remote = remote_address(request, self._trusted_proxies)
        if remote is None or not is_within(remote, self._allow_ips):
            raise RefusedCall(Refusal.INVALID_SIGNATURE, "calls from this address are not allowed")

    def _record(self, answered: _Answered) -> None:
        try:
            self._record_call(answered)
        except Exception:  # a defect of ours: the other calls are recorded all the same
            trace_id = answered.call.trace_id
            log.exception("call_not_recorded", integration=self._name, trace_id=trace_id)

    def _record_call(self, answered: _Answered) -> None:
        """One log line, the metrics and one journal entry for every call."""
        call, reply, refused = answered.call, answered.reply, answered.refused
        if refused is not None:
            outcome = refused.refusal.value
        else:
            outcome = REPLAYED if call.replayed else ACCEPTED
        remote = remote_address(answered.request, self._trusted_proxies)
        duration_us = int(answered.seconds * 1_000_000)
        self._metrics.call(self._name, call.operation, outcome, answered.seconds)
        if call.replayed:
            self._metrics.idempotency_hit(self._name)
        line = {
            "time": answered.at,
            "level": "info",
            "event": "idempotency_hit" if call.replayed else "call",
            "integration": self._name,
            "operation": call.operation,
            "outcome": outcome,
            "status": reply.status,
            "duration_us": duration_us,
            "player_id": call.player_id,
            "transaction_id": call.transaction_id,
            "trace_id": call.trace_id,
            "key_id": call.key_id,
            "remote": remote,
        }
        if refused is not None:
            line["detail"] = refused.detail
        self._writer.write(render_line(line))
        malformed = refused is not None and refused.refusal is Refusal.MALFORMED_REQUEST
        self._journal.record(
            Entry(
                received_at=answered.at - timedelta(microseconds=duration_us),
                integration=self._name,
                operation=call.operation,
                method=call.method,
                path=call.path,
                query=self._redactor.query(call.query),
                body=self._redactor.body(
                    call.body, verified=call.key_id is not None, malformed=malformed
                ),
                status=reply.status,
                answer=self._redactor.answer(reply.body),
                outcome=outcome,
                player_id=call.player_id,
                transaction_id=call.transaction_id,
                duration_us=duration_us,
                remote=remote,
                key_id=call.key_id,
                trace_id=call.trace_id,
            )
        )
