"""Reads one table of the configuration file, key by key; a complaint is one line naming the key.

A message may repeat a bad value, but never that of a key which holds a secret.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Any, TypeVar

from adapters.keys import BadKey, Secret

Network = IPv4Network | IPv6Network

LIVE_SECRETS_MAX = 2
"""The old and the new one, while a provider changes over."""

_SHOWN_CHARACTERS_MAX = 60
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

_PASSWORD = re.compile(r"//[^/@:]*:[^/@]+@|password\s*=", re.IGNORECASE)

Choice = TypeVar("Choice", bound=str)
Made = TypeVar("Made")


class SettingsError(Exception):
    """The configuration cannot be used; its text is one line that names the key."""


class Source:
    """Where the configuration came from: resolves ``env:`` and ``file:``, and gathers warnings.

    ``texts`` are the files that were read, by path; one that is there already is not read again.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], texts: Mapping[Path, str]
    ) -> None:
        """Relative paths are relative to ``directory``, that of the configuration file."""
        self.directory = directory
        self.environment = environment
        self.texts = dict(texts)
        self.holds_plain_secrets = False
        self._warnings: list[str] = []
        self._exposed: list[str] = []

    def resolve(self, path: str, value: str) -> str:
        """The secret behind ``value``. Raises `SettingsError`, which never holds the secret."""
        if value.startswith("env:"):
            return self._from_environment(path, value.removeprefix("env:"))
        if value.startswith("file:"):
            return self._from_file(path, value.removeprefix("file:"))
        self.holds_plain_secrets |= not _is_public(value)
        return value

    def read(self, file: Path) -> str:
        """A file's text. Raises OSError, ValueError where it is not UTF-8."""
        if file not in self.texts:
            self.texts[file] = file.read_text(encoding="utf-8")
        return self.texts[file]

    def path(self, text: str) -> Path:
        """A path in the configuration file. Raises ValueError where it names nobody's home."""
        try:
            return self.directory / Path(text).expanduser()
        except RuntimeError as error:
            raise ValueError(str(error)) from None

    def warn(self, line: str) -> None:
        """Something that does not stop the start, but that somebody should know."""
        self._warnings.append(line)

    def note_secret_file(self, path: Path) -> None:
        """Remember a file that holds secrets if others than its owner may read it."""
        with suppress(OSError):  # gone since it was read
            if path.stat().st_mode & _OTHERS_READ and str(path) not in self._exposed:
                self._exposed.append(str(path))

    def warnings(self) -> tuple[str, ...]:
        """One line each."""
        if not self._exposed:
            return tuple(self._warnings)
        files = ", ".join(self._exposed)
        exposed = f"secrets are readable by others than the owner, chmod 600 them: {files}"
        return (*self._warnings, exposed)

    def _from_environment(self, path: str, name: str) -> str:
        if name not in self.environment:
            raise SettingsError(f"{path}: environment variable {_shown(name)} is not set")
        return _not_empty(path, self.environment[name])

    def _from_file(self, path: str, name: str) -> str:
        try:
            text = self.read(self.path(name))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no such path, or not UTF-8"
            raise SettingsError(f"{path}: cannot read file {_shown(name)}: {reason}") from None
        if not _is_public(text):
            self.note_secret_file(self.path(name))
        return _not_empty(path, text.rstrip("\r\n"))


