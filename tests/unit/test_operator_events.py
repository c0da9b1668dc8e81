"""Events as JSON: everything an event holds, amounts as decimal strings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_type_hints

import msgspec
import pytest

from adapters.operator.events import AMOUNTS, SHOWN_OTHERWISE, EventView, event_view
from ledger.currencies import Currencies
from ledger.events import (
    EVENT_TYPES,
    BetPlaced,
    BetRefunded,
    Event,
    LimitsSet,
    PlayerRegistered,
    WinReversed,
)

CURRENCIES = Currencies()
NOW = datetime(2030, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
ABOUT: dict[str, Any] = {"movement_id": "m1", "recorded_at": NOW, "operation": "op"}
MOVEMENT: dict[str, Any] = ABOUT | {
    "integration": "slots",
    "key": "bet:t1",
    "transaction_id": "t1",
    "fingerprint": "ff",
    "currency": "EUR",
}
NO_AMOUNTS = {"reality_check_min", "real", "bonus", "balance_real", "balance_bonus"}


def shown(event: Event) -> dict[str, Any]:
    """The event's JSON."""
    view: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(event_view(CURRENCIES, 7, event, "abc"))
    )
    return view


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.NAME)
def test_every_field_of_every_event_is_shown(kind):
    """What an event holds and the API hides cannot be audited."""
    assert set(kind.__struct_fields__) - SHOWN_OTHERWISE <= set(EventView.__struct_fields__)


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.NAME)
def test_every_whole_number_of_an_event_is_known_to_be_an_amount_or_not(kind):
    """A new amount would otherwise be shown in ledger units: too large by five digits."""
    for name, hint in get_type_hints(kind).items():
        if hint in (int, int | None):
            assert (name in AMOUNTS) != (name in NO_AMOUNTS), name


def test_a_bet_is_shown_with_all_that_the_contract_names():
    """The names that users and their tests rely on."""
    event = BetPlaced(
        **MOVEMENT,
        real=-150_000,
        bonus=-1,
        balance_real=1_000_000,
        balance_bonus=0,
        round_id="r1",
        game="g1",
        session="5e55",
        opens_round=True,
        tags={"campaign": "c1"},
        exceptions=("odd",),
    )
    assert shown(event) == {
        "version": 7,
        "type": "bet_placed.v1",
        "recorded_at": "2030-01-31T12:00:00.123456Z",
        "integration": "slots",
        "operation": "op",
        "transaction_id": "t1",
        "movement_id": "m1",
        "round_id": "r1",
        "game": "g1",
        "currency": "EUR",
        "real": "-1.50",
        "bonus": "-0.00001",
        "balance": {"real": "10.00", "bonus": "0.00"},
        "hash": "abc",
        "actor": None,
        "reason": None,
        "key": "bet:t1",
        "fingerprint": "ff",
        "session": "5e55",
        "opens_round": True,
        "closes_round": False,
        "tags": {"campaign": "c1"},
        "exceptions": ["odd"],
    }


def test_an_event_without_money_has_the_contracts_fields_too():
    """A reader that sums `real` over a history must not stumble over the first event."""
    view = shown(PlayerRegistered(**ABOUT, player_id="p1"))
    assert (view["real"], view["bonus"], view["balance"]) == ("0", "0", None)
    assert view["transaction_id"] is view["round_id"] is view["game"] is view["currency"] is None
    assert (view["integration"], view["player_id"]) == ("operator", "p1")


@pytest.mark.parametrize(
    ("event", "name", "text"),
    [
        (
            WinReversed(
                **MOVEMENT, balance_real=0, balance_bonus=0, refers_to="win:1", shortfall=50_000
            ),
            "shortfall",
            "0.50",
        ),
        (
            BetRefunded(
                **MOVEMENT, balance_real=0, balance_bonus=0, refers_to="bet:1", wire_amount=123_456
            ),
            "wire_amount",
            "1.23456",
        ),
        (
            BetRefunded(**MOVEMENT, balance_real=0, balance_bonus=0, refers_to="bet:1"),
            "wire_amount",
            None,
        ),
        (LimitsSet(**ABOUT, currency="EUR", max_bet=500_000), "max_bet", "5.00"),
        (LimitsSet(**ABOUT, reality_check_min=60), "max_bet", None),
        (LimitsSet(**ABOUT, reality_check_min=60), "reality_check_min", 60),
        (
            LimitsSet(
                **ABOUT, currency="JPY", previous={"max_bet": 500_000, "reality_check_min": 30}
            ),
            "previous",
            {"max_bet": "5", "reality_check_min": 30},
        ),
    ],
)
def test_amounts_of_every_kind_are_decimal_strings(event, name, text):
    """Ledger units are nobody's business outside of the ledger."""
    assert shown(event)[name] == text
