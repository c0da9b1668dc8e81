"""A provider's statement against a real ledger: every planted fault is found, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from psycopg.conninfo import conninfo_to_dict

from adapters.providers.betbrothers import BetBrothersProvider
from ledger.codec import partition_of
from ledger.currencies import Currencies
from ledger.embedded import SUPERUSER
from ledger.refusals import Refused
from ledger.sql import schema_name
from projections.reports.errors import UnsoundEvents
from projections.reports.period import Period
from projections.reports.queries import query
from projections.reports.service import Reports
from projections.statements.bookings import NAMES
from projections.statements.findings import KINDS, Outcome
from projections.statements.service import Asked, Reconciler
from tests.integration.statement_play import (
    Faults,
    Player,
    now,
    opened,
    played,
    write_csv,
    write_jsonl,
)

SEED = 20
EUR = 100_000


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


async def test_what_was_booked_before_the_period_is_looked_up_by_its_key(url, tmp_path):
    """A provider's clock is not ours: of some thousand rows a day a few are another day's here."""
    async with opened(url, 2) as ledger:
        seats, early = await played(ledger, 2_500, SEED, players=10)
        begins = now()
        for seat in seats:
            await seat.play(10)
    late = [line for seat in seats for line in seat.lines][len(early) :]
    everything = [line for seat in seats for line in seat.lines]
    assert late
    inside = len(everything) - len(early)
    file = write_csv(tmp_path / "all.csv", everything)
    outcome = await reconciled(url, file, begins, now())
    assert outcome.differ == 0, outcome.differences[:3]
    assert outcome.noted["booked_outside_period"] == len(early)
    assert outcome.noted["matched"] == inside
    assert {row.unexplained for row in outcome.totals} == {"0.00"}
    wrong = [replace(line, amount=line.amount + 1) for line in early[:3]]
    file = write_csv(tmp_path / "wrong.csv", wrong)
    outcome = await reconciled(url, file, begins, now())
    assert outcome.counts["amount_mismatch"] == 3
    assert outcome.counts["missing_in_statement"] == inside


def test_a_day_is_read_by_an_index_once_the_ledger_is_large(url, postgres):
    """A scan of all that was ever booked takes longer every day, and one day longer than it may."""
    name = str(conninfo_to_dict(url)["dbname"])
    day = {"integration": "slots", "kinds": NAMES, "begins": "2029-02-01", "ends": "2029-02-02"}
    with psycopg.connect(postgres.url(name, SUPERUSER), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO ledger_p00.transactions SELECT 'slots', 'k' || n, 'p', n, 'bet_placed.v1',"
            " NULL, NULL, 'r', false, timestamptz '2029-01-01' + n * interval '1 minute'"
            " FROM generate_series(1, 100000) n"
        )
        connection.execute("ANALYZE ledger_p00.transactions")
        plan = connection.execute(b"EXPLAIN " + query("booked_between", "ledger_p00"), day)
        assert "transactions_recorded_at_idx" in str(plan.fetchall())


async def test_only_the_integration_that_was_asked_for_is_compared(url, tmp_path):
    """Two providers may use one id, and each has a statement of its own."""
    begins = now()
    async with opened(url, 2) as ledger:
        player = Player(ledger, "anna", random.Random(1))
        await player.seat()
        mine = await player.book("bet", "t1", "r1", amount=EUR)
        other: dict[str, Any] = {"integration": "tables", "session": None, "tags": {"jackpot": {}}}
        theirs = await player.book("win", "t2", "r2", amount=EUR, **other)
    file = write_csv(tmp_path / "statement.csv", [mine, theirs])
    outcome = await reconciled(url, file, begins, now())
    assert named(outcome) == {key: set() for key in KINDS} | {"missing_in_ledger": {"t2"}}


async def test_what_moves_nothing_comes_from_the_wallet_as_it_is_described(url, tmp_path):
    """A cancelled bet that never came, a refund that came twice, a lost round, a refused call."""
    begins = now()
    async with opened(url, 2) as ledger:
        player = Player(ledger, "anna", random.Random(1))
        await player.seat()
        bet = await player.book("bet", "b1", "r1", amount=EUR)
        refund = await player.book("refund", "b1", "r1", amount=EUR, original="bet:b1")
        again = await player.book("refund", "f9", "r1", amount=EUR, original="bet:b1")
        gone = player.command("refund", "b2", "r2", amount=EUR, original="bet:b2")
        assert isinstance(await ledger.execute(gone), Refused)
        late = player.command("bet", "b2", "r2", amount=EUR)
        assert isinstance(await ledger.execute(late), Refused)
        dear = player.command("bet", "b3", "r3", amount=10**17)
        assert isinstance(await ledger.execute(dear), Refused)
        await player.book("bet", "b4", "r4", amount=0)
        await player.book("win", "w4", "r4", amount=0)
    ends = now()
    lines = [bet, replace(refund, reference="b1")]
    fits = await reconciled(url, write_csv(tmp_path / "fits.csv", lines), begins, ends)
    assert fits.differ == 0, fits.differences
    assert fits.noted["moved_nothing"] == 4
    cancelled = [
        replace(bet, transaction_id="b2", round_id="r2"),
        replace(bet, transaction_id="b2", round_id="r2", operation="refund"),
    ]
    both = await reconciled(url, write_csv(tmp_path / "both.csv", lines + cancelled), begins, ends)
    assert both.differ == 0, both.differences
    assert both.noted["cancelled_before_booking"] == 1
    charged = replace(again, reference="b1")
    refused = replace(bet, transaction_id="b3", round_id="r3")
    wrong = await reconciled(
        url, write_csv(tmp_path / "wrong.csv", [*lines, charged, refused]), begins, ends
    )
    assert named(wrong) == {key: set() for key in KINDS} | {
        "missing_in_ledger": {"b3"},
        "amount_mismatch": {"f9"},
    }


async def test_a_key_whose_event_is_gone_or_another_stops_the_comparison(
    url, postgres, databases, tmp_path
):
    """It would be missing in the ledger, and a provider blamed for what somebody did here."""
    begins = now()
    async with opened(url, 2) as ledger:
        player = Player(ledger, "anna", random.Random(1))
        await player.seat()
        lines = [await player.book("bet", f"b{n}", f"r{n}", amount=EUR) for n in (1, 2)]
    file = write_csv(tmp_path / "statement.csv", lines)
    place = partition_of("anna", 2)
    name = str(conninfo_to_dict(url)["dbname"])
    for damage in (
        "UPDATE {0}.transactions SET version = 6 WHERE key = 'bet:b1'",
        "UPDATE {0}.transactions SET version = 99 WHERE key = 'bet:b1'",
    ):
        with psycopg.connect(postgres.url(name, SUPERUSER), autocommit=True) as connection:
            schema = schema_name(place)
            connection.execute(f"ALTER TABLE {schema}.transactions DISABLE TRIGGER ALL".encode())
            connection.execute(damage.format(schema).encode())
        with pytest.raises(UnsoundEvents, match="bet:b1"):
            await reconciled(url, file, begins, now())
