"""The service without one of its promises, for a checker that must notice.

`python -m tests.faults.weakened PROMISE COMMAND ARGUMENT...` runs what stands behind it so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from adapters.cli import main
from ledger.batch import Accepted, Attempt, Pending
from ledger.committer import Committer
from ledger.sql import named_statements


def commits_wait_for_no_disk() -> None:
    """As where `synchronous_commit` is off: the service refuses to start so, hence by force."""
    statements: Any = named_statements("ledger.sql")
    statements["keep_synchronous_commit"] = "SET synchronous_commit = off"
    append = statements["append"]
    statements["append"] = append.replace("IN ('off', 'local')", "IN ('never')")
    assert statements["append"] != append


def repetitions_wait_for_no_commit() -> None:
    """Without rule 1.1 of what shapes the code: what is read as booked is acknowledged at once."""
    decide: Any = Committer._decide

    async def acknowledge_early(
        committer: Committer, attempt: Attempt, batch: Sequence[Pending]
    ) -> None:
        await decide(committer, attempt, batch)
        for pending, outcome in attempt.outcomes:
            if isinstance(outcome, Accepted) and outcome.replayed:
                pending.resolve(outcome)

    Committer._decide = acknowledge_early  # type: ignore[method-assign, assignment]


BROKEN: dict[str, Callable[[], None]] = {
    broken.__name__: broken for broken in (commits_wait_for_no_disk, repetitions_wait_for_no_commit)
}

if __name__ == "__main__":
    BROKEN[sys.argv[1]]()
    del sys.argv[:2]
    main()
