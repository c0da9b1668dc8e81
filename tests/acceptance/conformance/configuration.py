"""The configuration under test, as a person would write it: each protocol with every switch."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.settings import Settings
from adapters.settings_file import load
from tests.acceptance.conformance.wire_fizzybubbly import BASE_URL
from tests.acceptance.conformance.wire_gpas import SEED_SECRET
from tests.acceptance.conformance.wires import WIRES

PROTOCOLS = tuple(WIRES)
KEYS = ("current", "old", "wrong", "ours")

_HEAD = """
[server]
trusted_proxies = ["127.0.0.1"]

[limits]
command_age_max_s = {command_age_max_s}
answer_timeout_s = {answer_timeout_s}
body_timeout_s = 0.5

[currencies.string]
exponent = 2
"""

VARIANTS = {
    "": "",
    "-today": 'replay_balance = "current"',
    "-lenient": 'late_bet = "accept"\nlate_win = "accept"\nreversal_shortfall = "clamp"\n'
    'stake_order = "bonus_first"',
    "-strict": 'reversal_shortfall = "refuse"\nsession_ttl_s = 3',
    "-rotating": "",
    "-guarded": 'allow_ips = ["203.0.113.0/24", "2001:db8::/32"]',
}
"""Integrations of each protocol by the end of their names, and their switches."""


def write_keys(directory: Path) -> None:
    """RSA keys: 155's new one, its old one, a stranger's and ours."""
    for name in KEYS:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (directory / f"{name}.pem").write_bytes(private)
        (directory / f"{name}-public.pem").write_bytes(public)


def configure(
    directory: Path, *, command_age_max_s: float = 10.0, answer_timeout_s: float = 20.0
) -> Settings:
    """Write the configuration next to its keys, and read it as the service does."""
    text = _HEAD.format(command_age_max_s=command_age_max_s, answer_timeout_s=answer_timeout_s)
    for protocol in PROTOCOLS:
        for ending, switches in VARIANTS.items():
            text += _integration(protocol, protocol + ending, switches)
    text += _integration("gpas", "gpas-errors", 'replay = "error"')
    text += _integration("gpas", "gpas-seed", "").replace("gpas-new", SEED_SECRET)
    file = directory / "wallet-ledger.toml"
    file.write_text(text)
    file.chmod(0o600)
    return load(file, {})


def _integration(protocol: str, name: str, switches: str) -> str:
    live = ("current", "old") if name.endswith("-rotating") else ("current",)
    secrets = {"current": f'"{protocol}-new"', "old": f'"{protocol}-old"'}
    own = WIRES[protocol].settings.format(
        secrets=", ".join(secrets[key] for key in live),
        keys=", ".join(f'"file:{key}-public.pem"' for key in live),
        base_url=BASE_URL.format(name),
    )
    return f'\n[integrations.{name}]\nprotocol = "{protocol}"\n{own}\n{switches}\n'
