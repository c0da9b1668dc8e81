"""A hundred thousand calls, signature or body changed after signing: none gets in (P15)."""

from __future__ import annotations

import random
import string
from typing import NamedTuple

import msgspec
import pytest
from multidict import CIMultiDict

from adapters.providers.protocol import Call, Provider, RefusedCall
from ledger.refusals import Refusal
from tests.unit import test_betbrothers as betbrothers
from tests.unit import test_fizzybubbly as fizzybubbly
from tests.unit import test_gpas as gpas
from tests.unit import test_marbles as marbles

EACH = 25_000
LETTERS = (string.ascii_letters + string.digits + "+/=").encode()
EDGES = b" \n\x00{}"


class Signed(NamedTuple):
    """A signed call; ``header`` holds the signature, whose letters may have any case or not."""

    provider: Provider
    call: Call
    header: str
    any_case: bool


PROTOCOLS = {
    "betbrothers": Signed(
        betbrothers.provider(),
        betbrothers.signed(betbrothers.money("withdraw")),
        "X-REQUEST-SIGN",
        any_case=True,
    ),
    "marbles": Signed(
        marbles.provider(),
        marbles.signed("/bet", marbles.bet()),
        "X-Marbles-Signature",
        any_case=False,
    ),
    "gpas": Signed(
        gpas.provider(), gpas.movement("debit", gpas.debit()), "x-signature", any_case=False
    ),
    "fizzybubbly": Signed(
        fizzybubbly.provider(),
        fizzybubbly.signed("withdraw", fizzybubbly.withdraw()),
        "Signature",
        any_case=True,
    ),
}


def changed(text: bytes, alphabet: bytes, chance: random.Random) -> bytes:
    """One to three small changes: a byte replaced, left out, doubled, added, or two swapped."""
    altered = bytearray(text)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(altered) - 1)
        match chance.randrange(6):
            case 0:
                altered[at] = chance.choice(alphabet)
            case 1:
                del altered[at]
            case 2:
                altered.insert(at, altered[at])
            case 3:
                altered.insert(chance.choice((0, at, len(altered))), chance.choice(alphabet))
            case 4:
                altered[at], altered[at + 1] = altered[at + 1], altered[at]
            case _:
                altered[-1] = chance.choice(alphabet)
    return bytes(altered)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_call_that_was_changed_after_signing_gets_in(protocol: str) -> None:
    """Not one bit of what is signed may be another's."""
    provider, call, header, any_case = PROTOCOLS[protocol]
    chance = random.Random(protocol)
    signature = call.headers[header].encode()
    provider.verify(call)
    refused = 0
    while refused < EACH:
        if chance.randrange(2):
            body = changed(call.body, bytes(range(256)) + EDGES * 20, chance)
            bent = msgspec.structs.replace(call, body=body)
            same = body == call.body
        else:
            presented = changed(signature, LETTERS, chance)
            headers = {**call.headers, header: presented.decode()}
            bent = msgspec.structs.replace(call, headers=CIMultiDict(headers))
            same = presented == signature or (any_case and presented.lower() == signature.lower())
        if same:
            provider.verify(bent)
            continue
        with pytest.raises(RefusedCall) as caught:
            provider.verify(bent)
        assert caught.value.refused.refusal is Refusal.INVALID_SIGNATURE
        refused += 1
