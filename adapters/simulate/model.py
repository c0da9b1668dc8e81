"""One player's wallet by the rules of the house, written a second time, as plainly as possible.

It never looks at the ledger's own code: what both get wrong the same way, no comparison finds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from adapters.simulate.calls import Call, Outcome, Switches


@dataclass(slots=True)
class Purse:
    """One currency's money of a player."""

    real: int = 0
    bonus: int = 0
    held: int = 0

    @property
    def total(self) -> int:
        """What can be staked, and what a provider is shown."""
        return self.real + self.bonus


@dataclass(slots=True)
class Movement:
    """Something that was booked under a key. ``real`` and ``bonus`` are what it moved, signed."""

    number: int
    kind: str
    content: tuple[str | int, ...]
    outcome: Outcome
    real: int = 0
    bonus: int = 0
    undone: bool = False
    settled: bool = False


@dataclass(slots=True)
class Round:
    """The bets of a round and whether it is over."""

    closed: bool = False
    bets: list[Movement] = field(default_factory=list)

    def standing(self) -> list[Movement]:
        """Bets that were not refunded."""
        return [bet for bet in self.bets if not bet.undone]


class Book:
    """Everything the model knows of one player."""

    def __init__(self, player_id: str, integrations: dict[str, Switches]) -> None:
        """``integrations`` by name, with their switches."""
        self.player_id = player_id
        self.integrations = integrations
        self.purses: dict[str, Purse] = {}
        self.blocked = False
        self.disabled_games: set[tuple[str, str]] = set()
        self.max_bet: dict[str, int] = {}
        self.rounds: dict[tuple[str, str], Round] = {}
        self.movements: dict[tuple[str, str], Movement] = {}
        self.tombstones: set[tuple[str, str]] = set()
        self.booked = 0

    # --- what providers ask ---------------------------------------------------------------------

    def apply(self, call: Call) -> Outcome:
        """Judge a call and book what it moves."""
        match call.operation:
            case "balance":
                return self._show(call, self._session_refusal(call))
            case "close_session":
                return self._close_session(call)
            case _:
                known = self.movements.get(self.key(call))
                return self._move(call) if known is None else self._repeat(call, known)

    def _move(self, call: Call) -> Outcome:
        match call.operation:
            case "bet":
                return self._bet(call)
            case "win":
                return self._win(call)
            case "refund":
                return self._refund(call)
            case _:
                return self._reverse_win(call)

    def _close_session(self, call: Call) -> Outcome:
        if not call.session.live:
            return self._show(call, "session_expired")
        call.session.live = False
        return self._show(call, None)

    def key(self, call: Call) -> tuple[str, str]:
        """The idempotency key of a call."""
        return self._key(call, call.operation, call.transaction_id)

    def open_rounds(self) -> set[tuple[str, str]]:
        """Integration and id of every round that is not closed."""
        return {name for name, one in self.rounds.items() if not one.closed}

    def _key(self, call: Call, operation: str, transaction_id: str) -> tuple[str, str]:
        if self.integrations[call.integration].ids_per_operation:
            return (call.integration, f"{operation}:{transaction_id}")
        return (call.integration, transaction_id)

    def _repeat(self, call: Call, known: Movement) -> Outcome:
        if known.content != call.content():
            return self._show(call, "duplicate_conflict")
        outcome = replace(known.outcome, replayed=True)
        if self.integrations[call.integration].replay_balance == "current":
            purse = self.purses[call.currency]
            outcome = replace(outcome, real=purse.real, bonus=purse.bonus)
        return outcome

    def _bet(self, call: Call) -> Outcome:
        if self.key(call) in self.tombstones:
            if self.integrations[call.integration].late_bet == "accept":
                return self._show(call, None)
            return self._show(call, "already_reversed")
        refusal = (
            self._session_refusal(call)
            or self._blocked_refusal()
            or self._game_refusal(call)
            or self._closed_refusal(call)
        )
        if refusal:
            return self._show(call, refusal)
        purse = self.purses[call.currency]
        if call.amount > max(purse.total, 0):
            return self._show(call, "insufficient_funds")
        real = self._real_part(call, purse)
        bet = self._book(call, "bet", real=-real, bonus=real - call.amount)
        the_round = self.rounds.setdefault((call.integration, call.round_id), Round())
        the_round.bets.append(bet)
        the_round.closed = call.closes_round
        return bet.outcome

    def _real_part(self, call: Call, purse: Purse) -> int:
        if self.integrations[call.integration].stake_order == "bonus_first":
            return call.amount - min(call.amount, purse.bonus)
        return min(call.amount, max(purse.real, 0))

    def _win(self, call: Call) -> Outcome:
        if call.player_id != self.player_id:
            return self._show(call, "unknown_player")
        late_win = self.integrations[call.integration].late_win
        the_round = self.rounds.get((call.integration, call.round_id), Round())
        if the_round.closed and late_win == "refuse":
            return self._show(call, "round_closed")
        paid_for = self._bets_of_win(call, the_round)
        if not paid_for and not call.tag and (call.refers_to or call.round_id):
            return self._show(call, "original_not_found")
        played = paid_for or the_round.bets
        if played and all(bet.undone for bet in played):
            return self._show(call, "original_reversed")
        real, bonus = self._split(call.amount, the_round)
        win = self._book(call, "win", real=real, bonus=bonus)
        for bet in the_round.bets if call.closes_round else paid_for:
            bet.settled = True
        if call.round_id:
            the_round.closed = the_round.closed or call.closes_round
            self.rounds[(call.integration, call.round_id)] = the_round
        return win.outcome

    def _bets_of_win(self, call: Call, the_round: Round) -> list[Movement]:
        if not call.refers_to:
            return the_round.bets
        bet = self.movements.get(self._key(call, "bet", call.refers_to))
        return [bet] if bet is not None and bet.kind == "bet" else []

    @staticmethod
    def _split(amount: int, the_round: Round) -> tuple[int, int]:
        """Real and bonus in proportion to the stakes that stand; what does not divide is real."""
        bonus_staked = -sum(bet.bonus for bet in the_round.standing())
        staked = bonus_staked - sum(bet.real for bet in the_round.standing())
        bonus = amount * bonus_staked // staked if staked else 0
        return amount - bonus, bonus

    def _refund(self, call: Call) -> Outcome:
        if call.player_id != self.player_id:
            return self._show(call, "unknown_player")
        bet = self.movements.get(self._key(call, "bet", call.refers_to))
        if bet is None or bet.kind != "bet":
            self.tombstones.add(self._key(call, "bet", call.refers_to))
            self._end_round(call)
            return self._book(call, "tombstone", refusal="original_not_found").outcome
        if bet.undone:
            return self._book(call, "repeated").outcome
        if bet.settled:
            return self._show(call, "original_settled")
        bet.undone = True
        self._end_round(call)
        return self._book(call, "refund", real=-bet.real, bonus=-bet.bonus).outcome

    def _end_round(self, call: Call) -> None:
        """Only where a provider is told that its refund succeeded does one end a round."""
        the_round = self.rounds.get((call.integration, call.round_id))
        if call.closes_round and the_round is not None:
            the_round.closed = True

    def _reverse_win(self, call: Call) -> Outcome:
        if call.player_id != self.player_id:
            return self._show(call, "unknown_player")
        win = self.movements.get(self._key(call, "win", call.refers_to))
        if win is None or win.kind != "win":
            return self._book(call, "tombstone", refusal="original_not_found").outcome
        if win.undone:
            return self._book(call, "repeated").outcome
        real, bonus, lacking = self._taken_back(win, self.purses[call.currency])
        shortfall = self.integrations[call.integration].reversal_shortfall
        if lacking and shortfall == "refuse":
            return self._show(call, "insufficient_funds")
        if shortfall == "negative":
            real += lacking
        win.undone = True
        return self._book(call, "reverse_win", real=-real, bonus=-bonus).outcome

    @staticmethod
    def _taken_back(win: Movement, purse: Purse) -> tuple[int, int, int]:
        """Real, bonus, and what is not there: each part from its own pot, then from the other."""
        real = min(win.real, max(purse.real, 0))
        bonus = min(win.bonus, purse.bonus)
        lacking = win.real + win.bonus - real - bonus
        more_real = min(lacking, max(purse.real, 0) - real)
        more_bonus = min(lacking - more_real, purse.bonus - bonus)
        return real + more_real, bonus + more_bonus, lacking - more_real - more_bonus

    # --- refusals, in their order ---------------------------------------------------------------

    def _session_refusal(self, call: Call) -> str | None:
        if call.player_id != self.player_id:
            return "unknown_player"
        if not call.session.opened:
            return "unknown_session"
        if not call.session.live:
            return "session_expired"
        return None if call.currency == call.session.currency else "currency_mismatch"

    def _blocked_refusal(self) -> str | None:
        return "player_blocked" if self.blocked else None

    def _game_refusal(self, call: Call) -> str | None:
        if (call.integration, call.game) in self.disabled_games:
            return "game_disabled"
        most = self.max_bet.get(call.currency)
        return "limit_exceeded" if most is not None and call.amount > most else None

    def _closed_refusal(self, call: Call) -> str | None:
        the_round = self.rounds.get((call.integration, call.round_id))
        return "round_closed" if the_round is not None and the_round.closed else None

    # --- what the operator does -----------------------------------------------------------------

    def deposit(self, currency: str, amount: int) -> None:
        """Real money comes in."""
        self.purses[currency].real += amount

    def grant_bonus(self, currency: str, amount: int) -> None:
        """Bonus money comes in."""
        self.purses[currency].bonus += amount

    def convert_bonus(self, currency: str, amount: int) -> None:
        """Bonus money becomes real money."""
        self.purses[currency].bonus -= amount
        self.purses[currency].real += amount

    def forfeit_bonus(self, currency: str, amount: int) -> None:
        """Bonus money is taken away."""
        self.purses[currency].bonus -= amount

    def withdraw(self, currency: str, amount: int, *, hold: bool) -> str | None:
        """Real money goes out, or is set aside with ``hold``. A refusal's name, or None."""
        purse = self.purses[currency]
        if amount > purse.real:
            return "insufficient_funds"
        purse.real -= amount
        purse.held += amount if hold else 0
        return None

    def confirm(self, currency: str, amount: int) -> None:
        """Money that was set aside is paid out."""
        self.purses[currency].held -= amount

    def cancel(self, currency: str, amount: int) -> None:
        """Money that was set aside can be played again."""
        purse = self.purses[currency]
        purse.held -= amount
        purse.real += amount

    # --- bookings -------------------------------------------------------------------------------

    def _book(
        self, call: Call, kind: str, *, real: int = 0, bonus: int = 0, refusal: str | None = None
    ) -> Movement:
        purse = self.purses[call.currency]
        purse.real += real
        purse.bonus += bonus
        self.booked += 1
        outcome = Outcome(
            refusal=refusal,
            real=purse.real,
            bonus=purse.bonus,
            moved_bonus=abs(bonus),
            movement=None if refusal else self.booked,
        )
        movement = Movement(
            number=self.booked,
            kind=kind,
            content=call.content(),
            outcome=outcome,
            real=real,
            bonus=bonus,
        )
        self.movements[self.key(call)] = movement
        return movement

    def _show(self, call: Call, refusal: str | None) -> Outcome:
        purse = self.purses.get(call.currency, Purse())
        return Outcome(refusal=refusal, real=purse.real, bonus=purse.bonus)
