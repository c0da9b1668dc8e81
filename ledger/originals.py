"""Where the bet or the win stands that a command is about: in memory, or to be read back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from ledger.commands import CreditWin, GameCommand
from ledger.decisions import Known, Recall
from ledger.events import BetPlaced, WinCredited
from ledger.player import Bet, Player, Round, Win


def locate(player: Player, command: GameCommand, key: str) -> tuple[Round, Bet | Win] | None:
    """The bet or win with this key in the rounds in memory.

    Most likely it is in the round that the command names; else newest first.
    """
    named = player.round(command.integration, command.round_id or "")
    first = () if named is None else (named,)
    for found in chain(first, player.rounds_of(key)):
        if found.integration == command.integration:
            movements: Iterator[Bet | Win] = chain(found.bets, found.wins)
            for movement in movements:
                if movement.key == key:
                    return found, movement
    return None


def recall_original(player: Player, command: GameCommand, key: str, known: Known) -> Recall | None:
    """What must be read back before a movement that is not in memory can be judged.

    None when nothing would help.
    """
    original = (command.integration, key)
    if not known.is_settled(original):
        return Recall(transaction=original)
    found = known.transaction(original)
    if found is None or found.player_id != player.player_id:
        return None
    if not isinstance(found.event, BetPlaced | WinCredited) or (
        isinstance(command, CreditWin) and not isinstance(found.event, BetPlaced)
    ):
        return None  # no command ever needs two rounds: they could push each other out of memory
    assert found.event.round_id is not None
    return recall_round(player, command.integration, found.event.round_id, known)


def recall_round(player: Player, integration: str, round_id: str, known: Known) -> Recall | None:
    """The question for a round that is not in memory; None when it is known to be absent."""
    if (player.player_id, integration, round_id) in known.absent_rounds:
        return None
    return Recall(round=(integration, round_id))


def game_of(found: Round, key: str | None) -> str | None:
    """The game in which a bet or a win of the round counts, whatever a call about it says.

    Without such a movement the one that the round was opened in.
    """
    movements: Iterator[Bet | Win] = chain(found.bets, found.wins)
    return next((each.game for each in movements if each.key == key and each.game), found.game)
