"""What a demonstration needs: players with money, and a signed call to copy and paste."""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import sys
from contextlib import suppress
from typing import Final

import orjson
import structlog

from adapters.settings import BetBrothers, Settings
from ledger.commands import Deposit, OpenSession, RegisterPlayer
from ledger.service import Ledger, token_hash

log = structlog.get_logger(__name__)

_GAME: Final = "demo::Roulette"
_LISTENING_S: Final = 10.0
_TRY_S: Final = 0.05


async def demonstrate(ledger: Ledger, settings: Settings) -> None:
    """Seed the players of ``[demo]`` and print a signed bet that works as it stands."""
    await _seed_players(ledger, settings)
    with suppress(TimeoutError):
        async with asyncio.timeout(_LISTENING_S):
            await _until_listening(settings)
    await _print_example(ledger, settings)


async def _until_listening(settings: Settings) -> None:
    """Several workers take a moment; an example that fails at once convinces nobody."""
    while True:
        try:
            _, writer = await asyncio.open_connection(settings.server.host, settings.server.port)
        except OSError:
            await asyncio.sleep(_TRY_S)
        else:
            writer.close()
            return


async def _seed_players(ledger: Ledger, settings: Settings) -> None:
    """Register the players of ``[demo]``, each with its deposit, once for ever."""
    assert settings.demo is not None
    for player in settings.demo.players:
        code = player.currency.code
        await ledger.execute(
            RegisterPlayer(player_id=player.player_id, currency=code, actor="demo")
        )
        reference = f"demo-{player.player_id}-{code}"
        await ledger.execute(
            Deposit(
                player_id=player.player_id,
                actor="demo",
                operation="deposit",
                key=f"deposit:{reference}",
                transaction_id=reference,
                amount=player.deposit,
                currency=code,
            )
        )


async def _print_example(ledger: Ledger, settings: Settings) -> None:
    """Print where the service is and a signed bet that works as it stands."""
    assert settings.demo is not None
    base_url = settings.server.url
    lines = [
        f"wallet-ledger serves on {base_url}",
        f"  providers     {', '.join(f'/{name}' for name in settings.integrations)}",
        "  operator API  /api (OpenAPI: /api/openapi.json)",
        "  health        /health/live /health/ready   metrics /metrics",
    ]
    integrations = [i for i in settings.integrations.values() if isinstance(i, BetBrothers)]
    if integrations and settings.demo.players:
        lines += ["", "A signed bet for another terminal; the answer holds the new balance:", ""]
        lines += [await _curl(ledger, settings, integrations[0], base_url), ""]
    try:
        os.write(sys.stdout.fileno(), ("\n".join(lines) + "\n").encode())
    except OSError as error:  # nobody reads it: no reason not to serve
        log.warning("example_not_printed", error=error.strerror)


async def _curl(ledger: Ledger, settings: Settings, integration: BetBrothers, base_url: str) -> str:
    assert settings.demo is not None
    player = settings.demo.players[0]
    token = ledger.mint_token(player.player_id)
    await ledger.execute(
        OpenSession(
            player_id=player.player_id,
            actor="demo",
            session=token_hash(token),
            integration=integration.name,
            game=_GAME,
            currency=player.currency.code,
        )
    )
    body = orjson.dumps(
        _bet(player.player_id, player.currency.code, 10**player.currency.exponent, token)
    )
    signature = hmac.digest(integration.secrets[0].reveal().encode(), body, "sha256").hex()
    return (
        f"curl -sS {base_url}/{integration.name}/operator/wallet \\\n"
        f"  -H 'X-REQUEST-SIGN: {signature}' \\\n"
        f"  -d '{body.decode()}'"
    )


def _bet(player_id: str, currency: str, amount: int, token: str) -> dict[str, object]:
    unique = secrets.token_hex(4)
    return {
        "action": "bet",
        "amount": amount,
        "currency_code": currency,
        "is_mobile": False,
        "player_id": player_id,
        "payload": {
            "reference": _GAME,
            "session_token": token,
            "provider_transfer_data": {
                "transaction_id": f"demo-bet-{unique}",
                "round_id": f"demo-round-{unique}",
            },
        },
    }
