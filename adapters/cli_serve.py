"""`wallet-ledger serve`: run the service until it is told to stop."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkdtemp

import click

from adapters.command_line import config_option
from adapters.settings import Settings


@click.command("serve")
@config_option
def command(settings: Settings) -> None:
    """Answer providers and the operator until SIGTERM or Ctrl-C."""
    if settings.server.workers > 1:
        _share_metrics()
    from adapters.server import serve  # noqa: PLC0415 - the metrics library looks at the environment once

    serve(settings)


def _share_metrics() -> None:
    """Let several processes count into one directory, made anew so that no old count lives on."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = mkdtemp(prefix="wallet-ledger-metrics-")
        return
    directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink()
