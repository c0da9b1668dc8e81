"""The player's account: registration, sessions, limits, and the operator's own money."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.accounts import operator_movement
from ledger.commands import (
    AcknowledgeRealityCheck,
    AdjustBalance,
    BlockPlayer,
    CancelWithdrawal,
    CloseSession,
    Command,
    ConfirmWithdrawal,
    ConvertBonus,
    Deposit,
    ForfeitBonus,
    GrantBonus,
    MoneyCommand,
    OperatorMovement,
    Policy,
    ReadBalance,
    ReadPlayer,
    RegisterPlayer,
    SetGame,
    SetLimits,
    Stamp,
    UnblockPlayer,
    Withdraw,
)
from ledger.decisions import Known
from ledger.events import GameDisabled, GameEnabled
from ledger.games import Game, decide_game, evolve_game
from ledger.player import Limits, Player, Wallet, evolve
from ledger.refusals import Refusal, Refused
from ledger.wallet import decide
from tests.unit.rules.world import START, World, code, moved, only


@pytest.fixture(params=[True, False], ids=["remembered", "asked for"])
def world(request: pytest.FixtureRequest) -> World:
    """A player with real and bonus money."""
    return World(remembers=request.param).given(real=100, bonus=50)


def test_a_player_is_registered_once_and_gets_wallets_one_by_one():
    """The same call again does nothing; another currency opens another wallet."""
    world = World()
    register = RegisterPlayer(player_id="p1", currency="EUR", actor="ops")
    outcome = world.execute(register)
    assert code(outcome) == "player_registered+wallet_opened"
    assert isinstance(outcome, tuple)
    assert {event.actor for event in outcome} == {"ops"}
    assert code(world.execute(register)) == "nothing"
    assert code(world.execute(RegisterPlayer(player_id="p1", currency="USD"))) == "wallet_opened"
    assert world.player().wallets == {"EUR": Wallet(), "USD": Wallet()}
    assert world.player().version == 3


@pytest.mark.parametrize(
    "command",
    [
        ReadPlayer(player_id="x"),
        BlockPlayer(player_id="x"),
        UnblockPlayer(player_id="x"),
        AcknowledgeRealityCheck(player_id="x"),
        SetLimits(player_id="x", max_bet=1),
        CloseSession(player_id="x", session="s"),
        ReadBalance(player_id="x", integration="a", session="s", policy=Policy()),
    ],
)
def test_a_player_who_was_never_registered_is_unknown(command):
    """Nothing but registering creates a player."""
    assert code(World().execute(command)) == "unknown_player"


def test_blocking_twice_does_nothing(world: World):
    """And so does unblocking."""
    assert code(world.execute(UnblockPlayer(player_id="p1"))) == "nothing"
    event = only(world.execute(BlockPlayer(player_id="p1", actor="ops", reason="fraud")))
    assert (event.actor, event.reason) == ("ops", "fraud")
    assert code(world.execute(BlockPlayer(player_id="p1"))) == "nothing"
    assert code(world.execute(ReadPlayer(player_id="p1"))) == "nothing"
    assert code(world.execute(UnblockPlayer(player_id="p1"))) == "player_unblocked"
    assert world.player().blocked is False


def test_what_the_operator_does_is_recorded_under_the_name_of_the_operation(world: World):
    """The events that move no money have no call in the journal that would tell."""
    done = [
        world.execute(RegisterPlayer(player_id="p1", currency="USD")),
        world.open_session("s2"),
        world.execute(CloseSession(player_id="p1", session="s2")),
        world.execute(BlockPlayer(player_id="p1")),
        world.execute(UnblockPlayer(player_id="p1")),
        world.execute(AcknowledgeRealityCheck(player_id="p1")),
        world.execute(SetLimits(player_id="p1", currency="EUR", max_bet=1)),
    ]
    assert [only(outcome).operation for outcome in done] == [
        "register",
        "open_session",
        "close_session",
        "block",
        "unblock",
        "reality_check",
        "set_limits",
    ]


def test_a_command_without_a_rule_is_a_defect():
    """A new command must not be ignored in silence."""
    player = Player("p1", version=1, wallets={"EUR": Wallet()})
    stamp, known = Stamp(START, "m"), Known({})
    with pytest.raises(AssertionError, match="no rule for Command"):
        decide(player, Command(player_id="p1"), stamp, known)
    plain: Any = OperatorMovement(
        player_id="p1", operation="x", key="k", transaction_id="k", amount=1, currency="EUR"
    )
    with pytest.raises(AssertionError, match="no rule for OperatorMovement"):
        operator_movement(player, plain, stamp)
    with pytest.raises(NotImplementedError):
        MoneyCommand(player_id="p1", operation="x", key="k", transaction_id="k").fingerprint()


# --- games ---------------------------------------------------------------


def test_a_game_is_switched_once_and_its_event_says_by_whom_and_why():
    """Two events of one switch would tell an auditor of something that never happened."""
    off = SetGame(integration="a", game="slot", enabled=False, actor="ops", reason="recalled")
    on = SetGame(integration="a", game="slot", enabled=True)
    assert decide_game(Game(), on, Stamp(START, "m1")) == ()
    (disabled,) = decide_game(Game(), off, Stamp(START, "m2"))
    assert disabled == GameDisabled(
        movement_id="m2",
        recorded_at=START,
        integration="a",
        operation="set_game",
        actor="ops",
        reason="recalled",
        game="slot",
    )
    game = evolve_game(Game(), disabled)
    assert game == Game(1, enabled=False)
    assert decide_game(game, off, Stamp(START, "m3")) == ()
    (enabled,) = decide_game(game, on, Stamp(START, "m4"))
    assert isinstance(enabled, GameEnabled)
    assert evolve_game(game, enabled) == Game(2, enabled=True)


# --- sessions ---------------------------------------------------------------


def test_opening_the_same_session_again_does_nothing(world: World):
    """The operator's retry."""
    assert code(world.open_session("s1")) == "nothing"
    assert code(world.open_session("s2", currency="USD")) == "currency_mismatch"


