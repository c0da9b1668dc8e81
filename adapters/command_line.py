"""What every command shares: the ``--config`` option, one-line errors and the exit codes.

A command returns its exit code (None is 0), or raises `CommandError` with one line for people.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from adapters.settings import Settings
from adapters.settings_file import DEFAULT_FILE, load
from adapters.settings_reader import SettingsError

PROGRAM: Final = "wallet-ledger"

DONE: Final = 0
DIFFERENCE: Final = 1
"""The command ran and found a difference: what was compared is not equal."""
WRONG: Final = 2
"""Wrong usage or configuration, or the command could not do its work: nothing was compared."""
INTERRUPTED: Final = 130
"""Stopped by Ctrl-C, as shells say it."""

Command = TypeVar("Command", bound=Callable[..., Any])


class CommandError(Exception):
    """The command cannot do its work; its text is one line."""


def complain(line: str) -> None:
    """One line to standard error, under the program's name."""
    click.echo(f"{PROGRAM}: {line}", err=True)


def progress_bars() -> Progress:
    """Progress bars on standard error; nothing where that is no terminal."""
    console = Console(stderr=True)
    return Progress(console=console, disable=not console.is_terminal)


def write_output(content: bytes, output: Path | None) -> None:
    """The bytes to the file, or to standard output. Raises `CommandError`."""
    try:
        if output is None:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        else:
            output.write_bytes(content)
    except OSError as error:
        where = output or "to standard output"
        raise CommandError(f"cannot write {where}: {error.strerror}") from error


def config_option(command: Command) -> Command:
    """Give the command ``--config FILE`` and, as ``settings``, what the file says."""
    return click.option(
        "--config",
        "settings",
        metavar="FILE",
        envvar="WALLET_LEDGER_CONFIG",
        default="",
        callback=_settings,
        help=f"Configuration file; without it ./{DEFAULT_FILE} where that exists, else defaults.",
    )(command)


def _settings(_context: click.Context, _option: click.Parameter, name: str) -> Settings:
    file = Path(name) if name else None
    try:
        settings = load(file)
    except SettingsError as error:
        raise CommandError(f"{file or DEFAULT_FILE}: {error}") from error
    for line in settings.warnings:
        complain(f"warning: {line}")
    return settings
