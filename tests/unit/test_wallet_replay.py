"""Rules 1 and 8: a key is executed once for ever, and a refund that overtook its bet stops it."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.commands import (
    AdjustBalance,
    CancelWithdrawal,
    CloseRound,
    ConfirmWithdrawal,
    ConvertBonus,
    CreditWin,
    Deposit,
    ForfeitBonus,
    GrantBonus,
    MoneyCommand,
    PlaceBet,
    RefundBet,
    RegisterPlayer,
    ReverseWin,
    RollbackMovement,
    Withdraw,
)
from ledger.decisions import Replayed, first_answer
from ledger.refusals import Refusal, Refused
from tests.unit.rules.world import World, code, only

OPERATOR: dict[str, Any] = {"player_id": "p1", "key": "k", "transaction_id": "k"}
GAME: dict[str, Any] = OPERATOR | {
    "integration": "a",
    "session": "s1",
    "game": "slot",
    "round_id": "r1",
    "currency": "EUR",
}
MONEY = {"amount": 2, "currency": "EUR"}

# A command, and the changes of it that are other content.
COMMANDS: list[tuple[type[MoneyCommand], dict[str, Any], list[dict[str, Any]]]] = [
    (Deposit, OPERATOR | MONEY, [{"amount": 3}, {"currency": "USD"}]),
    (Withdraw, OPERATOR | MONEY, [{"amount": 3}, {"currency": "USD"}, {"hold": True}]),
    (GrantBonus, OPERATOR | MONEY, [{"amount": 3}]),
    (ConvertBonus, OPERATOR | MONEY, [{"amount": 3}]),
    (ForfeitBonus, OPERATOR | MONEY, [{"amount": 3}]),
    (AdjustBalance, OPERATOR | MONEY, [{"amount": -2}]),
    (ConfirmWithdrawal, OPERATOR | {"withdrawal_key": "held"}, [{"withdrawal_key": "x"}]),
    (CancelWithdrawal, OPERATOR | {"withdrawal_key": "held"}, [{"withdrawal_key": "x"}]),
    (
        PlaceBet,
        GAME | {"amount": 2},
        [{"amount": 3}, {"round_id": "r9"}, {"game": "dice"}, {"currency": "USD"}],
    ),
    (
        CreditWin,
        GAME | {"amount": 2, "bet_key": "b1"},
        [{"amount": 3}, {"round_id": "r9"}, {"game": "dice"}, {"bet_key": None}],
    ),
    (
        RefundBet,
        GAME | {"original_key": "b1", "amount": 4},
        [{"original_key": "b2"}, {"amount": 5}, {"round_id": "r9"}],
    ),
    (ReverseWin, GAME | {"original_key": "w2"}, [{"original_key": "b2"}, {"amount": 1}]),
    (RollbackMovement, GAME | {"original_key": "b1"}, [{"original_key": "w2"}]),
    (CloseRound, GAME, [{"round_id": "r9"}]),
]
KINDS = [kind.__name__ for kind, _, _ in COMMANDS]


@pytest.fixture(params=[True, False], ids=["remembered", "asked for"])
def world(request: pytest.FixtureRequest) -> World:
    """Something of everything that a command can refer to, and a second player."""
    world = World(remembers=request.param).given(real=100, bonus=50)
    for player in ("p1", "p2"):
        world.execute(RegisterPlayer(player_id=player, currency="USD"))
    world.money(Withdraw, "held", 10, hold=True)
    world.bet("b1", 4)
    world.bet("b2", 4, round_id="r2")
    world.win("w2", 6, round_id="r2")
    return world


def _build(world: World, kind: type[MoneyCommand], fields: dict[str, Any]) -> Any:
    policy = {"policy": world.policy} if "integration" in fields else {}
    return kind(**{"operation": kind.__name__} | fields | policy)


@pytest.mark.parametrize(("kind", "fields", "changes"), COMMANDS, ids=KINDS)
def test_the_same_content_is_answered_as_the_first_time(world: World, kind, fields, changes):
    """A retry is a success and moves nothing, whatever happened in between."""
    first = only(world.execute(_build(world, kind, fields)))
    wallet, version = world.wallet(), world.player().version
    world.after(days=300)
    unimportant: dict[str, Any] = {"transaction_id": "other"}
    if "integration" in fields:
        unimportant |= {"session": "gone", "closes_round": True, "tags": {"jackpot": 1}}
    if kind is CloseRound:
        unimportant |= {"game": "dice"}
    again = world.execute(_build(world, kind, fields | unimportant))
    assert isinstance(again, Replayed)
    assert again.transaction.event is first
    assert (world.wallet(), world.player().version) == (wallet, version)


@pytest.mark.parametrize(("kind", "fields", "changes"), COMMANDS, ids=KINDS)
def test_other_content_under_the_same_key_is_a_conflict(world: World, kind, fields, changes):
    """Money must never move by an id that already means something else."""
    only(world.execute(_build(world, kind, fields)))
    version = world.player().version
    others = [{"player_id": "p2"}, {"player_id": "nobody"}, {"operation": "other"}, *changes]
    for change in others:
        assert code(world.execute(_build(world, kind, fields | change))) == "duplicate_conflict"
    assert world.player().version == version


@pytest.mark.parametrize(("kind", "fields", "changes"), COMMANDS, ids=KINDS)
def test_fingerprints_tell_apart_what_matters_and_nothing_else(world: World, kind, fields, changes):
    """Every combination of changes is content of its own."""
    prints = [_build(world, kind, fields | change).fingerprint() for change in [{}, *changes]]
    assert len(set(prints)) == len(prints)
    assert _build(world, kind, fields | {"actor": "x", "reason": "y"}).fingerprint() == prints[0]


def test_the_same_key_of_another_provider_is_another_key(world: World):
    """Two providers may count their transactions alike."""
    world.open_session("sb", integration="b")
    bet = only(world.bet("b1", 4, integration="b", session="sb"))
    assert first_answer(bet) is None
    refund = only(world.refund("f1", "b1", integration="b", session="sb", round_id=None))
    assert (refund.integration, refund.real) == ("b", 4)
    assert code(world.refund("f2", "b2", integration="b", session="sb")) == "refund_tombstoned"


def test_a_refused_call_is_judged_afresh(world: World):
    """A refusal stores nothing: the same id may succeed once there is money."""
    assert code(world.bet("k", 1000, round_id="r3")) == "insufficient_funds"
    world.money(Deposit, "more", 1000)
    assert code(world.bet("k", 1000, round_id="r3")) == "bet_placed"


def test_a_replay_comes_before_every_refusal(world: World):
    """The provider asks again because it missed the answer; the session is over by then."""
    world.bet("k", 1, round_id="r3", closes_round=True)
    world.after(days=30)
    assert code(world.bet("new", 1, round_id="r3")) == "session_expired"
    assert code(world.bet("k", 1, round_id="r3", closes_round=True)) == "replayed"


def test_closing_a_closed_round_does_nothing_but_its_key_is_still_judged(world: World):
    """A key that was used for something else conflicts even where nothing is to be done."""
    world.game(CloseRound, "k1")
    assert code(world.game(CloseRound, "k2")) == "nothing"
    assert code(world.game(CloseRound, "k1")) == "replayed"
    assert code(world.game(CloseRound, "b1")) == "duplicate_conflict"


# --- tombstones ---------------------------------------------------------------


def test_a_refund_of_an_unknown_bet_leaves_a_tombstone(world: World):
    """The bet may be on its way: it must not be taken after its refund (rule 8)."""
    wallet = world.wallet()
    event = only(world.refund("f", "late"))
    assert first_answer(event) == Refused(
        Refusal.ORIGINAL_NOT_FOUND, "the bet to refund is not known"
    )
    assert (event.real, event.bonus, event.opens_round, event.refers_to) == (0, 0, False, "late")
    assert event.round_id == "r1"
    assert code(world.bet("late", 5)) == "already_reversed"
    assert world.wallet() == wallet


def test_a_tombstones_refusal_repeats(world: World):
    """Refund and bet both are answered the same, however often they come."""
    world.refund("f", "late")
    for _ in range(2):
        again = world.refund("f", "late")
        assert isinstance(again, Replayed)
        refused = first_answer(again.transaction.event)
        assert refused is not None
        assert refused.refusal is Refusal.ORIGINAL_NOT_FOUND
        assert code(world.bet("late", 5)) == "already_reversed"
        assert code(world.bet("late", 7, round_id="r9")) == "already_reversed"


def test_a_second_refund_of_an_unknown_bet_is_refused_and_keeps_nothing(world: World):
    """One tombstone is enough; another id, or the kind of the call, changes nothing."""
    world.refund("f", "late")
    version = world.player().version
    assert code(world.refund("f2", "late")) == "original_not_found"
    assert code(world.rollback("f3", "late")) == "original_not_found"
    assert world.player().version == version


def test_a_late_bet_can_be_answered_as_if_it_had_been_taken(world: World):
    """late_bet = "accept": the provider hears a success and the balance of now; no money moves."""
    world.refund("f", "late")
    world.bet("b7", 1, round_id="r7")
    world.money(GrantBonus, "more", 7)
    wallet = world.wallet()
    world.with_policy(late_bet="accept")
    answer = world.bet("late", 5)
    assert isinstance(answer, Replayed)
    event = answer.transaction.event
    assert first_answer(event) is not None
    assert (event.balance_real, event.balance_bonus) == (wallet.real, wallet.bonus)
    assert world.wallet() == wallet


def test_a_late_bet_is_answered_in_its_own_currency(world: World):
    """Where the refund named no currency, the tombstone is in the player's first."""
    world.refund("f", "late", session=None, currency=None)
    world.with_policy(late_bet="accept")
    answer = world.bet("late", 5, currency="USD")
    assert isinstance(answer, Replayed)
    assert answer.transaction.event.currency == "USD"
    assert answer.transaction.event.balance_real == world.wallet(currency="USD").real
    assert code(world.bet("late", 5, currency="JPY")) == "currency_mismatch"


