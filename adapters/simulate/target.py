"""Which server is played against, and with whose keys: read from the server's own configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from adapters import settings as configured
from adapters.simulate.calls import Switches
from adapters.simulate.wire.base import Wire
from adapters.simulate.wire.betbrothers import BetBrothers
from adapters.simulate.wire.fizzybubbly import FizzyBubbly
from adapters.simulate.wire.gpas import Gpas
from adapters.simulate.wire.marbles import Marbles

_Spoken = configured.BetBrothers | configured.Marbles | configured.Gpas | configured.FizzyBubbly
"""Integrations of another protocol cannot be played: the simulator does not know it."""


class NoTarget(Exception):
    """The configuration does not say enough to play; the message is one line."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server, a token for its operator API, and the integrations to play."""

    url: str
    token: str = field(repr=False)
    is_admin: bool
    wires: tuple[Wire, ...]
    left_out: tuple[str, ...] = ()
    """Integrations that were asked for and are not played: their protocol is not known here."""


def target(settings: configured.Settings, *, url: str | None, all_protocols: bool) -> Target:
    """What to play against. Raises `NoTarget`."""
    spoken = [one for one in settings.integrations.values() if isinstance(one, _Spoken)]
    if not spoken:
        raise NoTarget("the configuration has no integration whose protocol the simulator knows")
    played = [one for one in spoken if all_protocols or isinstance(one, configured.BetBrothers)]
    if not played:
        raise NoTarget("the configuration has no betbrothers integration: use --all")
    left_out = set(settings.integrations) - {one.name for one in spoken}
    tokens = sorted(settings.operator_tokens, key=lambda token: token.role != "admin")
    now = datetime.now(UTC)
    live = (one for one in tokens if one.expires is None or one.expires > now)
    token = next((one for one in live if one.role != "viewer"), None)
    if token is None:
        raise NoTarget("the configuration has no live operator token of role operator or admin")
    return Target(
        url=(url or settings.server.url).rstrip("/"),
        token=token.token.reveal(),
        is_admin=token.role == "admin",
        wires=tuple(_wire(one, settings.demo) for one in played),
        left_out=tuple(sorted(left_out)) if all_protocols else (),
    )


def _wire(one: _Spoken, demo: configured.Demo | None) -> Wire:
    match one:
        case configured.BetBrothers():
            switches = _switches(one, ids_per_operation=True, wins_name_bets=False)
            return BetBrothers(switches, secret=one.secrets[0].reveal_bytes())
        case configured.Marbles():
            key = demo.provider_keys.get(one.name) if demo else None
            if key is None:
                raise NoTarget(f"demo.provider_keys.{one.name}: needed to sign as the provider")
            return Marbles(
                _switches(one),
                signing_key=key.key,
                operator_key=one.signing_key.key.public_key(),
            )
        case configured.Gpas():
            return Gpas(
                _switches(one),
                parent_system_id=one.parent_system_id,
                secret=one.secrets[0].reveal_bytes(),
            )
        case configured.FizzyBubbly():
            return FizzyBubbly(
                _switches(one),
                public_key=one.public_key.reveal(),
                secret=one.secrets[0].reveal_bytes(),
                base_url=one.base_url,
            )


def _switches(
    one: _Spoken, *, ids_per_operation: bool = False, wins_name_bets: bool = True
) -> Switches:
    return Switches(
        name=one.name,
        ids_per_operation=ids_per_operation,
        wins_name_bets=wins_name_bets,
        replay_balance=one.replay_balance,
        replay=one.replay if isinstance(one, configured.Gpas) else "success",
        late_bet=one.policy.late_bet,
        late_win=one.policy.late_win,
        reversal_shortfall=one.policy.reversal_shortfall,
        stake_order=one.policy.stake_order,
    )
