"""The folds of the views, one event at a time and without a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ledger import events as e
from ledger.chain import HASH_SIZE
from ledger.codec import UnreadableEvent
from projections.entries import Entry, pick, read_entries
from projections.exceptions import kinds_of
from projections.journal import postings
from projections.registry import VIEW_NAMES, VIEWS, view_named
from projections.rounds import reversed_amount, uncovered
from projections.sql import statement
from projections.writes import BrokenView, Write, microseconds

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
REAL, BONUS, HELD = "player:real", "player:bonus", "player:held"
SLOT = "provider:a:slot"


def movement(kind: type[Any], **changes: Any) -> Any:
    """An event of a provider's game, or of the operator."""
    fields: dict[str, Any] = {
        "movement_id": "m1",
        "recorded_at": NOW,
        "operation": "x",
        "key": "k1",
        "transaction_id": "t1",
        "fingerprint": "f",
        "currency": "EUR",
        "balance_real": 0,
        "balance_bonus": 0,
    }
    if issubclass(kind, e.GameMovement):
        fields |= {"integration": "a", "game": "slot", "round_id": "r1"}
    if "refers_to" in kind.__struct_fields__:
        fields["refers_to"] = "k0"
    if "held" in kind.__struct_fields__:
        fields["held"] = 0
    return kind(**fields | changes)


def entries(events: Sequence[Any]) -> list[Entry]:
    """The events as a player's log."""
    return [
        Entry(number, "p1", number, event.NAME, event, microseconds(event.recorded_at))
        for number, event in enumerate(events, 1)
    ]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (movement(e.Deposited, real=9), {REAL: 9, "deposits": -9}),
        (movement(e.Withdrawn, real=-9), {REAL: -9, "withdrawals": 9}),
        (movement(e.WithdrawalHeld, real=-9), {REAL: -9, HELD: 9}),
        (movement(e.WithdrawalConfirmed, held=-9), {HELD: -9, "withdrawals": 9}),
        (movement(e.WithdrawalCancelled, real=9, held=-9), {REAL: 9, HELD: -9}),
        (movement(e.BonusGranted, bonus=9), {BONUS: 9, "bonus_cost": -9}),
        (movement(e.BonusConverted, real=9, bonus=-9), {REAL: 9, BONUS: -9}),
        (movement(e.BonusForfeited, bonus=-9), {BONUS: -9, "bonus_cost": 9}),
        (movement(e.BalanceAdjusted, real=-9), {REAL: -9, "adjustments": 9}),
        (movement(e.BetPlaced, real=-5, bonus=-2), {REAL: -5, BONUS: -2, SLOT: 7}),
        (movement(e.BetPlaced), {}),
        (movement(e.WinCredited, real=5, bonus=2), {REAL: 5, BONUS: 2, SLOT: -7}),
        (movement(e.WinCredited, real=5, game=None), {REAL: 5, "provider:a:": -5}),
        (movement(e.BetRefunded, real=5, bonus=2), {REAL: 5, BONUS: 2, SLOT: -7}),
        (movement(e.RefundRepeated), {}),
        (movement(e.RefundTombstoned), {}),
        (movement(e.WinReversalRepeated), {}),
        (movement(e.RoundClosed), {}),
        (movement(e.WinReversed, real=-5, bonus=-2), {REAL: -5, BONUS: -2, SLOT: 7}),
        # "negative": the shortfall was taken, the balance is below zero.
        (movement(e.WinReversed, real=-7, shortfall=4, balance_real=-4), {REAL: -7, SLOT: 7}),
        # "clamp": the provider gets its win back in full, the player keeps the shortfall.
        (movement(e.WinReversed, real=-3, shortfall=4), {REAL: -3, SLOT: 7, "shortfalls": -4}),
        (movement(e.WinReversed, shortfall=4), {SLOT: 4, "shortfalls": -4}),
        # "clamp" with a balance that was below zero before.
        (
            movement(e.WinReversed, bonus=-1, shortfall=4, balance_real=-9),
            {BONUS: -1, SLOT: 5, "shortfalls": -4},
        ),
    ],
)
def test_every_kind_of_event_has_its_postings(event: Any, expected: dict[str, int]):
    """Finance reads the accounts: what each event means for them is fixed here."""
    found = postings(event)
    assert dict(found) == expected
    assert len(found) == len(expected)
    assert sum(amount for _, amount in found) == 0


def test_no_movement_is_without_a_rule_for_its_postings():
    """A new kind of event without one would stop the journal in production."""
    kinds = [kind for kind in e.EVENT_TYPES.values() if issubclass(kind, e.Movement)]
    for kind in kinds:
        assert postings(movement(kind)) == []


@pytest.mark.parametrize(
    "event",
    [
        movement(e.BonusConverted, real=9, bonus=-8),
        movement(e.WithdrawalConfirmed, real=1, held=-9),
        movement(e.WithdrawalCancelled, real=8, held=-9),
        movement(e.Deposited, real=9, bonus=1),
        movement(e.RefundRepeated, real=1),
    ],
)
def test_postings_that_do_not_sum_to_zero_are_refused(event: Any):
    """An event that makes or loses money must not reach the books."""
    with pytest.raises(BrokenView):
        postings(event)


