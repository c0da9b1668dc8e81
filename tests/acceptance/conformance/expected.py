"""The table of refusals, as the protocols have it: refusal by provider to HTTP status and code.

A key is the refusal, or refusal and operation where an operation has a code of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Table = Mapping[str | tuple[str, str], tuple[int, Any]]

BETBROTHERS: Table = {
    "invalid_signature": (403, 403),
    "malformed_request": (400, 400),
    ("duplicate_conflict", "bet"): (408, 408),
    "duplicate_conflict": (406, 406),
    "already_reversed": (408, 408),
    "unknown_player": (404, 404),
    "unknown_session": (404, 404),
    "session_expired": (404, 404),
    "currency_mismatch": (400, 400),
    "player_blocked": (407, 407),
    "game_disabled": (405, 405),
    "limit_exceeded": (418, 418),
    "reality_check_due": (418, 418),
    ("round_closed", "bet"): (408, 408),
    "round_closed": (406, 406),
    "original_not_found": (406, 406),
    "original_reversed": (406, 406),
    "original_settled": (406, 406),
    "insufficient_funds": (402, 402),
    "unavailable": (503, 503),
    "internal": (500, 500),
}

MARBLES: Table = {
    "invalid_signature": (200, "INVALID_SIGNATURE"),
    "malformed_request": (200, "UNKNOWN_ERROR"),
    "duplicate_conflict": (200, "DUPLICATE_TRANSACTION_ERROR"),
    "already_reversed": (200, "UNKNOWN_ERROR"),
    ("unknown_player", "balance"): (200, "PLAYER_NOT_FOUND_ERROR"),
    "unknown_player": (200, "UNKNOWN_ERROR"),
    ("unknown_session", "balance"): (200, "SESSION_NOT_FOUND_ERROR"),
    "unknown_session": (200, "UNKNOWN_ERROR"),
    ("session_expired", "balance"): (200, "SESSION_EXPIRED_ERROR"),
    "session_expired": (200, "UNKNOWN_ERROR"),
    "currency_mismatch": (200, "UNKNOWN_ERROR"),
    "player_blocked": (200, "UNKNOWN_ERROR"),
    "game_disabled": (200, "UNKNOWN_ERROR"),
    "limit_exceeded": (200, "BET_LIMIT_REACHED_ERROR"),
    "reality_check_due": (200, "BET_LIMIT_REACHED_ERROR"),
    "round_closed": (200, "UNKNOWN_ERROR"),
    ("original_not_found", "rollback"): (200, None),
    "original_not_found": (200, "UNKNOWN_ERROR"),
    "original_reversed": (200, "UNKNOWN_ERROR"),
    "original_settled": (200, "UNKNOWN_ERROR"),
    "insufficient_funds": (200, "INSUFFICIENT_BALANCE_ERROR"),
    "unavailable": (503, "UNKNOWN_ERROR"),
    "internal": (500, "UNKNOWN_ERROR"),
}

GPAS: Table = {
    "invalid_signature": (400, (1006, "SIGNATURE_FAILED")),
    "malformed_request": (400, (1010, "VALIDATION_ERROR")),
    "duplicate_conflict": (400, (1003, "DUPLICATE_TX_ID")),
    "already_reversed": (400, (1010, "TX_ROLLED_BACK")),
    "unknown_player": (400, (1005, "INVALID_WALLET_ID")),
    "unknown_session": (400, (1004, "INVALID_WALLET_SESSION")),
    "session_expired": (400, (1004, "INVALID_WALLET_SESSION")),
    "currency_mismatch": (400, (1010, "CURRENCY_ERROR")),
    "player_blocked": (400, (1008, "USER_BLOCKED")),
    "game_disabled": (400, (1009, "INVALID_GAME_ID")),
    "limit_exceeded": (400, (1010, "LIMIT_EXCEEDED")),
    "reality_check_due": (400, (1010, "REALITY_CHECK")),
    "round_closed": (400, (1010, "ROUND_CLOSED")),
    "original_not_found": (400, (1002, "INVALID_TX_ID")),
    "original_reversed": (400, (1010, "TX_ROLLED_BACK")),
    "original_settled": (400, (1010, "TX_SETTLED")),
    "insufficient_funds": (400, (1007, "INSUFFICIENT_FUNDS")),
    "unavailable": (500, (1001, "SYSTEM_ERROR")),
    "internal": (500, (1001, "SYSTEM_ERROR")),
}

FIZZYBUBBLY: Table = {
    "invalid_signature": (401, "ERROR_INVALID_SIGNATURE"),
    "malformed_request": (400, "ERROR_BAD_REQUEST"),
    "duplicate_conflict": (400, "ERROR_TRANSACTION_DUPLICATE"),
    "already_reversed": (400, "ERROR_BAD_REQUEST"),
    "unknown_player": (400, "ERROR_INVALID_SESSION"),
    "unknown_session": (400, "ERROR_INVALID_SESSION"),
    "session_expired": (400, "ERROR_SESSION_EXPIRED"),
    "currency_mismatch": (400, "ERROR_BAD_REQUEST"),
    "player_blocked": (400, "ERROR_BAD_REQUEST_PLAYER_BLOCKED"),
    "game_disabled": (400, "ERROR_GAME_NOT_ACTIVE"),
    "limit_exceeded": (400, "ERROR_TRANSACTION_LIMIT_EXCEEDED"),
    "reality_check_due": (400, "ERROR_TRANSACTION_REALITY_CHECK"),
    "round_closed": (400, "ERROR_BAD_REQUEST"),
    ("original_not_found", "rollback"): (400, "ERROR_ROLLBACK_TRANSACTION_NOT_FOUND"),
    "original_not_found": (400, "ERROR_TRANSACTION_WITHDRAW_NOT_FOUND"),
    "original_reversed": (400, "ERROR_TRANSACTION_WITHDRAW_NOT_FOUND"),
    "original_settled": (400, "ERROR_BAD_REQUEST"),
    "insufficient_funds": (400, "ERROR_TRANSACTION_INSUFFICIENT_FUNDS"),
    "unavailable": (500, "ERROR_TIMEOUT"),
    "internal": (500, "ERROR_UNKNOWN_ERROR"),
}

TABLES: Mapping[str, Table] = {
    "betbrothers": BETBROTHERS,
    "marbles": MARBLES,
    "gpas": GPAS,
    "fizzybubbly": FIZZYBUBBLY,
}


def expected(protocol: str, refusal: str, operation: str) -> tuple[int, Any]:
    """HTTP status and code of a refusal to an operation."""
    table = TABLES[protocol]
    return table.get((refusal, operation)) or table[refusal]
