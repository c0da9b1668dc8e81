"""That the conformance tests are there: enough for each provider, and every row among them.

Whoever adds a provider is told here what it still lacks.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.providers.registry import PROVIDERS
from ledger.refusals import Refusal
from tests.acceptance.conformance.configuration import PROTOCOLS
from tests.acceptance.conformance.expected import TABLES
from tests.acceptance.conformance.situations import rows
from tests.acceptance.conformance.test_numbers import TAKEN, TOO_FINE, TOO_LARGE

TESTS_MIN = 100
ELSEWHERE = {
    "invalid_signature": "test_trust.py",
    "unavailable": "test_unavailable.py",
    "internal": "test_unavailable.py",
}


@pytest.fixture(scope="module")
def names() -> list[str]:
    """The ids of all conformance tests, as pytest collects them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", str(Path(__file__).parent)]
    root = Path(__file__).parents[3]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    return [line for line in found.stdout.splitlines() if "::" in line]


def test_every_protocol_that_is_spoken_takes_part():
    """A provider that is registered only would run against no test at all, and look sound."""
    assert set(PROTOCOLS) == set(PROVIDERS)


@pytest.mark.parametrize("entered", [TABLES, TAKEN, TOO_LARGE, TOO_FINE])
def test_every_protocol_is_entered_wherever_the_tests_look_it_up(entered):
    """Without its entry, cases are left out silently or end in a KeyError that says nothing."""
    assert set(entered) == set(PROVIDERS)


@pytest.mark.parametrize("protocol", PROVIDERS)
def test_a_providers_table_of_errors_names_every_refusal(protocol):
    """No type tells of a gap: it would be an error of ours on the day that refusal first comes."""
    module = sys.modules[PROVIDERS[protocol].__module__]
    tables = [
        set(table)
        for table in vars(module).values()
        if isinstance(table, Mapping) and all(isinstance(key, Refusal) for key in table)
    ]
    gaps = min((set(Refusal) - table for table in tables), key=len, default=set(Refusal))
    missing = sorted(refusal.value for refusal in gaps)
    assert not missing, f"{module.__name__}: no table by Refusal names them"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_there_are_enough_conformance_tests(names, protocol):
    """A provider whose tests went missing would look as sound as the others."""
    count = sum(protocol in name for name in names)
    print(f"{protocol}: {count} conformance tests")
    assert count >= TESTS_MIN


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_refusal_of_the_ledger_has_its_row(protocol):
    """A refusal that a protocol cannot say would be an error of ours in production."""
    table = {key if isinstance(key, str) else key[0] for key in TABLES[protocol]}
    assert table == {refusal.value for refusal in Refusal}
    played = Counter(row.refusal for name, row in rows() if name == protocol)
    unplayed = table - set(played) - set(ELSEWHERE)
    # GPAS names no player on the wire but at POST /sessions: see test_gpas.py.
    assert unplayed == ({"unknown_player"} if protocol == "gpas" else set())
