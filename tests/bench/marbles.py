"""155.io's requests (marbles): bets without end, each signed with RSA; and what RSA costs."""

import json
import random
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from tests.bench.traffic import Request, Seat, identifier

PATH = "/marbles/bet"
KEY_BITS = 2048
CENT = 1_000
BATCHES = 5
BATCH = 40


@dataclass(frozen=True, slots=True)
class RsaPrice:
    """What RSA costs the service at each call: a request verified, an answer signed."""

    sign_s: float
    verify_s: float


def integration() -> dict[str, object]:
    """The integration as the service's configuration has it; the keys live as long as the run."""
    public_key = _their_key().public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public_pem = public_key.public_bytes(serialization.Encoding.PEM, spki)
    private_pem = _our_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "protocol": "marbles",
        "public_keys": [public_pem.decode()],
        "signing_key": private_pem.decode(),
        "session_ttl_s": 86_400,
    }


def signed_bets(seats: Sequence[Seat], *, seed: int) -> Iterator[Request]:
    """Bets without end, each in a round of its own, which stays open: no bet can close it here."""
    chance = random.Random(seed)
    while True:
        seat = chance.choice(seats)
        yield _signed(
            {
                "requestId": identifier(chance),
                "transactionId": identifier(chance),
                "clientSessionId": seat.session_token,
                "clientPlayerId": seat.player_id,
                "roundId": identifier(chance),
                "gameId": "benchmark-game",
                "amount": chance.randrange(1, 500) * CENT,
                "currency": "EUR",
                "meta": {},
            }
        )


def rsa_price() -> RsaPrice:
    """One signature and one verification of a body as long as an answer, on this machine now.

    The very calls of the library that the service makes, without the base64 around them. Processor
    time, since the service pays no more when others use the machine.
    """
    key = _our_key()
    public_key = key.public_key()
    answer = b"x" * 150
    signature = key.sign(answer, PKCS1v15(), SHA256())
    return RsaPrice(
        sign_s=_seconds(lambda: key.sign(answer, PKCS1v15(), SHA256())),
        verify_s=_seconds(lambda: public_key.verify(signature, answer, PKCS1v15(), SHA256())),
    )


def _signed(call: dict[str, object]) -> Request:
    body = json.dumps(call).encode()
    signature = b64encode(_their_key().sign(body, PKCS1v15(), SHA256())).decode()
    headers = (("Content-Type", "application/json"), ("X-Marbles-Signature", signature))
    return Request("POST", PATH, headers, body)


def _seconds(operation: Callable[[], object]) -> float:
    """The median over some batches of what one operation takes."""
    batches = []
    for _ in range(BATCHES):
        began = time.thread_time()
        for _ in range(BATCH):
            operation()
        batches.append((time.thread_time() - began) / BATCH)
    return median(batches)


@cache
def _their_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65_537, key_size=KEY_BITS)


@cache
def _our_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
