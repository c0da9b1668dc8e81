"""Arbitrary commands, judged by the wallet and by a naive model of the rules: they must agree."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import player as player_module
from ledger.commands import Command, MoneyCommand
from ledger.decisions import Replayed
from ledger.events import Movement, RefundTombstoned
from ledger.player import Player, PlayerEvent
from ledger.refusals import Refusal, Refused
from tests.unit.rules.commands import GAMES, Maker, T, opening
from tests.unit.rules.model import Model
from tests.unit.rules.world import Outcome, World, code, replay

SEED = int(os.environ.get("RULES_SEED", "20260304"))
"""Set RULES_SEED to repeat or vary the seeded runs."""

NEVER_HERE = {
    Refusal.INVALID_SIGNATURE.value,
    Refusal.UNAVAILABLE.value,
    Refusal.INTERNAL.value,
}
"""Refusals that the rules themselves never give."""


class Twins:
    """The wallet and the model, fed with the same commands and compared after each."""

    def __init__(self, *, remembers: bool) -> None:
        self.world = World(remembers=remembers)
        self.model = Model()
        self.seen: Counter[str] = Counter()
        self.negative_allowed: set[tuple[str, str]] = set()
        for first in opening():
            self.step(first, timedelta())

    def step(self, order: Command, waited: timedelta) -> None:
        """Execute one command in both."""
        self.world.now += waited
        before = dict(self.world.players)
        outcome = self.world.execute(order)
        answer = _comparable(outcome)
        assert answer == self.model.execute(order, self.world.now), order
        self.seen[answer] += 1
        if isinstance(order, MoneyCommand):
            self.seen[f"{type(order).__name__} {answer}"] += 1
        self._nothing_moved_unless_booked(outcome, before)
        self._balances_agree(outcome)
        if isinstance(outcome, tuple):
            for event in outcome:
                closes = isinstance(event, RefundTombstoned) and event.closes_round
                self.seen["round closed by a tombstone"] += closes

    def toggle(self, game: str) -> None:
        """Disable a game, or enable it again."""
        self.world.disabled_games ^= {("a", game)}
        self.model.disabled ^= {("a", game)}

    def _nothing_moved_unless_booked(self, outcome: Outcome, before: dict[str, Player]) -> None:
        if isinstance(outcome, tuple) and outcome:
            return
        for player_id, player in before.items():
            now = self.world.players[player_id]
            assert (now.wallets, now.version) == (player.wallets, player.version)

    def _balances_agree(self, outcome: Outcome) -> None:
        reversing = isinstance(outcome, tuple) and any(e.NAME == "win_reversed.v1" for e in outcome)
        for player_id, player in self.world.players.items():
            for currency, wallet in player.wallets.items():
                expected = self.model.balance(player_id, currency)
                assert (wallet.real, wallet.bonus, wallet.held) == expected
                assert wallet.bonus >= 0
                assert wallet.held >= 0
                if wallet.real >= 0:
                    self.negative_allowed.discard((player_id, currency))
                elif reversing:
                    self.negative_allowed.add((player_id, currency))
                assert wallet.real >= 0 or (player_id, currency) in self.negative_allowed
                self.seen["negative"] += wallet.real < 0
            assert player.open_rounds == self.model.open_rounds(player_id)

    def finish(self) -> None:
        """What must hold of the histories as a whole."""
        for player_id, history in self.world.history.items():
            folded, live = replay(player_id, history), self.world.players[player_id]
            assert _without_rounds(folded) == _without_rounds(live)
            assert [e.recorded_at for e in history] == sorted(e.recorded_at for e in history)
            for currency, wallet in live.wallets.items():
                moves = _movements(history, currency)
                assert sum(move.real for move in moves) == wallet.real
                assert sum(move.bonus for move in moves) == wallet.bonus
        keys = [(e.integration, e.key) for h in self.world.history.values() for e in _movements(h)]
        assert len(keys) == len(set(keys))


def _movements(history: Iterable[PlayerEvent], currency: str | None = None) -> list[Movement]:
    return [
        event
        for event in history
        if isinstance(event, Movement) and currency in (None, event.currency)
    ]


def _without_rounds(player: Player) -> tuple[object, ...]:
    """Everything but which rounds happen to be in memory."""
    kept = ("rounds", "past_rounds", "last_rounds")
    names = [name for name in Player.__struct_fields__ if name not in kept]
    return tuple(getattr(player, name) for name in names)


def _comparable(outcome: Outcome) -> str:
    if isinstance(outcome, Refused | Replayed):
        return code(outcome)
    if outcome and outcome[0].NAME == "refund_tombstoned.v1":
        return "tombstoned"
    return "booked" if outcome else "nothing"


@pytest.fixture(params=["everything remembered", "next to nothing remembered"])
def remembers(request: pytest.FixtureRequest) -> Iterable[bool]:
    """Both with all in memory, and with rounds and keys that must be read back all the time."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "everything remembered":
            patch.setattr(player_module, "OPEN_ROUNDS_MAX", 1)
            patch.setattr(player_module, "PAST_ROUNDS_MAX", 1)
            patch.setattr(player_module, "LAST_ROUNDS_MAX", 0)
        yield request.param == "everything remembered"


