"""Which server a partition's two connections work on."""

from __future__ import annotations

import structlog

log = structlog.get_logger(__name__)


class Home:
    """The server that a partition's two connections work on: both on the same one.

    Of a URL with several hosts each could reach another: what one reads is not what the other
    appends to. So whoever connects last says which it is, and the other one follows.
    """

    def __init__(self) -> None:
        self.server: str | None = None
        self.generation = 0
        """Grows whenever what was read before is not to be trusted any more."""
        self._last: str | None = None

    def reached(self, server: str) -> None:
        """A connection to this server was made."""
        if self._last not in (None, server):
            self.generation += 1
            log.warning("database_server_changed", was=self._last, server=server)
        self.server = self._last = server

    def fell_silent(self) -> None:
        """It did not answer in time: nobody goes on waiting for it on the other connection."""
        self.generation += 1
        self.server = None
