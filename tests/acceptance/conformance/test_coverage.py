"""That the conformance tests are there: at least 25 for each provider, and every row among them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ledger.refusals import Refusal
from tests.acceptance.conformance.configuration import PROTOCOLS
from tests.acceptance.conformance.expected import TABLES
from tests.acceptance.conformance.situations import rows

TESTS_MIN = 25
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
