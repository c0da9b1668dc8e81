"""The configuration as the service uses it: every setting with its default, already checked.

How a file becomes these is in `adapters.settings_file`. Secrets never print themselves
(`adapters.keys`), so that settings may be logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypedDict

from adapters.keys import PublicKey, SealSigner, SealVerifier, Secret, SigningKey
from adapters.settings_reader import Network
from ledger.commands import Policy
from ledger.currencies import Currencies
from ledger.money import Currency

Role = Literal["viewer", "operator", "admin"]
ReplayBalance = Literal["original", "current"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """``[server]``: where to listen, with how many processes, behind which proxies."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    trusted_proxies: tuple[Network, ...] = ()
    """Only from these is the last X-Forwarded-For address believed."""

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """``[database]``: the PostgreSQL to use, or where to keep the embedded one."""

    url: Secret | None = None
    """None: the embedded PostgreSQL in ``data_dir``."""
    migrate_url: Secret | None = None
    """A role that may create schemas, for `init` and the start of `serve`; None: ``url``."""
    data_dir: Path = Path("var/postgres")
    partitions: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorToken:
    """One entry of ``operator.tokens``: who may call the operator API, as what, until when."""

    name: str
    role: Role
    token: Secret
    expires: datetime | None = None
    """In UTC; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``[limits]``: what the service holds back at most, and how long it waits."""

    queue_commands_max: int = 10_000
    batch_commands_max: int = 256
    command_age_max_s: float = 2.0
    answer_timeout_s: float = 2.8
    body_bytes_max: int = 64 * 1024
    body_timeout_s: float = 5.0
    connections_max: int = 2_000
    round_expiry_h: int = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Projections:
    """``[projections]``: where the views of the log are kept up to date."""

    in_serve: bool = True
    """False: `wallet-ledger project` runs them, apart from the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealSettings:
    """``[seals]``: with which key the log is sealed, how often, and where the seals are kept."""

    key: SealSigner | None = None
    """None: nothing is sealed here."""
    public_keys: tuple[SealVerifier, ...] = ()
    """Others whose seals are believed: earlier keys, and those of other machines."""
    interval_s: float = 5.0
    in_serve: bool = True
    """False: `wallet-ledger seal` does it, apart from the service."""
    copy_to: Path | None = None
    """A directory for a copy of every seal, outside the database; None: no copy."""

    @property
    def keys(self) -> dict[str, SealVerifier]:
        """Every public key whose seals are believed, by its id."""
        own = () if self.key is None else (self.key.verifier,)
        return {key.id: key for key in (*self.public_keys, *own)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """``[reports]``: what reports take where a call does not say."""

    operator: str | None = None
    """Whose reports they are; None: they do not say."""
    time_zone: str = "UTC"
    """Whose midnight ends a day."""
    large_wins: Mapping[str, int] = field(default_factory=dict)
    """From which amount on a win is large, in ledger units by currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationSettings:
    """What every integration has, whatever its protocol."""

    name: str
    protocol: str = ""
    """The name of the module that speaks for it; empty where none is to."""
    policy: Policy = Policy()
    replay_balance: ReplayBalance = "original"
    """The balance in the answer to a replay: that of the first answer, or today's."""
    allow_ips: tuple[Network, ...] = ()
    """Empty: every address."""


class CommonSettings(TypedDict):
    """The fields of `IntegrationSettings`, as a protocol's own settings take them."""

    name: str
    protocol: str
    policy: Policy
    replay_balance: ReplayBalance
    allow_ips: tuple[Network, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BetBrothers(IntegrationSettings):
    """An integration of protocol ``betbrothers``."""

    secrets: tuple[Secret, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marbles(IntegrationSettings):
    """An integration of protocol ``marbles``."""

    public_keys: tuple[PublicKey, ...]
    signing_key: SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpas(IntegrationSettings):
    """An integration of protocol ``gpas``."""

    parent_system_id: str
    secrets: tuple[Secret, ...]
    replay: Literal["success", "error"] = "success"


@dataclass(frozen=True, slots=True, kw_only=True)
class FizzyBubbly(IntegrationSettings):
    """An integration of protocol ``fizzybubbly``."""

    public_key: Secret
    """The API key that the header Public-Key carries."""
    secrets: tuple[Secret, ...]
    base_url: str
    """Absolute URL under which the provider calls us, without a slash at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlayer:
    """A player that `serve` registers, with money."""

    player_id: str
    currency: Currency
    deposit: int
    """In ledger units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """``[demo]``: what exists for trying out only."""

    players: tuple[DemoPlayer, ...] = ()
    provider_keys: Mapping[str, SigningKey] = field(default_factory=dict)
    """The provider's own private key by integration, so that the simulator can sign as 155 does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration, checked."""

    file: Path | None = None
    texts: Mapping[Path, str] = field(default_factory=dict, repr=False, compare=False)
    """All files that it was read from, by path: what a worker is given in place of them."""
    server: Server = Server()
    database: Database = Database()
    operator_tokens: tuple[OperatorToken, ...] = ()
    integrations: Mapping[str, IntegrationSettings] = field(default_factory=dict)
    currencies: Currencies = field(default_factory=Currencies)
    limits: Limits = Limits()
    projections: Projections = Projections()
    seals: SealSettings = SealSettings()
    reports: ReportSettings = ReportSettings()
    demo: Demo | None = None
    warnings: tuple[str, ...] = ()
    """One line each; every command shows them at its start."""

    @property
    def seals_in_serve(self) -> bool:
        """Whether `serve` seals the log."""
        return self.seals.key is not None and self.seals.in_serve
