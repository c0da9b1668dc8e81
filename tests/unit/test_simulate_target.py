"""What the simulator plays against, and that it says what it does not play."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from adapters import cli
from adapters.keys import Secret
from adapters.settings import IntegrationSettings, OperatorToken, Settings
from adapters.settings_file import load
from adapters.simulate.target import NoTarget, target

FILE = Path(__file__).parents[2] / "deploy" / "demo.toml"
DEMO = load(FILE)


def with_acme(*others: str) -> Settings:
    """These integrations, and one whose protocol the simulator does not know."""
    known = {name: DEMO.integrations[name] for name in others}
    return replace(
        DEMO, integrations={**known, "acme": IntegrationSettings(name="acme", protocol="acme")}
    )


def test_an_integration_of_an_unknown_protocol_is_left_out_by_name() -> None:
    """Nobody tells "0 differences" of an integration that was not played from a good one."""
    played = target(with_acme("gpas", "betbrothers"), url=None, all_protocols=True)
    assert [wire.switches.name for wire in played.wires] == ["gpas", "betbrothers"]
    assert played.left_out == ("acme",)
    assert target(DEMO, url=None, all_protocols=True).left_out == ()


def test_what_was_not_asked_for_is_not_left_out() -> None:
    """Without --all one protocol is meant, and the others are no surprise."""
    assert target(with_acme("betbrothers"), url=None, all_protocols=False).left_out == ()


@pytest.mark.parametrize(
    ("others", "all_protocols", "said"),
    [
        ((), True, "no integration whose protocol the simulator knows"),
        ((), False, "no integration whose protocol the simulator knows"),
        (("gpas",), False, "no betbrothers integration: use --all"),
    ],
)
def test_with_nothing_to_play_the_advice_is_one_that_helps(
    others: tuple[str, ...], all_protocols: bool, said: str
) -> None:
    """Whoever gave --all was told to use it."""
    with pytest.raises(NoTarget, match=said):
        target(with_acme(*others), url=None, all_protocols=all_protocols)


def test_the_command_names_what_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, where whoever reads the figures of a run sees it."""
    played = target(with_acme("gpas"), url="http://127.0.0.1:1", all_protocols=True)
    module = import_module("adapters.simulate.command")
    monkeypatch.setattr(module, "target", lambda *_, **__: played)
    assert cli.run(["simulate", "--config", str(FILE), "--all"]) == 2
    assert "integration acme is not played: the simulator does not know its protocol\n" in (
        capsys.readouterr().err
    )


def test_a_token_that_has_expired_is_not_played_with() -> None:
    """The server would answer that it does not know us, and nobody would guess why."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    old = OperatorToken(name="old", role="admin", token=Secret("old"), expires=past)
    live = OperatorToken(name="live", role="operator", token=Secret("live"))
    found = target(replace(DEMO, operator_tokens=(old, live)), url=None, all_protocols=False)
    assert (found.token, found.is_admin) == ("live", False)
    assert "'live'" not in repr(found)
    with pytest.raises(NoTarget, match="no live operator token"):
        target(replace(DEMO, operator_tokens=(old,)), url=None, all_protocols=False)


@pytest.mark.parametrize("url", ["http://h:abc", "http://h:99999", "http://[::1"])
def test_what_is_no_url_is_one_line_and_code_two(url: str, capsys) -> None:
    """A slip of the keyboard is no bug."""
    assert cli.run(["simulate", "--config", str(FILE), "--url", url]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"wallet-ledger: {url} is no URL: ")
