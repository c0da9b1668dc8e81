"""Reads the TOML configuration into `adapters.settings`, or says in one line which key is wrong.

Unknown keys stop the start too: a misspelt switch must not silently keep its default.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from adapters.keys import SealSigner, SealVerifier, Secret, SigningKey
from adapters.settings import (
    Database,
    Demo,
    DemoPlayer,
    IntegrationSettings,
    Limits,
    OperatorToken,
    Projections,
    ReportSettings,
    SealSettings,
    Server,
    Settings,
)
from adapters.settings_integrations import read_integrations
from adapters.settings_reader import Section, SettingsError, Source, process_environment
from ledger.currencies import Currencies, iso_exponent
from ledger.money import Currency, MalformedAmount, currency, parse_decimal
from projections.reports.errors import BadRequest
from projections.reports.period import time_zone

DEFAULT_FILE = "wallet-ledger.toml"
"""Read from the working directory where no file is named; without it, defaults hold."""

SCALE_MAX = 12
"""With more decimals than these a bigint leaves too few digits for whole money."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "": (
        "server",
        "database",
        "operator",
        "integrations",
        "currencies",
        "limits",
        "projections",
        "seals",
        "reports",
        "demo",
    ),
    "server": tuple(field.name for field in fields(Server)),
    "database": tuple(field.name for field in fields(Database)),
    "operator": ("tokens",),
    "operator.tokens": tuple(field.name for field in fields(OperatorToken)),
    "currencies": ("exponent", "scale"),
    "limits": tuple(field.name for field in fields(Limits)),
    "projections": tuple(field.name for field in fields(Projections)),
    "seals": tuple(field.name for field in fields(SealSettings)),
    "reports": tuple(field.name for field in fields(ReportSettings)),
    "demo": ("players", "provider_keys"),
    "demo.players": tuple(field.name for field in fields(DemoPlayer)),
}
"""Every key that the file may hold, by table; `adapters.settings_integrations` has the others."""

_CURRENCY_CODE = re.compile(r"[A-Za-z0-9]{2,12}")


