"""A player's whole run: arrival, rounds (several open at once), and what comes in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from adapters.simulate.currencies import MAIN_UNIT, subunit
from adapters.simulate.desk import FINE_AMOUNTS, Desk
from adapters.simulate.plays import PLAYS
from adapters.simulate.steps import Action, OperatorStep, Step

OPEN_ROUNDS_MAX = 4

BETWEEN = 0.12
"""Share of turns in which something else happens than the next step of a round."""


def steps(desk: Desk, *, rounds: int, currencies: Sequence[str]) -> Iterator[Step]:
    """Everything that happens to the player, in order. It follows from the desk's chance alone."""
    yield from _arrive(desk, currencies)
    going: list[Iterator[Step]] = []
    current: Iterator[Step] | None = None
    while rounds or going:
        if not (desk.alone and current):
            if desk.chance.random() < BETWEEN:
                yield from _between(desk, currencies)
            if rounds and (not going or len(going) < desk.chance.randrange(1, OPEN_ROUNDS_MAX + 1)):
                going.append(_round(desk))
                rounds -= 1
            current = desk.chance.choice(going)
        step = next(current, None)
        if step is None:
            going.remove(current)
            current = None
        else:
            yield step


def _arrive(desk: Desk, currencies: Sequence[str]) -> Iterator[Step]:
    """Wallets, money (some of it bonus) and a session in every integration and currency."""
    for currency in currencies:
        yield desk.register(currency)
        yield desk.money("deposit", currency, _coins(desk, currency, 20, 200))
        if desk.chance.random() < 0.5:
            yield desk.money("bonus", currency, _coins(desk, currency, 5, 60))
        for wire in desk.wires:
            session, step = desk.open_session(wire, currency)
            yield step
            desk.sessions.append(session)


def _round(desk: Desk) -> Iterator[Step]:
    """Choose a place, and a play that its protocol can have."""
    table = desk.table()
    entries = [one for one in PLAYS if not one.needs or one.needs in desk.abilities(table)]
    (entry,) = desk.chance.choices(entries, [one.weight for one in entries])
    return entry.play(desk, table)


def _between(desk: Desk, currencies: Sequence[str]) -> Iterator[Step]:
    """A balance call, a repetition of something old, or the operator moves money."""
    draw = desk.chance.random()
    currency = desk.chance.choice(list(currencies))
    if draw < 0.3:
        yield desk.balance(desk.chance.choice(desk.sessions))
    elif draw < 0.55:
        yield from _repetition(desk)
    elif draw < 0.7:
        yield from _altered(desk)
    else:
        yield from _operator_move(desk, currency)


def _repetition(desk: Desk) -> Iterator[Step]:
    """Something that was booked long ago comes again, perhaps spelt differently."""
    old = desk.past()
    if old is not None:
        yield desk.again("duplicate later", old, old.call)


def _altered(desk: Desk) -> Iterator[Step]:
    """The id of something booked, with another content."""
    old = desk.past()
    if old is None:
        return
    call = old.call
    smallest = old.wire.smallest(call.currency)
    changes = [
        replace(call, round_id=desk.fresh_id()),
        replace(call, game="sim::another-game"),
    ]
    if call.operation in ("bet", "win") or old.wire.amount_in_undo:
        changes.append(replace(call, amount=call.amount + smallest, tag=""))
    if call.refers_to:
        changes.append(replace(call, refers_to=desk.fresh_id()))
    yield desk.again("same id with altered content", old, desk.chance.choice(changes))


def _operator_move(desk: Desk, currency: str) -> Iterator[Step]:
    """Deposits, bonuses and withdrawals of every kind, half of them asked for twice."""
    purse = desk.book.purses[currency]
    move: OperatorStep
    match desk.chance.randrange(6):
        case 0:
            move = desk.money("deposit", currency, _coins(desk, currency, 1, 20))
        case 1:
            move = desk.money("bonus", currency, _coins(desk, currency, 1, 10))
        case 2:
            move = desk.money("withdrawal", currency, max(purse.real // 10, 1))
        case 3:
            move = desk.money("withdrawal", currency, max(purse.real, 0) + 1)
        case 4 if purse.bonus > 1:
            end: Action = "bonus convert" if desk.chance.random() < 0.5 else "bonus forfeit"
            move = desk.money(end, currency, max(purse.bonus // 20, 1))
        case _:
            yield from _held_withdrawal(desk, currency)
            return
    yield move
    if move.refusal is None and desk.chance.random() < 0.5:
        yield desk.repeated(move)


def _held_withdrawal(desk: Desk, currency: str) -> Iterator[Step]:
    amount = max(desk.book.purses[currency].real // 10, 1)
    hold = desk.money("hold", currency, amount)
    yield hold
    if hold.refusal is None:
        end: Action = "confirm" if desk.chance.random() < 0.5 else "cancel"
        yield desk.money(end, currency, amount, reference=hold.reference)


def _coins(desk: Desk, currency: str, low: int, high: int) -> int:
    """Some money, now and then finer than a subunit; more of it where the coins are small."""
    factor = 100 if currency == "JPY" else 1
    amount = desk.chance.randrange(low * factor * MAIN_UNIT, high * factor * MAIN_UNIT)
    if desk.chance.random() < FINE_AMOUNTS:
        return amount
    return (amount // subunit(currency) + 1) * subunit(currency)
