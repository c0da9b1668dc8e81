"""Mounts the operator API on the server: rights first, then reading, then the handler.

Whatever goes wrong below ``/api`` is answered as a problem, and every call leaves one log line. The
line shows the route as declared, never the path: a path may hold a session token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
import structlog
from aiohttp import web
from psycopg import OperationalError

from adapters.metrics import Metrics
from adapters.operator.auth import Gate
from adapters.operator.gpas_report import GPAS_REPORT
from adapters.operator.openapi import PREFIX
from adapters.operator.parsing import read_input, read_path
from adapters.operator.ports import Journal, Keys, Ledger, Views
from adapters.operator.problems import ProblemFound, problem_response
from adapters.operator.route import Api, ApiCall, Reply, Route
from adapters.operator.routes import ROUTES
from adapters.operator.upload import Upload
from adapters.remote import remote_address
from adapters.settings import Gpas, Settings
from ledger.commands import OPERATOR
from ledger.store import StoreUnavailable
from projections.reports.errors import ReportError, ReportUnavailable, UnsoundEvents

_ACTOR = web.RequestKey("operator_actor", str)
_LOGGED = web.RequestKey("operator_logged", dict[str, str])
_REPLAYED = web.RequestKey("operator_replayed", bool)
_Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = structlog.get_logger(__name__)


def setup(
    app: web.Application,
    ledger: Ledger,
    settings: Settings,
    providers: Mapping[str, Keys],
    journal: Journal,
    *,
    views: Views,
    metrics: Metrics,
) -> None:
    """Mount every call of the operator API under ``/api``, and GPAS's report beside GPAS's calls.

    ``providers`` are the integrations' adapters by name.
    """
    keys_of = {name: provider.keys_of for name, provider in providers.items()}
    api = Api(ledger=ledger, settings=settings, keys_of=keys_of, journal=journal, views=views)
    gate = Gate(settings.operator_tokens)
    logged = _logged(settings, metrics)
    mounted = web.Application(middlewares=[logged, _problems])
    for route in ROUTES:
        mounted.router.add_route(route.method, route.path, _endpoint(route, api, gate))
    app.add_subapp(PREFIX + "/", mounted)
    if names := [name for name, each in settings.integrations.items() if isinstance(each, Gpas)]:
        inner = partial(_problems, handler=_endpoint(GPAS_REPORT, api, gate))
        path = GPAS_REPORT.path.replace("{integration}", f"{{integration:{'|'.join(names)}}}")
        app.router.add_get(path, partial(logged, handler=inner), allow_head=False)


def _endpoint(route: Route[Any], api: Api, gate: Gate) -> _Endpoint:
    deadline_s = route.timeout_s if route.method == "GET" else None

    async def endpoint(request: web.Request) -> web.StreamResponse:
        actor = None
        if route.role is not None:
            token = gate.identify(request.headers.get("Authorization"))
            request[_ACTOR] = actor = token.name
            gate.admit(token, route.role)
        upload = Upload(request) if route.uploads else None
        call = ApiCall(path=read_path(request), actor=actor, upload=upload)
        request[_LOGGED] = call.logged
        given = await read_input(request, route, api.settings.limits)
        async with asyncio.timeout(deadline_s):
            reply = await route.handler(api, call, given)
        request[_REPLAYED] = reply.replayed
        return _response(reply)

    return endpoint


def _response(reply: Reply) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    if reply.body is None:
        return web.Response(status=reply.status, headers=headers)
    if isinstance(reply.body, bytes):
        headers.update(reply.headers)
        return web.Response(status=reply.status, body=reply.body, headers=headers)
    return web.Response(
        status=reply.status,
        body=msgspec.json.encode(reply.body),
        content_type="application/json",
        headers=headers,
    )


@web.middleware
async def _problems(request: web.Request, handler: _Endpoint) -> web.StreamResponse:
    """The outermost edge of the operator API: every exception becomes a problem."""
    try:
        return await handler(request)
    except ProblemFound as problem:
        # Here: kept in a variable it would keep this frame, which would keep it.
        return _answer(request, problem)
    except web.HTTPMethodNotAllowed as error:
        allow = {"Allow": ", ".join(sorted(error.allowed_methods))}
        found = ProblemFound("method_not_allowed", "", allow)
    except web.HTTPNotFound:
        found = ProblemFound("not_found", "")
    except (StoreUnavailable, ReportUnavailable, OperationalError, TimeoutError) as error:
        _log.warning("operator_read_failed", route=_template(request), error=repr(error))
        found = ProblemFound("unavailable", str(error) if isinstance(error, ReportError) else "")
    except UnsoundEvents as error:
        _log.error("events_unsound", route=_template(request), error=str(error))
        found = ProblemFound("internal", str(error))
    except Exception:  # noqa: BLE001 - the outermost edge: logged, and answered as internal
        _log.exception("operator_call_failed", route=_template(request))
        found = ProblemFound("internal", "")
    return _answer(request, found)


def _answer(request: web.Request, found: ProblemFound) -> web.Response:
    response = problem_response(found)
    response[_CODE] = found.code
    if not request.content.is_eof():
        response.force_close()
    return response


_CODE = web.ResponseKey("operator_problem", str)


def _logged(settings: Settings, metrics: Metrics) -> Any:
    """The middleware that writes one line a call; one without the right to it is a warning."""

    @web.middleware
    async def logged(request: web.Request, handler: _Endpoint) -> web.StreamResponse:
        started = time.perf_counter()
        response = await handler(request)
        code = response.get(_CODE)
        replayed = request.get(_REPLAYED, False)
        if replayed:
            metrics.idempotency_hit(OPERATOR)
        log = _log.warning if code in ("unauthorized", "forbidden") else _log.info
        log(
            "idempotency_hit" if replayed else "operator_call",
            method=request.method,
            route=_template(request),
            status=response.status,
            outcome=code or ("replayed" if replayed else "ok"),
            **request.get(_LOGGED, {}),
            actor=request.get(_ACTOR),
            remote=remote_address(request, settings.server.trusted_proxies),
            duration_us=int((time.perf_counter() - started) * 1_000_000),
        )
        return response

    return logged


def _template(request: web.Request) -> str | None:
    """The route as it was declared; None where there is none."""
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical
