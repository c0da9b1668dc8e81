"""What a run must have come across: it proves nothing about a situation that stayed at zero."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.simulate.wire.base import Wire

VACUITY_ROUNDS_MIN = 2000
"""In shorter runs a rare situation may be missing by chance."""

ALWAYS = frozenset(
    {
        "balance",
        "balance of a blocked player",
        "balance of an expired session",
        "bad signature",
        "bet",
        "bet after its refund",
        "bet after the round closed",
        "bet in an expired session",
        "bet of a blocked player",
        "bet over the limit",
        "bonus",
        "bonus convert",
        "bonus forfeit",
        "bonus convert repeated",
        "bonus forfeit repeated",
        "bonus repeated",
        "cancel",
        "confirm",
        "deposit",
        "deposit repeated",
        "duplicate later",
        "exactly enough funds",
        "free spin",
        "hold",
        "limit set",
        "lost round",
        "malformed body",
        "one unit short of funds",
        "player blocked",
        "player unblocked",
        "refund",
        "refund after the win",
        "refund again under another id",
        "refund before its bet",
        "refund in an expired session",
        "refund of a blocked player",
        "refund of one of two bets",
        "retry after a lost answer",
        "round of several bets",
        "round of several wins",
        "same id with altered content",
        "session closed",
        "session opened",
        "the same call several times at once",
        "unknown session",
        "wallet opened",
        "win",
        "win after the round closed",
        "win in an expired session",
        "win of a blocked player",
        "win on a refunded bet",
        "win on a round without a bet",
        "withdrawal",
        "withdrawal refused",
        "withdrawal repeated",
    }
)
"""Situations that every protocol can bring about, and the operator's moves."""

OF_ABILITIES = {
    "session closed by the provider": (
        "session closed by the provider",
        "closed session closed again",
    ),
    "win taken back": (
        "spent win taken back",
        "win taken back",
        "win taken back again under another id",
    ),
}
"""Situations of an ability, where they are not just called as it is."""


def enabled(wires: Iterable[Wire], *, is_admin: bool) -> frozenset[str]:
    """Every situation that a run with these integrations and rights has to meet."""
    abilities = frozenset().union(*(wire.abilities for wire in wires))
    if is_admin:
        abilities |= {"disabled game"}
    met = [OF_ABILITIES.get(ability, (ability,)) for ability in abilities]
    return ALWAYS.union(*met)
