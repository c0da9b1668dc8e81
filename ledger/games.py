"""A game's own stream: whether bets on it are taken.

Every partition holds one, so that no commit spans two.

Pure, like `ledger.wallet`.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ledger.commands import SetGame, Stamp
from ledger.events import GameDisabled, GameEnabled


class Game(msgspec.Struct, frozen=True):
    """A game at a version of its stream.

    Version 0 is a game that nobody ever switched, and so enabled.
    """

    version: int = 0
    enabled: bool = True


GameEvent: TypeAlias = GameEnabled | GameDisabled
"""Every event of a game's stream."""


def evolve_game(game: Game, event: GameEvent) -> Game:
    """The game's state after the event."""
    return Game(game.version + 1, enabled=isinstance(event, GameEnabled))


def decide_game(game: Game, command: SetGame, stamp: Stamp) -> tuple[GameEvent, ...]:
    """Switch the game; one that is switched so already needs nothing."""
    if command.enabled == game.enabled:
        return ()
    kind = GameEnabled if command.enabled else GameDisabled
    return (
        kind(
            movement_id=stamp.movement_id,
            recorded_at=stamp.now,
            integration=command.integration,
            operation="set_game",
            actor=command.actor,
            reason=command.reason,
            game=command.game,
        ),
    )
