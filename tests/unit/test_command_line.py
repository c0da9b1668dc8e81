"""The command line: one-line errors, and exit codes that a script can rely on."""

import errno

import click
import pytest

from adapters import cli
from adapters.command_line import CommandError, config_option


@pytest.fixture
def register(monkeypatch):
    """Register a command for one test."""

    def add(command: click.Command) -> None:
        monkeypatch.setattr(cli, "COMMANDS", {"probe": "probe_module"})
        monkeypatch.setattr(cli, "import_module", lambda _: type("M", (), {"command": command}))

    return add


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help(name, capsys):
    """`--help` works everywhere, whatever else is missing."""
    assert cli.run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: wallet-ledger {name}")


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["report"]])
def test_wrong_usage_is_one_line_and_code_two(arguments, capsys):
    """Code 1 means a difference was found: a typo must never look like one."""
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("wallet-ledger: ")
    assert err.count("\n") == 1


def test_without_a_command_the_usage_is_shown_plainly_and_it_is_code_two(capsys):
    """Who types the name alone asks what there is; a script that does has forgotten something."""
    assert cli.run([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: wallet-ledger [OPTIONS] COMMAND")
    assert "\nCommands:\n" in err


def test_a_bad_configuration_is_one_line_and_code_two(register, tmp_path, capsys):
    """It names the file and the key."""
    file = tmp_path / "bad.toml"
    file.write_text("[server]\nport = -1\n")

    @click.command("probe")
    @config_option
    def probe(settings):
        pytest.fail("ran with a bad configuration")

    register(probe)
    assert cli.run(["probe", "--config", str(file)]) == 2
    assert capsys.readouterr().err == (
        f"wallet-ledger: {file}: server.port: expected a whole number from 0 to 65535, got -1\n"
    )


def test_the_warnings_of_the_configuration_are_shown(register, tmp_path, capsys):
    """They are no use where nobody sees them."""
    file = tmp_path / "open.toml"
    file.write_text('[operator]\ntokens = [{name = "a", role = "admin", token = "t"}]\n')
    file.chmod(0o644)

    @click.command("probe")
    @config_option
    def probe(settings):
        click.echo(settings.operator_tokens[0].name)

    register(probe)
    assert cli.run(["probe", "--config", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out == "a\n"
    assert err.startswith("wallet-ledger: warning: secrets are readable")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (None, 0),
        (0, 0),
        (1, 1),
        (CommandError("no database"), 2),
        (click.UsageError("odd"), 2),
        (click.ClickException("odd"), 2),
        (RuntimeError("a bug"), 2),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 2),
    ],
)
def test_a_commands_end_becomes_the_exit_code(register, outcome, code, capsys):
    """Only a command that found a difference ends with 1; Python's own 1 for a crash would lie."""

    @click.command("probe")
    def probe():
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    register(probe)
    assert cli.run(["probe"]) == code
    assert capsys.readouterr().out == ""
