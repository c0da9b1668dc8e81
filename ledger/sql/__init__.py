"""The SQL of the ledger: named statements from `queries.sql`, and the migrations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import msgspec

_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MIGRATION: Final = re.compile(r"(\d{4})_(\w+)\.sql")
_PLACEHOLDER: Final = "{schema}"


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema. ``checksum`` is the SHA-256 of its file, hex."""

    number: int
    name: str
    checksum: str
    text: str

    def statements(self, schemas: list[str]) -> list[bytes]:
        """What to run: once, or once for each partition's schema."""
        if _PLACEHOLDER not in self.text:
            return [self.text.encode()]
        return [self.text.replace(_PLACEHOLDER, schema).encode() for schema in schemas]


def schema_name(partition: int) -> str:
    """The schema of a partition: `ledger_p00`, `ledger_p01`, and so on."""
    return f"ledger_p{partition:02d}"


def statement(name: str, schema: str = "") -> bytes:
    """A statement of `queries.sql`, for a partition's schema where it belongs to one.

    Raises KeyError for an unknown name.
    """
    return named_statements("ledger.sql")[name].replace(_PLACEHOLDER, schema).encode()


@cache
def named_statements(package: str) -> Mapping[str, str]:
    """Every statement of the package's `queries.sql` by its name, with its placeholders."""
    pieces = _NAME.split((files(package) / "queries.sql").read_text("utf-8"))
    return {name: text.strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def bootstrap() -> bytes:
    """What runs before the first migration."""
    return (_folder() / "bootstrap.sql").read_bytes()


def embedded_login() -> bytes:
    """What gives the embedded server its service login."""
    return (_folder() / "embedded.sql").read_bytes()


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration, in order."""
    found = []
    for file in (_folder() / "migrations").iterdir():
        match = _MIGRATION.fullmatch(file.name)
        if match:
            text = file.read_text("utf-8")
            checksum = sha256(text.encode()).hexdigest()
            found.append(Migration(int(match[1]), match[2], checksum, text))
    return tuple(sorted(found, key=lambda migration: migration.number))


def _folder() -> Traversable:
    return files("ledger.sql")
