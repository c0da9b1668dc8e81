"""Fizzy Bubbly's requests: withdraws without end, signed over method, URL and body."""

import hashlib
import hmac
import json
import random
from collections.abc import Iterator, Sequence

from tests.bench.traffic import Request, Seat, identifier

PUBLIC_KEY = "benchmark-public-key"
SECRET = "benchmark-private-key"
PATH = "/wallet/withdraw"
# as the provider calls it; where the service really listens is not part of the signature
BASE_URL = "https://wallet.example/fizzybubbly"


def integration() -> dict[str, object]:
    """The integration as the service's configuration has it."""
    return {
        "protocol": "fizzybubbly",
        "public_key": PUBLIC_KEY,
        "secrets": [SECRET],
        "base_url": BASE_URL,
        "session_ttl_s": 86_400,
    }


def signed_bets(seats: Sequence[Seat], *, seed: int) -> Iterator[Request]:
    """Withdraws without end, each the only one of its round, which it finishes."""
    chance = random.Random(seed)
    while True:
        yield _withdraw(chance, chance.choice(seats))


def _withdraw(chance: random.Random, seat: Seat) -> Request:
    # no amount is kept or added up here, and cents this few are written as they are
    amount = chance.randrange(1, 500) / 100
    call = {
        "amount": amount,
        "cashAmount": amount,
        "jackpotAmount": None,
        "currency": "EUR",
        "gameId": "benchmark-game",
        "gameRoundId": identifier(chance),
        "isGameRoundFinished": True,
        "playerId": seat.player_id,
        "sessionId": seat.session_token,
        "transactionId": identifier(chance),
    }
    body = json.dumps(call).encode()
    headers = (
        ("Content-Type", "application/json"),
        ("Public-Key", PUBLIC_KEY),
        ("Signature", _signature(body)),
    )
    return Request("POST", f"/fizzybubbly{PATH}", headers, body)


def _signature(body: bytes) -> str:
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest().upper()
    signed = f"POST\n{BASE_URL}{PATH}\n{digest}".encode()
    return hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