def test_a_provider_opens_a_session_from_a_live_launch_session_only(world: World):
    """A gpas wallet session comes from the launch token."""
    assert code(world.open_session("c1", parent="s1")) == "session_opened"
    assert world.player().sessions["c1"].parent == "s1"
    assert code(world.open_session("c2", parent="none")) == "unknown_session"
    assert code(world.open_session("c2", parent="s1", integration="b")) == "unknown_session"
    world.after(days=2)
    assert code(world.open_session("c2", parent="s1")) == "session_expired"


def _close(world: World, session: str, **changes: Any) -> str:
    return code(world.execute(CloseSession(player_id="p1", session=session, **changes)))


def test_closing_a_session_closes_those_opened_from_it(world: World):
    """And only those; once is enough."""
    world.open_session("c1", parent="s1")
    world.open_session("c2", parent="s1")
    world.open_session("s2")
    assert _close(world, "s1", with_children=False) == "session_closed"
    assert _close(world, "c1") == "session_closed"
    assert _close(world, "s1") == "session_closed"
    assert _close(world, "s1") == "nothing"
    assert _close(world, "s1", strict=True) == "session_expired"
    open_now = [name for name, held in world.player().sessions.items() if not held.closed]
    assert open_now == ["s2"]


def test_a_close_whose_answer_was_lost_succeeds_when_it_is_decided_again(world: World):
    """It would be told that the session is over, which it is by this very command."""
    command = CloseSession(player_id="p1", session="s1", strict=True)
    stamp = Stamp(world.now, "m1")
    decision = decide(world.player(), command, stamp, Known({}))
    assert isinstance(decision, tuple)
    after = evolve(world.player(), decision[0])
    assert decide(after, command, stamp, Known({})) == ()
    again = decide(after, command, Stamp(world.now, "m2"), Known({}))
    assert isinstance(again, Refused)
    assert again.refusal is Refusal.SESSION_EXPIRED


def test_only_its_own_provider_or_the_operator_closes_a_session(world: World):
    """A provider must not end another one's games, nor somebody else's."""
    assert _close(world, "s1", integration="b") == "unknown_session"
    assert _close(world, "none") == "unknown_session"
    world.execute(RegisterPlayer(player_id="p2", currency="EUR"))
    world.open_session("s2", player_id="p2")
    assert _close(world, "s2") == "unknown_session"
    assert _close(world, "s1", integration="a", strict=True) == "session_closed"


def test_a_balance_call_needs_a_live_session_and_no_more(world: World):
    """A blocked player's balance may be seen."""

    def read(session: str = "s1", currency: str | None = None) -> str:
        return code(
            world.execute(
                ReadBalance(
                    player_id="p1",
                    integration="a",
                    session=session,
                    policy=Policy(session_ttl_s=60),
                    currency=currency,
                )
            )
        )

    world.execute(BlockPlayer(player_id="p1"))
    assert read() == read(currency="EUR") == "nothing"
    assert read(currency="USD") == "currency_mismatch"
    assert read(session="none") == "unknown_session"
    world.after(seconds=61)
    assert read(currency="USD") == "session_expired"


# --- limits ---------------------------------------------------------------


def test_a_change_of_limits_keeps_what_was_before(world: World):
    """Staff interventions show the value before and after."""
    world.execute(SetLimits(player_id="p1", max_bet=5, reality_check_min=60))
    event = only(world.execute(SetLimits(player_id="p1", currency="EUR", loss_limit_day=9)))
    assert event.previous["max_bet"] == 5
    assert event.previous["loss_limit_day"] is None
    assert (event.max_bet, event.loss_limit_day, event.reality_check_min) == (5, 9, 60)
    assert world.player().limits == {"EUR": Limits(max_bet=5, loss_limit_day=9)}
    assert code(world.execute(SetLimits(player_id="p1", max_bet=5))) == "nothing"
    assert code(world.execute(SetLimits(player_id="p1"))) == "nothing"


