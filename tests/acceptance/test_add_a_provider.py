"""The README's page "Add a provider" works as it stands: its code is run, not a copy of it.

Beyond what the page shows, every situation of the conformance tests is played against it: the page
promises a complete provider.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import pytest

from adapters.providers.registry import PROVIDERS
from adapters.settings_file import load
from ledger.refusals import Refusal
from tests.acceptance.conformance.service import Guest, serving
from tests.acceptance.conformance.situations import SITUATIONS, WITH_CURRENCY
from tests.acceptance.conformance.wire import EXPONENTS, Request, Wire, unique

ROOT = Path(__file__).parents[2]
TITLE = "Add a provider"
LINES_MAX = 150
MODULE = "adapters.providers.acmeplay"
TEST = "tests.acceptance.test_acmeplay"


class Page(NamedTuple):
    """The page's blocks, in their order."""

    module: str
    registration: str
    configuration: str
    test: str


@pytest.fixture(scope="module")
def page() -> Page:
    """What stands in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {TITLE}$\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {TITLE}"
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["python", "diff", "toml", "python"]
    return Page(*(text for _, text in blocks))


@pytest.fixture
def acmeplay(page, monkeypatch) -> ModuleType:
    """The page's module where the page puts it, and registered by the page's line."""
    module = _module(MODULE, page.module, monkeypatch)
    added = re.findall(r'^\+    "(\w+)": (\w+),$', page.registration, re.MULTILINE)
    for name, provider in added:
        monkeypatch.setitem(PROVIDERS, name, getattr(module, provider))
    return module


def _module(name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(source, f"README.md, {name}", "exec"), module.__dict__)
    return module


def test_a_provider_takes_less_than_150_lines(page):
    """An afternoon's work, as promised."""
    assert page.module.count("\n") < LINES_MAX


@pytest.mark.parametrize("block", ["module", "test"])
def test_the_pages_code_passes_the_checks_that_it_will_meet(page, block):
    """Whoever copies it should not begin by repairing it."""
    file = {"module": MODULE, "test": TEST}[block].replace(".", "/") + ".py"
    ruff = [str(Path(sys.executable).parent / "ruff")]
    for command in (["check"], ["format", "--check"]):
        checked = subprocess.run(
            [*ruff, *command, "--stdin-filename", file, "-"],
            input=getattr(page, block),
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_pages_registration_fits_the_registry(page):
    """Its context lines still stand there."""
    registry = (ROOT / "adapters/providers/registry.py").read_text(encoding="utf-8")
    context = [line[1:] for line in page.registration.splitlines() if line.startswith(" ")]
    assert context
    assert all(f"{line}\n" in registry for line in context)


def test_the_pages_configuration_is_read(acmeplay, page, tmp_path):
    """The fields of the settings are its keys; the switches are everybody's."""
    file = tmp_path / "wallet-ledger.toml"
    file.write_text(page.configuration)
    (integration,) = load(file, {"ACME_SECRET": "from-the-environment"}).integrations.values()
    assert isinstance(integration, acmeplay.AcmePlay)
    assert integration.policy.late_win == "accept"
    assert [secret.reveal() for secret in integration.secrets] == ["from-the-environment"]


async def test_the_pages_test_passes(acmeplay, page, monkeypatch, database_url, tmp_path):
    """A bet, a replay and a refusal through HTTP."""
    module = _module(TEST, page.test, monkeypatch)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        await test(database_url, tmp_path)


# --- more than the page shows ----------------------------------------------------------------

SECRET = b"acme-secret"


class AcmePlayWire(Wire):
    """Calls as AcmePlay does."""

    protocol = "acmeplay"
    names: ClassVar = {
        "amount": "cents",
        "currency": "currency",
        "player": "player",
        "session": "session",
        "game": "game",
        "id": "id",
        "round": "round",
        "original": "bet",
    }

    def amount(self, amount: str, currency: str) -> int:
        """Subunits."""
        return int(Decimal(amount).scaleb(EXPONENTS[currency]))

    def bet(self, guest: Guest, amount: str = "1", **fields: Any) -> Request:
        """A stake."""
        cents = {"cents": self.amount(amount, guest.currency)}
        return self._call("bet", guest, fields, cents)

    def win(self, guest: Guest, bet: Request, amount: str = "1", **fields: Any) -> Request:
        """A win, which names its bet."""
        fields.setdefault("round_id", bet.round_id)
        own = {"cents": self.amount(amount, guest.currency), "bet": bet.id}
        return self._call("win", guest, fields, own)

    def refund(self, guest: Guest, bet: Request, **fields: Any) -> Request:
        """A refund: no amount."""
        fields.setdefault("round_id", bet.round_id)
        return self._call("refund", guest, fields, {"bet": bet.id})

    def balance(self, guest: Guest) -> Request:
        """The balance."""
        body = {"player": guest.player_id, "session": guest.session, "currency": guest.currency}
        return Request("balance", "/play/balance", body)

    def sign(self, request: Request, raw: bytes) -> Mapping[str, str]:
        """Hex HMAC-SHA256 of the raw body."""
        return {"Acme-Signature": hmac.new(SECRET, raw, hashlib.sha256).hexdigest()}

    def read(self, request: Request, status: int, body: dict[str, Any]) -> tuple[Any, Any]:
        """A word, or a balance."""
        if status != 200:
            assert set(body) == {"error"}
            return body["error"], None
        assert set(body) == ({"cents"} if request.operation == "balance" else {"id", "cents"})
        return None, Decimal(body["cents"]).scaleb(-2)

    def _call(
        self, operation: str, guest: Guest, fields: dict[str, Any], own: dict[str, Any]
    ) -> Request:
        body = {
            "player": guest.player_id,
            "session": guest.session,
            "currency": guest.currency,
            "game": fields.get("game", guest.game),
            "round": fields.get("round_id") or unique("round"),
            "id": fields.get("id") or unique(operation),
            "last": fields.get("closes", False),
            **own,
        }
        path = f"/play/{operation}"
        return Request(operation, path, body, id=body["id"], round_id=body["round"])


async def test_the_pages_provider_gets_every_situation_right(acmeplay, database_url, tmp_path):
    """Complete means: whatever comes, in the provider's own words, and no money moves."""
    file = tmp_path / "wallet-ledger.toml"
    tables = [
        f'[integrations.{name}]\nprotocol = "acmeplay"\nsecrets = ["{SECRET.decode()}"]\n'
        for name in ("acmeplay", "acmeplay-today")
    ]
    file.write_text("\n".join(tables))
    played = 0
    async with serving(load(file, {}), database_url, tmp_path / "log") as service:
        wire = AcmePlayWire(service, "acmeplay")
        for row in SITUATIONS:
            if not {*WITH_CURRENCY} <= {*row.protocols} | {"marbles"}:
                continue
            guest = await service.guest(wire)
            request = await row.set_up(wire, guest)
            async with service.untouched(guest, events=row.events):
                answer = await wire.send(request)
            word = acmeplay.ERRORS[Refusal(row.refusal)]
            assert answer.refusal == (422, word), (row.refusal, row.call)
            played += 1
    assert played > 30


def test_the_pages_table_names_every_refusal(acmeplay):
    """A gap would be an error of ours on the day that refusal first comes."""
    assert set(acmeplay.ERRORS) == set(Refusal)
