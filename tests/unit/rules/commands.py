"""Commands made up from small pools, so that ids, rounds and sessions meet again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import msgspec

from ledger import commands as c

T = TypeVar("T")

SEATS = (
    ("p1", "a", "EUR", "s1"),
    ("p1", "a", "EUR", "s1"),
    ("p1", "a", "EUR", "s2"),
    ("p1", "a", "JPY", "s3"),
    ("p1", "b", "EUR", "s4"),
    ("p2", "a", "EUR", "s5"),
)
"""Who plays where, in what currency, with which session."""

PLAYERS = ("p1", "p1", "p1", "p2")
INTEGRATIONS = ("a", "b")
CURRENCIES = ("EUR", "EUR", "JPY", "USD")
SESSIONS = ("s1", "s2", "s3", "s4", "s5", "unknown")
AMOUNTS = (0, 1, 3, 7, 10, 25, 40, 90, 1000)
GAMES = ("slot", "slot", "slot", "slot", "slot", "dice")
PAUSES_S = (0, 0, 0, 0, 0, 1, 1, 60, 600, 7200, 90_000, -30)

GAME_KINDS = (
    *[c.PlaceBet] * 7,
    *[c.CreditWin] * 5,
    *[c.RefundBet] * 3,
    *[c.ReverseWin] * 2,
    *[c.RollbackMovement] * 2,
    c.CloseRound,
    c.CloseRound,
)
MONEY_KINDS = (
    c.Deposit,
    c.Deposit,
    c.Withdraw,
    c.GrantBonus,
    c.ConvertBonus,
    c.ForfeitBonus,
    c.AdjustBalance,
    c.ConfirmWithdrawal,
    c.CancelWithdrawal,
)
OTHER_KINDS = (
    c.RegisterPlayer,
    c.OpenSession,
    c.OpenSession,
    c.OpenSession,
    c.CloseSession,
    c.BlockPlayer,
    c.UnblockPlayer,
    c.UnblockPlayer,
    c.AcknowledgeRealityCheck,
    c.SetLimits,
    c.SetLimits,
    c.ReadBalance,
    c.ReadPlayer,
)


_NAMED: dict[type[Any], tuple[type[Any], ...]] = {
    c.CreditWin: (c.PlaceBet,),
    c.RefundBet: (c.PlaceBet,),
    c.ReverseWin: (c.CreditWin,),
}
"""What a command mostly refers to."""


class Choose(Protocol):
    """Picks one of several: Hypothesis or a seeded generator."""

    def __call__(self, options: Sequence[T], /) -> T:
        """One of the options."""
        ...


class Maker:
    """Makes commands; ids are new, or among the last few."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._made = 0
        self._sessions = 0
        self._sent: list[Any] = []

    def pause(self) -> timedelta:
        """How far the clock goes, sometimes back."""
        return timedelta(seconds=self._choose(PAUSES_S))

    def game_name(self) -> str:
        """One of the games."""
        return self._choose(GAMES)

    def command(self) -> c.Command:
        """A command of any kind."""
        self._made += 1
        family = self._choose("ggggggggmmmo")
        if family == "g":
            made = self._game(self._choose(GAME_KINDS))
        elif family == "m":
            made = self._money(self._choose(MONEY_KINDS))
        else:
            made = self._other(self._choose(OTHER_KINDS))
        self._sent.append(made)
        return made

    def _earlier(self, *kinds: type[Any]) -> Any:
        """One of the last few commands of these kinds, None if there was none."""
        earlier = [sent for sent in self._sent if isinstance(sent, kinds)]
        return self._choose(earlier[-6:]) if earlier else None

    def _mostly(self, usual: T, others: Sequence[T]) -> T:
        return usual if self._choose(range(12)) else self._choose(others)

    def _recent_key(self) -> str:
        return f"k{max(self._made - self._choose(range(10)), 0)}"

    def _key(self) -> str:
        return self._mostly(f"k{self._made}", [self._recent_key()])

    def _round(self) -> str:
        return f"r{self._made // 8 - self._choose((0, 0, 0, 1, 2, 5))}"

    def _policy(self) -> c.Policy:
        choose = self._choose
        return c.Policy(
            session_ttl_s=choose((10**7, 10**7, 10**7, 3600)),
            late_bet=choose(("refuse", "accept")),
            late_win=choose(("refuse", "accept")),
            reversal_shortfall=choose(("negative", "clamp", "refuse")),
            stake_order=choose(("real_first", "bonus_first")),
        )

    def _game(self, kind: type[Any]) -> c.Command:
        choose = self._choose
        player, integration, currency, session = choose(SEATS)
        key, round_id, original_key = self._key(), self._round(), self._recent_key()
        named = self._earlier(*_NAMED.get(kind, (c.PlaceBet, c.CreditWin)))
        if named is not None and kind is not c.PlaceBet and choose(range(6)):
            player, integration, currency = named.player_id, named.integration, named.currency
            session, round_id, original_key = named.session, named.round_id, named.key
        elif kind is c.PlaceBet and choose(range(8)) == 0:
            reversal = self._earlier(c.Reversal)
            key = reversal.original_key if reversal else key
        fields: dict[str, Any] = {
            "player_id": self._mostly(player, ("p1", "p2", "p3")),
            "integration": self._mostly(integration, INTEGRATIONS),
            "operation": kind.__name__,
            "key": key,
            "transaction_id": key,
            "policy": self._policy(),
            "session": self._mostly(session, SESSIONS),
            "game": choose(GAMES),
            "round_id": self._mostly(round_id, [self._round()]) or self._round(),
            "currency": self._mostly(currency, CURRENCIES) or "EUR",
            "closes_round": choose((False, False, True)),
        }
        if kind is c.PlaceBet:
            round_id = fields["round_id"]
            fields |= {"amount": choose(AMOUNTS), "round_id": choose((None, *[round_id] * 7))}
        elif kind is c.CreditWin:
            fields |= {
                "amount": choose(AMOUNTS),
                "bet_key": choose((None, original_key)),
                "session": choose((None, fields["session"])),
                "round_id": choose((None, fields["round_id"], fields["round_id"], key)),
                "tags": choose(({}, {}, {}, {"jackpot": True}, {"campaign": "x"})),
            }
        elif issubclass(kind, c.Reversal):
            fields |= {
                "original_key": self._mostly(original_key, [f"lost-{key}"]),
                "amount": choose((None, None, *AMOUNTS)),
                "currency": choose((None, fields["currency"])),
                "session": choose((None, fields["session"])),
                "round_id": choose((None, fields["round_id"])),
                "acknowledged": kind is c.RefundBet and choose((False, True)),
            }
        built: c.Command = kind(**fields)
        return built

    def _money(self, kind: type[Any]) -> c.Command:
        choose = self._choose
        key = self._key()
        fields: dict[str, Any] = {
            "player_id": choose(PLAYERS),
            "operation": kind.__name__,
            "key": key,
            "transaction_id": key,
        }
        if issubclass(kind, c.SettleWithdrawal):
            held = self._earlier(c.Withdraw)
            fields["withdrawal_key"] = self._recent_key()
            if held is not None and choose(range(6)):
                fields |= {"withdrawal_key": held.key, "player_id": held.player_id}
        else:
            fields |= {"amount": choose(AMOUNTS), "currency": choose(CURRENCIES)}
        if kind is c.Withdraw:
            fields["hold"] = choose((False, True, True))
        if kind is c.AdjustBalance:
            fields["amount"] *= choose((1, -1))
        built: c.Command = kind(**fields)
        return built

    def _other(self, kind: type[Any]) -> c.Command:
        fields: dict[str, Any] = {"player_id": self._mostly(self._choose(PLAYERS), ("p3",))}
        built: c.Command
        builders: dict[type[Any], Callable[[], dict[str, Any]]] = {
            c.RegisterPlayer: self._register,
            c.OpenSession: self._open_session,
            c.CloseSession: self._close_session,
            c.SetLimits: self._limits,
            c.ReadBalance: self._read_balance,
        }
        build = builders.get(kind)
        built = kind(**fields | (build() if build else {}))
        return built

    def _register(self) -> dict[str, Any]:
        return {"currency": self._choose(CURRENCIES)}

    def _open_session(self) -> dict[str, Any]:
        """A token is minted for one player, integration and currency: it never returns."""
        player, integration, currency, session = self._choose(SEATS)
        self._sessions += 1
        return {
            "player_id": player,
            "session": self._mostly(f"s{5 + self._sessions}", (session,)),
            "integration": integration,
            "currency": self._mostly(currency, CURRENCIES),
            "game": "slot",
            "parent": self._choose((None, *SESSIONS)),
            "policy": self._policy(),
        }

    def _close_session(self) -> dict[str, Any]:
        return {
            "session": self._choose((*(f"s{n}" for n in range(6, 7 + self._sessions)), *SESSIONS)),
            "integration": self._choose((c.OPERATOR, *INTEGRATIONS)),
            "with_children": self._choose((True, False)),
            "strict": self._choose((True, False)),
        }

    def _limits(self) -> dict[str, Any]:
        names = ("max_bet", "loss_limit_day", "loss_limit_week", "loss_limit_month")
        fields: dict[str, Any] = {
            name: self._choose((msgspec.UNSET, None, 20, 80)) for name in names
        }
        fields["reality_check_min"] = self._choose((msgspec.UNSET, None, None, 5, 100))
        fields["currency"] = self._choose((None, *CURRENCIES))
        return fields

    def _read_balance(self) -> dict[str, Any]:
        _, integration, currency, session = self._choose(SEATS)
        return {
            "integration": self._mostly(integration, INTEGRATIONS),
            "session": session,
            "policy": self._policy(),
            "currency": self._choose((None, currency, "USD")),
        }


