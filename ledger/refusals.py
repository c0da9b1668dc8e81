"""The closed list of reasons for a refusal, in the order in which they are checked.

Adapters map every one of them to an answer of their own protocol; a refusal never moves money.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Refusal(Enum):
    """Why a call was refused.

    Declared in order of precedence: the first that holds is the answer (rule 2).
    """

    INVALID_SIGNATURE = "invalid_signature"
    MALFORMED_REQUEST = "malformed_request"
    DUPLICATE_CONFLICT = "duplicate_conflict"
    ALREADY_REVERSED = "already_reversed"
    UNKNOWN_PLAYER = "unknown_player"
    UNKNOWN_SESSION = "unknown_session"
    SESSION_EXPIRED = "session_expired"
    CURRENCY_MISMATCH = "currency_mismatch"
    PLAYER_BLOCKED = "player_blocked"
    GAME_DISABLED = "game_disabled"
    LIMIT_EXCEEDED = "limit_exceeded"
    REALITY_CHECK_DUE = "reality_check_due"
    ROUND_CLOSED = "round_closed"
    ORIGINAL_NOT_FOUND = "original_not_found"
    ORIGINAL_REVERSED = "original_reversed"
    ORIGINAL_SETTLED = "original_settled"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Refused(msgspec.Struct, frozen=True):
    """A refusal with a sentence for people.

    The sentence holds ids at most, never a token or a secret.
    """

    refusal: Refusal
    detail: str = ""
