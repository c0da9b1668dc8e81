"""The settings of projections and reports: defaults, values, and what stops the start."""

from __future__ import annotations

import pytest

from adapters.settings import Projections, ReportSettings
from adapters.settings_file import load
from adapters.settings_reader import SettingsError
from projections.reports.service import default_large_wins


@pytest.fixture
def read(tmp_path):
    """Load a configuration of that text."""

    def load_text(text: str):
        file = tmp_path / "wallet-ledger.toml"
        file.write_text(text)
        return load(file, {})

    return load_text


def test_without_a_word_serve_projects_and_days_are_utc(read):
    """What a first start gets."""
    settings = read("")
    assert settings.projections == Projections(in_serve=True)
    assert settings.reports == ReportSettings(operator=None, time_zone="UTC", large_wins={})


def test_the_operators_zone_and_thresholds(read):
    """Thresholds are read in the currency's own units, the configured ones included."""
    settings = read(
        "[projections]\nin_serve = false\n"
        '[reports]\noperator = "Casino Example Ltd"\ntime_zone = "Europe/Malta"\n'
        'large_wins = { EUR = "5000.50", POINTS = "7" }\n'
        "[currencies.POINTS]\nexponent = 0\nscale = 8\n"
    )
    assert not settings.projections.in_serve
    assert settings.reports.operator == "Casino Example Ltd"
    assert settings.reports.time_zone == "Europe/Malta"
    assert settings.reports.large_wins == {"EUR": 500_050_000, "POINTS": 700_000_000}
    assert default_large_wins(settings.currencies)["POINTS"] == 10_000 * 10**8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[projections]\nin_serve = "yes"', "projections.in_serve: expected true or false"),
        ("[projections]\nin_server = true", "projections.in_server: unknown key"),
        ('[reports]\noperator = ""', "reports.operator: expected a string that is not empty"),
        ('[reports]\ntime_zone = "Mars"', "reports.time_zone: expected a time zone such as"),
        ('[reports]\nlarge_wins = { XXX = "1" }', "reports.large_wins.XXX: unknown key"),
        ('[reports]\nlarge_wins = { EUR = "-1" }', "reports.large_wins.EUR: amount is not"),
        ("[reports]\nlarge_wins = { EUR = 5000 }", "reports.large_wins.EUR: expected a string"),
    ],
)  # fmt: skip
def test_a_bad_value_stops_the_start_and_is_named(read, text, message):
    """A setting that is silently ignored is found by the regulator."""
    with pytest.raises(SettingsError) as found:
        read(text)
    assert str(found.value).startswith(message)