def test_a_tombstone_is_no_round(world: World):
    """A new bet in the round of a refund that came too early is a new bet."""
    world.refund("f", "late", round_id="r7")
    assert only(world.bet("b7", 1, round_id="r7")).opens_round


def test_a_rolled_back_credit_is_refused_when_it_comes(world: World):
    """A gpas rollback may name any movement; an unknown one may have been a credit."""
    world.rollback("f", "late")
    assert code(world.win("late", 5)) == "already_reversed"
    world.with_policy(late_bet="accept")
    assert code(world.win("late", 5)) == "already_reversed"


def test_a_tombstone_stops_only_its_own_players_bet(world: World):
    """Another player's call under the same key is a conflict of ids, and so is another kind."""
    world.execute(RegisterPlayer(player_id="p2", currency="EUR"))
    world.open_session("s9", player_id="p2")
    world.refund("f", "late")
    assert code(world.bet("late", 5, player_id="p2", session="s9")) == "duplicate_conflict"
    assert code(world.refund("late", "b1")) == "duplicate_conflict"


def test_an_unknown_bet_refunded_under_its_own_key_stays_out(world: World):
    """Whoever was told that the bet is cancelled must not see it booked later (rule 8)."""
    before = world.wallet()
    assert code(world.refund("k", "k")) == "refund_tombstoned"
    assert code(world.refund("k", "k")) == "replayed"
    for late_bet in ("refuse", "accept"):
        world.with_policy(late_bet=late_bet)
        assert code(world.bet("k", 5)) == "duplicate_conflict"
    assert code(world.refund("f", "k")) == "original_not_found"
    assert code(world.win("w", 5, bet_key="k", tags={"jackpot": True})) == "original_reversed"
    assert world.wallet() == before