def _run_seed(seed: int, length: int, *, remembers: bool) -> Twins:
    generator = random.Random(seed)

    def choose(options: Sequence[T], /) -> T:
        return generator.choice(options)

    twins, maker = Twins(remembers=remembers), Maker(choose)
    steps: list[Command] = []
    try:
        for _ in range(length):
            if generator.random() < 0.02:
                twins.toggle(choose(GAMES))
            # A provider repeats what it sent before, often at once.
            again = bool(steps) and generator.random() < 0.1
            steps.append(choose(steps[-10:]) if again else maker.command())
            twins.step(steps[-1], maker.pause())
        twins.finish()
    except BaseException:
        print(f"RULES_SEED={seed} failed at step {len(steps)}: {steps[-1:]}")
        raise
    return twins


@given(data=st.data())
@settings(
    max_examples=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
def test_any_short_sequence_is_judged_as_the_rules_say(remembers: bool, data: st.DataObject):
    """Shrinks a disagreement to the few commands that show it."""

    def choose(options: Sequence[T], /) -> T:
        return data.draw(st.sampled_from(options))

    twins, maker = Twins(remembers=remembers), Maker(choose)
    for _ in range(data.draw(st.integers(1, 12))):
        if choose(range(20)) == 19:
            twins.toggle(choose(GAMES))
        twins.step(maker.command(), maker.pause())
    twins.finish()


def test_long_sequences_are_judged_as_the_rules_say(remembers: bool):
    """Hundreds of commands on the same few ids; and every situation must have come up."""
    print(f"RULES_SEED={SEED}")
    seen: Counter[str] = Counter()
    for seed in range(SEED, SEED + 100):
        seen += _run_seed(seed, 250, remembers=remembers).seen
    _not_vacuous(seen)


@pytest.mark.soak
def test_ten_thousand_sequences_are_judged_as_the_rules_say(remembers: bool):
    """No overdraft, no money made or lost, no double effect in 10 000 sequences (promise P5)."""
    seed = int(os.environ.get("RULES_SEED", str(random.SystemRandom().randrange(2**32))))
    print(f"RULES_SEED={seed}")
    seen: Counter[str] = Counter()
    for number in range(int(os.environ.get("RULES_RUNS", "10000"))):
        seen += _run_seed(seed + number, 100, remembers=remembers).seen
    print(sorted(seen.items()))
    _not_vacuous(seen)


def _not_vacuous(seen: Counter[str]) -> None:
    """A run that never met a situation proves nothing about it."""
    wanted = {refusal.value for refusal in Refusal} - NEVER_HERE
    wanted |= {"booked", "replayed", "nothing", "tombstoned", "negative"}
    wanted |= {f"{kind} booked" for kind in _KINDS} | {f"{kind} replayed" for kind in _KINDS}
    wanted |= {
        "PlaceBet already_reversed",
        "CreditWin original_reversed",
        "RefundBet original_settled",
        "round closed by a tombstone",
    }
    missed = {name for name in wanted if not seen[name]}
    if not seen["ReverseWin insufficient_funds"] + seen["RollbackMovement insufficient_funds"]:
        missed.add("a reversal refused for want of money")
    assert not missed


_KINDS = (
    "PlaceBet",
    "CreditWin",
    "RefundBet",
    "ReverseWin",
    "RollbackMovement",
    "CloseRound",
    "Deposit",
    "Withdraw",
    "GrantBonus",
    "ConvertBonus",
    "ForfeitBonus",
    "AdjustBalance",
    "ConfirmWithdrawal",
    "CancelWithdrawal",
)
