"""What the four adapters share: asking the ledger, and making a balance of its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from adapters.providers.protocol import RefusedCall
from adapters.settings import IntegrationSettings
from ledger.commands import Command
from ledger.events import Movement
from ledger.money import LEDGER_DIGITS, Currency
from ledger.refusals import Refused

if TYPE_CHECKING:
    from ledger.service import Accepted, Ledger

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

    async def execute(self, command: Command) -> Accepted:
        """Execute the command. Raises `RefusedCall` with the ledger's refusal."""
        outcome = await self.ledger.execute(command)
        if isinstance(outcome, Refused):
            raise RefusedCall(outcome.refusal, outcome.detail)
        return outcome

    def unit(self, code: str) -> Currency:
        """The currency of a code on the wire.

        An unknown one is read like most: the ledger refuses it when its turn comes, as no player
        has a wallet in it.
        """
        return self.currencies.get(code) or Currency(code, 2, LEDGER_DIGITS)

    def balance(self, outcome: Accepted) -> int:
        """The balance to answer with, real + bonus in ledger units.

        A replay's is that of the first answer or today's, as ``replay_balance`` says.
        """
        movement = booked(outcome)
        if outcome.replayed and self.settings.replay_balance == "current":
            return outcome.player.wallets[movement.currency].total
        return movement.balance_real + movement.balance_bonus


def booked(outcome: Accepted) -> Movement:
    """The movement that a money command booked, now or the first time."""
    assert isinstance(outcome.event, Movement)
    return outcome.event
