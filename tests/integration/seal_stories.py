"""Keys, events and seals for tests of sealing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.keys import SealSigner, SealVerifier
from adapters.settings import SealSettings
from ledger.audit_seals import SealsVerified, verify_seals
from ledger.findings import Findings
from ledger.sealing import Sealer, seals_behind
from ledger.seals import Keys, Seal, from_line
from ledger.store import AppendBatch, Store
from tests.integration.store_rows import event


def private_pem() -> str:
    """A new Ed25519 key."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_pem(pem: str) -> str:
    """Its public half."""
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


PEM: Final = private_pem()
KEY: Final = SealSigner(PEM)
"""The key of this run."""
STOLEN: Final = SealSigner(private_pem())
"""Somebody else's."""
KEYS: Final[dict[str, SealVerifier]] = {KEY.id: KEY.verifier}


def settings(copy_to: Path | None = None, **changes: Any) -> SealSettings:
    """Sealing with the key of this run."""
    return SealSettings(**({"key": KEY, "copy_to": copy_to} | changes))


class Log:
    """A partition's log, to which events are appended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.events = 0

    async def append(self, count: int) -> None:
        """So many more events, in one batch and one stream."""
        events = [event(self.events + each + 1) for each in range(count)]
        batch = AppendBatch(streams=["player:ann"], versions=[self.events], events=events)
        assert await self._store.append(batch, time.monotonic() + 60) is None
        self.events += count


async def all_seals(url: str) -> list[Seal]:
    """What the database holds."""
    return await seals_behind(url, 0, 0, 10_000)


async def sealed(url: str, key: SealSigner = KEY, keys: Keys = KEYS) -> Seal:
    """The newest seal, once everything is sealed behind what is there; there must be one."""
    sealer = Sealer(url, 0, key, keys)
    try:
        newest = await sealer.advance(None)
    finally:
        await sealer.close()
    assert newest is not None
    return newest


async def verified(
    url: str, keys: Keys = KEYS, known: Sequence[Iterable[Seal]] = (), partition: int = 0
) -> SealsVerified:
    """What the audit says of the seals."""
    found = SealsVerified(Findings(partition))
    await verify_seals(url, partition, keys, found, known=known)
    return found


def told(found: SealsVerified) -> list[str]:
    """The findings, a line each."""
    return [finding.what for finding in found.findings.told()]


def lines_of(file: Path) -> list[Seal]:
    """The seals of a copy; every line must be whole."""
    text = file.read_bytes()
    assert text.endswith(b"\n") or not text
    return [from_line(line) for line in text.splitlines()]


async def come_true(condition: Callable[[], object]) -> None:
    """Wait for something that must come true soon."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
