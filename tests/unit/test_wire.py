"""Commands and outcomes between workers: what arrives is what was sent."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ledger import commands
from ledger.batch import Accepted
from ledger.commands import AnyCommand, Command, Policy, SetGame, SetLimits
from ledger.events import WalletOpened
from ledger.player import Player, Round, Session, Wallet
from ledger.refusals import Refusal, Refused
from ledger.wire import Asked, answered, decode_answered, decode_asked

NOW = datetime(2026, 11, 21, 10, 30, 0, 123456, UTC)
SAMPLES: dict[Any, Any] = {str: "ä", int: 2**62, bool: True, Policy: Policy(late_win="accept")}


def concrete(kind: type) -> Iterator[type]:
    """The kinds of command that nothing else is derived from."""
    below: list[type] = kind.__subclasses__()
    if not below:
        yield kind
    for other in below:
        yield from concrete(other)


def sample(kind: type) -> Any:
    """A command of the kind, every field that must be given given."""
    types = typing.get_type_hints(kind)
    required = [field for field in msgspec.structs.fields(kind) if field.required]
    return kind(**{field.name: SAMPLES[types[field.name]] for field in required})


def carried(command: Any) -> Any:
    """The command after its way to another worker."""
    sent = msgspec.msgpack.encode([Asked(1, 0, "m", 12.5, command)])
    (asked,) = decode_asked(sent)
    assert (asked.number, asked.partition, asked.movement_id, asked.taken_at) == (1, 0, "m", 12.5)
    return asked.command


def returned(outcome: Any) -> Any:
    """The outcome after its way back."""
    (item,) = decode_answered(msgspec.msgpack.encode([answered(7, outcome)]))
    assert item.number == 7
    return item.outcome()


def test_every_command_there_is_can_be_carried() -> None:
    """One that is missing in the list would be decided nowhere."""
    assert set(typing.get_args(AnyCommand)) == {*concrete(Command), SetGame}


@pytest.mark.parametrize("kind", typing.get_args(AnyCommand), ids=lambda kind: kind.__name__)
def test_a_command_arrives_as_it_was_sent(kind: type) -> None:
    """With the same class: the rules match on it."""
    made = sample(kind)
    assert carried(made) == made
    assert type(carried(made)) is kind


def test_a_bet_keeps_its_content_and_its_marks() -> None:
    """The fingerprint is compared with that of a repetition that another worker decided."""
    made = replace(
        sample(commands.PlaceBet),
        tags={"free_spin": {"free_spin_id": "f-1", "freespin_left": 3}},
        exceptions=("amount_mismatch",),
        session=None,
    )
    assert carried(made) == made
    assert carried(made).fingerprint() == made.fingerprint()


def test_a_limit_that_is_left_alone_is_not_one_that_is_removed() -> None:
    """UNSET and None mean different things (SetLimits)."""
    made = SetLimits(player_id="ann", currency="EUR", max_bet=None, loss_limit_day=5)
    assert carried(made) == made
    assert carried(made).loss_limit_week is msgspec.UNSET


def test_a_refusal_comes_back_with_its_reason() -> None:
    """Its sentence goes into the provider's answer."""
    refused = Refused(Refusal.INSUFFICIENT_FUNDS, "the balance does not cover the stake")
    assert returned(refused) == refused


def test_an_outcome_comes_back_without_the_rounds() -> None:
    """Hundreds of them may be in memory, and no answer needs one."""
    held = Round("test", "r-1", "EUR", None, NOW)
    player = Player(
        "ann",
        3,
        recorded_at=NOW,
        wallets={"EUR": Wallet(-5, 2**62, 7)},
        sessions={"s": Session("s", "test", "g", "EUR", NOW)},
        rounds={"test/r-1": held},
        open_rounds=1,
        holds={"w": ("EUR", 7)},
    )
    event = WalletOpened(movement_id="m", recorded_at=NOW, operation="register", currency="EUR")
    outcome = returned(Accepted(player, event, 3, replayed=True))
    assert outcome == Accepted(replace(player, rounds={}), event, 3, replayed=True)
    assert returned(Accepted(player)) == Accepted(replace(player, rounds={}))
