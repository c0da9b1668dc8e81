"""A primary and a standby behind one URL: the store follows the one that takes writes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from ledger.embedded import EmbeddedPostgres
from ledger.schema import initialise
from ledger.store import CommitUnknown, Store, StoreUnavailable
from tests.integration.store_rows import first_bet

pytestmark = pytest.mark.faults

FAILOVER_S = 20.0


def copy_of(primary: EmbeddedPostgres, directory: Path) -> EmbeddedPostgres:
    """A hot standby of the primary."""
    owner = primary.data_dir.stat()
    directory.mkdir(mode=0o700)
    os.chown(directory, owner.st_uid, owner.st_gid)
    standby = EmbeddedPostgres(directory)
    source = f"host={primary.socket_dir} user=postgres application_name=standby"
    standby._execute(
        "pg_basebackup", "-D", str(directory), "-d", source, "-R", "-X", "stream", "-c", "fast"
    )
    return standby


@pytest.fixture
def pair(postgres: EmbeddedPostgres) -> Iterator[tuple[EmbeddedPostgres, EmbeddedPostgres]]:
    """A primary that waits for its standby before it calls a commit one."""
    base = postgres.data_dir.with_name(f"pair-{time.monotonic_ns()}")
    with EmbeddedPostgres(Path(f"{base}-a")) as primary:
        asyncio.run(initialise(primary.migrate_url, 1))
        with copy_of(primary, Path(f"{base}-b")) as standby:
            with psycopg.connect(primary.migrate_url, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
                connection.execute("SELECT pg_reload_conf()")
            yield primary, standby


async def test_the_store_follows_the_primary_through_a_fail_over(
    pair: tuple[EmbeddedPostgres, EmbeddedPostgres],
):
    """The standby stands first in the URL, and takes no writes until it is promoted."""
    primary, standby = pair
    hosts = ",".join(quote(str(server.socket_dir), safe="") for server in (standby, primary))
    store = Store(
        f"postgresql://wallet_ledger@/wallet_ledger?host={hosts}&port=5432,5432"
        "&target_session_attrs=read-write"
    )
    for number in range(20):
        assert await store.append(first_bet(f"k{number}", f"p{number}"), 5) is None
    with psycopg.connect(standby.migrate_url) as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    for pid in primary._server_processes():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises((CommitUnknown, StoreUnavailable)):
        await store.append(first_bet("between", "between"), 0.5)
    await asyncio.to_thread(standby._pg_ctl, "promote")
    async with asyncio.timeout(FAILOVER_S):
        while True:
            try:
                conflicts = await store.append(first_bet("after", "after"), 2)
            except (CommitUnknown, StoreUnavailable):
                continue
            break
    assert conflicts is None or [row.key for row in conflicts.transactions] == ["after"]
    keys = [("marbles", f"k{number}") for number in range(20)]
    assert sorted(await store.transactions(keys)) == sorted(keys)
    await store.close()


async def test_a_standby_alone_is_unavailable_and_never_written_to(
    pair: tuple[EmbeddedPostgres, EmbeddedPostgres],
):
    """A URL that points at a standby by mistake must be told as such, in time."""
    _, standby = pair
    store = Store(standby.url() + "&target_session_attrs=read-write")
    with pytest.raises(StoreUnavailable, match="session is read-only"):
        await store.append(first_bet(), 1)
    await store.close()
    careless = Store(standby.url())
    with pytest.raises(StoreUnavailable):
        await careless.append(first_bet(), 1)
    assert await careless.heads(["player:ann"]) == {"player:ann": 0}
    await careless.close()
