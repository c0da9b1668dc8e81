"""Books a history of real bets straight through the ledger, without HTTP, in large batches.

Run as a process of its own (several share the work): `python -m tests.bench.load_history`. Standard
input: JSON with the database's url, the partitions, and for each player id, session token, and how
many bets to book.
"""

import asyncio
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat

import uvloop

from ledger.commands import PlaceBet, Policy
from ledger.committer import CommitterLimits
from ledger.service import Accepted, Ledger, token_hash

BATCH = 1_000
WAITING_MAX = 4_000
UNIT = 1_000  # ledger units of a cent: five decimals


@dataclass(frozen=True, slots=True)
class Share:
    """What one player is to play."""

    player_id: str
    session_token: str
    bets: int


class Silent:
    """Watches the committer and says nothing."""

    def batch(self, size: int, seconds: float) -> None:
        """A batch was committed."""

    def conflict(self) -> None:
        """Another loader had written."""

    def unknown(self) -> None:
        """A commit's answer was lost."""

    def reconnected(self) -> None:
        """A connection was made anew."""


async def book(url: str, partitions: int, shares: list[Share], seed: int) -> None:
    """Book every share; any refusal ends the load."""
    limits = CommitterLimits(batch_max=BATCH, queue_wait_s=60.0, answer_s=60.0)
    bets = all_bets(shares, random.Random(seed))
    async with Ledger(url, partitions, Silent(), limits) as ledger:
        await asyncio.gather(*(_play(ledger, bets) for _ in range(WAITING_MAX)))
        await asyncio.sleep(1.0)  # snapshots are saved behind the appends


async def _play(ledger: Ledger, bets: Iterator[PlaceBet]) -> None:
    for bet in bets:
        outcome = await ledger.execute(bet)
        if not isinstance(outcome, Accepted):
            raise SystemExit(f"a bet of the history was refused: {outcome}")


def all_bets(shares: list[Share], chance: random.Random) -> Iterator[PlaceBet]:
    """The bets of all players, mixed; each closes its round."""
    turns = list(chain.from_iterable(repeat(share, share.bets) for share in shares))
    chance.shuffle(turns)
    policy = Policy(session_ttl_s=86_400)
    hashes = {share.player_id: token_hash(share.session_token) for share in shares}
    for share in turns:
        identifier = f"{chance.getrandbits(128):032x}"
        yield PlaceBet(
            player_id=share.player_id,
            integration="betbrothers",
            operation="bet",
            key=f"bet:{identifier}",
            transaction_id=identifier,
            policy=policy,
            session=hashes[share.player_id],
            game="benchmark-game",
            round_id=f"{chance.getrandbits(128):032x}",
            currency="EUR",
            closes_round=True,
            amount=chance.randrange(1, 500) * UNIT,
        )


if __name__ == "__main__":
    order = json.load(sys.stdin)
    uvloop.run(
        book(
            order["url"],
            order["partitions"],
            [Share(*share) for share in order["shares"]],
            order["seed"],
        )
    )
