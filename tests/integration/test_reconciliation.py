"""A provider's statement against a real ledger: every planted fault is found, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.providers.betbrothers import BetBrothersProvider
from ledger.currencies import Currencies
from projections.reports.period import Period
from projections.reports.service import Reports
from projections.statements.findings import KINDS, Outcome
from projections.statements.service import Asked, Reconciler
from tests.integration.statement_play import Faults, now, opened, played, write_csv, write_jsonl

SEED = 20


@pytest.fixture
def url(postgres, databases) -> Iterator[str]:
    """A fresh database of two partitions."""
    with databases.fresh(databases.template(2)) as name:
        yield postgres.url(name)


async def reconciled(
    url: str, file: Path, begins: datetime, ends: datetime, **more: Any
) -> Outcome:
    """What the statement and the ledger say differently."""
    currencies = Currencies()
    reports = Reports(url, 2, currencies, answer_s=0.2)
    keys_of = {"slots": BetBrothersProvider.keys_of}
    reconciler = Reconciler(url, 2, currencies, keys_of, reports)
    fields: dict[str, Any] = {"edge_s": 0, "kept_max": 100_000} | more
    asked = Asked(integration="slots", period=Period("UTC", begins, ends), **fields)
    with file.open("rb") as opened_file:
        return await reconciler.reconcile(asked, opened_file)


def named(outcome: Outcome) -> dict[str, set[str]]:
    """The transaction ids of the differences by kind."""
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for each in outcome.differences:
        found[each.kind].add(each.transaction_id)
    return found


@pytest.mark.parametrize(
    ("rows", "each"),
    [(20_000, 50), pytest.param(1_000_000, 1_000, marks=pytest.mark.soak)],
)
async def test_every_planted_fault_is_found_and_nothing_else(url, tmp_path, rows, each):
    """P13: a fault that is passed over is money lost; a false one costs somebody's afternoon."""
    print(f"seed {SEED}")
    begins = now()
    async with opened(url, 2) as ledger:
        seats, lines = await played(ledger, rows, SEED)
        clean_ends = now()
        clean = await reconciled(url, write_csv(tmp_path / "clean.csv", lines), begins, clean_ends)
        faults = Faults(lines, each, SEED)
        await faults.book_twice(seats, 2)
    faults.plant()
    ends = now()
    random.Random(SEED).shuffle(faults.lines)
    file = write_jsonl(tmp_path / "faulty.jsonl", faults.lines)
    faulty = await reconciled(url, file, begins, ends)

    assert clean.differ == 0, clean.differences[:5]
    assert clean.noted["matched"] == len(lines)
    assert {(row.variance, row.unexplained) for row in clean.totals} == {("0.00", "0.00")}
    assert faulty.counts == dict.fromkeys(KINDS, each)
    assert named(faulty) == faults.planted
    assert faulty.left_out == 0