def test_a_reversal_counts_in_full_whatever_the_player_kept():
    """Gaming revenue must agree with the provider's own figures."""
    clamped = movement(e.WinReversed, real=-3, bonus=-1, shortfall=4)
    negative = movement(e.WinReversed, real=-7, bonus=-1, shortfall=4, balance_real=-4)
    assert (uncovered(clamped), reversed_amount(clamped)) == (4, 8)
    assert (uncovered(negative), reversed_amount(negative)) == (0, 8)


@pytest.mark.parametrize(
    ("event", "kinds"),
    [
        (movement(e.BetPlaced), ()),
        (movement(e.WinCredited, exceptions=("late_win", "x", "late_win")), ("late_win", "x")),
        (movement(e.RefundTombstoned), ("tombstone",)),
        (
            movement(e.RefundRepeated, exceptions=("round_mismatch",)),
            ("repeated_refund", "round_mismatch"),
        ),
        (movement(e.WinReversalRepeated), ("repeated_reversal",)),
        (movement(e.RoundClosed), ("round_expired",)),
        (movement(e.RoundClosed, actor="ann"), ("round_closed_by_staff",)),
    ],
)
def test_what_is_odd_has_a_kind_and_each_kind_once(event: Any, kinds: tuple[str, ...]):
    """The list of exceptions has one row an event and kind."""
    assert kinds_of(event) == kinds


@pytest.mark.parametrize("leap", [{"balance_real": 11}, {"balance_real": 10, "balance_bonus": 1}])
def test_a_balance_that_does_not_follow_is_refused_within_a_batch(leap):
    """The view checks the ledger as it goes."""
    events = [
        movement(e.Deposited, real=5, balance_real=5),
        movement(e.Deposited, real=5, **leap),
    ]
    with pytest.raises(BrokenView, match="balance"):
        view_named("balances").fold(entries(events))


@pytest.mark.parametrize(
    ("codes", "wrong"),
    [(["EUR"], "p1 EUR: its balance"), (["EUR", "USD"], "one of 2 wallets: its")],
)
def test_what_is_wrong_where_a_wallet_stands_elsewhere_is_said_with_its_name(codes, wrong):
    """The database only counts how many it found; alone, a wallet can be named."""
    events = [movement(e.Deposited, real=5, balance_real=9, currency=code) for code in codes]
    (change,) = view_named("balances").fold(entries(events))
    assert isinstance(change, Write)
    assert change.otherwise.startswith(wrong)


def test_a_wallet_is_opened_once():
    """A second one would hide the money of the first."""
    opened = e.WalletOpened(movement_id="m", recorded_at=NOW, operation="x", currency="EUR")
    with pytest.raises(BrokenView):
        view_named("balances").fold(entries([opened, opened]))


def test_a_round_has_one_currency_and_opens_once():
    """Sums over two currencies would be nonsense."""
    opening = movement(e.BetPlaced, opens_round=True)
    for second in (opening, movement(e.BetPlaced, currency="USD")):
        with pytest.raises(BrokenView):
            view_named("rounds").fold(entries([opening, second]))


def test_a_movement_that_names_no_round_or_moves_unnamed_money_is_refused():
    """The rounds must add up to the game's money."""
    for event in (movement(e.BetPlaced, round_id=None), movement(e.RoundClosed, real=1)):
        with pytest.raises(BrokenView):
            view_named("rounds").fold(entries([event]))


@pytest.mark.parametrize("view", VIEWS, ids=VIEW_NAMES)
def test_nothing_to_write_is_no_write(view: Any):
    """A batch of logins costs a view its position and nothing else."""
    event = e.PlayerBlocked(movement_id="m", recorded_at=NOW, operation="x")
    assert view.fold([]) == []
    assert view.fold(entries([event])) == []


def test_an_unknown_name_stops_whoever_reads_it():
    """Nobody knows what it would have meant for the view."""
    (entry,) = read_entries([(1, "player:p1", 1, "bet_placed.v9", bytes(HASH_SIZE) + b"{}")])
    with pytest.raises(UnreadableEvent):
        list(pick([entry], frozenset()))


@pytest.mark.parametrize(
    "payload",
    [b"{", b'{"movement_id":"\xe4"}', b'{"x":' + b"[" * 100_000],
    ids=["cut", "bent", "deep"],
)
def test_an_event_that_cannot_be_decoded_stops_only_whom_it_concerns(payload: bytes):
    """A broken login must not stop the journal."""
    stored = (1, "player:p1", 1, "player_blocked.v1", bytes(HASH_SIZE) + payload)
    (entry,) = read_entries([stored])
    assert list(pick([entry], frozenset({"bet_placed.v1"}))) == []
    with pytest.raises(UnreadableEvent):
        list(pick([entry], frozenset({"player_blocked.v1"})))


def test_a_game_s_event_has_no_player():
    """Games have streams of their own in every partition's log."""
    event = e.GameDisabled(movement_id="m", recorded_at=NOW, operation="x", game="g")
    state = bytes(HASH_SIZE) + msgspec.json.encode(event)
    (entry,) = read_entries([(1, "game:a:g", 1, event.NAME, state)])
    assert entry.player_id == ""
    assert str(entry) == "event 1 (game_disabled.v1, player -, version 1)"


def test_unknown_views_and_statements_are_key_errors():
    """A typing error must not become an empty report."""
    with pytest.raises(KeyError):
        view_named("nothing")
    with pytest.raises(KeyError):
        statement("nothing", "ledger_p00")
