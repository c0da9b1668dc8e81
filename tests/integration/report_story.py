"""A story small enough to sum up by hand, told by the wallet's own rules, at times of our choice.

Three players on three days of 2024; every figure that the tests expect is worked out from this.

    30 January  10:00  anna deposits 100.00 EUR and is given a bonus of 10.00
                10:05  anna bets 20.00 in r1 on g1, 10:06 wins 50.00 and r1 closes
                23:50  anna bets 5.00 in r2 on g1
    31 January  00:10  the bet in r2 is refunded
                09:00  ben deposits 40.00 EUR; 09:05 he bets all of it in r9 on g1
                09:06  ben wins 15000.00; 09:10 withdraws 14990.00; 09:20 the win is reversed, of
                       which 14990.00 cannot be taken (clamp)
                18:20  anna bets 8.00 in r3 on g2 (23:50 in Kolkata)
                18:40  anna bets 2.00 in r4 on g2 (00:10 of the next day in Kolkata)
                19:00  r3 is lost (a win of 0) and closes; r4 stays open
    1 February  09:00  anna's withdrawal of 30.00 is held, 10:00 it is confirmed
                11:00  chi deposits 1000 JPY, 11:05 bets 100.5 in r5 at another provider, of which
                       60 have been given as bonus before (bonus first)
                12:00  anna's account is corrected by -1.25
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ledger import commands as c
from ledger.decisions import Transaction
from ledger.events import Movement, SessionOpened
from ledger.refusals import Refused
from ledger.rows import session_row, transaction_row
from ledger.service import token_hash
from ledger.store import AppendBatch, Store
from tests.integration.projection_history import DEADLINE_S, Booked, Log
from tests.unit.operator_fakes import MemoryLedger

EUR = JPY = 100_000
"""Ledger units of one euro, and of one yen."""

_LONG = c.Policy(session_ttl_s=10_000_000, reversal_shortfall="clamp")
_BONUS_FIRST = c.Policy(session_ttl_s=10_000_000, stake_order="bonus_first")


def at(day: str, time: str) -> datetime:
    """A moment of 2024, in UTC."""
    return datetime.fromisoformat(f"2024-{day}T{time}:00+00:00").astimezone(UTC)


class Story:
    """Executes commands at given moments and remembers their events in order."""

    def __init__(self) -> None:
        self._ledger = MemoryLedger()
        self._log = Log()
        self.booked: list[Booked] = []

    async def tell(self, moment: datetime, command: c.Command) -> None:
        """Execute a command at that moment; it must be accepted."""
        self._ledger.now = moment - timedelta(seconds=1)
        before = len(self._ledger.history.get(command.player_id, []))
        outcome = await self._ledger.execute(command)
        assert not isinstance(outcome, Refused), outcome
        events = self._ledger.history[command.player_id][before:]
        self.booked += [Booked(command.player_id, event) for _, event, _ in events]

    async def append(self, store: Store) -> None:
        """Append what is not in the log yet."""
        booked = self.booked[self._log.length :]
        rows = self._log.rows(booked)
        entries = [
            transaction_row(
                (entry.event.integration, entry.event.key),
                Transaction(entry.player_id, row.version, entry.event.NAME, entry.event),
            )
            for entry, row in zip(booked, rows, strict=True)
            if isinstance(entry.event, Movement)
        ]
        sessions = [
            session_row(entry.player_id, entry.event)
            for entry in booked
            if isinstance(entry.event, SessionOpened)
        ]
        batch = AppendBatch(events=rows, transactions=entries, sessions=sessions)
        assert await store.append(batch, DEADLINE_S) is None


def money(kind: type[c.OperatorMovement], player_id: str, amount: int, **more: Any) -> c.Command:
    """A movement of the operator's, by its name as key."""
    operation = kind.__name__.lower()
    key = f"{operation}:{player_id}"
    fields = {"operation": operation, "key": key, "transaction_id": key, "currency": "EUR"}
    return kind(player_id=player_id, amount=amount, **fields | more)


def game(kind: type[c.GameCommand], player_id: str, key: str, **more: Any) -> c.Command:
    """A call of the provider `slots`, of game g1."""
    fields: dict[str, Any] = {
        "integration": "slots",
        "operation": kind.__name__.lower(),
        "transaction_id": key,
        "session": token_hash(player_id),
        "game": "g1",
        "currency": "EUR",
        "policy": _LONG,
    }
    return kind(player_id=player_id, key=key, **fields | more)


