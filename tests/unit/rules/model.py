"""A second wallet, written from the rules and not from the code, to compare the first with.

It keeps every fact in one list, recomputes everything from the beginning at every question, keeps
nothing in memory and forgets nothing. Slow and plain on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from ledger import commands as c

BETLESS = {"promo", "free_spin", "tournament", "jackpot"}


@dataclass(frozen=True)
class Fact:
    """Something that happened to a player."""

    kind: str
    player: str
    at: datetime
    integration: str = ""
    key: str = ""
    content: Any = None
    currency: str = ""
    real: int = 0
    bonus: int = 0
    held: int = 0
    round: str | None = None
    refers_to: str | None = None
    closes: bool = False
    session: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Model:
    """Every player, as a list of facts."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.disabled: set[tuple[str, str]] = set()
        self._rules: dict[type, Callable[[Any, datetime], str]] = {
            c.RegisterPlayer: self._register_player,
            c.OpenSession: self._open_session,
            c.CloseSession: self._close_session,
            c.BlockPlayer: self._block_player,
            c.UnblockPlayer: self._unblock_player,
            c.AcknowledgeRealityCheck: self._acknowledge_reality_check,
            c.ReadPlayer: self._read_player,
            c.SetLimits: self._set_limits,
            c.ReadBalance: self._read_balance,
            c.OperatorMovement: self._operator_movement,
            c.SettleWithdrawal: self._settle_withdrawal,
            c.PlaceBet: self._place_bet,
            c.CreditWin: self._credit_win,
            c.Reversal: self._reversal,
            c.CloseRound: self._close_round,
        }

    # --- questions ---------------------------------------------------------------

    def of(self, player: str, *kinds: str) -> list[Fact]:
        """A player's facts of these kinds."""
        return [f for f in self.facts if f.player == player and (not kinds or f.kind in kinds)]

    def balance(self, player: str, currency: str) -> tuple[int, int, int]:
        """Real, bonus and held money."""
        mine = [f for f in self.of(player) if f.currency == currency]
        return sum(f.real for f in mine), sum(f.bonus for f in mine), sum(f.held for f in mine)

    def has_wallet(self, player: str, currency: str | None) -> bool:
        """Whether the player has a wallet in the currency."""
        return any(f.currency == currency for f in self.of(player, "wallet"))

    def used(self, integration: str, key: str) -> Fact | None:
        """The fact booked under a key."""
        return next((f for f in self.facts if (f.integration, f.key) == (integration, key)), None)

    def tombstone(self, integration: str, key: str) -> Fact | None:
        """The refund that came before the bet of this key."""
        return next(
            (
                f
                for f in self.facts
                if f.kind == "tombstone" and (f.integration, f.refers_to) == (integration, key)
            ),
            None,
        )

    def round(self, player: str, integration: str, name: str | None) -> list[Fact]:
        """All facts of a round, none if it was never opened."""
        kinds = ("bet", "win", "refund", "reversal", "repeat", "close", "tombstone")
        return [
            f
            for f in self.of(player, *kinds)
            if name is not None and (f.integration, f.round) == (integration, name)
        ]

    def open_rounds(self, player: str) -> int:
        """How many rounds are open."""
        names = {(f.integration, f.round) for f in self.of(player, "bet", "win")}
        return sum(not any(f.closes for f in self.round(player, *name)) for name in names)

    def undone(self, original: Fact) -> bool:
        """Whether a bet was refunded or a win reversed."""
        return any(
            f.refers_to == original.key and f.integration == original.integration
            for f in self.of(original.player, "refund", "reversal")
        )

    def settled(self, bet: Fact) -> bool:
        """Rule 9."""
        facts = self.round(bet.player, bet.integration, bet.round)
        return any(
            f.kind == "win"
            and not self.undone(f)
            and (
                f.refers_to == bet.key
                or ((f.refers_to is None or f.closes) and facts.index(f) > facts.index(bet))
            )
            for f in facts
        )

    def lost(self, player: str, currency: str, period: str, now: datetime) -> int:
        """Stakes - refunds - wins of the current day, week or month."""
        mine = self.of(player, "bet", "win", "refund", "reversal")
        same = [
            f
            for f in mine
            if f.currency == currency and _period(f.at, period) == _period(now, period)
        ]
        return -sum(f.real + f.bonus for f in same)

    def session(self, player: str, integration: str, token: str | None) -> Fact | None:
        """The player's session of the integration."""
        opened = self.of(player, "open_session")
        return next((f for f in opened if (f.integration, f.session) == (integration, token)), None)

    def expired(self, session: Fact, now: datetime, policy: c.Policy) -> bool:
        """Rule 3."""
        mine = [f for f in self.of(session.player) if f.session == session.session]
        used = max(f.at for f in mine if f.kind in ("open_session", "bet"))
        closed = any(f.kind == "close_session" for f in mine)
        return closed or now - used > timedelta(seconds=policy.session_ttl_s)

    def reality_check_due(self, session: Fact, now: datetime) -> bool:
        """Rule 3."""
        minutes = self.limit(session.player, None, "reality_check_min")
        first = None
        for f in self.of(session.player, "bet", "acknowledge", "open_session"):
            if f.kind != "bet":
                first = None
            elif f.session == session.session and first is None:
                first = f.at
        return (
            minutes is not None and first is not None and now - first >= timedelta(minutes=minutes)
        )

    def limit(self, player: str, currency: str | None, name: str) -> int | None:
        """A limit as it was last set."""
        value = None
        for f in self.of(player, "limits"):
            if (currency is None or f.currency == currency) and name in f.extra:
                value = f.extra[name]
        return value

    def blocked(self, player: str) -> bool:
        """Whether the player is blocked."""
        marks = self.of(player, "block", "unblock")
        return bool(marks) and marks[-1].kind == "block"

    # --- commands ---------------------------------------------------------------

    def execute(self, command: c.Command, now: datetime) -> str:
        """What becomes of a command: a refusal's name, ``replayed``, ``nothing`` or ``booked``."""
        mine = self.of(command.player_id)
        now = max([now, *(f.at for f in mine)])
        if isinstance(command, c.MoneyCommand):
            answer = self.replayed(command)
            if answer is not None:
                return answer
        if not mine and not isinstance(command, c.RegisterPlayer):
            return "unknown_player"
        rule = next(self._rules[kind] for kind in type(command).__mro__ if kind in self._rules)
        return rule(command, now)

    def replayed(self, command: c.MoneyCommand) -> str | None:
        """Rules 1, 2 and 8."""
        used = self.used(command.integration, command.key)
        if used is not None:
            if used.content != content(command):
                return "duplicate_conflict"
            return "replayed"
        stone = self.tombstone(command.integration, command.key)
        if stone is None:
            return None
        if stone.player != command.player_id or not isinstance(command, c.PlaceBet | c.CreditWin):
            return "duplicate_conflict"
        if isinstance(command, c.PlaceBet) and command.policy.late_bet == "accept":
            known = self.has_wallet(command.player_id, command.currency or "")
            return "replayed" if known else "currency_mismatch"
        return "already_reversed"

    def book(self, kind: str, command: Any, now: datetime, **fields: Any) -> str:
        """Write a fact down."""
        base: dict[str, Any] = {"kind": kind, "player": command.player_id, "at": now}
        if isinstance(command, c.MoneyCommand):
            base |= {
                "integration": command.integration,
                "key": command.key,
                "content": content(command),
                "session": getattr(command, "session", None),
            }
        self.facts.append(Fact(**base | fields))
        return "booked"

    def _register_player(self, command: c.RegisterPlayer, now: datetime) -> str:
        if self.has_wallet(command.player_id, command.currency):
            return "nothing"
        return self.book("wallet", command, now, currency=command.currency)

    def _open_session(self, command: c.OpenSession, now: datetime) -> str:
        if any(f.session == command.session for f in self.of(command.player_id, "open_session")):
            return "nothing"
        if command.parent is not None:
            parent = self.session(command.player_id, command.integration, command.parent)
            if parent is None:
                return "unknown_session"
            if self.expired(parent, now, command.policy):
                return "session_expired"
        if not self.has_wallet(command.player_id, command.currency):
            return "currency_mismatch"
        return self.book(
            "open_session",
            command,
            now,
            integration=command.integration,
            session=command.session,
            extra={"currency": command.currency, "parent": command.parent},
        )

    def _close_session(self, command: c.CloseSession, now: datetime) -> str:
        opened = self.of(command.player_id, "open_session")
        session = next((f for f in opened if f.session == command.session), None)
        if session is None or command.integration not in ("operator", session.integration):
            return "unknown_session"
        closed = {f.session for f in self.of(command.player_id, "close_session")}
        if command.strict and command.session in closed:
            return "session_expired"
        ending = [
            f.session
            for f in opened
            if f.session not in closed
            and (
                f.session == command.session
                or (command.with_children and f.extra["parent"] == command.session)
            )
        ]
        for token in ending:
            self.book("close_session", command, now, session=token)
        return "booked" if ending else "nothing"

    def _block_player(self, command: c.BlockPlayer, now: datetime) -> str:
        return "nothing" if self.blocked(command.player_id) else self.book("block", command, now)

    def _unblock_player(self, command: c.UnblockPlayer, now: datetime) -> str:
        return self.book("unblock", command, now) if self.blocked(command.player_id) else "nothing"

    def _acknowledge_reality_check(self, command: c.Command, now: datetime) -> str:
        return self.book("acknowledge", command, now)

    def _read_player(self, command: c.Command, now: datetime) -> str:
        return "nothing"

    def _set_limits(self, command: c.SetLimits, now: datetime) -> str:
        names = ("max_bet", "loss_limit_day", "loss_limit_week", "loss_limit_month")
        wallets = [f.currency for f in self.of(command.player_id, "wallet")]
        currency = command.currency or (wallets[0] if len(wallets) == 1 else None)
        new = {
            name: getattr(command, name)
            for name in (*names, "reality_check_min")
            if getattr(command, name) is not msgspec.UNSET
        }
        if currency is None and set(names) & set(new):
            return "malformed_request"
        if currency is not None and currency not in wallets:
            return "currency_mismatch"
        old = {n: self.limit(command.player_id, currency, n) for n in names if currency}
        old["reality_check_min"] = self.limit(command.player_id, None, "reality_check_min")
        if old | new == old:
            return "nothing"
        return self.book("limits", command, now, currency=currency or "", extra=new)

    def _read_balance(self, command: c.ReadBalance, now: datetime) -> str:
        session = self.session(command.player_id, command.integration, command.session)
        if session is None:
            return "unknown_session"
        if self.expired(session, now, command.policy):
            return "session_expired"
        if command.currency not in (None, session.extra["currency"]):
            return "currency_mismatch"
        return "nothing"

    def _operator_movement(self, command: c.OperatorMovement, now: datetime) -> str:
        if not self.has_wallet(command.player_id, command.currency):
            return "currency_mismatch"
        real, bonus, held = {
            c.Deposit: (1, 0, 0),
            c.Withdraw: (-1, 0, 1 if getattr(command, "hold", False) else 0),
            c.GrantBonus: (0, 1, 0),
            c.ConvertBonus: (1, -1, 0),
            c.ForfeitBonus: (0, -1, 0),
            c.AdjustBalance: (1, 0, 0),
        }[type(command)]
        has_real, has_bonus, _ = self.balance(command.player_id, command.currency)
        amount = command.amount
        if real * amount < 0 and has_real + real * amount < 0:
            return "insufficient_funds"
        if bonus * amount < 0 and has_bonus + bonus * amount < 0:
            return "insufficient_funds"
        return self.book(
            "hold" if held else type(command).__name__,
            command,
            now,
            currency=command.currency,
            real=real * amount,
            bonus=bonus * amount,
            held=held * amount,
        )

    def _settle_withdrawal(self, command: c.SettleWithdrawal, now: datetime) -> str:
        mine = self.of(command.player_id)
        named = next(
            (f for f in mine if (f.integration, f.key) == ("operator", command.withdrawal_key)),
            None,
        )
        if named is None or named.kind not in ("hold", "Withdraw"):
            return "original_not_found"
        if named.kind == "Withdraw" or any(
            f.refers_to == named.key for f in mine if f.kind == "settle"
        ):
            return "original_settled"
        back = named.held if isinstance(command, c.CancelWithdrawal) else 0
        return self.book(
            "settle",
            command,
            now,
            currency=named.currency,
            real=back,
            held=-named.held,
            refers_to=named.key,
        )

    def _place_bet(self, command: c.PlaceBet, now: datetime) -> str:  # noqa: C901, PLR0911 - the table's order
        player, integration = command.player_id, command.integration
        session = self.session(player, integration, command.session)
        if session is None:
            return "unknown_session"
        if self.expired(session, now, command.policy):
            return "session_expired"
        name = command.round_id or f"movement:{command.key}"
        facts = self.round(player, integration, name)
        currencies = {session.extra["currency"], *(f.currency for f in facts)}
        if currencies != {command.currency} or not self.has_wallet(player, command.currency):
            return "currency_mismatch"
        if self.blocked(player):
            return "player_blocked"
        if (integration, command.game) in self.disabled:
            return "game_disabled"
        assert command.currency is not None
        if command.amount and self.over_limit(command, now):
            return "limit_exceeded"
        if self.reality_check_due(session, now):
            return "reality_check_due"
        if any(f.closes for f in facts):
            return "round_closed"
        real, bonus, _ = self.balance(player, command.currency)
        if command.amount and real + bonus < command.amount:
            return "insufficient_funds"
        if command.policy.stake_order == "real_first":
            from_real = min(max(real, 0), command.amount)
        else:
            from_real = command.amount - min(bonus, command.amount)
        return self.book(
            "bet",
            command,
            now,
            currency=command.currency,
            real=-from_real,
            bonus=from_real - command.amount,
            round=name,
            closes=command.closes_round,
        )

    def over_limit(self, command: c.PlaceBet, now: datetime) -> bool:
        """Rule 3."""
        assert command.currency is not None
        where = (command.player_id, command.currency)
        most = self.limit(*where, "max_bet")
        if most is not None and command.amount > most:
            return True
        for period in ("day", "week", "month"):
            most = self.limit(*where, f"loss_limit_{period}")
            if most is not None and self.lost(*where, period, now) + command.amount > most:
                return True
        return False

    def _credit_win(self, command: c.CreditWin, now: datetime) -> str:  # noqa: PLR0911 - the table's order
        player, integration = command.player_id, command.integration
        session = self.session(player, integration, command.session)
        if command.session is not None and session is None:
            return "unknown_session"
        bets = [f for f in self.of(player, "bet") if f.integration == integration]
        bet = next((f for f in bets if f.key == command.bet_key), None)
        name = bet.round if bet else command.round_id or f"movement:{command.key}"
        facts = self.round(player, integration, name)
        currencies = {f.currency for f in facts} | (
            {session.extra["currency"]} if session else set()
        )
        if currencies - {command.currency} or not self.has_wallet(player, command.currency):
            return "currency_mismatch"
        closed = any(f.closes for f in facts)
        if closed and command.policy.late_win == "refuse":
            return "round_closed"
        named = [bet] if bet else [f for f in facts if f.kind == "bet" and command.bet_key is None]
        unbound = command.bet_key is None and command.round_id is None
        needs_none = unbound or bool(BETLESS & set(command.tags))
        if not named and not needs_none:
            return "original_not_found"
        played = named or [f for f in facts if f.kind == "bet"]
        if played and all(self.undone(f) for f in played):
            return "original_reversed"
        if not named and command.bet_key and self.tombstone(integration, command.bet_key):
            return "original_reversed"
        standing = [f for f in facts if f.kind == "bet" and not self.undone(f)]
        staked = -sum(f.real + f.bonus for f in standing)
        bonus = command.amount * -sum(f.bonus for f in standing) // staked if staked else 0
        return self.book(
            "win",
            command,
            now,
            currency=command.currency,
            real=command.amount - bonus,
            bonus=bonus,
            round=name,
            refers_to=command.bet_key,
            closes=not closed
            and (command.closes_round or (not facts and command.round_id is None)),
        )

    def _reversal(self, command: c.Reversal, now: datetime) -> str:  # noqa: PLR0911 - the table's order
        player, integration = command.player_id, command.integration
        session = self.session(player, integration, command.session)
        if command.session is not None and session is None:
            return "unknown_session"
        movements = [f for f in self.of(player, "bet", "win") if f.integration == integration]
        original = next((f for f in movements if f.key == command.original_key), None)
        if original is None:
            return self.reverse_unknown(command, session, now)
        if command.currency not in (None, original.currency):
            return "currency_mismatch"
        wanted = {c.RefundBet: ("bet",), c.ReverseWin: ("win",)}.get(type(command), ("bet", "win"))
        if original.kind not in wanted:
            if command.acknowledged:
                return self.bury(command, now, original.currency)
            return "original_not_found"
        closed = any(f.closes for f in self.round(player, integration, original.round))
        fields: dict[str, Any] = {
            "currency": original.currency,
            "round": original.round,
            "refers_to": original.key,
            "closes": command.closes_round and not closed,
        }
        if self.undone(original):
            return self.book("repeat", command, now, **fields)
        if original.kind == "bet":
            if self.settled(original):
                return "original_settled"
            return self.book(
                "refund", command, now, real=-original.real, bonus=-original.bonus, **fields
            )
        return self.take_back(command, original, now, fields)

    def take_back(
        self, command: c.Reversal, win: Fact, now: datetime, fields: dict[str, Any]
    ) -> str:
        """Rule 10: each kind of money pays its own share, then the other helps out."""
        real, bonus, _ = self.balance(win.player, win.currency)
        due = win.real + win.bonus
        there = max(real, 0) + bonus
        from_bonus = min(bonus, max(win.bonus, due - max(real, 0)))
        from_real = min(max(real, 0), due - from_bonus)
        if there < due:
            if command.policy.reversal_shortfall == "refuse":
                return "insufficient_funds"
            if command.policy.reversal_shortfall == "negative":
                from_real = due - from_bonus
        return self.book("reversal", command, now, real=-from_real, bonus=-from_bonus, **fields)

    def reverse_unknown(self, command: c.Reversal, session: Fact | None, now: datetime) -> str:
        """Rule 8; a call that says nothing of a currency is about any wallet."""
        wallets = [f.currency for f in self.of(command.player_id, "wallet")]
        at_session = session.extra["currency"] if session else None
        currency = command.currency or at_session or wallets[0]
        if at_session not in (None, currency) or not self.has_wallet(command.player_id, currency):
            return "currency_mismatch"
        used = self.used(command.integration, command.original_key) or self.tombstone(
            command.integration, command.original_key
        )
        if isinstance(command, c.ReverseWin) or (used and not command.acknowledged):
            return "original_not_found"
        return self.bury(command, now, currency, None if used else command.original_key)

    def bury(
        self, command: c.Reversal, now: datetime, currency: str, bet: str | None = None
    ) -> str:
        """Rule 8; without a bet that it keeps out where its id is that of something else.

        Of its round it is a part only where it closes it.
        """
        facts = self.round(command.player_id, command.integration, command.round_id)
        closes = (
            command.acknowledged
            and command.closes_round
            and bool(facts)
            and facts[0].currency == currency
            and not any(f.closes for f in facts)
        )
        played = command.round_id if closes else None
        self.book(
            "tombstone",
            command,
            now,
            refers_to=bet,
            round=played,
            currency=currency,
            closes=closes,
        )
        return "tombstoned"

    def _close_round(self, command: c.CloseRound, now: datetime) -> str:
        facts = self.round(command.player_id, command.integration, command.round_id)
        if not facts:
            return "original_not_found"
        if any(f.closes for f in facts):
            return "nothing"
        return self.book(
            "close",
            command,
            now,
            round=command.round_id,
            currency=facts[0].currency,
            closes=True,
        )


def content(command: c.MoneyCommand) -> tuple[Any, ...]:
    """Rule 1: what matters to money and identity."""
    names = (
        "operation",
        "player_id",
        "currency",
        "amount",
        "round_id",
        "game",
        "bet_key",
        "original_key",
        "withdrawal_key",
        "hold",
    )
    if isinstance(command, c.CloseRound):
        return (command.operation, command.player_id, command.round_id)
    return tuple(getattr(command, name, None) for name in names)


def _period(at: datetime, period: str) -> tuple[int, ...]:
    if period == "day":
        return (at.year, at.month, at.day)
    if period == "week":
        return tuple(at.isocalendar())[:2]
    return (at.year, at.month)