def load(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read ``file``; without one, `DEFAULT_FILE` where it exists, else the defaults.

    ``env:`` looks into ``environment``, the process's own where None. Raises `SettingsError`.
    """
    if file is None:
        if not Path(DEFAULT_FILE).exists():
            return Settings()
        file = Path(DEFAULT_FILE)
    return _load(file, process_environment() if environment is None else environment, {})


def load_as_read(file: Path | None, texts: Mapping[Path, str]) -> Settings:
    """The settings of another process, from what it had read (`Settings.file`, `Settings.texts`).

    Files may have changed since, and no two workers may differ: not in the decimals of a currency,
    not in a rule.
    """
    return Settings() if file is None else _load(file, process_environment(), texts)


def _load(file: Path, environment: Mapping[str, str], texts: Mapping[Path, str]) -> Settings:
    source = Source(file.parent, environment, texts)
    return _parse(_table(file, source), source, file)


def _table(file: Path, source: Source) -> dict[str, Any]:
    try:
        return tomllib.loads(source.read(file))
    except OSError as error:
        raise SettingsError(f"cannot read the file: {error.strerror}") from None
    except RecursionError:
        raise SettingsError("not a TOML file: nested too deep") from None
    except ValueError as error:
        raise SettingsError(f"not a TOML file: {' '.join(str(error).split())}") from None


def _parse(table: dict[str, Any], source: Source, file: Path) -> Settings:
    root = Section("", table, KEYS[""], source)
    currencies = _currencies(root)
    integrations = read_integrations(root)
    settings = Settings(
        file=file,
        server=_server(root),
        database=_database(root),
        operator_tokens=_operator_tokens(root),
        integrations=integrations,
        currencies=currencies,
        limits=_limits(root),
        projections=_projections(root),
        seals=_seals(root),
        reports=_reports(root, currencies),
        demo=_demo(root, currencies, integrations),
    )
    if source.holds_plain_secrets:
        source.note_secret_file(file)
    return replace(settings, texts=source.texts, warnings=source.warnings())


def _server(root: Section) -> Server:
    section = root.section("server", KEYS["server"])
    default = Server()
    port = section.integer("port", default.port, low=0, high=65_535)
    workers = section.integer("workers", default.workers, low=1, high=256)
    if port == 0 and workers > 1:
        raise SettingsError(f"{section.name('port')}: 0 gives each of several workers another port")
    return Server(
        host=section.text("host", default.host),
        port=port,
        workers=workers,
        trusted_proxies=section.networks("trusted_proxies"),
    )


def _database(root: Section) -> Database:
    section = root.section("database", KEYS["database"])
    default = Database()
    url, migrate_url = _database_url(section, "url"), _database_url(section, "migrate_url")
    if migrate_url is not None and url is None:
        raise SettingsError("database.migrate_url: needs database.url, of the same database")
    return Database(
        url=url,
        migrate_url=migrate_url,
        data_dir=_path(section, "data_dir", str(default.data_dir)),
        partitions=section.integer("partitions", default.partitions, low=1, high=100),
    )


def _path(section: Section, key: str, default: str | None = None) -> Path:
    try:
        return section.source.path(section.text(key, default)).resolve()
    except ValueError as error:
        raise SettingsError(f"{section.name(key)}: {error}") from None


def _database_url(section: Section, key: str) -> Secret | None:
    if section.value(key, "") == "":
        return None
    url = section.database_url(key)
    if not _is_database_url(url.reveal()):
        raise SettingsError(
            f"{section.name(key)}: expected a PostgreSQL URL (postgresql://...),"
            " special characters in its password percent-encoded"
        )
    return url


def _is_database_url(text: str) -> bool:
    try:
        port = str(conninfo_to_dict(text).get("port", ""))
    except ProgrammingError:
        return False
    # A password with a slash in it is taken for host and port, and libpq would then print it.
    return all(part.isdecimal() for part in port.split(",") if part)


def _operator_tokens(root: Section) -> tuple[OperatorToken, ...]:
    section = root.section("operator", KEYS["operator"])
    tokens: list[OperatorToken] = []
    for name, item in section.items("tokens"):
        token = _operator_token(Section(name, item, KEYS["operator.tokens"], root.source))
        if any(token.name == other.name for other in tokens):
            raise SettingsError(f'{name}.name: "{token.name}" is taken by another token')
        if any(token.token == other.token for other in tokens):
            raise SettingsError(f"{name}.token: the same value as another token")
        tokens.append(token)
    return tuple(tokens)


def _operator_token(section: Section) -> OperatorToken:
    return OperatorToken(
        name=section.text("name"),
        role=section.choice("role", ("viewer", "operator", "admin")),
        token=section.secret("token"),
        expires=section.moment("expires"),
    )


def _limits(root: Section) -> Limits:
    section = root.section("limits", KEYS["limits"])
    default = Limits()
    limits = Limits(
        queue_commands_max=section.integer(
            "queue_commands_max", default.queue_commands_max, low=1, high=1_000_000
        ),
        batch_commands_max=section.integer(
            "batch_commands_max", default.batch_commands_max, low=1, high=10_000
        ),
        command_age_max_s=section.seconds(
            "command_age_max_s", default.command_age_max_s, low=0.05, high=60
        ),
        answer_timeout_s=section.seconds(
            "answer_timeout_s", default.answer_timeout_s, low=0.1, high=120
        ),
        body_bytes_max=section.integer(
            "body_bytes_max", default.body_bytes_max, low=1024, high=default.body_bytes_max
        ),
        body_timeout_s=section.seconds("body_timeout_s", default.body_timeout_s, low=0.1, high=60),
        connections_max=section.integer(
            "connections_max", default.connections_max, low=1, high=100_000
        ),
        round_expiry_h=section.integer(
            "round_expiry_h", default.round_expiry_h, low=1, high=24 * 366
        ),
    )
    if limits.answer_timeout_s <= limits.command_age_max_s:
        raise SettingsError(
            "limits.answer_timeout_s: expected more than limits.command_age_max_s"
            f" ({limits.command_age_max_s:g}), got {limits.answer_timeout_s:g}"
        )
    return limits


def _projections(root: Section) -> Projections:
    section = root.section("projections", KEYS["projections"])
    return Projections(in_serve=section.boolean("in_serve", default=Projections().in_serve))


def _seals(root: Section) -> SealSettings:
    section = root.section("seals", KEYS["seals"])
    default = SealSettings()
    has_key, has_copy = (section.value(name) is not None for name in ("key", "copy_to"))
    return SealSettings(
        key=section.key("key", SealSigner) if has_key else None,
        public_keys=section.keys("public_keys", SealVerifier),
        interval_s=section.seconds("interval_s", default.interval_s, low=0.1, high=3600),
        in_serve=section.boolean("in_serve", default.in_serve),
        copy_to=_path(section, "copy_to") if has_copy else None,
    )


def _reports(root: Section, currencies: Currencies) -> ReportSettings:
    section = root.section("reports", KEYS["reports"])
    operator = None if section.value("operator") is None else section.text("operator")
    zone = section.text("time_zone", ReportSettings().time_zone)
    try:
        time_zone(zone)
    except BadRequest:
        expected = "a time zone such as Europe/Malta"
        raise SettingsError(f"{section.name('time_zone')}: expected {expected}") from None
    amounts = section.section("large_wins", currencies)
    large_wins = {code: _amount(amounts, code, currencies[code]) for code in amounts.names()}
    return ReportSettings(operator=operator, time_zone=zone, large_wins=large_wins)


def _amount(section: Section, key: str, unit: Currency) -> int:
    try:
        return parse_decimal(section.text(key), unit)
    except MalformedAmount as error:
        raise SettingsError(f"{section.name(key)}: {error}") from None


def _currencies(root: Section) -> Currencies:
    overrides: dict[str, Currency] = {}
    for code, section in root.named("currencies", KEYS["currencies"]):
        if not _CURRENCY_CODE.fullmatch(code):
            raise SettingsError(f"{section.path}: expected a code of 2 to 12 letters and digits")
        if iso_exponent(code) is None and iso_exponent(code.upper()) is not None:
            raise SettingsError(f"{section.path}: ISO 4217 writes it {code.upper()}")
        overrides[code] = _currency(section, code)
    return Currencies(overrides)


def _currency(section: Section, code: str) -> Currency:
    known = iso_exponent(code)
    if known is None and section.value("exponent") is None:
        raise SettingsError(f"{section.name('exponent')}: required: ISO 4217 does not know {code}")
    exponent = section.integer("exponent", known or 0, low=0, high=SCALE_MAX)
    least = currency(code, exponent).scale
    return currency(code, exponent, section.integer("scale", least, low=least, high=SCALE_MAX))


def _demo(
    root: Section, currencies: Currencies, integrations: Mapping[str, IntegrationSettings]
) -> Demo | None:
    if root.value("demo") is None:
        return None
    section = root.section("demo", KEYS["demo"])
    keys = section.section("provider_keys", integrations)
    root.source.warn(
        "demo keys and players are in use: never expose this server or give it real money"
    )
    return Demo(
        players=tuple(
            _demo_player(Section(name, item, KEYS["demo.players"], root.source), currencies)
            for name, item in section.items("players")
        ),
        provider_keys={name: keys.key(name, SigningKey) for name in keys.names()},
    )


def _demo_player(section: Section, currencies: Currencies) -> DemoPlayer:
    code = section.text("currency")
    unit = currencies.get(code)
    if unit is None:
        raise SettingsError(
            f"{section.name('currency')}: expected an ISO 4217 code or one of [currencies]"
        )
    try:
        deposit = parse_decimal(section.text("deposit", "0"), unit)
    except MalformedAmount as error:
        raise SettingsError(f"{section.name('deposit')}: {error}") from None
    return DemoPlayer(player_id=section.text("player_id"), currency=unit, deposit=deposit)
