"""The HTTP application of one worker process: everything is put together here and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.hdrs import SERVER
from aiohttp.typedefs import Handler

from adapters import operator
from adapters.clock import watch_clock
from adapters.journal import Journal
from adapters.ledgers import configured_ledger, is_ready, watch_queue, watch_readiness
from adapters.metrics import CONTENT_TYPE, Metrics
from adapters.operator.problems import SERVER_NAME, problem
from adapters.operator.views import DatabaseViews
from adapters.providers.gateway import Gateway
from adapters.providers.registry import PROVIDERS
from adapters.providers.turn import Turn
from adapters.settings import Settings
from adapters.telemetry import LineWriter
from adapters.watching import Watch
from ledger.forwarding import ALONE, Place
from ledger.service import Ledger

LEDGER: Final = web.AppKey("ledger", Ledger)
JOURNAL: Final = web.AppKey("journal", Journal)
METRICS: Final = web.AppKey("metrics", Metrics)
WATCH: Final = web.AppKey("watch", Watch)
_RequestHandler = Callable[[Any], Awaitable[web.StreamResponse]]

PROVIDER_CALLS: Final = web.AppKey("provider_calls", dict[tuple[str, str], Handler])
"""Handler by method and path, of every provider call."""


def create_app(
    settings: Settings, url: str, writer: LineWriter, metrics: Metrics, place: Place = ALONE
) -> web.Application:
    """The application of one worker on a database whose schema is there.

    ``url`` is the database's, ``place`` the worker's among the others; the ledger and the journal
    start and stop with the application.
    """
    journal = Journal(url, metrics)
    ledger = configured_ledger(url, settings, metrics, place)
    providers = {
        name: PROVIDERS[integration.protocol](name, integration, ledger, settings.currencies)
        for name, integration in settings.integrations.items()
    }
    app = web.Application(middlewares=[_problems])
    app[LEDGER], app[JOURNAL], app[METRICS] = ledger, journal, metrics
    app[PROVIDER_CALLS] = {}
    turn = Turn()
    for name, provider in providers.items():
        gateway = Gateway(
            provider,
            settings.integrations[name],
            settings,
            metrics=metrics,
            journal=journal,
            writer=writer,
            turn=turn,
        )
        for route in gateway.routes():
            app.router.add_route(route.method, route.path, route.handler)
            app[PROVIDER_CALLS][route.method, route.path] = route.handler
    app[WATCH] = Watch(url, settings, metrics)
    views = DatabaseViews(url, settings)
    app.on_cleanup.append(lambda _: views.close())
    operator.setup(app, ledger, settings, providers, journal, views=views, metrics=metrics)
    app.add_routes(
        [
            web.get("/health/live", _live),
            web.get("/health/ready", _ready),
            web.get("/metrics", _metrics),
        ]
    )
    app.on_response_prepare.append(_under_our_name)
    app.cleanup_ctx.append(_running)
    return app


def past_the_router(app: web.Application, routed: _RequestHandler) -> _RequestHandler:
    """Answer the providers' calls without asking the router: their paths are fixed."""
    calls = app[PROVIDER_CALLS]

    def handle(request: Any) -> Awaitable[web.StreamResponse]:
        if "Expect" in request.headers:
            return _expecting(request, routed)
        handler = calls.get((request.method, request.raw_path.partition("?")[0]))
        return (handler or routed)(request)

    return handle


async def _expecting(request: Any, routed: _RequestHandler) -> web.StreamResponse:
    """The router tells the client to go on; nothing else may be expected (RFC 9110, 10.1.1)."""
    if request.headers["Expect"].lower() == "100-continue":
        return await routed(request)
    answer = problem(HTTPStatus.EXPECTATION_FAILED, "Expect: only 100-continue is known")
    answer.force_close()
    return answer


async def _running(app: web.Application) -> AsyncIterator[None]:
    """All works while the application does; the views stop first, the journal last."""
    journal = asyncio.create_task(app[JOURNAL].run(), name="journal")
    async with app[LEDGER]:
        watching = (
            asyncio.create_task(app[WATCH].run(), name="watch"),
            asyncio.create_task(watch_clock(), name="clock"),
            asyncio.create_task(watch_queue(app[LEDGER], app[METRICS]), name="queue"),
            asyncio.create_task(watch_readiness(app[LEDGER], app[METRICS]), name="readiness"),
        )
        yield
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    app[JOURNAL].stop()
    await journal


async def _under_our_name(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers[SERVER] = SERVER_NAME


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What no route knows is answered as problem+json, never as a page."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return problem(error.status, "", headers=_allow(error))


def _allow(error: web.HTTPException) -> Mapping[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}


async def _live(_request: web.Request) -> web.Response:
    """The process answers."""
    return _json({"status": "live"})


async def _ready(request: web.Request) -> web.Response:
    """The database answers and takes what is booked, else 503.

    Views and seals are told of only: money needs none.
    """
    if not await is_ready(request.app[LEDGER]):
        return _json({"status": "unavailable", "database": "unavailable"}, 503)
    return _json({"status": "ready", "database": "ok", **request.app[WATCH].summary()})


async def _metrics(request: web.Request) -> web.Response:
    body = await asyncio.to_thread(request.app[METRICS].render)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


def _json(content: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")
