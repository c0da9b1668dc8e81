"""The least that a signed protocol costs: verify the HMAC over the raw body, answer fixed JSON."""

import argparse
import asyncio
import hashlib
import hmac

import uvloop
from aiohttp import web

from tests.bench.betbrothers import PATH, SECRET
from tests.bench.servers.null import BODY


def signature_is_valid(body: bytes, signature: str) -> bool:
    """Whether a betbrothers signature (hex HMAC-SHA256) was made with the shared password."""
    expected = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
    return hmac.compare_digest(expected, signature.lower())


async def wallet(request: web.Request) -> web.Response:
    """Answer a signed call with fixed JSON, any other with 403."""
    body = await request.read()
    if not signature_is_valid(body, request.headers.get("X-REQUEST-SIGN", "")):
        return web.Response(status=403)
    return web.Response(body=BODY, content_type="application/json")


async def serve(app: web.Application, port: int) -> None:
    """Serve an application on loopback, without an access log, until the process is stopped."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=512).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    application = web.Application()
    application.router.add_post(PATH, wallet)
    uvloop.run(serve(application, parser.parse_args().port))
