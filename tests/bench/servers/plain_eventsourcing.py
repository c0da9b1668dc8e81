"""The eventsourcing library used plainly behind HTTP: get the wallet, change it, save it, per call.

The library's defaults stand, its table lock included; each call works in a thread, since the
library blocks.
"""

import argparse
import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import NAMESPACE_OID, UUID, uuid5

import uvloop
from aiohttp import web
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError

from tests.bench.betbrothers import PATH
from tests.bench.servers.signed import serve, signature_is_valid

# kind to the library: of 2, 4, 8 and 15 threads, 2 was fastest on two cores
THREADS = 2
TRIES = 5


class Wallet(Aggregate):
    """A player's balance."""

    @event("Opened")
    def __init__(self, player_id: str, balance: int) -> None:
        self.player_id = player_id
        self.balance = balance

    @staticmethod
    def create_id(player_id: str) -> UUID:
        """The wallet's id follows from the player's."""
        return uuid5(NAMESPACE_OID, player_id)

    @event("BetPlaced")
    def place_bet(self, transaction_id: str, round_id: str, amount: int) -> None:
        """Take the stake."""
        if amount > self.balance:
            raise ValueError("insufficient funds")
        self.balance -= amount


class Wallets(Application[UUID]):
    """Wallets kept by the library."""

    def open(self, player_id: str, balance: int) -> None:
        """A new wallet with money."""
        self.save(Wallet(player_id, balance))

    def place_bet(self, player_id: str, transaction_id: str, round_id: str, amount: int) -> int:
        """Get, change, save; again when another call was faster. Returns the balance."""
        for _ in range(TRIES):
            wallet: Wallet = self.repository.get(Wallet.create_id(player_id))
            wallet.place_bet(transaction_id, round_id, amount)
            try:
                self.save(wallet)
            except IntegrityError:
                continue
            return wallet.balance
        raise RuntimeError(f"{player_id}: {TRIES} conflicts")


class Calls:
    """The HTTP side."""

    def __init__(self, wallets: Wallets) -> None:
        self._wallets = wallets
        self._threads = ThreadPoolExecutor(THREADS)

    async def wallet(self, request: web.Request) -> web.Response:
        """Verify, parse, book in a thread, answer."""
        body = await request.read()
        if not signature_is_valid(body, request.headers.get("X-REQUEST-SIGN", "")):
            return web.Response(status=403)
        call = json.loads(body)
        transfer = call["payload"]["provider_transfer_data"]
        book = partial(
            self._wallets.place_bet,
            call["player_id"],
            transfer["transaction_id"],
            transfer["round_id"],
            call["amount"],
        )
        balance = await asyncio.get_running_loop().run_in_executor(self._threads, book)
        return web.json_response(
            {
                "transaction_id": transfer["transaction_id"],
                "balance": balance,
                "currency_code": call["currency_code"],
            }
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--socket-directory", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--players", type=int, required=True)
    arguments = parser.parse_args()
    ledger = Wallets(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": arguments.database,
            "POSTGRES_HOST": arguments.socket_directory,
            "POSTGRES_PORT": "5432",
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD": "",
        }
    )
    with ThreadPoolExecutor(THREADS) as openers:
        for opened in [
            openers.submit(ledger.open, f"player-{number}", 10**12)
            for number in range(arguments.players)
        ]:
            opened.result()
    application = web.Application()
    application.router.add_post(PATH, Calls(ledger).wallet)
    uvloop.run(serve(application, arguments.port))
