"""GPAS's requests: the opening of a wallet session, and debits without end; SHA-1 with a secret."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from tests.bench.traffic import Request, Seat, identifier

SECRET = "benchmark-shared-secret"
PARENT_SYSTEM = "BENCHMARK"


def integration() -> dict[str, object]:
    """The integration as the service's configuration has it."""
    return {
        "protocol": "gpas",
        "parent_system_id": PARENT_SYSTEM,
        "secrets": [SECRET],
        "session_ttl_s": 86_400,
    }


def opening(launch: Seat) -> Request:
    """The call that opens a wallet session with the launch token; the answer's ``id`` is its."""
    query = urlencode({"walletId": launch.player_id})
    headers = (("Authorization", f"Bearer {launch.session_token}"), *_signature(query.encode()))
    return Request("POST", f"/gpas/sessions?{query}", headers, b"")


def balance(seat: Seat) -> Request:
    """The question for the balance, with which a game starts."""
    query = urlencode({"walletSessionId": seat.session_token})
    return Request("GET", f"/gpas/wallets/balance?{query}", _signature(query.encode()), b"")


def signed_bets(seats: Sequence[Seat], *, seed: int) -> Iterator[Request]:
    """Debits without end, each the only one of its round, which it closes."""
    chance = random.Random(seed)
    while True:
        yield _debit(chance, chance.choice(seats))


def _debit(chance: random.Random, seat: Seat) -> Request:
    tags = {
        "gpasSessionId": seat.player_id,
        "gameid": "benchmark-game",
        "roundid": identifier(chance),
        "closeRound": "true",
    }
    call = {
        "externalReference": identifier(chance),
        # no amount is kept or added up here, and cents this few are written as they are
        "value": chance.randrange(1, 500) / 100,
        "description": "GAME_DEBIT game move made by gpas",
        "typeCode": "GAME_DEBIT",
        "tags": tags,
    }
    body = json.dumps(call).encode()
    headers = (("Content-Type", "application/json"), *_signature(body))
    query = urlencode({"walletSessionId": seat.session_token})
    return Request("POST", f"/gpas/movements/debit?{query}", headers, body)


def _signature(signed: bytes) -> tuple[tuple[str, str], ...]:
    digest = hashlib.sha1(signed + SECRET.encode(), usedforsecurity=False).hexdigest().upper()
    return (("x-parent-system-id", PARENT_SYSTEM), ("x-signature", digest))
