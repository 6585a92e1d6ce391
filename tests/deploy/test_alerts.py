"""The operators' alert rules: they fire when they should, use existing metrics, and are documented."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from tests.clients.toolchains import BUILD_TIMEOUT, run
from tests.support.prometheus import program
from tests.support.promql_selectors import grouped, known_series, selected

from tokend.v1.developer_identity_service_pb2 import DESCRIPTOR
from tokend_server.aws_json.errors import ERRORS
from tokend_server.aws_json.sts import STS_CODES
from tokend_server.engines.cognito.fault_rows import ERROR_CODES, EXCEPTIONS
from tokend_server.errors import LastingError, RetryableError, UnsupportedByEngine
from tokend_server.mesh.authorization import SERVICE_NAME as AUTHORIZATION
from tokend_server.mesh.verdict import Verdict
from tokend_server.metrics import SECONDS_BUCKETS

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)

ROOT = Path(__file__).parents[2]
RULES = ROOT / "server" / "deploy" / "prometheus"


def _read(name: str) -> Any:  # noqa: ANN401 - YAML
    return yaml.load((RULES / name).read_text("utf-8"), yaml.CSafeLoader)


LOADED = [rule for group in _read("alerts.yaml")["groups"] for rule in group["rules"]]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in LOADED if "alert" in rule}
RECORDED = {rule["record"] for rule in LOADED if "record" in rule}
TESTS = _read("alerts.test.yaml")["tests"]
RUNBOOK = (ROOT / "server" / "runbook.md").read_text("utf-8")
ENTRIES = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
SERIES = known_series()

#: All values of labels that have a closed list.
VALUES = {
    "grpc_service": {DESCRIPTOR.services_by_name["DeveloperIdentityService"].full_name, AUTHORIZATION},
    "limit": {"calls", "concurrent_calls", "new_identities", "server_calls", "other_calls", "aws_calls", "quota"},
    "step": {"read", "add", "remove", "note", "activate"},
    "job": {"tokend"},
    "result": {*Verdict},
    "code": {*STS_CODES, *(row.code for row in ERRORS.values()), *ERROR_CODES, *EXCEPTIONS},
}


@pytest.mark.parametrize("rule", LOADED, ids=lambda rule: rule.get("alert") or rule["record"])
def test_each_rule_names_metrics_that_there_are_with_their_labels(rule: dict[str, Any]) -> None:
    of_metrics = [each for each in selected(rule["expr"]) if each.metric not in RECORDED]
    for each in of_metrics:
        assert each.metric in SERIES
        assert each.labels.keys() <= SERIES[each.metric]
        assert all(set(value.split("|")) <= VALUES[name] for name, value in each.labels.items() if name in VALUES)
    if of_metrics:
        assert set(grouped(rule["expr"])) <= frozenset[str]().union(*(SERIES[each.metric] for each in of_metrics))


def test_the_threshold_of_slow_calls_is_a_bucket() -> None:
    buckets = [each for each in selected(ALERTS["TokendCallsAreSlow"]["expr"]) if each.metric.endswith("_bucket")]
    assert {each.labels["le"] for each in buckets} == {"0.5"}
    assert 0.5 in SECONDS_BUCKETS


def test_errors_of_callers_do_not_fire_the_cognito_alert() -> None:
    ours = (LastingError, RetryableError, UnsupportedByEngine)
    (failures,) = [each for each in selected(ALERTS["TokendCognitoFails"]["expr"]) if "code" in each.labels]
    faults = [*ERROR_CODES.items(), *EXCEPTIONS.items()]
    of_callers = {code for code, fault in faults if fault and not issubclass(fault.error, ours)}
    assert set(failures.labels["code"].split("|")) == of_callers


def test_each_range_has_two_samples_where_servers_are_scraped_once_a_minute() -> None:
    ranges = {text for rule in LOADED for text in re.findall(r"\[(\w+)\]", rule["expr"])}
    minutes = {"m": 1, "h": 60, "d": 24 * 60}
    assert min(int(text[:-1]) * minutes[text[-1]] for text in ranges) == 2
    assert "scrape at least once a minute" in RUNBOOK


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_explained(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["runbook"] == f"server/runbook.md#{alert.lower()}"
    assert re.findall(r"^- \*\*(.+?):\*\*", ENTRIES[alert], re.MULTILINE) == ["Means", "Users see", "Do"]


def test_the_runbook_explains_no_other_alert() -> None:
    assert ENTRIES.keys() == ALERTS.keys()


def test_the_runbook_asks_for_series_that_there_are() -> None:
    queries = [text for text in re.findall(r"`([^`\n]+)`", RUNBOOK) if "(" in text and "tokend_" in text]
    assert queries
    for each in [each for query in queries for each in selected(query)]:
        assert each.metric in SERIES


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_rule_tests_in_which_it_fires_and_does_not_fire(alert: str) -> None:
    tried = [{f'"{alert}"' in str(check["exp_samples"]) for check in test["promql_expr_test"]} for test in TESTS]
    assert {True, False} in tried


def test_the_input_series_of_rule_tests_exist() -> None:
    for test in TESTS:
        for series in test["input_series"]:
            (tried,) = selected(series["series"])
            assert tried.labels.keys() <= SERIES[tried.metric]


def test_promtool_accepts_the_rules_and_their_tests_pass() -> None:
    promtool = str(program("promtool"))
    run([promtool, "check", "rules", "--lint=all", "alerts.yaml"], RULES)
    run([promtool, "test", "rules", "alerts.test.yaml"], RULES, os.environ | {"GOGC": "400"})  # a fifth less CPU time
