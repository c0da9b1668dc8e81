"""A log judged by the rules alone: it folds nothing that the ledger folds, and trusts no answer.

Every event is held against all that came before it. What must never be is listed in plain words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from ledger import events as e
from ledger.chain import GENESIS, HASH_SIZE, link
from ledger.codec import open_state
from ledger.store import EventRow

BETLESS = {"promo", "free_spin", "tournament", "jackpot"}


@dataclass
class _Round:
    currency: str
    bets: dict[str, e.BetPlaced] = field(default_factory=dict)
    wins: dict[str, e.WinCredited] = field(default_factory=dict)
    settled_by: dict[str, set[str]] = field(default_factory=dict)
    """The bets that each win settles (rule 9)."""
    undone: set[str] = field(default_factory=set)
    closed: bool = False

    def settled(self, bet_key: str) -> bool:
        return any(
            bet_key in bets for win, bets in self.settled_by.items() if win not in self.undone
        )

    def standing(self) -> list[e.BetPlaced]:
        return [bet for key, bet in self.bets.items() if key not in self.undone]


@dataclass
class _Player:
    registered: bool = False
    blocked: bool = False
    at: datetime | None = None
    wallets: dict[str, tuple[int, int]] = field(default_factory=dict)
    sessions: dict[str, e.SessionOpened] = field(default_factory=dict)
    closed_sessions: set[str] = field(default_factory=set)
    holds: dict[str, e.WithdrawalHeld] = field(default_factory=dict)
    limits: dict[str, e.LimitsSet] = field(default_factory=dict)
    lost: Counter[tuple[str, date]] = field(default_factory=Counter)
    rounds: dict[tuple[str, str | None], _Round] = field(default_factory=dict)
    round_of: dict[tuple[str, str], str | None] = field(default_factory=dict)
    tombstones: set[tuple[str, str]] = field(default_factory=set)


class Audit:
    """Reads commits from the first on; ``wrong`` is what must never be, ``seen`` what there was."""

    def __init__(self, commits: Iterable[Sequence[EventRow]]) -> None:
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()
        self.keys: dict[tuple[str, str], e.Movement] = {}
        self.events: dict[tuple[str, int], e.Event] = {}
        self.wallets: dict[tuple[str, int], dict[str, tuple[int, int]]] = {}
        """Real and bonus money by currency as they stood at each version of a player's stream."""
        self._tombstones: set[tuple[str, str]] = set()
        self._hashes: dict[str, tuple[int, bytes]] = {}
        self._players: dict[str, _Player] = {}
        self._enabled: dict[tuple[str, str], bool] = {}
        self._where = ""
        for commit in commits:
            self._commit(commit)

    def _commit(self, commit: Sequence[EventRow]) -> None:
        """A game is switched for what stands behind it in the log, in its own commit, too."""
        for row in commit:
            event = self._event(row)
            if isinstance(event, e.GameEnabled | e.GameDisabled):
                self._enabled[event.integration, event.game] = isinstance(event, e.GameEnabled)
            else:
                player = self._players.setdefault(row.stream, _Player())
                self._player_event(player, event)
                self.wallets[row.stream, row.version] = dict(player.wallets)

    def _must(self, holds: object, what: str) -> None:
        if not holds:
            self.wrong.append(f"{what}: {self._where}")

    def _event(self, row: EventRow) -> e.Event:
        self._where = f"{row.stream} {row.version} {row.topic}"
        self.seen[row.topic] += 1
        version, previous = self._hashes.get(row.stream, (0, GENESIS))
        digest, event = open_state(row.topic, row.state)
        expected = link(previous, row.stream, row.version, row.topic, row.state[HASH_SIZE:])
        self._must(row.version == version + 1, "a gap in the stream")
        self._must(digest == expected, "the chain of hashes is broken")
        self._hashes[row.stream] = row.version, digest
        self.events[row.stream, row.version] = event
        return event

    def _player_event(self, player: _Player, event: e.Event) -> None:
        self._must(player.at is None or event.recorded_at >= player.at, "time went back")
        player.at = event.recorded_at
        registers = isinstance(event, e.PlayerRegistered)
        self._must(player.registered is not registers, "nobody registered, or somebody twice")
        match event:
            case e.PlayerRegistered():
                player.registered = True
            case e.WalletOpened():
                self._must(event.currency not in player.wallets, "a wallet opened twice")
                player.wallets[event.currency] = 0, 0
            case e.SessionOpened():
                self._must(event.session not in player.sessions, "a session opened twice")
                player.sessions[event.session] = event
            case e.SessionClosed():
                opened = player.sessions.keys() - player.closed_sessions
                self._must(event.session in opened, "a session closed that was not open")
                player.closed_sessions.add(event.session)
            case e.PlayerBlocked() | e.PlayerUnblocked():
                blocks = isinstance(event, e.PlayerBlocked)
                self._must(player.blocked is not blocks, "a block that changes nothing")
                player.blocked = blocks
            case e.LimitsSet():
                player.limits[event.currency or ""] = event
            case e.Movement():
                self._movement(player, event)
            case _:
                self._must(isinstance(event, e.RealityCheckAcknowledged), "an unknown event")

    # --- money ---------------------------------------------------------------

    def _movement(self, player: _Player, event: e.Movement) -> None:
        key = (event.integration, event.key)
        self._must(key not in self.keys, "a key used twice")
        self._must(key not in self._tombstones, "a key used that a tombstone keeps out")
        before = player.wallets.get(event.currency)
        self._must(before is not None, "a movement without a wallet")
        real, bonus = before or (0, 0)
        if isinstance(event, e.GameMovement):
            self._game(player, event)
        elif isinstance(event, e.WithdrawalHeld):
            player.holds[event.key] = event
        elif isinstance(event, e.WithdrawalConfirmed | e.WithdrawalCancelled):
            self._settle(player, event)
        after = (real + event.real, bonus + event.bonus)
        self._must(after == (event.balance_real, event.balance_bonus), "the balances do not chain")
        self._must(event.balance_bonus >= 0, "bonus money below zero")
        self._must(
            event.balance_real >= min(real, 0) or isinstance(event, e.WinReversed),
            "real money below zero, and nothing was reversed",
        )
        player.wallets[event.currency] = after
        self.keys[key] = event

    def _settle(
        self, player: _Player, event: e.WithdrawalConfirmed | e.WithdrawalCancelled
    ) -> None:
        hold = player.holds.pop(event.refers_to, None)
        self._must(hold is not None, "a withdrawal settled that is not held")
        if hold is not None:
            back = -hold.real if isinstance(event, e.WithdrawalCancelled) else 0
            self._must((event.held, event.real) == (hold.real, back), "not what was held")

    # --- the game ---------------------------------------------------------------

    def _game(self, player: _Player, event: e.GameMovement) -> None:
        if isinstance(event, e.RefundTombstoned):
            original = (event.integration, event.refers_to)
            self._must(not event.real and not event.bonus, "a tombstone that moves money")
            used = original in self.keys or original in self._tombstones
            self._must(used is not event.keeps_out, "a tombstone for a key that was used, or none")
            if event.keeps_out:
                player.tombstones.add(original)
                if event.refers_to != event.key:
                    self._tombstones.add(original)
            if not event.closes_round:
                return
        name = (event.integration, event.round_id)
        self._must(event.opens_round == (name not in player.rounds), "opens_round is wrong")
        found = player.rounds.setdefault(name, _Round(event.currency))
        self._must(found.currency == event.currency, "two currencies in a round")
        match event:
            case e.BetPlaced():
                self._bet(player, found, event)
            case e.WinCredited():
                self._win(player, found, event)
            case e.BetRefunded():
                self._refund(found, event)
            case e.WinReversed():
                self._reversal(found, event)
            case e.RefundRepeated() | e.WinReversalRepeated():
                kept = found.bets if isinstance(event, e.RefundRepeated) else found.wins
                self._must(event.refers_to in kept, "a repetition, and not of this round")
                self._must(event.refers_to in found.undone, "a repetition of what never was")
                self._must(not event.real and not event.bonus, "a repetition that moves money")
            case _:
                self._must(event.closes_round, "a round closed that was closed")
        self._must(not (event.closes_round and found.closed), "a round closed twice")
        found.closed |= event.closes_round
        player.lost[event.currency, event.recorded_at.date()] -= event.real + event.bonus

    def _bet(self, player: _Player, found: _Round, event: e.BetPlaced) -> None:
        stake = -(event.real + event.bonus)
        session = player.sessions.get(event.session or "")
        self._must(not found.closed, "a bet in a closed round")
        self._must(not player.blocked, "a bet of a blocked player")
        enabled = self._enabled.get((event.integration, event.game or ""), True)
        self._must(enabled, "a bet on a disabled game")
        self._must(event.session not in player.closed_sessions, "a bet in a closed session")
        self._must(
            session
            and (session.integration, session.currency) == (event.integration, event.currency),
            "a bet outside of its session",
        )
        self._must(event.real <= 0 and event.bonus <= 0, "a stake that gives")
        self._must(not event.real or event.balance_real >= 0, "a stake from what is not there")
        limits = player.limits.get(event.currency)
        if limits is not None and stake:
            lost = player.lost[event.currency, event.recorded_at.date()]
            self._must(stake <= _or(limits.max_bet, stake), "a stake beyond the limit")
            most = _or(limits.loss_limit_day, lost + stake)
            self._must(lost + stake <= most, "a loss beyond the day's limit")
        found.bets[event.key] = event
        player.round_of[event.integration, event.key] = event.round_id

    def _win(self, player: _Player, found: _Round, event: e.WinCredited) -> None:
        bet_key = event.refers_to
        named = [key for key in found.bets if bet_key in (None, key)]
        late = "late_win" in event.exceptions
        self._must(late == found.closed, "a late win that is not listed, or a listed one in time")
        if named:
            self._must(set(named) - found.undone, "a win of refunded bets")
        else:
            unbound = event.opens_round and event.closes_round and bet_key is None
            self._must(unbound or BETLESS & event.tags.keys(), "a win without a bet")
            standing = set(found.bets) - found.undone
            self._must(standing or not found.bets, "a win in a refunded round")
        if bet_key is not None:
            original = (event.integration, bet_key)
            self._must(
                original not in player.tombstones, "a win of a bet that a tombstone keeps out"
            )
            bet_round = player.round_of.get(original, event.round_id)
            self._must(bet_round == event.round_id, "a win in another round than its bet's")
        staked = -sum(bet.real + bet.bonus for bet in found.standing())
        amount, share = event.real + event.bonus, -sum(bet.bonus for bet in found.standing())
        self._must(
            event.bonus == (amount * share // staked if staked else 0), "a win split wrongly"
        )
        settles = set(found.bets) if bet_key is None or event.closes_round else set()
        found.settled_by[event.key] = settles | ({bet_key} if bet_key is not None else set())
        found.wins[event.key] = event

    def _refund(self, found: _Round, event: e.BetRefunded) -> None:
        bet = found.bets.get(event.refers_to)
        self._must(bet is not None, "a refund, and no such bet in the round")
        self._must(event.refers_to not in found.undone, "a bet refunded twice")
        self._must(not found.settled(event.refers_to), "a refund of a settled bet")
        if bet is not None:
            split = (-bet.real, -bet.bonus)
            self._must((event.real, event.bonus) == split, "a refund that is not the bet's stake")
        found.undone.add(event.refers_to)

    def _reversal(self, found: _Round, event: e.WinReversed) -> None:
        win = found.wins.get(event.refers_to)
        self._must(win is not None, "a reversal, and no such win in the round")
        self._must(event.refers_to not in found.undone, "a win reversed twice")
        if win is not None:
            amount, taken = win.real + win.bonus, -(event.real + event.bonus)
            expected = (amount, amount - event.shortfall)
            self._must(taken in expected, "a reversal that is not the win's amount")
        found.undone.add(event.refers_to)


def _or(limit: int | None, otherwise: int) -> int:
    return otherwise if limit is None else limit
