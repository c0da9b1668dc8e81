"""The comparison, rule by rule: which rows and which movements make which differences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ledger.currencies import Currencies
from ledger.events import (
    EVENT_TYPES,
    BetPlaced,
    BetRefunded,
    GameMovement,
    RefundRepeated,
    RefundTombstoned,
    RoundClosed,
    WinCredited,
    WinReversalRepeated,
    WinReversed,
)
from projections.statements.bookings import NAMES, Booking, booking
from projections.statements.comparison import CONTRADICTING_MAX, Comparison, Times
from projections.statements.errors import UnreadableStatement
from projections.statements.findings import Difference, Findings
from projections.statements.form import Row

CURRENCIES = Currencies()
EUR = 100_000
BEGINS = datetime(2030, 1, 31, tzinfo=UTC)
ENDS = BEGINS + timedelta(days=1)
NOON = BEGINS + timedelta(hours=12)
EDGE = timedelta(seconds=300)
TIMES = Times(BEGINS, ENDS, BEGINS + EDGE, ENDS - EDGE)


def unique(transaction_id: str) -> Sequence[str]:
    """A provider whose ids are unique over all operations."""
    return (transaction_id,)


def prefixed(transaction_id: str) -> Sequence[str]:
    """A provider who uses an id for several operations."""
    return tuple(f"{name}:{transaction_id}" for name in ("bet", "win", "refund", "rollback-win"))


def booked(operation: str = "bet", transaction_id: str = "t1", **changes: Any) -> Booking:
    """Ann's movement of 5.00 EUR in round r1 at noon."""
    kinds = {"bet": "bet_placed.v1", "win": "win_credited.v1", "refund": "bet_refunded.v1"}
    fields: dict[str, Any] = {
        "partition": 0,
        "player_id": "ann",
        "version": 7,
        "movement_id": "m1",
        "recorded_at": NOON,
        "type": kinds.get(operation, "win_reversed.v1"),
        "operation": operation,
        "key": transaction_id,
        "transaction_id": transaction_id,
        "amount": 5 * EUR,
        "currency": "EUR",
        "round_id": "r1",
        "refers_to": None,
    }
    return Booking(**fields | changes)


def row(operation: Any = "bet", transaction_id: str = "t1", **changes: Any) -> Row:
    """The statement's row of the same, where nothing else is said."""
    fields: dict[str, Any] = {
        "line": 2,
        "transaction_id": transaction_id,
        "operation": operation,
        "amount": 5 * EUR,
        "currency": "EUR",
        "player_id": "ann",
        "round_id": "r1",
    }
    return Row(**fields | changes)


class Result:
    """What became of it."""

    def __init__(self, comparison: Comparison) -> None:
        self.differences: list[Difference] = comparison.findings.differences()
        self.kinds = [each.kind for each in self.differences]
        self.noted = {name: count for name, count in comparison.findings.noted.items() if count}
        self.totals = {
            (each.operation, each.currency): each for each in comparison.totals.rows(CURRENCIES)
        }


def compare(
    rows: Sequence[Row],
    bookings: Sequence[Booking | tuple[Booking, Booking]] = (),
    elsewhere: Sequence[Booking] = (),
    keys_of: Any = unique,
    kept_max: int = 100,
) -> Result:
    """Compare; ``elsewhere`` is what was booked outside the period, a pair is two of one key."""
    comparison = Comparison(TIMES, keys_of, Findings(CURRENCIES, kept_max))
    for each in rows:
        comparison.add(msgspec.structs.replace(each))
    inside: list[Booking] = []
    for item in bookings:
        met = item if isinstance(item, tuple) else (item,)
        comparison.meet(*met)
        inside += met
    for transaction_id, keys in list(comparison.sought()):
        comparison.found(
            transaction_id, [each for each in (*inside, *elsewhere) if each.key in keys]
        )
    comparison.finish()
    return Result(comparison)