async def tell() -> Story:
    """The whole story."""
    story = Story()
    for moment, command in _commands():
        await story.tell(moment, command)
    return story


def _commands() -> list[tuple[datetime, c.Command]]:
    chi: dict[str, Any] = {"currency": "JPY"}
    at_tables: dict[str, Any] = {"integration": "tables", "game": "roulette", "currency": "JPY"}
    return [
        (at("01-30", "09:59"), c.RegisterPlayer(player_id="anna", currency="EUR")),
        (at("01-30", "09:59"), session("anna")),
        (at("01-30", "10:00"), money(c.Deposit, "anna", 100 * EUR)),
        (at("01-30", "10:00"), money(c.GrantBonus, "anna", 10 * EUR)),
        (at("01-30", "10:05"), game(c.PlaceBet, "anna", "b1", amount=20 * EUR, round_id="r1")),
        (
            at("01-30", "10:06"),
            game(c.CreditWin, "anna", "w1", amount=50 * EUR, round_id="r1", closes_round=True),
        ),
        (at("01-30", "23:50"), game(c.PlaceBet, "anna", "b2", amount=5 * EUR, round_id="r2")),
        (at("01-31", "00:10"), game(c.RefundBet, "anna", "f2", original_key="b2", round_id="r2")),
        (at("01-31", "09:00"), c.RegisterPlayer(player_id="ben", currency="EUR")),
        (at("01-31", "09:00"), session("ben")),
        (at("01-31", "09:00"), money(c.Deposit, "ben", 40 * EUR)),
        (at("01-31", "09:05"), game(c.PlaceBet, "ben", "b9", amount=40 * EUR, round_id="r9")),
        (at("01-31", "09:06"), game(c.CreditWin, "ben", "w9", amount=15_000 * EUR, round_id="r9")),
        (at("01-31", "09:10"), money(c.Withdraw, "ben", 14_990 * EUR)),
        (at("01-31", "09:20"), game(c.ReverseWin, "ben", "v9", original_key="w9", round_id="r9")),
        (at("01-31", "18:20"), on_g2(c.PlaceBet, "b3", amount=8 * EUR, round_id="r3")),
        (at("01-31", "18:40"), on_g2(c.PlaceBet, "b4", amount=2 * EUR, round_id="r4")),
        (
            at("01-31", "19:00"),
            on_g2(c.CreditWin, "w3", amount=0, round_id="r3", closes_round=True),
        ),
        (at("02-01", "09:00"), money(c.Withdraw, "anna", 30 * EUR, hold=True)),
        (at("02-01", "10:00"), confirmation("anna")),
        (at("02-01", "11:00"), c.RegisterPlayer(player_id="chi", currency="JPY")),
        (at("02-01", "11:00"), session("chi", **at_tables)),
        (at("02-01", "11:00"), money(c.Deposit, "chi", 1_000 * JPY, **chi)),
        (at("02-01", "11:00"), money(c.GrantBonus, "chi", 60 * JPY, **chi)),
        (
            at("02-01", "11:05"),
            game(
                c.PlaceBet,
                "chi",
                "b5",
                amount=100 * JPY + JPY // 2,
                round_id="r5",
                policy=_BONUS_FIRST,
                **at_tables,
            ),
        ),
        (
            at("02-01", "12:00"),
            money(c.AdjustBalance, "anna", -(EUR + EUR // 4), actor="dora", reason="a mistake"),
        ),
    ]


def on_g2(kind: type[c.GameCommand], key: str, **more: Any) -> c.Command:
    """A call about anna and the game g2."""
    return game(kind, "anna", key, **{"game": "g2", **more})


def session(player_id: str, **more: Any) -> c.Command:
    """The player's one session, at `slots` unless said otherwise."""
    fields: dict[str, Any] = {"integration": "slots", "game": "g1", "currency": "EUR"}
    return c.OpenSession(
        player_id=player_id, session=token_hash(player_id), policy=_LONG, **fields | more
    )


def confirmation(player_id: str) -> c.Command:
    """The player's held withdrawal was paid out."""
    return c.ConfirmWithdrawal(
        player_id=player_id,
        operation="confirm",
        key=f"confirm:{player_id}",
        transaction_id=f"withdraw:{player_id}",
        withdrawal_key=f"withdraw:{player_id}",
    )