class Section:
    """One table of the file. Made with the keys it may hold: any other stops the start."""

    def __init__(
        self, path: str, table: object, known: Collection[str] | None, source: Source
    ) -> None:
        """``known`` None: the caller calls `allow` itself, or any key will do."""
        if not isinstance(table, dict):
            raise SettingsError(f"{path}: expected a table, got {_kind(table)}")
        self.path = path
        self.source = source
        self._table: dict[str, Any] = table
        if known is not None:
            self.allow(known)

    def name(self, key: str) -> str:
        """The key's full name, as messages give it."""
        shown = key if _BARE_KEY.fullmatch(key) else _shown(key)
        return f"{self.path}.{shown}" if self.path else shown

    def value(self, key: str, default: object = None) -> Any:
        """Whatever stands there, unchecked."""
        return self._table.get(key, default)

    def section(self, key: str, known: Collection[str]) -> Section:
        """The table under ``key``, an empty one where it is missing."""
        return Section(self.name(key), self._table.get(key, {}), known, self.source)

    def allow(self, known: Collection[str]) -> None:
        """Stop at the first key that is not among ``known``."""
        for key in self._table:
            if key not in known:
                raise SettingsError(f"{self.name(key)}: unknown key")

    def names(self) -> Collection[str]:
        """The keys that are there."""
        return self._table.keys()

    def named(self, key: str, known: Collection[str] | None) -> list[tuple[str, Section]]:
        """The tables under ``key``, each with its name (``[integrations.NAME]``)."""
        tables = Section(self.name(key), self._table.get(key, {}), None, self.source)
        return [
            (name, Section(tables.name(name), table, known, self.source))
            for name, table in tables._table.items()
        ]

    def items(self, key: str) -> list[tuple[str, object]]:
        """The elements of the list under ``key``, each with its full name."""
        found = self._table.get(key, [])
        if not isinstance(found, list):
            raise SettingsError(f"{self.name(key)}: expected a list, got {_kind(found)}")
        return [(f"{self.name(key)}[{index}]", item) for index, item in enumerate(found)]

    def integer(self, key: str, default: int, *, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        found = self._table.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            raise self._bad(key, f"a whole number from {low} to {high}")
        return int(found)

    def seconds(self, key: str, default: float, *, low: float, high: float) -> float:
        """A number of seconds from ``low`` to ``high``."""
        found = self._table.get(key, default)
        if (
            isinstance(found, bool)
            or not isinstance(found, int | float)
            or not low <= found <= high
        ):
            raise self._bad(key, f"a number of seconds from {low:g} to {high:g}")
        return float(found)

    def boolean(self, key: str, default: bool) -> bool:  # noqa: FBT001 - the default of the key
        """True or false."""
        found = self._table.get(key, default)
        if not isinstance(found, bool):
            raise self._bad(key, "true or false")
        return found

    def text(self, key: str, default: str | None = None) -> str:
        """A string that is not empty; required where there is no default."""
        found = self._table.get(key, default)
        if found is None:
            raise SettingsError(f"{self.name(key)}: required")
        if not isinstance(found, str) or not found.strip():
            raise self._bad(key, "a string that is not empty")
        if "\0" in found:
            raise SettingsError(f"{self.name(key)}: holds NUL")
        if found != found.strip():
            raise self._bad(key, "a string without white space at its ends")
        return str(found)

    def choice(
        self, key: str, options: tuple[Choice, ...], default: Choice | None = None
    ) -> Choice:
        """One of ``options``; required where there is no default."""
        found = self._table.get(key, default)
        quoted = " or ".join(f'"{option}"' for option in options)
        if found is None:
            raise SettingsError(f"{self.name(key)}: required: {quoted}")
        for option in options:
            if found == option:
                return option
        raise self._bad(key, quoted)

    def moment(self, key: str) -> datetime | None:
        """A date and time with its offset, in UTC; None where it is missing."""
        found = self._table.get(key)
        if found is None:
            return None
        if not isinstance(found, datetime) or found.tzinfo is None:
            raise self._bad(key, "a date and time with an offset such as 2030-01-31T12:00:00Z")
        return datetime.astimezone(found, UTC)

    def networks(self, key: str) -> tuple[Network, ...]:
        """A list of addresses and networks ("192.0.2.7", "10.0.0.0/8", "2001:db8::/32")."""
        return tuple(_network(name, item) for name, item in self.items(key))

    def secret(self, key: str) -> Secret:
        """A required secret: in the file itself, ``env:NAME`` or ``file:PATH``."""
        return self.key(key, Secret)

    def database_url(self, key: str) -> Secret:
        """A database URL: a secret, though one without a password may be read by anybody."""
        value = self._table[key]
        before = self.source.holds_plain_secrets
        url = self.secret(key)
        if isinstance(value, str) and not _PASSWORD.search(value):
            self.source.holds_plain_secrets = before
        return url

    def key(self, key: str, make: Callable[[str], Made]) -> Made:
        """A required secret or PEM key, made into what holds it."""
        if key not in self._table:
            raise SettingsError(f"{self.name(key)}: required")
        return _made(self.name(key), self._resolve(self.name(key), self._table[key]), make)

    def live(self, key: str, make: Callable[[str], Made]) -> tuple[Made, ...]:
        """The one or two live secrets or keys under ``key``."""
        items = self.items(key)
        if not 1 <= len(items) <= LIVE_SECRETS_MAX:
            counted = f"1 to {LIVE_SECRETS_MAX}"
            got = f", got {len(items)}" if items else ""
            raise SettingsError(f"{self.name(key)}: required: a list of {counted} values{got}")
        return self.keys(key, make)

    def keys(self, key: str, make: Callable[[str], Made]) -> tuple[Made, ...]:
        """Any number of secrets or keys under ``key``."""
        texts = [(name, self._resolve(name, item)) for name, item in self.items(key)]
        if len({text for _, text in texts}) < len(texts):
            raise SettingsError(f"{self.name(key)}: the same value twice")
        return tuple(_made(name, text, make) for name, text in texts)

    def _resolve(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not value:
            raise SettingsError(f"{name}: expected a string that is not empty, got {_kind(value)}")
        return self.source.resolve(name, value)

    def _bad(self, key: str, expected: str) -> SettingsError:
        return SettingsError(
            f"{self.name(key)}: expected {expected}, got {_shown(self._table.get(key))}"
        )


def _network(name: str, item: object) -> Network:
    try:
        if isinstance(item, str) and not _is_mapped(network := ip_network(item)):
            return network
    except ValueError:
        pass
    raise SettingsError(f"{name}: expected an address or a network, got {_shown(item)}")


def _is_mapped(network: Network) -> bool:
    """Whether it is IPv4 in the dress of IPv6: no caller is known under such an address."""
    address = network.network_address
    return isinstance(address, IPv6Address) and address.ipv4_mapped is not None


def _made(name: str, text: str, make: Callable[[str], Made]) -> Made:
    try:
        return make(text)
    except BadKey as error:
        raise SettingsError(f"{name}: {error}") from None


def _is_public(text: str) -> bool:
    return "-----BEGIN PUBLIC KEY-----" in text


def _not_empty(path: str, text: str) -> str:
    if not text:
        raise SettingsError(f"{path}: the secret is empty")
    return text


def _shown(value: object) -> str:
    """The value on one line, cut short."""
    if isinstance(value, str):
        text = '"' + value.encode("unicode_escape").decode() + '"'
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, dict | list):
        return _kind(value)
    else:
        text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "..."


def _kind(value: object) -> str:
    names = {dict: "a table", list: "a list", str: "a string", bool: "a boolean", int: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")


def process_environment() -> Mapping[str, str]:
    """The environment that ``env:`` looks into, unless a test gives another."""
    return os.environ
