"""How many files the process may open: enough for the connections that the configuration allows.

A connection that finds none left is closed by the event loop, and nothing is logged of it.
"""

from __future__ import annotations

import resource
from typing import Final

from adapters.command_line import complain

_RESERVE: Final = 1_000
"""For all that is no connection of a client's.

Three connections to the database for each of 100 partitions at most, the other workers, what is
read or logged, and connections beyond the most allowed, each of which is open until it is refused.
"""


def allow_connections(connections_max: int) -> None:
    """Let this process and those that it starts open as many files as that takes.

    Warns where the hard limit does not let it, and goes on: most services never have so many.
    """
    needed = connections_max + _RESERVE
    allowed = _raise_limit(needed)
    if allowed < needed:
        complain(
            f"warning: a process may open {allowed} files and limits.connections_max ="
            f" {connections_max} takes {needed}: clients beyond that cannot connect; raise the hard"
            " limit (ulimit -Hn, LimitNOFILE of systemd) or lower limits.connections_max"
        )


def _raise_limit(needed: int) -> int:
    """Raise the soft limit towards ``needed``, never lower it; how many of these are allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return needed
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # the system may allow less than the hard limit says, as macOS
        return soft
    return wanted