def test_limits_on_money_need_a_currency_where_there_are_several(world: World):
    """A number without a currency limits nothing."""
    world.execute(RegisterPlayer(player_id="p1", currency="USD"))
    assert code(world.execute(SetLimits(player_id="p1", max_bet=5))) == "malformed_request"
    missing = SetLimits(player_id="p1", currency="JPY", max_bet=5)
    assert code(world.execute(missing)) == "currency_mismatch"
    assert code(world.execute(SetLimits(player_id="p1", reality_check_min=5))) == "limits_set"
    world.execute(SetLimits(player_id="p1", currency="USD", max_bet=5))
    assert world.player().limits == {"USD": Limits(max_bet=5)}
    assert world.player().reality_check_min == 5
    cleared = SetLimits(
        player_id="p1", currency="USD", max_bet=None, reality_check_min=msgspec.UNSET
    )
    assert code(world.execute(cleared)) == "limits_set"
    assert world.player().reality_check_min == 5


# --- the operator's money ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "amount", "change"),
    [
        (Deposit, 7, (7, 0)),
        (Deposit, 0, (0, 0)),
        (Withdraw, 100, (-100, 0)),
        (Withdraw, 101, None),
        (GrantBonus, 7, (0, 7)),
        (ConvertBonus, 50, (50, -50)),
        (ConvertBonus, 51, None),
        (ForfeitBonus, 50, (0, -50)),
        (ForfeitBonus, 51, None),
        (AdjustBalance, 7, (7, 0)),
        (AdjustBalance, -100, (-100, 0)),
        (AdjustBalance, -101, None),
    ],
)
def test_the_operator_moves_no_more_than_there_is(world: World, kind, amount, change):
    """Each purse by itself: a withdrawal takes real money only (rule 11)."""
    outcome = world.money(kind, "k", amount)
    if change is None:
        assert code(outcome) == "insufficient_funds"
        assert world.wallet() == Wallet(100, 50)
    else:
        assert moved(outcome) == change
        assert world.wallet() == Wallet(100 + change[0], 50 + change[1])


def test_money_needs_a_wallet_in_its_currency(world: World):
    """Nothing opens a wallet by the way."""
    assert code(world.money(Deposit, "k", 1, currency="USD")) == "currency_mismatch"


def _settle(world: World, kind: type[Any], key: str, withdrawal: str, player: str = "p1") -> Any:
    return world.execute(
        kind(
            player_id=player,
            operation=kind.__name__,
            key=key,
            transaction_id=key,
            withdrawal_key=withdrawal,
        )
    )


def test_held_money_is_out_of_play_until_it_is_paid_or_comes_back(world: World):
    """A withdrawal in two steps; each held amount is settled once."""
    world.money(Withdraw, "h1", 60, hold=True)
    world.money(Withdraw, "h2", 30, hold=True)
    assert world.wallet() == Wallet(10, 50, 90)
    assert code(world.money(Withdraw, "h3", 11, hold=True)) == "insufficient_funds"
    paid = only(_settle(world, ConfirmWithdrawal, "c1", "h1"))
    assert (paid.real, paid.held, paid.refers_to) == (0, -60, "h1")
    assert world.wallet() == Wallet(10, 50, 30)
    back = only(_settle(world, CancelWithdrawal, "c2", "h2"))
    assert (back.NAME, back.real, back.held) == ("withdrawal_cancelled.v1", 30, -30)
    assert world.wallet() == Wallet(40, 50, 0)
    assert world.player().holds == {}
    for number, held in enumerate(("h1", "h2")):
        for kind in (ConfirmWithdrawal, CancelWithdrawal):
            again = _settle(world, kind, f"again-{number}-{kind.__name__}", held)
            assert code(again) == "original_settled"


def test_only_the_players_own_held_withdrawal_can_be_settled(world: World):
    """Not a deposit, not somebody else's, not one that was final at once."""
    world.execute(RegisterPlayer(player_id="p2", currency="EUR"))
    world.money(Withdraw, "h1", 10, hold=True)
    world.money(Withdraw, "final", 10)
    assert code(_settle(world, CancelWithdrawal, "c", "h1", "p2")) == "original_not_found"
    assert code(_settle(world, CancelWithdrawal, "c", "none")) == "original_not_found"
    assert code(_settle(world, CancelWithdrawal, "c", "start-real")) == "original_not_found"
    assert code(_settle(world, CancelWithdrawal, "c", "final")) == "original_settled"
    assert world.wallet() == Wallet(80, 50, 10)
