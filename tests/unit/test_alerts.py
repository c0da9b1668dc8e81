"""The alerting rules ask for what `/metrics` shows, and name a page that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from adapters.metrics import ALARMING, Metrics

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]

_METRIC = re.compile(r"wallet_ledger_\w+")
_SELECTOR = re.compile(r"\b(wallet_ledger_\w+)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)="([^"]*)"')


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
class TestRule:
    """One alerting rule."""

    def test_asks_for_what_there_is(self, rule):
        """A metric by another name would ring never."""
        names = {name.removesuffix("_bucket") for name in _METRIC.findall(rule["expr"])}
        assert names <= {*Metrics().names()}
        for _, matchers in _SELECTOR.findall(rule["expr"]):
            for label, value in _MATCHER.findall(matchers):
                assert label == "outcome"
                assert value in ALARMING

    def test_says_what_to_do(self, rule):
        """Somebody reads it at night."""
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert f"\n## {anchor}\n" in (ROOT / page).read_text(encoding="utf-8")
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")


def test_every_rule_is_tried():
    """By promtool (`make alerts`): rings when it should, and not on a ledger at work."""
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    tried = [each for test in tests for each in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in RULES}
    assert {each["alertname"] for each in tried if "exp_alerts" in each} == alerts
    assert {each["alertname"] for each in tried if "exp_alerts" not in each} == alerts
