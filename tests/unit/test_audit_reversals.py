"""What the audit says of a refund or a reversed win that does not fit its original."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from ledger.audit_reversals import wrong
from ledger.currencies import Currencies
from ledger.events import BetPlaced, BetRefunded, GameMovement, WinCredited, WinReversed

EUR = 100_000
NO_BET = "there is no such bet of the player before it"
NO_WIN = "there is no such win of the player before it"

Kind = TypeVar("Kind", bound=GameMovement)


def made(kind: type[Kind], real: int, bonus: int = 0, **other: Any) -> Kind:
    """A movement of so many euros."""
    fields: dict[str, Any] = {
        "movement_id": "m",
        "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "operation": "x",
        "key": "k",
        "transaction_id": "k",
        "fingerprint": "00" * 32,
        "currency": "EUR",
        "balance_real": 0,
        "balance_bonus": 0,
        "round_id": "r",
    }
    return kind(real=real * EUR, bonus=bonus * EUR, **fields | other)


def refund(real: int, bonus: int = 0, **other: Any) -> BetRefunded:
    """A refund."""
    return made(BetRefunded, real, bonus, refers_to="o", **other)


def reversal(real: int, bonus: int = 0, shortfall: int = 0) -> WinReversed:
    """A win taken back."""
    return made(WinReversed, real, bonus, refers_to="o", shortfall=shortfall * EUR)


BET, WIN = made(BetPlaced, -7, -3), made(WinCredited, 7, 3)


@pytest.mark.parametrize(
    ("event", "original"),
    [
        (refund(7, 3), BET),
        (refund(0), made(BetPlaced, 0)),
        (reversal(-7, -3), WIN),
        (reversal(-10), WIN),
        (reversal(-10, shortfall=4), WIN),
        (reversal(-6, shortfall=4), WIN),
        (reversal(0, shortfall=10), WIN),
    ],
)
def test_a_reversal_that_fits_is_right(event, original):
    """In the exact split of a bet; of a win all, below zero too, or what was there."""
    assert wrong(event, original, 1, Currencies()) is None


@pytest.mark.parametrize(
    ("event", "original", "reason"),
    [
        (refund(7, 3), None, NO_BET),
        (refund(7, 3), WIN, NO_BET),
        (refund(7, 3, currency="USD"), BET, NO_BET),
        (refund(10), BET, "it moved -10.00, and this 10.00"),
        (refund(8, 3), BET, "it moved -10.00, and this 11.00"),
        (reversal(-7, -3), None, NO_WIN),
        (reversal(-7, -3), BET, NO_WIN),
        (reversal(-6), WIN, "it moved 10.00, and this -6.00"),
        (reversal(-7, shortfall=4), WIN, "it moved 10.00, and this -7.00"),
        (reversal(1, shortfall=11), WIN, "it moved 10.00, and this 1.00"),
        (reversal(-11, shortfall=-1), WIN, "it moved 10.00, and this -11.00"),
    ],
)
def test_a_reversal_that_does_not_fit_is_named(event, original, reason):
    """Money that came from nowhere, and adds up all the same."""
    assert wrong(event, original, 1, Currencies()) == reason


def test_what_was_reversed_twice_is_named():
    """A second refund under another id moves nothing, and is another event."""
    assert wrong(refund(7, 3), BET, 2, Currencies()) == "it was reversed 2 times"
