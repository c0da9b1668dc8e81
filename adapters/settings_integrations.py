"""Reads the ``[integrations.NAME]`` tables: what all have, and what each protocol needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypedDict
from urllib.parse import urlsplit

from adapters.keys import RSA_BITS_MIN, PublicKey, Secret, SigningKey
from adapters.settings import (
    BetBrothers,
    FizzyBubbly,
    Gpas,
    Integration,
    Marbles,
    Protocol,
    ReplayBalance,
)
from adapters.settings_reader import Network, Section, SettingsError
from ledger.commands import Policy

RESERVED_NAMES = frozenset({"api", "console", "health", "metrics", "operator"})
"""First segments of the service's own paths: no integration may be called so."""

COMMON_KEYS = (
    "protocol",
    "replay_balance",
    "late_bet",
    "late_win",
    "reversal_shortfall",
    "stake_order",
    "session_ttl_s",
    "allow_ips",
)
"""Keys of every integration."""

PROTOCOL_KEYS: Mapping[Protocol, tuple[str, ...]] = {
    "betbrothers": ("secrets",),
    "marbles": ("public_keys", "signing_key"),
    "gpas": ("parent_system_id", "secrets", "replay"),
    "fizzybubbly": ("public_key", "secrets", "base_url"),
}
"""Keys that a protocol adds; under another protocol they are unknown."""

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_SESSION_TTL_MAX_S = 366 * 86_400


class _Common(TypedDict):
    name: str
    policy: Policy
    replay_balance: ReplayBalance
    allow_ips: tuple[Network, ...]


def read_integrations(root: Section) -> dict[str, Integration]:
    """Every integration by its name. Raises `SettingsError`."""
    return {name: _integration(name, section) for name, section in root.named("integrations", None)}


def _integration(name: str, section: Section) -> Integration:
    if not _NAME.fullmatch(name) or name in RESERVED_NAMES:
        reserved = ", ".join(sorted(RESERVED_NAMES))
        raise SettingsError(
            f"{section.path}: not a name for an integration: a-z, 0-9, _ and - only,"
            f" and none of {reserved}"
        )
    protocol = section.choice("protocol", tuple(PROTOCOL_KEYS))
    section.allow((*COMMON_KEYS, *PROTOCOL_KEYS[protocol]))
    return _READERS[protocol](section, _common(name, section))


def _common(name: str, section: Section) -> _Common:
    return {
        "name": name,
        "policy": _policy(section),
        "replay_balance": section.choice("replay_balance", ("original", "current"), "original"),
        "allow_ips": section.networks("allow_ips"),
    }


def _policy(section: Section) -> Policy:
    default = Policy()
    return Policy(
        session_ttl_s=section.integer(
            "session_ttl_s", default.session_ttl_s, low=1, high=_SESSION_TTL_MAX_S
        ),
        late_bet=section.choice("late_bet", ("refuse", "accept"), default.late_bet),
        late_win=section.choice("late_win", ("refuse", "accept"), default.late_win),
        reversal_shortfall=section.choice(
            "reversal_shortfall", ("negative", "clamp", "refuse"), default.reversal_shortfall
        ),
        stake_order=section.choice(
            "stake_order", ("real_first", "bonus_first"), default.stake_order
        ),
    )


def _betbrothers(section: Section, common: _Common) -> BetBrothers:
    return BetBrothers(**common, secrets=section.live("secrets", Secret))


def _marbles(section: Section, common: _Common) -> Marbles:
    public_keys = section.live("public_keys", PublicKey)
    for key in public_keys:
        if key.key.key_size < RSA_BITS_MIN:
            section.source.warn(
                f"{section.name('public_keys')}: key {key.id} has {key.key.key_size} bits only:"
                f" ask the provider for {RSA_BITS_MIN}"
            )
    signing_key = section.key("signing_key", SigningKey)
    return Marbles(**common, public_keys=public_keys, signing_key=signing_key)


def _gpas(section: Section, common: _Common) -> Gpas:
    return Gpas(
        **common,
        parent_system_id=section.text("parent_system_id"),
        secrets=section.live("secrets", Secret),
        replay=section.choice("replay", ("success", "error"), "success"),
    )


def _fizzybubbly(section: Section, common: _Common) -> FizzyBubbly:
    return FizzyBubbly(
        **common,
        public_key=section.secret("public_key"),
        secrets=section.live("secrets", Secret),
        base_url=_base_url(section),
    )


def _base_url(section: Section) -> str:
    text = section.text("base_url")
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.username is None
    except ValueError:
        usable = False
        url = urlsplit("")
    if not usable or url.query or url.fragment:
        raise SettingsError(
            f"{section.name('base_url')}: expected an absolute http or https URL"
            " without user, query or fragment"
        )
    return text.rstrip("/")


_READERS: Mapping[Protocol, Callable[[Section, _Common], Integration]] = {
    "betbrothers": _betbrothers,
    "marbles": _marbles,
    "gpas": _gpas,
    "fizzybubbly": _fizzybubbly,
}
