"""What the views must hold, worked out from a whole history in the plainest way there is.

Shares nothing with the projections: balances come from the rules' own fold, and a reversed win
counts with the amount of the win that it names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ledger import events as e
from ledger.player import Player, evolve
from tests.integration.projection_history import Booked

GAME_MONEY = (e.BetPlaced, e.BetRefunded, e.WinCredited, e.WinReversed)


def players(booked: Sequence[Booked]) -> dict[str, Player]:
    """Every player's state at the end."""
    found: dict[str, Player] = {}
    for entry in booked:
        if entry.player_id:
            player = found.get(entry.player_id, Player(entry.player_id))
            event: Any = entry.event
            found[entry.player_id] = evolve(player, event)
    return found


def balances(booked: Sequence[Booked]) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Real, bonus and held by player and currency."""
    return {
        (player_id, currency): (wallet.real, wallet.bonus, wallet.held)
        for player_id, player in players(booked).items()
        for currency, wallet in player.wallets.items()
    }


def gross(booked: Sequence[Booked]) -> list[int]:
    """What each event moved between player and game, reversed wins in full; 0 for others."""
    wins = {
        (entry.player_id, entry.event.integration, entry.event.key): entry.event
        for entry in booked
        if isinstance(entry.event, e.WinCredited)
    }
    found = []
    for entry in booked:
        event = entry.event
        amount = 0
        if isinstance(event, e.WinReversed):
            win = wins[(entry.player_id, event.integration, event.refers_to)]
            amount = win.real + win.bonus
        elif isinstance(event, GAME_MONEY):
            amount = abs(event.real + event.bonus)
        found.append(amount)
    return found


def rounds(booked: Sequence[Booked]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Each round by integration, round id and player."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    columns = {
        e.BetPlaced: ("bets", "stakes"),
        e.BetRefunded: ("refunds_count", "refunds"),
        e.WinCredited: ("wins_count", "wins"),
        e.WinReversed: ("reversals_count", "reversals"),
    }
    for entry, amount in zip(booked, gross(booked), strict=True):
        event = entry.event
        if not isinstance(event, e.GameMovement) or (
            isinstance(event, e.RefundTombstoned) and not event.closes_round
        ):
            continue
        key = (event.integration, str(event.round_id), entry.player_id)
        if event.opens_round:
            assert key not in found
            found[key] = {name: 0 for pair in columns.values() for name in pair}
            found[key] |= {"opened_at": event.recorded_at, "game": event.game or ""}
            found[key] |= {"closed_at": None, "currency": event.currency, "state": "open"}
        row = found[key]
        row["last_activity_at"] = event.recorded_at
        if type(event) in columns:
            count, total = columns[type(event)]
            row[count] += 1
            row[total] += amount
        if event.closes_round:
            assert row["closed_at"] is None
            row |= {"closed_at": event.recorded_at, "state": "closed"}
    return found


def totals(booked: Sequence[Booked]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Counts, then amounts, of bets, refunds, wins and reversals by hour, game and currency."""
    found: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 8)
    for entry, amount in zip(booked, gross(booked), strict=True):
        event = entry.event
        if isinstance(event, GAME_MONEY):
            hour = event.recorded_at.replace(minute=0, second=0, microsecond=0)
            sums = found[(hour, event.integration, event.game or "", event.currency)]
            place = GAME_MONEY.index(type(event))
            sums[place] += 1
            sums[4 + place] += amount
    return {key: tuple(sums) for key, sums in found.items()}


def accounts(booked: Sequence[Booked]) -> dict[tuple[str, str], int]:
    """The balance of every account by currency, players' by kind; zeros left out."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for (_, currency), wallet in balances(booked).items():
        for kind, amount in zip(("real", "bonus", "held"), wallet, strict=True):
            found[(f"player:{kind}", currency)] += amount
    for entry, amount in zip(booked, gross(booked), strict=True):
        event = entry.event
        if not isinstance(event, e.Movement):
            continue
        account, moved = _counter(event, amount)
        found[(account, event.currency)] += moved
        if isinstance(event, e.WinReversed):
            found[("shortfalls", event.currency)] -= amount + event.real + event.bonus
    return {key: amount for key, amount in found.items() if amount}


def _counter(  # noqa: PLR0911 - one case an account
    event: e.Movement, amount: int
) -> tuple[str, int]:
    match event:
        case e.BetPlaced() | e.WinReversed():
            return f"provider:{event.integration}:{event.game or ''}", amount
        case e.BetRefunded() | e.WinCredited():
            return f"provider:{event.integration}:{event.game or ''}", -amount
        case e.Deposited():
            return "deposits", -event.real
        case e.Withdrawn():
            return "withdrawals", -event.real
        case e.WithdrawalConfirmed():
            return "withdrawals", -event.held
        case e.BonusGranted() | e.BonusForfeited():
            return "bonus_cost", -event.bonus
        case e.BalanceAdjusted():
            return "adjustments", -event.real
        case _:
            return "nothing", 0


def exceptions(booked: Sequence[Booked]) -> set[tuple[int, str]]:
    """Notification id and kind of everything odd."""
    found = set()
    for number, entry in enumerate(booked, 1):
        event = entry.event
        if isinstance(event, e.GameMovement):
            found |= {(number, kind) for kind in event.exceptions}
        if isinstance(event, e.RefundTombstoned):
            found.add((number, "tombstone"))
        if isinstance(event, e.RefundRepeated):
            found.add((number, "repeated_refund"))
        if isinstance(event, e.WinReversalRepeated):
            found.add((number, "repeated_reversal"))
        if isinstance(event, e.RoundClosed):
            found.add((number, "round_closed_by_staff" if event.actor else "round_expired"))
    return found