def test_a_tombstone_needs_a_currency_the_player_has(world: World):
    """A currency that was named is meant: another wallet's would hide the mistake."""
    for changes in ({"session": None, "currency": "JPY"}, {"currency": "USD"}):
        assert code(world.refund("f", "late", **changes)) == "currency_mismatch"
    assert code(world.refund("f", "late", session=None, currency="USD")) == "refund_tombstoned"


def test_a_tombstone_whose_call_names_no_currency_is_in_its_sessions(world: World):
    """The bet that is on its way can only be in that one."""
    world.open_session("s2", currency="USD")
    assert only(world.refund("f", "late", session="s2", currency=None)).currency == "USD"


@pytest.mark.parametrize("undo", [World.refund, World.rollback])
def test_a_refund_that_names_neither_session_nor_currency_leaves_a_tombstone_too(
    world: World, undo
):
    """Refused, it would leave nothing behind, and the bet that it overtook would be taken."""
    wallet = world.wallet()
    event = only(undo(world, "f", "late", session=None, currency=None))
    assert (event.currency, event.real, event.bonus) == ("EUR", 0, 0)
    assert code(world.bet("late", 5)) == "already_reversed"
    assert code(undo(world, "f", "late", session=None, currency=None)) == "replayed"
    assert code(undo(world, "f2", "late", session=None, currency=None)) == "original_not_found"
    assert code(world.reverse("v", "none", session=None, currency=None)) == "original_not_found"
    assert world.wallet() == wallet


def test_a_win_to_reverse_leaves_no_tombstone(world: World):
    """Only bets are cancelled before they come (rule 8)."""
    assert code(world.reverse("v", "late")) == "original_not_found"
    assert code(world.win("late", 1)) == "win_credited"
