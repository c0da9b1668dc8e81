"""Where rounds are played: makes the steps and asks the model for the outcome of each.

A step is applied to the model the moment it is made, so it has to be carried out before the next
one is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from adapters.simulate.calls import Call, Operation, Outcome, Session
from adapters.simulate.currencies import subunit
from adapters.simulate.model import Book, Purse
from adapters.simulate.steps import Action, Flaw, Manner, OperatorStep, ProviderStep, Step
from adapters.simulate.wire.base import Wire

PAST_CALLS_MAX = 64
"""How many accepted calls a player remembers for repeating them later."""

FINE_AMOUNTS = 0.1
"""Share of amounts that are finer than a subunit, where the wire can carry them."""

CUT, TWINS = 0.03, 0.03
"""Shares of calls that are cut off and repeated, and that are sent several times at once."""

FLAWS: dict[Flaw, str] = {
    "signature": "invalid_signature",
    "malformed": "malformed_request",
    "paid free bet": "bonus_error",
}
"""What each flaw is refused as."""

STAKES = {"EUR": (10, 500), "USD": (10, 500), "JPY": (10, 500), "KWD": (50, 2000)}
"""Lowest and highest ordinary stake in subunits."""


@dataclass(frozen=True, slots=True)
class Table:
    """One round of one game of an integration, played in a session."""

    wire: Wire
    session: Session
    game: str
    round_id: str

    @property
    def currency(self) -> str:
        """What is played in."""
        return self.session.currency


class Desk:
    """One player's side of everything: model, sessions, ids and chance."""

    def __init__(
        self, player_id: str, *, prefix: str, number: int, wires: Sequence[Wire], chance: Random
    ) -> None:
        """``prefix`` makes ids that no other player or run has; ``number`` likewise, in digits."""
        self.player_id = player_id
        self.chance = chance
        self.wires = wires
        self.book = Book(player_id, {wire.switches.name: wire.switches for wire in wires})
        self.sessions: list[Session] = []
        self.disabled_game = ""
        self.operator_abilities = frozenset({"limits"})
        self.alone = 0
        """Above 0 no other round and nothing else may come in between."""
        self._prefix = prefix
        self._number = number
        self._ids = 0
        self._past: list[ProviderStep] = []
        self._undone: set[tuple[str, str, str]] = set()

    def disable_game(self, game: str) -> None:
        """The operator has switched this game off in every integration."""
        self.disabled_game = game
        self.operator_abilities |= {"disabled game"}
        self.book.disabled_games = {(wire.switches.name, game) for wire in self.wires}

    # --- ids, places and amounts ----------------------------------------------------------------

    def fresh_id(self) -> str:
        """An id that was never used; one in eight consists of digits only."""
        self._ids += 1
        if self._ids % 8 == 0:
            return f"{self._number}{self._ids:06d}"
        return f"{self._prefix}-{self._ids}"

    def table(self, session: Session | None = None) -> Table:
        """A new round, somewhere."""
        session = session or self.chance.choice(self.sessions)
        wire = self.wire_of(session)
        game = f"sim::game-{self.chance.randrange(1, 6)}"
        return Table(wire, session, game, self.fresh_id())

    def wire_of(self, session: Session) -> Wire:
        """The integration of a session."""
        return next(wire for wire in self.wires if wire.switches.name == session.integration)

    def abilities(self, table: Table) -> frozenset[str]:
        """What can happen at the table: by its protocol, and by our operator token's rights."""
        return table.wire.abilities | self.operator_abilities

    def purse(self, table: Table) -> Purse:
        """The player's money in the table's currency."""
        return self.book.purses[table.currency]

    def amount(self, table: Table, factor: int = 1) -> int:
        """An ordinary amount, ``factor`` times as high at most."""
        low, high = STAKES[table.currency]
        unit = subunit(table.currency)
        amount = self.chance.randrange(low, high * factor) * unit
        smallest = table.wire.smallest(table.currency)
        if smallest < unit and self.chance.random() < FINE_AMOUNTS:
            amount += self.chance.randrange(1, unit) // smallest * smallest
        return amount

    # --- calls of providers ---------------------------------------------------------------------

    def stake(
        self, table: Table, amount: int | None = None, *, closes: bool = False
    ) -> Iterator[Step]:
        """An ordinary bet, after a deposit where the money is short. The bet is the last step."""
        wanted = self.amount(table) if amount is None else amount
        yield from self.fund(table.currency, wanted)
        yield self.bet(table, wanted, closes=closes)

    def fund(self, currency: str, amount: int) -> Iterator[Step]:
        """See to it that ``amount`` can be staked at once."""
        short = amount - self.book.purses[currency].total
        if short > 0:
            self.alone += 1
            yield self.money("deposit", currency, short + self.chance.randrange(5, 50) * 100_000)
            self.alone -= 1

    def bet(
        self,
        table: Table,
        amount: int,
        *,
        situation: str = "bet",
        closes: bool = False,
        tag: str = "",
        transaction_id: str = "",
    ) -> ProviderStep:
        """A bet as it is, funds or not."""
        call = self._call("bet", table, amount, transaction_id=transaction_id)
        return self.ask(situation, table, replace(call, closes_round=closes, tag=tag))

    def win(
        self,
        table: Table,
        amount: int,
        bet_id: str = "",
        *,
        situation: str = "win",
        closes: bool = False,
        tag: str = "",
    ) -> ProviderStep:
        """A win on the round; names the bet where the protocol does."""
        named = bet_id if table.wire.switches.wins_name_bets else ""
        call = self._call("win", table, amount, refers_to=named)
        return self.ask(situation, table, replace(call, closes_round=closes, tag=tag))

    def undo(
        self,
        table: Table,
        operation: Operation,
        original_id: str,
        amount: int,
        *,
        situation: str,
        closes: bool = False,
    ) -> ProviderStep:
        """Refund a bet or reverse a win; may bear the original's id where allowed."""
        shares_id = table.wire.switches.ids_per_operation and self.chance.random() < 0.5
        transaction_id = original_id if shares_id else ""
        if (table.wire.switches.name, operation, original_id) in self._undone:
            transaction_id = ""
        self._undone.add((table.wire.switches.name, operation, original_id))
        call = self._call(
            operation,
            table,
            amount if table.wire.amount_in_undo else 0,
            refers_to=original_id,
            transaction_id=transaction_id,
        )
        return self.ask(situation, table, replace(call, closes_round=closes))

    def balance(self, session: Session, *, situation: str = "balance") -> ProviderStep:
        """A balance call."""
        table = Table(self.wire_of(session), session, session.game, "")
        call = replace(self._call("balance", table, 0), transaction_id="")
        return self.ask(situation, table, call)

    def close(self, session: Session, *, situation: str) -> ProviderStep:
        """The provider ends its session."""
        table = Table(self.wire_of(session), session, session.game, "")
        call = replace(self._call("close_session", table, 0), transaction_id="")
        return self.ask(situation, table, call)

    def ask(
        self, situation: str, table: Table, call: Call, *, variation: int | None = None
    ) -> ProviderStep:
        """Let the model judge the call, and choose how it is sent."""
        outcome = self.book.apply(call)
        manner, copies = self._manner(call, outcome)
        step = ProviderStep(
            situation=situation,
            wire=table.wire,
            call=call,
            outcome=outcome,
            manner=manner,
            copies=copies,
            variation=self.chance.randrange(1000) if variation is None else variation,
        )
        if outcome.movement is not None and not outcome.replayed:
            self._remember(step)
        return step

    def flawed(self, situation: str, table: Table, call: Call, flaw: Flaw) -> ProviderStep:
        """A call that must be refused before anybody looks at what it wants."""
        refusal = FLAWS[flaw]
        return ProviderStep(
            situation=situation,
            wire=table.wire,
            call=call,
            outcome=Outcome(refusal=refusal),
            flaw=flaw,
            variation=self.chance.randrange(1000),
        )

    def past(self) -> ProviderStep | None:
        """Some accepted call of earlier."""
        return self.chance.choice(self._past) if self._past else None

    def again(self, situation: str, old: ProviderStep, call: Call) -> ProviderStep:
        """A call that has the id of an earlier one."""
        table = Table(old.wire, call.session, call.game, call.round_id)
        return self.ask(situation, table, call)

    def plain_call(self, table: Table, amount: int) -> Call:
        """A bet that was not judged yet: for making bad ones of it."""
        return self._call("bet", table, amount)

    def _call(
        self,
        operation: Operation,
        table: Table,
        amount: int,
        *,
        refers_to: str = "",
        transaction_id: str = "",
    ) -> Call:
        return Call(
            integration=table.wire.switches.name,
            operation=operation,
            player_id=self.player_id,
            session=table.session,
            currency=table.currency,
            game=table.game,
            round_id=table.round_id,
            transaction_id=transaction_id or self.fresh_id(),
            amount=amount,
            refers_to=refers_to,
        )

    def _manner(self, call: Call, outcome: Outcome) -> tuple[Manner, int]:
        """Only what is booked may be cut: its ghost, arriving later, repeats it, no more."""
        draw = self.chance.random()
        if call.operation == "close_session":
            return "plain", 1
        booked = outcome.movement is not None and call.operation != "balance"
        if booked and draw < CUT:
            return "cut", 1
        if 1 - draw < TWINS:
            return "twins", self.chance.randrange(2, 6)
        return "plain", 1

    def _remember(self, step: ProviderStep) -> None:
        if len(self._past) < PAST_CALLS_MAX:
            self._past.append(step)
        else:
            self._past[self.chance.randrange(PAST_CALLS_MAX)] = step

    # --- moves of the operator ------------------------------------------------------------------

    def money(
        self, action: Action, currency: str, amount: int, *, reference: str = ""
    ) -> OperatorStep:
        """Deposit, bonus, withdrawal, hold, or what becomes of a held withdrawal."""
        refusal: str | None = None
        match action:
            case "deposit":
                self.book.deposit(currency, amount)
            case "bonus":
                self.book.grant_bonus(currency, amount)
            case "bonus convert":
                self.book.convert_bonus(currency, amount)
            case "bonus forfeit":
                self.book.forfeit_bonus(currency, amount)
            case "withdrawal" | "hold":
                refusal = self.book.withdraw(currency, amount, hold=action == "hold")
            case "confirm":
                self.book.confirm(currency, amount)
            case "cancel":
                self.book.cancel(currency, amount)
            case _:
                raise AssertionError(action)
        return OperatorStep(
            situation="withdrawal refused" if refusal else action,
            action=action,
            currency=currency,
            amount=amount,
            reference=reference or self.fresh_id(),
            refusal=refusal,
            purse=replace(self.book.purses[currency]),
        )

    def register(self, currency: str) -> OperatorStep:
        """The player gets a wallet in the currency."""
        self.book.purses[currency] = Purse()
        return OperatorStep(situation="wallet opened", action="register", currency=currency)

    def block(self) -> OperatorStep:
        """The operator blocks the player."""
        self.book.blocked = True
        return OperatorStep(situation="player blocked", action="block")

    def unblock(self) -> OperatorStep:
        """The operator lets the player bet again."""
        self.book.blocked = False
        return OperatorStep(situation="player unblocked", action="unblock")

    def limit(self, currency: str, amount: int | None) -> OperatorStep:
        """The operator sets the highest bet, or takes the limit away."""
        self.book.max_bet.pop(currency, None)
        if amount is not None:
            self.book.max_bet[currency] = amount
        return OperatorStep(
            situation="limit set",
            action="limit",
            currency=currency,
            amount=-1 if amount is None else amount,
        )

    def repeated(self, step: OperatorStep) -> OperatorStep:
        """The same move once more: it must answer with what it did then."""
        return replace(step, situation=f"{step.action} repeated", replayed=True)

    def open_session(self, wire: Wire, currency: str) -> tuple[Session, OperatorStep]:
        """A session of the player's; its tokens are there once the step was carried out."""
        session = Session(wire.switches.name, "sim::game-1", currency)
        step = OperatorStep(
            situation="session opened", action="open session", wire=wire, session=session
        )
        return session, step

    def close_session(self, session: Session) -> OperatorStep:
        """The operator ends a session."""
        session.live = False
        return OperatorStep(situation="session closed", action="close session", session=session)
