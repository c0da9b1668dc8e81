"""The folded state: bounded, and the same whatever fell out and was read back."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from ledger.chain import GENESIS
from ledger.codec import decode_snapshot, encode_snapshot
from ledger.commands import CloseRound, CloseSession
from ledger.games import Game
from ledger.player import (
    LAST_ROUNDS_MAX,
    OPEN_ROUNDS_MAX,
    PAST_ROUNDS_MAX,
    SESSIONS_MAX,
    Bet,
    Limits,
    Losses,
    Player,
    Round,
    Session,
    Wallet,
    Win,
    fold_round,
    readmit,
    round_key,
)
from tests.unit.rules.world import START, World, code, moved, replay

CLOSED_IN_MEMORY = PAST_ROUNDS_MAX + LAST_ROUNDS_MAX


def _closed(player: Player) -> int:
    return len(player.past_rounds | player.last_rounds)


def _world() -> World:
    return World().given(real=10_000)


def test_open_rounds_are_bounded_and_still_counted():
    """A provider that never closes its rounds must not fill the memory."""
    world = _world()
    for number in range(OPEN_ROUNDS_MAX + 20):
        world.bet(f"b{number}", 1, round_id=f"r{number}")
    player = world.player()
    assert len(player.rounds) == OPEN_ROUNDS_MAX
    assert player.open_rounds == OPEN_ROUNDS_MAX + 20
    assert player.round("a", "r0") is None


def test_closed_rounds_are_bounded():
    """At least the last hundred answer late calls at once; older ones are read back."""
    world = _world()
    for number in range(3 * PAST_ROUNDS_MAX):
        world.bet(f"b{number}", 1, round_id=f"r{number}", closes_round=True)
        player = world.player()
        assert _closed(player) <= CLOSED_IN_MEMORY
        kept = range(max(0, number + 1 - PAST_ROUNDS_MAX), number + 1)
        assert all(player.round("a", f"r{number}") for number in kept)
        assert player.round("a", f"r{number - CLOSED_IN_MEMORY}") is None
        assert (player.rounds, player.open_rounds) == ({}, 0)


def test_rounds_share_what_is_the_same_in_all():
    """A game's name and a currency's code come anew with every call; a million rounds keep them."""
    world = _world()
    for number in range(2):
        world.bet(f"b{number}", 1, round_id=f"r{number}", game=" slot-7".strip())
    first, second = world.player().rounds.values()
    assert first.game == "slot-7"
    assert first.game is second.game
    assert first.currency is second.currency


def test_a_closed_round_changes_where_it_is_kept():
    """A refund of a lost bet books into its round, whether that closed just now or long ago."""
    world = _world()
    for number in range(LAST_ROUNDS_MAX + 2):
        world.bet(f"b{number}", 3, round_id=f"r{number}", closes_round=True)
    for number, kept in ((0, "past_rounds"), (LAST_ROUNDS_MAX + 1, "last_rounds")):
        world.refund(f"f{number}", f"b{number}")
        key = round_key("a", f"r{number}")
        assert key in getattr(world.player(), kept)
        found = world.player().find_round(key)
        assert found is not None
        assert found.bets[0].refunded
    assert _closed(world.player()) == LAST_ROUNDS_MAX + 2


@pytest.mark.parametrize("key", ["plain", 'a "quoted" key', "Zürich \\ \u2028", "\x7f"])
def test_a_movement_is_found_in_the_round_that_holds_it(key):
    """A refund may name its bet alone, open round or closed, live or back from a snapshot."""
    world = _world()
    for number in range(LAST_ROUNDS_MAX + 3):
        world.bet(f"{key}{number}", 3, round_id=f"r{number}", closes_round=number > 0)
    live = world.player()
    _, loaded = decode_snapshot("player:p1", encode_snapshot(GENESIS, live))
    assert loaded == live
    for player in (live, loaded):
        for number in range(LAST_ROUNDS_MAX + 3):
            holding = [
                found.round_id
                for found in player.rounds_of(f"{key}{number}")
                if any(bet.key == f"{key}{number}" for bet in found.bets)
            ]
            assert holding == [f"r{number}"]


def test_a_bet_of_a_closed_round_is_found_by_its_key_alone():
    """Asked for again and again although it is in memory, it would never be refunded."""
    world = _world().after(seconds=1)
    world.bet("b1", 3, closes_round=True)
    assert moved(world.refund("f1", "b1", round_id=None)) == (3, 0)
    assert world.questions == 0


def test_a_snapshot_of_an_earlier_release_is_read():
    """It spelled out what is at its default; its closed rounds are read back when named."""
    state = b"""{"player_id": "p1", "version": 7, "open_rounds": 1,
        "rounds": {"a/r2": {"integration": "a", "round_id": "r2", "currency": "EUR", "game": null,
            "opened_at": "2026-01-01T00:00:00Z",
            "bets": [{"key": "b1", "real": 3, "bonus": 0, "refunded": false}],
            "wins": [{"key": "w1", "real": 4, "bonus": 0, "bet_key": null, "covers": 1,
                "reversed": false}], "closed": false}},
        "closed_rounds": {"a/r1": {"integration": "a", "round_id": "r1", "currency": "EUR",
            "game": null, "opened_at": "2026-01-01T00:00:00Z", "bets": [], "wins": [],
            "closed": true}},
        "just_closed": {}}"""
    _, player = decode_snapshot("player:p1", GENESIS + state)
    opened_at = datetime(2026, 1, 1, tzinfo=UTC)
    bets, wins = (Bet("b1", 3, 0),), (Win("w1", 4, 0, None, 1),)
    assert isinstance(player, Player)
    assert (player.version, player.open_rounds) == (7, 1)
    assert player.round("a", "r2") == Round("a", "r2", "EUR", None, opened_at, bets, wins)
    assert player.round("a", "r1") is None


@pytest.mark.parametrize("closed", [False, True])
def test_a_round_beyond_the_bounds_is_read_back_when_it_is_named(closed):
    """A refund may come for a bet that fell out of memory long ago."""
    world = _world()
    count = max(OPEN_ROUNDS_MAX, CLOSED_IN_MEMORY) + 5
    for number in range(count):
        world.bet(f"b{number}", 3, round_id=f"r{number}", closes_round=closed)
    assert world.player().round("a", "r0") is None
    assert moved(world.refund("f", "b0", round_id=None)) == (3, 0)
    assert code(world.refund("f2", "b0")) == "refund_repeated"
    assert code(world.bet("late", 1, round_id="r1")) == ("round_closed" if closed else "bet_placed")
    assert code(world.win("w", 1, round_id="r2")) == ("round_closed" if closed else "win_credited")
    assert world.player().open_rounds == (0 if closed else count)


@pytest.mark.parametrize("closed", [False, True])
def test_rounds_read_back_obey_the_bounds(closed):
    """A provider that asks for old rounds one by one must not fill the memory either."""
    world = _world()
    most = CLOSED_IN_MEMORY if closed else OPEN_ROUNDS_MAX
    least = PAST_ROUNDS_MAX if closed else OPEN_ROUNDS_MAX
    for number in range(2 * most):
        world.bet(f"b{number}", 1, round_id=f"r{number}", closes_round=closed)
    for number in range(most):
        world.refund(f"f{number}", f"b{number}")
    player = world.player()
    assert least <= (_closed(player) if closed else len(player.rounds)) <= most
    assert player.wallets == replay("p1", world.history["p1"]).wallets


def test_a_round_that_was_closed_out_of_memory_closes_in_the_count_only():
    """Replaying a history without reading rounds back gives the same number of open ones."""
    world = _world()
    for number in range(OPEN_ROUNDS_MAX + 2):
        world.bet(f"b{number}", 1, round_id=f"r{number}")
    world.win("w", 5, round_id="r0", closes_round=True)
    world.game(CloseRound, "c", round_id="r1")
    folded = replay("p1", world.history["p1"])
    assert (folded.round("a", "r0"), folded.round("a", "r1")) == (None, None)
    assert folded.open_rounds == world.player().open_rounds == OPEN_ROUNDS_MAX


def test_a_round_folded_on_its_own_is_the_round_in_memory():
    """What is read back must be exactly what fell out."""
    world = World().given(real=5, bonus=20)
    world.bet("b1", 3)
    world.bet("b2", 7)
    world.win("w1", 4)
    world.refund("late", "never-came")
    world.reverse("v1", "w1")
    world.refund("f1", "b2")
    world.win("w2", 9, closes_round=True)
    live = world.player().round("a", "r1")
    assert live is not None
    assert fold_round("p1", world.history["p1"][4:]) == live
    again = readmit(Player("p1"), live)
    assert list(again.last_rounds) == [round_key("a", "r1")]
    assert again.round("a", "r1") == live
    assert again.version == 0


def test_open_stakes_are_those_neither_refunded_nor_settled():
    """What is owed to players rests on the rule that decides what may be refunded."""
    chance = random.Random(3)
    for _ in range(300):
        bets = tuple(
            Bet(f"b{at}", 10**at, chance.randrange(2), refunded=chance.random() < 0.2)
            for at in range(chance.randrange(6))
        )
        wins = tuple(
            Win(
                f"w{at}",
                0,
                0,
                chance.choice([None, "b1", "b4", "elsewhere"]),
                chance.choice([0, 0, 1, 3]),
                reversed=chance.random() < 0.4,
            )
            for at in range(chance.randrange(4))
        )
        found = Round("a", "r1", "EUR", None, START, bets, wins)
        assert found.open_stakes == sum(
            bet.real + bet.bonus for bet in bets if not bet.refunded and not found.settled(bet)
        )


def test_no_events_fold_into_no_round():
    """A round that nobody opened is absent, not empty."""
    assert fold_round("p1", []) is None


def test_beyond_the_bound_closed_sessions_go_first_then_the_least_used():
    """The session somebody plays in is kept, however long ago it was opened."""
    world = _world()
    for number in range(2, SESSIONS_MAX + 1):
        world.after(seconds=1).open_session(f"s{number}")
    world.execute(CloseSession(player_id="p1", session="s9"))
    world.after(seconds=1).bet("b1", 1, session="s1")
    world.after(seconds=1).open_session("x1")
    assert "s9" not in world.player().sessions
    world.after(seconds=1).open_session("x2")
    kept = world.player().sessions
    assert len(kept) == SESSIONS_MAX
    assert "s1" in kept
    assert "s2" not in kept
    assert code(world.bet("b2", 1, session="s1", round_id="r2")) == "bet_placed"
    assert code(world.bet("b3", 1, session="s2")) == "session_expired"
    assert code(world.win("w1", 1, session="s2")) == "win_credited"


def test_losses_start_anew_with_each_period():
    """Day, week from Monday and month, in UTC."""
    sunday = datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC)
    monday = sunday + timedelta(seconds=1)
    losses = Losses().add(sunday - timedelta(days=1), 5).add(sunday, 2)
    assert (losses.day_net, losses.week_net, losses.month_net) == (2, 7, 7)
    after = losses.at(monday)
    assert (after.day_net, after.week_net, after.month_net) == (0, 0, 0)
    assert losses.add(sunday, -9).month_net == -2


def test_a_year_is_no_month():
    """The same month of another year is another month."""
    march = START
    losses = Losses().add(march, 5)
    assert losses.at(march.replace(year=2027)).month_net == 0
    assert losses.at(march.replace(day=31)).month_net == 5


def test_a_round_read_back_replaces_an_older_form_of_it() -> None:
    """Another process may have played or closed a round that is still open in memory."""
    opened = Round("bb", "r", "EUR", "g", START)
    played = Round("bb", "r", "EUR", "g", START, (Bet("bet:1", 1, 0),))
    closed = Round("bb", "r", "EUR", "g", START, (Bet("bet:1", 1, 0),), closed=True)
    player = readmit(Player("p"), opened)
    assert readmit(player, played).round("bb", "r") == played
    after = readmit(player, closed)
    assert after.round("bb", "r") == closed
    assert not after.rounds


def test_the_state_that_snapshots_hold_has_the_fields_that_it_had():
    """Another state needs a mark of its own (`encode_snapshot`).

    Fields that a release does not know, or misses, are passed over in silence: money may hang on
    them.
    """
    kinds = (Player, Wallet, Session, Round, Bet, Win, Limits, Losses, Game)
    fields = {kind.__name__: " ".join(kind.__struct_encode_fields__) for kind in kinds}
    assert fields == {
        "Player": "player_id version blocked recorded_at wallets sessions rounds past_rounds"
        " last_rounds open_rounds holds limits losses reality_check_min",
        "Wallet": "real bonus held",
        "Session": "session integration game currency opened_at parent last_bet_at first_bet_at"
        " closed closed_by",
        "Round": "integration round_id currency game opened_at bets wins closed",
        "Bet": "key real bonus refunded game",
        "Win": "key real bonus bet_key covers reversed game",
        "Limits": "max_bet loss_limit_day loss_limit_week loss_limit_month",
        "Losses": "day day_net week week_net month month_net",
        "Game": "version enabled",
    }
