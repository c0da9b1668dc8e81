"""The Bet Brothers' requests: bets and rounds without end, each signed over its raw body."""

import hashlib
import hmac
import json
import random
from collections.abc import Iterator, Sequence

from tests.bench.traffic import Request, Seat, identifier

SECRET = "benchmark-shared-password"
PATH = "/betbrothers/operator/wallet"
WIN_DELAY = 2_000


def integration() -> dict[str, object]:
    """The integration as the service's configuration has it."""
    return {"protocol": "betbrothers", "secrets": [SECRET], "session_ttl_s": 86_400}


def signed_bets(seats: Sequence[Seat], *, seed: int) -> Iterator[Request]:
    """Bets without end, each the only one of its round, which it closes."""
    chance = random.Random(seed)
    while True:
        yield _money_call(chance, "bet", chance.choice(seats), identifier(chance), closes=True)


def signed_rounds(seats: Sequence[Seat], *, seed: int) -> Iterator[Request]:
    """Rounds without end: bets, and for each, well after it, the win that closes its round."""
    chance = random.Random(seed)
    open_rounds: list[tuple[Seat, str]] = []
    while True:
        fresh = [(chance.choice(seats), identifier(chance)) for _ in range(WIN_DELAY)]
        for number, (seat, round_id) in enumerate(fresh):
            yield _money_call(chance, "bet", seat, round_id, closes=False)
            if open_rounds:
                earlier_seat, earlier_round = open_rounds[number]
                yield _money_call(chance, "win", earlier_seat, earlier_round, closes=True)
        open_rounds = fresh


def _money_call(
    chance: random.Random, action: str, seat: Seat, round_id: str, *, closes: bool
) -> Request:
    transfer = {"transaction_id": identifier(chance), "round_id": round_id, "round_close": closes}
    call = {
        "amount": chance.randrange(1, 500),
        "currency_code": "EUR",
        "is_mobile": False,
        "player_id": seat.player_id,
        "action": action,
        "payload": {
            "reference": "benchmark-game",
            "session_token": seat.session_token,
            "provider_transfer_data": transfer,
        },
    }
    return signed(call)


def signed(call: dict[str, object]) -> Request:
    """A betbrothers call, signed with the shared password."""
    body = json.dumps(call).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = (("Content-Type", "application/json"), ("X-REQUEST-SIGN", signature))
    return Request("POST", PATH, headers, body)
