"""The command line `wallet-ledger`: imports only the command that is called, ends with its code.

A command stands in a module of its own and is named in `COMMANDS`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from adapters.command_line import DONE, INTERRUPTED, PROGRAM, WRONG, CommandError, complain
from adapters.telemetry import configure_console

COMMANDS: Mapping[str, str] = {
    "audit": "adapters.cli_audit",
    "evidence": "adapters.cli_evidence",
    "expire-rounds": "adapters.cli_expire_rounds",
    "init": "adapters.cli_init",
    "project": "adapters.cli_project",
    "rebuild": "adapters.cli_rebuild",
    "reconcile": "adapters.cli_reconcile",
    "report": "adapters.cli_report",
    "seal": "adapters.cli_seal",
    "serve": "adapters.cli_serve",
    "simulate": "adapters.simulate.command",
}
"""Module by command; the module's ``command`` is a `click.Command`."""


class Commands(click.Group):
    """Imports a command's module when it is called, so that each starts as fast as it can."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Every command, in the order of the alphabet."""
        return sorted(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name]).command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=PROGRAM, prog_name=PROGRAM)
def group() -> None:
    """A seamless-wallet ledger for casino game providers.

    Exit codes: 0 done, 1 found a difference, 2 wrong usage or configuration.
    """
    configure_console()


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every error has become one line.

    Where no command is named, the usage is shown.
    """
    try:
        code = group.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except NoArgsIsHelpError as usage:
        usage.show()
        code = WRONG
    except click.ClickException as error:
        code = _wrong(" ".join(error.format_message().split()))
    except CommandError as error:
        code = _wrong(str(error))
    except SystemExit:  # click's answer to a closed pipe, with the code that says "a difference"
        code = WRONG
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - Python's own exit code 1 would say "a difference"
        traceback.print_exc()
        code = _wrong(f"unexpected {type(error).__name__}; this is a bug")
    return code if isinstance(code, int) else DONE


def _wrong(line: str) -> int:
    complain(line)
    return WRONG


def main() -> NoReturn:
    """The console script."""
    sys.exit(run())
