"""What happens to a player, one thing at a time, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adapters.simulate.calls import Call, Outcome, Session
from adapters.simulate.model import Purse
from adapters.simulate.wire.base import Wire

Manner = Literal["plain", "cut", "twins"]
"""Sent once; sent without waiting for the answer and then again; sent several times at once."""

Flaw = Literal["none", "signature", "malformed", "paid free bet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStep:
    """A provider's call and the outcome that the model wants."""

    situation: str
    wire: Wire
    call: Call
    outcome: Outcome
    manner: Manner = "plain"
    copies: int = 1
    flaw: Flaw = "none"
    variation: int = 0


Action = Literal[
    "register",
    "open session",
    "close session",
    "deposit",
    "bonus",
    "bonus convert",
    "bonus forfeit",
    "withdrawal",
    "hold",
    "confirm",
    "cancel",
    "block",
    "unblock",
    "limit",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorStep:
    """A call of the operator API; ``purse`` is the wallet after it where money moves."""

    situation: str
    action: Action
    wire: Wire | None = None
    session: Session | None = None
    currency: str = ""
    amount: int = 0
    reference: str = ""
    refusal: str | None = None
    replayed: bool = False
    purse: Purse | None = None


Step = ProviderStep | OperatorStep
