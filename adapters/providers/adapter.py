"""What the four adapters share: asking the ledger, and making a balance of its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from adapters.providers.protocol import Call, RefusedCall
from adapters.settings import IntegrationSettings
from ledger.commands import Command, MoneyCommand
from ledger.events import Event, Movement
from ledger.money import LEDGER_DIGITS, Currency
from ledger.player import Wallet
from ledger.refusals import Refusal, Refused
from ledger.store import SessionRow, StoreUnavailable

if TYPE_CHECKING:
    from ledger.service import Accepted, Ledger, Outcome

SettingsT = TypeVar("SettingsT", bound=IntegrationSettings)


class Adapter(Generic[SettingsT]):
    """One integration of a protocol: its name, its settings, the ledger it books in."""

    def __init__(
        self, name: str, settings: SettingsT, ledger: Ledger, currencies: Mapping[str, Currency]
    ) -> None:
        """``name`` is the integration under which everything is booked."""
        self.name = name
        self.settings = settings
        self.ledger = ledger
        self.currencies = currencies

    @classmethod
    def keys_of(cls, transaction_id: str) -> Sequence[str]:
        """The id itself, where it is unique over all operations."""
        return (transaction_id,)

    async def execute(self, command: Command) -> Accepted:
        """Execute the command. Raises `RefusedCall` with the ledger's refusal."""
        return accepted(await self.ledger.execute(command))

    async def book(self, call: Call, command: MoneyCommand) -> Accepted:
        """As `execute`, for a command that moves money; notes on the call whether it is a replay.

        A call that books several times is one only where each of its bookings was. A late bet that
        its tombstone answers (rule 8) comes for the first time, and is none.
        """
        so_far, call.replayed = call.replayed, False
        outcome = accepted(await self.ledger.execute(command))
        replayed = outcome.replayed and booked(outcome).key == command.key
        call.replayed = replayed and so_far is not False
        return outcome

    async def session(self, token: str) -> SessionRow:
        """Whose session a token is. Raises `RefusedCall` unless it is one of this integration.

        One that was closed or is over is found too: whether it is live, `ReadBalance` says.
        """
        try:
            found = await self.ledger.session(token)
        except StoreUnavailable as error:
            raise RefusedCall(Refusal.UNAVAILABLE, "the session cannot be looked up") from error
        if found is None or found.integration != self.name:
            raise RefusedCall(Refusal.UNKNOWN_SESSION, "no such session")
        return found

    async def event(self, player_id: str, key: str) -> Event | None:
        """What was booked for the player under an idempotency key. Raises `RefusedCall`."""
        try:
            found = await self.ledger.transactions(self.name, (key,))
        except StoreUnavailable as error:
            raise RefusedCall(Refusal.UNAVAILABLE, "the transaction cannot be looked up") from error
        for row, event, _ in found:
            if row.player_id == player_id and row.key == key:
                return event
        return None

    def unit(self, code: str) -> Currency:
        """The currency of a code on the wire.

        An unknown one is read like most: the ledger refuses it when its turn comes, as no player
        has a wallet in it.
        """
        return self.currencies.get(code) or Currency(code, 2, LEDGER_DIGITS)

    def wallet(self, outcome: Accepted) -> Wallet:
        """The balances to answer with, in ledger units.

        A replay's are those of the first answer or today's, as ``replay_balance`` says.
        """
        movement = booked(outcome)
        if outcome.replayed and self.settings.replay_balance == "current":
            return outcome.player.wallets[movement.currency]
        return Wallet(movement.balance_real, movement.balance_bonus)

    def balance(self, outcome: Accepted) -> int:
        """As `wallet`, real and bonus together."""
        return self.wallet(outcome).total


def accepted(outcome: Outcome) -> Accepted:
    """The outcome, unless it is a refusal. Raises `RefusedCall`."""
    if isinstance(outcome, Refused):
        raise RefusedCall(outcome.refusal, outcome.detail)
    return outcome


def booked(outcome: Accepted) -> Movement:
    """The movement that a money command booked, now or the first time."""
    assert isinstance(outcome.event, Movement)
    return outcome.event
