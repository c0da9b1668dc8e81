"""`wallet-ledger serve`: run the service until it is told to stop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from adapters.command_line import CommandError, config_option
from adapters.settings import Settings
from adapters.telemetry import configure_logging

_SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


@click.command("serve")
@config_option
def command(settings: Settings) -> None:
    """Answer providers and the operator until SIGTERM or Ctrl-C."""
    configure_logging()
    with _shared_metrics(settings.server.workers):
        # The metrics library looks at the environment once, when it is imported.
        from adapters.database import one_line_errors  # noqa: PLC0415
        from adapters.server import serve  # noqa: PLC0415

        with one_line_errors():
            serve(settings)


@contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """Let several processes count into one directory, emptied first so that no old count lives on.

    An operator may name the directory in the environment, e.g. one in memory.
    """
    if workers == 1:
        os.environ.pop(_SHARED_DIRECTORY, None)
        yield
    elif named := os.environ.get(_SHARED_DIRECTORY):
        try:
            Path(named).mkdir(parents=True, exist_ok=True)
            for file in Path(named).glob("*.db"):
                file.unlink()
        except OSError as error:
            raise CommandError(f"{_SHARED_DIRECTORY}: {named}: {error.strerror}") from error
        yield
    else:
        with TemporaryDirectory(prefix="wallet-ledger-metrics-") as made:
            os.environ[_SHARED_DIRECTORY] = made
            yield
