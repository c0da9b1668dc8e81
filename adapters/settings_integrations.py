"""Reads the ``[integrations.NAME]`` tables: what all have, and what each protocol needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields

from adapters.providers.protocol import Provider
from adapters.providers.registry import PROVIDERS
from adapters.settings import CommonSettings, IntegrationSettings
from adapters.settings_reader import Section, SettingsError
from ledger.commands import OPERATOR, Policy

RESERVED_NAMES = frozenset({"api", "console", "health", "metrics", OPERATOR})
"""First segments of the service's own paths, and whose the operator's own movements are."""

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


def _protocol_keys(provider: type[Provider]) -> tuple[str, ...]:
    common = {field.name for field in fields(IntegrationSettings)}
    return tuple(field.name for field in fields(provider.SETTINGS) if field.name not in common)


PROTOCOL_KEYS: Mapping[str, tuple[str, ...]] = {
    name: _protocol_keys(provider) for name, provider in PROVIDERS.items()
}
"""Keys that each protocol adds to `COMMON_KEYS`; under another protocol they are unknown."""

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_SESSION_TTL_MAX_S = 366 * 86_400


def read_integrations(root: Section) -> dict[str, IntegrationSettings]:
    """Every integration by its name. Raises `SettingsError`."""
    return {name: _integration(name, section) for name, section in root.named("integrations", None)}


def _integration(name: str, section: Section) -> IntegrationSettings:
    if not _NAME.fullmatch(name) or name in RESERVED_NAMES:
        reserved = ", ".join(sorted(RESERVED_NAMES))
        raise SettingsError(
            f"{section.path}: not a name for an integration: a-z, 0-9, _ and - only,"
            f" and none of {reserved}"
        )
    protocol = section.choice("protocol", tuple(PROVIDERS))
    section.allow((*COMMON_KEYS, *_protocol_keys(PROVIDERS[protocol])))
    return PROVIDERS[protocol].read_settings(section, _common(name, protocol, section))


def _common(name: str, protocol: str, section: Section) -> CommonSettings:
    return {
        "name": name,
        "protocol": protocol,
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