ONE_OFF: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"amount": 5 * EUR + 1}, ["amount_mismatch"]),
    ({"amount": 5 * EUR - 1}, ["amount_mismatch"]),
    ({"amount": 0}, ["amount_mismatch"]),
    ({"currency": "USD"}, ["currency_mismatch"]),
    ({"currency": "USD", "amount": 1}, ["currency_mismatch"]),
    ({"player_id": "ben"}, ["player_mismatch"]),
    ({"player_id": None}, []),
    ({"round_id": "r2"}, ["round_mismatch"]),
    ({"round_id": None}, []),
    ({"operation": "win"}, ["operation_mismatch"]),
    ({"transaction_id": "t2"}, ["missing_in_ledger", "missing_in_statement"]),
    ({"amount": 1, "player_id": "ben"}, ["amount_mismatch", "player_mismatch"]),
]


@pytest.mark.parametrize(("changes", "kinds"), ONE_OFF)
@pytest.mark.parametrize("outside", [False, True], ids=["inside", "outside"])
def test_each_thing_that_a_row_says_otherwise_is_a_difference_of_its_kind(changes, kinds, outside):
    """Both sides stand in it: whoever reads it must not have to look them up."""
    movement = booked(recorded_at=ENDS) if outside else booked()
    bookings, elsewhere = ((), (movement,)) if outside else ((movement,), ())
    found = compare([row(**changes)], bookings, elsewhere)
    if outside:  # a movement of another day is another day's
        kinds = [kind for kind in kinds if kind != "missing_in_statement"]
    assert found.kinds == (kinds or ["booked_outside_period"] * outside)
    for each in found.differences:
        if each.kind.endswith("_mismatch"):
            assert each.statement is not None
            assert each.ledger is not None
            assert (each.statement.line, each.ledger.version) == (2, 7)
            assert (each.ledger.movement_id, each.ledger.recorded_at) == (
                "m1",
                movement.recorded_at,
            )
    if not kinds:
        untold = {f"without_{name.removesuffix('_id')}": 1 for name in changes}
        assert found.noted == untold | {"booked_outside_period" if outside else "matched": 1}


def test_totals_tell_what_is_explained_from_what_is_not():
    """A regulator asks for the variance, and then why there is one."""
    found = compare(
        [row(amount=7 * EUR), row(transaction_id="t2"), row("win", "w1")],
        [booked(), booked("win", "w2", recorded_at=BEGINS), booked("bet", "t3", amount=0)],
        [booked(transaction_id="t2", recorded_at=ENDS)],
    )
    bets = found.totals["bet", "EUR"]
    assert (bets.statement_count, bets.statement) == (2, "12.00")
    assert (bets.ledger_count, bets.ledger) == (1, "5.00")
    assert (bets.variance, bets.accounted_for, bets.unexplained) == ("7.00", "5.00", "2.00")
    wins = found.totals["win", "EUR"]
    assert (wins.variance, wins.accounted_for, wins.unexplained) == ("0.00", "-5.00", "5.00")
    assert found.kinds == [
        "missing_in_ledger",
        "amount_mismatch",
        "at_the_edge",
        "booked_outside_period",
    ]
    assert found.noted == {"booked_outside_period": 1, "at_the_edge": 1, "moved_nothing": 1}


@pytest.mark.parametrize(
    ("moment", "kind"),
    [
        (BEGINS, "at_the_edge"),
        (BEGINS + EDGE - timedelta(microseconds=1), "at_the_edge"),
        (BEGINS + EDGE, "missing_in_statement"),
        (ENDS - EDGE - timedelta(microseconds=1), "missing_in_statement"),
        (ENDS - EDGE, "at_the_edge"),
        (ENDS - timedelta(microseconds=1), "at_the_edge"),
    ],
)
def test_what_the_statement_lacks_at_an_edge_of_the_period_is_listed_apart(moment, kind):
    """Of which day a bet at midnight is, two clocks decide."""
    assert compare([], [booked(recorded_at=moment)]).kinds == [kind]


