"""The reckoning: what the ledger says of every player at the end, against the model."""

from __future__ import annotations

from typing import Any

from adapters.simulate.currencies import main_units, parse
from adapters.simulate.model import Book, Purse
from adapters.simulate.operator_api import Operator
from adapters.simulate.tally import Tally


async def check_player(operator: Operator, book: Book, tally: Tally) -> None:
    """Compare the player's wallets and open rounds with the model's."""
    name = f"GET player {book.player_id}"
    try:
        player = await operator.player(book.player_id)
        got = {wallet["currency"]: _purse(wallet) for wallet in player["wallets"]}
        rounds = open_rounds(player["open_rounds"])
    except (ValueError, KeyError, TypeError) as error:
        tally.differ(book.player_id, name, "a player", error)
        return
    if got != book.purses:
        tally.differ(book.player_id, name, _spelt(book.purses), _spelt(got))
    expected = len(book.open_rounds())
    if rounds != expected:
        tally.differ(book.player_id, f"{name} open_rounds", str(expected), rounds)
    wanted = "blocked" if book.blocked else "active"
    if player["status"] != wanted:
        tally.differ(book.player_id, f"{name} status", wanted, player["status"])


async def check_events(operator: Operator, book: Book, tally: Tally) -> None:
    """The player's events have versions 1..n, and their sums are the balances."""
    name = f"GET events of {book.player_id}"
    try:
        events = await operator.events(book.player_id)
        sums = _sums(events)
    except (ValueError, KeyError, TypeError) as error:
        tally.differ(book.player_id, name, "pages of events", error)
        return
    tally.events += len(events)
    versions = [event["version"] for event in events]
    if versions != list(range(1, len(events) + 1)):
        gap = next(i for i, version in enumerate(versions, 1) if version != i)
        tally.differ(book.player_id, name, f"version {gap}", versions[gap - 1])
    expected = {currency: (one.real, one.bonus) for currency, one in book.purses.items()}
    got = {currency: sums.get(currency, (0, 0)) for currency in expected}
    if got != expected or sums.keys() - expected.keys():
        tally.differ(book.player_id, f"{name}: sums", str(expected), sums)


def open_rounds(value: object) -> int:
    """How many there are. Raises TypeError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"open_rounds is {value!r}")


def _sums(events: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    sums: dict[str, tuple[int, int]] = {}
    for event in events:
        if event.get("real") is None or event.get("currency") is None:
            continue
        real, bonus = sums.get(event["currency"], (0, 0))
        real, bonus = real + parse(event["real"]), bonus + parse(event["bonus"])
        sums[event["currency"]] = (real, bonus)
        balance = event["balance"]
        if balance is None and not parse(event["real"]) and not parse(event["bonus"]):
            continue  # nothing that moves money
        if (parse(balance["real"]), parse(balance["bonus"])) != (real, bonus):
            raise ValueError(f"version {event['version']}: the balance is not the sum so far")
    return sums


def _purse(wallet: dict[str, Any]) -> Purse:
    purse = Purse(
        real=parse(wallet["real"]), bonus=parse(wallet["bonus"]), held=parse(wallet["held"])
    )
    if parse(wallet["total"]) != purse.total:
        raise ValueError(f"total is not real + bonus: {wallet}")
    return purse


def _spelt(purses: dict[str, Purse]) -> str:
    return ", ".join(
        f"{currency} real {main_units(one.real)} bonus {main_units(one.bonus)}"
        f" held {main_units(one.held)}"
        for currency, one in sorted(purses.items())
    )