def opening() -> list[c.Command]:
    """What every sequence begins with, so that most of it can succeed.

    Two players with money in two currencies; p1 plays with both providers.
    """

    def session(token: str, player: str, integration: str, currency: str) -> c.Command:
        return c.OpenSession(
            player_id=player, session=token, integration=integration, game="slot", currency=currency
        )

    def money(kind: type[Any], player: str, currency: str, amount: int) -> c.Command:
        key = f"start-{kind.__name__}-{player}-{currency}"
        built: c.Command = kind(
            player_id=player,
            operation=kind.__name__,
            key=key,
            transaction_id=key,
            amount=amount,
            currency=currency,
        )
        return built

    return [
        c.RegisterPlayer(player_id="p1", currency="EUR"),
        c.RegisterPlayer(player_id="p1", currency="JPY"),
        c.RegisterPlayer(player_id="p2", currency="EUR"),
        money(c.Deposit, "p1", "EUR", 50),
        money(c.GrantBonus, "p1", "EUR", 40),
        money(c.Deposit, "p1", "JPY", 50),
        money(c.Deposit, "p2", "EUR", 50),
        session("s1", "p1", "a", "EUR"),
        session("s2", "p1", "a", "EUR"),
        session("s3", "p1", "a", "JPY"),
        session("s4", "p1", "b", "EUR"),
        session("s5", "p2", "a", "EUR"),
    ]