def test_a_row_of_another_day_is_listed_with_the_moment_of_its_booking():
    """Yesterday's rows once more in today's statement are billed twice: a count tells nobody."""
    yesterday = booked(recorded_at=BEGINS - timedelta(hours=12))
    found = compare([row()], [], [yesterday])
    (each,) = found.differences
    assert each.kind == "booked_outside_period"
    assert each.statement is not None
    assert each.ledger is not None
    assert (each.statement.line, each.ledger.recorded_at) == (2, yesterday.recorded_at)
    assert found.noted == {"booked_outside_period": 1}


def test_rows_that_name_no_player_or_no_round_are_counted():
    """A column whose header is written otherwise is ignored: "no differences" must not hide it."""
    rows = [row(player_id=None), row("win", "w1", player_id=None, round_id=None)]
    found = compare(rows, [booked(), booked("win", "w1", player_id="ben")])
    assert found.kinds == []
    assert found.noted == {"matched": 2, "without_player": 2, "without_round": 1}
    told = compare([*rows, row(line=9)], [booked(), booked("win", "w1")])
    assert told.noted == {"matched": 2, "without_player": 1, "without_round": 1}


def test_a_row_that_comes_again_counts_once_and_is_listed():
    """Files are put together of parts that overlap."""
    again = row(line=9, reference="x")
    found = compare([row(player_id=None), again], [booked()])
    assert found.kinds == ["repeated_in_statement"]
    (each,) = found.differences
    assert each.statement is not None
    assert (each.statement.line, each.first_line) == (9, 2)
    assert found.totals["bet", "EUR"].statement == "5.00"


def test_a_repetition_that_says_more_is_compared_for_what_it_adds():
    """Counted once, it must still not hide another player."""
    found = compare([row(player_id=None), row(line=3, player_id="ben")], [booked()])
    assert found.kinds == ["player_mismatch", "repeated_in_statement"]


@pytest.mark.parametrize("rows", [[1, 0], [0, 1]])
def test_a_row_with_the_same_id_and_other_content_is_a_row_of_its_own(rows):
    """The one that fits is no difference, whichever comes first, and the other one is."""
    both = [row(), row(line=3, amount=6 * EUR)]
    found = compare([both[place] for place in rows], [booked()])
    assert found.kinds == ["amount_mismatch"]
    assert found.differences[0].statement is not None
    assert found.differences[0].statement.line == 3
    assert found.totals["bet", "EUR"].statement == "11.00"
    assert found.noted == {"matched": 1}


def test_a_row_that_contradicts_the_first_and_repeats_the_second_is_a_repetition():
    """Otherwise it would be summed twice, and no difference would say so."""
    found = compare([row(amount=1), row(line=3), row(line=4)], [booked()])
    assert found.kinds == ["amount_mismatch", "repeated_in_statement"]


def test_rows_that_all_contradict_one_another_under_one_id_are_refused():
    """A wrong column taken for the ids: each row held against all others would take for ever."""
    comparison = Comparison(TIMES, unique, Findings(CURRENCIES, 10))
    for number in range(CONTRADICTING_MAX):
        comparison.add(row(amount=number, line=number + 2))
        comparison.add(row(amount=number, line=1_000))
    assert comparison.findings.counts["repeated_in_statement"] == CONTRADICTING_MAX
    with pytest.raises(UnreadableStatement, match="line 999: transaction_id: 't1' is that of 100"):
        comparison.add(row(amount=-1, line=999))


def test_an_id_of_several_operations_is_matched_by_operation():
    """The Bet Brothers give a refund the id of its bet: each row has its own movement."""
    bet, refund = booked(key="bet:t1"), booked("refund", key="refund:t1", refers_to="bet:t1")
    rows = [row("refund", reference="t1"), row(line=3)]
    assert compare(rows, [bet, refund], keys_of=prefixed).kinds == []
    assert compare(rows[:1], [bet, refund], keys_of=prefixed).kinds == ["missing_in_statement"]
    assert compare(rows, [bet], keys_of=prefixed).kinds == ["missing_in_ledger"]


