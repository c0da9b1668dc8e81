"""Who may call the operator API: bearer tokens with a role, compared by hash in constant time.

A missing, a wrong and an expired token cost the same and get the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from adapters.operator.problems import ProblemFound
from adapters.settings import OperatorToken, Role

RANKS: Final[dict[Role, int]] = {"viewer": 1, "operator": 2, "admin": 3}
"""A role may do whatever a lower one may."""

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="wallet-ledger"'}


def utc_now() -> datetime:
    """The time by the system's clock, in UTC."""
    return datetime.now(UTC)


class Gate:
    """Lets a call in or ends it as unauthorized or forbidden."""

    def __init__(
        self, tokens: Sequence[OperatorToken], clock: Callable[[], datetime] = utc_now
    ) -> None:
        """``clock`` tells the time in UTC, for the tokens' expiry."""
        self._tokens = tuple(tokens)
        self._clock = clock

    def identify(self, authorization: str | None) -> OperatorToken:
        """The token that the ``Authorization`` header carries.

        Raises `ProblemFound` (unauthorized).
        """
        scheme, _, text = (authorization or "").partition(" ")
        presented = sha256(text.strip().encode(errors="surrogateescape")).digest()
        found = None
        for token in self._tokens:  # all of them, found or not: the time taken tells nothing
            if compare_digest(token.token.sha256, presented):
                found = token
        if found is None or scheme.lower() != "bearer" or self._expired(found):
            raise ProblemFound("unauthorized", "a valid bearer token is required", _CHALLENGE)
        return found

    def admit(self, token: OperatorToken, role: Role) -> None:
        """Check that the token's role reaches ``role``. Raises `ProblemFound` (forbidden)."""
        if RANKS[token.role] < RANKS[role]:
            raise ProblemFound("forbidden", f"this needs the role {role}")

    def _expired(self, token: OperatorToken) -> bool:
        return token.expires is not None and token.expires <= self._clock()