def test_where_ids_are_shared_another_operation_of_last_month_is_no_mismatch():
    """The bet of January has its row in January; a win under its id is simply not there."""
    bet = booked(key="bet:t1", recorded_at=BEGINS - timedelta(days=3))
    assert compare([row("win")], [], [bet], keys_of=prefixed).kinds == ["missing_in_ledger"]
    alone = msgspec.structs.replace(bet, key="t1")
    assert compare([row("win")], [], [alone]).kinds == ["operation_mismatch"]


def test_where_ids_are_shared_a_free_bet_does_not_stand_in_for_a_win():
    """It moved nothing, so the statement need not have it: the win is a row of its own."""
    free = booked(key="bet:t1", amount=0)
    found = compare([row("win")], [free], keys_of=prefixed)
    assert found.kinds == ["missing_in_ledger"]
    assert found.noted == {"moved_nothing": 1}
    assert compare([row("win")], [booked(amount=0)]).kinds == ["operation_mismatch"]


@pytest.mark.parametrize("operation", ["refund", "reversal"])
def test_a_rollback_is_whatever_was_rolled_back(operation):
    """Some statements do not say whether it was a bet or a win."""
    found = compare([row("rollback")], [booked(operation)])
    assert found.kinds == []
    assert list(found.totals) == [(operation, "EUR")]
    assert found.totals[operation, "EUR"].variance == "0.00"
    assert compare([row("rollback")], [booked("win")]).kinds == ["operation_mismatch"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_rollbacks_of_one_id_are_each_compared_with_their_own(order):
    """Where ids are shared, the bet t1 and the win t1 are both rolled back as t1."""
    refund = booked("refund", key="refund:t1")
    reversal = booked("reversal", key="rollback-win:t1", amount=7 * EUR)
    rows = [row("rollback"), row("rollback", amount=7 * EUR, line=3)]
    in_order = [(refund, reversal)[place] for place in order]
    assert compare(rows, in_order, keys_of=prefixed).kinds == []
    assert compare(rows[::-1], in_order, keys_of=prefixed).kinds == []
    late = msgspec.structs.replace(refund, recorded_at=ENDS)
    assert compare(rows, [reversal], [late], prefixed).kinds == ["booked_outside_period"]
    assert compare(rows, [reversal], keys_of=prefixed).kinds == ["missing_in_ledger"]
    wrong = [rows[0], row("rollback", amount=8 * EUR, line=3)]
    assert compare(wrong, [refund, reversal], keys_of=prefixed).kinds == ["amount_mismatch"]
    assert compare(rows, [booked("refund")]).kinds == ["amount_mismatch"]


def test_a_reference_is_held_against_what_was_undone():
    """A refund of another bet pays another stake back."""
    refund = booked("refund", "f1", key="f1", refers_to="b1")
    assert compare([row("refund", "f1", reference="b1")], [refund]).kinds == []
    wrong = compare([row("refund", "f1", reference="b2")], [refund])
    assert wrong.kinds == ["reference_mismatch"]
    assert compare([row(reference="b2")], [booked()]).kinds == []


def test_a_round_that_the_ledger_named_itself_is_not_compared():
    """The provider's call named none."""
    own = booked(round_id="movement:t1")
    assert compare([row(round_id="anything")], [own]).kinds == []
    assert compare([row(round_id="anything")], [booked(round_id=None)]).kinds == []


TWIN = booked(partition=1, player_id="ben", version=3, movement_id="m2")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_key_that_two_partitions_used_is_named_with_both_bookings(order):
    """No commit spans two partitions: only reconciliation finds it. The row fits one of them."""
    pair = (booked(), TWIN)
    streamed = [(pair[place], pair[1 - place]) for place in order]
    found = compare([row()], streamed)
    assert found.kinds == ["two_in_ledger"]
    (each,) = found.differences
    assert each.ledger is not None
    assert each.other is not None
    assert {each.ledger.player_id, each.other.player_id} == {"ann", "ben"}
    assert each.ledger.player_id == "ann"
    assert found.totals["bet", "EUR"].unexplained == "-5.00"


def test_a_key_that_two_partitions_used_is_found_outside_the_period_and_the_statement_too():
    """Wherever one of the two was seen, the other one is looked for."""
    late = msgspec.structs.replace(TWIN, recorded_at=ENDS)
    assert compare([row()], [(booked(), late)]).kinds == ["two_in_ledger"]
    early = booked(recorded_at=BEGINS - EDGE)
    assert compare([row()], [], [early, late]).kinds == ["two_in_ledger", "booked_outside_period"]
    unknown = compare([], [(booked(), late)])
    assert unknown.kinds == ["missing_in_statement", "two_in_ledger"]


def event(kind: Any, **more: Any) -> Any:
    """An event of Ann's, of 5.00 EUR unless said otherwise."""
    fields: dict[str, Any] = {
        "movement_id": "m1",
        "recorded_at": NOON,
        "integration": "slots",
        "operation": "any",
        "key": "t1",
        "transaction_id": "t1",
        "fingerprint": "00",
        "currency": "EUR",
        "balance_real": 0,
        "balance_bonus": 0,
        "round_id": "r1",
    }
    return kind(**fields | more)


@pytest.mark.parametrize(
    ("happened", "operation", "amount"),
    [
        (event(BetPlaced, real=-3, bonus=-2), "bet", 5),
        (event(WinCredited, real=3, bonus=2), "win", 5),
        (event(BetRefunded, real=3, bonus=2, refers_to="b", wire_amount=9), "refund", 5),
        (event(RefundRepeated, refers_to="b"), "refund", 0),
        (event(RefundTombstoned, refers_to="b"), "refund", 0),
        (event(WinReversed, real=-3, bonus=-2, refers_to="w"), "reversal", 5),
        # clamp: the player kept 4 of it; the provider took back all the same
        (event(WinReversed, real=-1, refers_to="w", shortfall=4), "reversal", 5),
        # negative: all was taken, and the balance fell below zero
        (event(WinReversed, real=-5, balance_real=-4, refers_to="w", shortfall=4), "reversal", 5),
        (event(WinReversalRepeated, refers_to="w"), "reversal", 0),
    ],
)
def test_every_event_of_a_game_is_a_movement_as_the_provider_sees_it(happened, operation, amount):
    """What moved between provider and house, with bonus money and what the player was let keep."""
    seen = booking(3, "ann", 7, happened)
    assert (seen.operation, seen.amount) == (operation, amount)
    assert (seen.partition, seen.player_id, seen.version) == (3, "ann", 7)


def test_every_movement_of_a_game_is_compared():
    """A kind of event that is passed over would be missing in the ledger, or never be missed."""
    movements = {name for name, kind in EVENT_TYPES.items() if issubclass(kind, GameMovement)}
    assert movements - set(NAMES) == {RoundClosed.NAME}


def nothing(kind: Any, transaction_id: str, **more: Any) -> Booking:
    """A movement that moved nothing."""
    ids = {"key": transaction_id, "transaction_id": transaction_id}
    return booking(0, "ann", 7, event(kind, **ids | more))


NOTHINGS = [
    nothing(BetPlaced, "t1"),
    nothing(WinCredited, "t1"),
    nothing(RefundRepeated, "t1", refers_to="b"),
    nothing(RefundTombstoned, "t1", refers_to="b"),
    nothing(WinReversalRepeated, "t1", refers_to="w"),
]


@pytest.mark.parametrize("movement", NOTHINGS, ids=lambda movement: movement.type)
def test_what_moved_nothing_need_not_be_in_a_statement_and_may(movement):
    """Free spins, lost rounds, repeated refunds: some providers list them and some do not."""
    assert (lacking := compare([], [movement])).kinds == []
    assert lacking.noted == {"moved_nothing": 1}
    assert not any(each.ledger_count for each in lacking.totals.values())
    assert compare([row(movement.operation, amount=0)], [movement]).kinds == []
    charged = compare([row(movement.operation)], [movement])
    assert charged.kinds == ["amount_mismatch"]


def test_a_bet_that_was_cancelled_before_it_came_is_agreed_on():
    """It timed out: neither side kept the money, and the provider tells of both its calls."""
    tombstone = nothing(RefundTombstoned, "f1", refers_to="b1")
    rows = [row(transaction_id="b1"), row("refund", "f1", line=3)]
    found = compare(rows, [tombstone])
    assert found.kinds == []
    assert found.noted == {"cancelled_before_booking": 1}
    assert {each.unexplained for each in found.totals.values()} == {"0.00"}
    assert compare(rows[:1], [tombstone]).kinds == ["missing_in_ledger"]
    assert compare(rows[1:], [tombstone]).kinds == ["amount_mismatch"]
    dearer = [row(transaction_id="b1", amount=1), rows[1]]
    assert compare(dearer, [tombstone]).kinds == ["missing_in_ledger", "amount_mismatch"]
    dollars = [row(transaction_id="b1", currency="USD"), rows[1]]
    assert compare(dollars, [tombstone]).kinds == ["missing_in_ledger", "amount_mismatch"]


def test_a_bet_cancelled_before_it_came_is_that_of_the_player_who_got_it_back():
    """Told of ben and paid back to ann, the provider has moved money between two players."""
    tombstone = nothing(RefundTombstoned, "f1", refers_to="b1")
    rows = [row(transaction_id="b1", player_id="ben"), row("refund", "f1", line=3)]
    assert compare(rows, [tombstone]).kinds == ["missing_in_ledger", "amount_mismatch"]
    untold = [row(transaction_id="b1", player_id=None), rows[1]]
    assert compare(untold, [tombstone]).kinds == []


def test_a_cancellation_that_stands_twice_with_two_amounts_is_named_twice():
    """Neither of the two may get lost because the other one waits for its bet."""
    tombstone = nothing(RefundTombstoned, "f1", refers_to="b1")
    rows = [row("refund", "f1", amount=3), row("refund", "f1", amount=4, line=3)]
    assert compare(rows, [tombstone]).kinds == ["amount_mismatch", "amount_mismatch"]


def test_a_row_of_nothing_that_was_never_booked_is_missing_all_the_same():
    """The provider says that it called: a lost round that never came is still open here."""
    assert compare([row("win", amount=0)]).kinds == ["missing_in_ledger"]


def test_all_differences_are_counted_and_the_first_of_each_kind_kept():
    """A statement of another provider differs in every row; nobody reads a million of them."""
    rows = [row(transaction_id=f"t{number}", line=number) for number in range(10)]
    comparison = Comparison(TIMES, unique, Findings(CURRENCIES, 3))
    for each in rows:
        comparison.add(each)
    comparison.finish()
    findings = comparison.findings
    assert findings.counts["missing_in_ledger"] == 10
    assert [each.transaction_id for each in findings.differences()] == ["t0", "t1", "t2"]
    assert findings.left_out == 7


def test_differences_come_by_kind_then_by_line_then_by_time():
    """The same statement gives the same list again."""
    rows = [row(transaction_id=f"t{number}", line=number) for number in (5, 3, 4)]
    rows.append(row(transaction_id="x", line=9, amount=1))
    late = NOON + timedelta(hours=1)
    bookings = [
        booked(transaction_id="z", recorded_at=late),
        booked(transaction_id="y"),
        booked(transaction_id="x"),
    ]
    found = compare(rows, bookings)
    assert [each.transaction_id for each in found.differences] == ["t3", "t4", "t5", "y", "z", "x"]
