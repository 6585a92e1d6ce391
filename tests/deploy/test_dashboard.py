"""The Grafana dashboard: its queries run on a real Prometheus that scrapes a tokend under load."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.deploy.watched import DASHBOARD, DEPLOY, Prometheus, Query, as_sent, dashboard_queries, watched_service
from tests.support.promql_selectors import grouped, known_series, selected

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)

SERIES = known_series()
QUERIES = dashboard_queries()
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

#: Members that Grafana supports and the models of its library lack.
NOT_IN_THE_MODELS = {"builtIn", "definition", "id", "mode", "titleFormat"}

#: Metrics without events in the test: their series begin at the first event.
NOTHING_YET = {
    "tokend_audit_failures_total",
    "tokend_aws_call_seconds_bucket",
    "tokend_aws_calls_total",
    "tokend_caller_tokens_refused_total",
    "tokend_cognito_refused_total",
    "tokend_kms_refused_total",
    "tokend_kms_request_failures_total",
    "tokend_kms_request_seconds_bucket",
}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with watched_service(tmp_path_factory.mktemp("watched")) as running:
        yield running


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.panel)
def test_each_query_names_metrics_that_there_are_with_their_labels(query: Query) -> None:
    found = selected(query.expression)
    assert found
    for each in found:
        assert each.labels.keys() <= SERIES[each.metric]
    assert set(grouped(query.expression)) <= frozenset[str]().union(*(SERIES[each.metric] for each in found))


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.panel)
def test_each_query_returns_data_if_its_events_have_occurred(query: Query, prometheus: Prometheus) -> None:
    if {each.metric for each in selected(query.expression)}.isdisjoint(NOTHING_YET):
        # On a busy machine a scrape may fail, and until the next one a server has no values.
        prometheus.wait_for(query.expression)
    else:
        assert prometheus.ask(query.expression) == []


def test_each_query_counts_the_servers_that_are_chosen_alone() -> None:
    chosen = {"namespace": "$namespace", "job": "$job", "instance": "$instance"}
    for panel in PANELS:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1m")
            assert all(chosen.items() <= each.labels.items() for each in selected(expression)), panel["title"]


def test_all_servers_are_those_of_tokend_alone(prometheus: Prometheus) -> None:
    prometheus.wait_for('up{job="prometheus"}')
    prometheus.wait_for('rate(process_cpu_seconds_total{job="prometheus"}[1m])')
    (scraped,) = [query.expression for query in QUERIES if "(up{" in query.expression]
    prometheus.wait_for(f"{scraped} == 1")
    processes = [query for query in QUERIES if query.expression.startswith(("process_", "rate(process_"))]
    assert len(processes) == 3
    for query in processes:
        prometheus.wait_for(query.expression)
        assert {each["metric"]["job"] for each in prometheus.ask(query.expression)} <= {"tokend"}


def test_failed_calls_are_those_of_the_objective() -> None:
    ((shown,),) = [[each["expr"] for each in panel["targets"]] for panel in PANELS if panel["title"] == "Failed calls"]
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text("utf-8"))["groups"]
    (objective,) = [
        rule["expr"]
        for group in groups
        for rule in group["rules"]
        if rule.get("record") == "job:tokend_failed_calls:ratio_rate1h"
    ]
    chosen = {"namespace", "job", "instance"}
    assert [
        (each.metric, {name: value for name, value in each.labels.items() if name not in chosen})
        for each in selected(as_sent(shown))
    ] == [(each.metric, dict(each.labels)) for each in selected(objective)]


def test_panels_by_code_omit_codes_without_calls() -> None:
    """Hundreds of them exist from the start, all at zero."""
    of_each_code = {"grpc_server_handled_total": "grpc_code", "tokend_aws_calls_total": "code"}
    drawn = [
        query
        for query in QUERIES
        for each in selected(query.expression)
        if of_each_code.get(each.metric) in grouped(query.expression)
    ]
    assert len(drawn) >= len(of_each_code)
    assert [query.panel for query in drawn if not query.expression.endswith(" > 0")] == []


def test_panels_of_rates_have_a_unit_per_second() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            rate = re.match(r"(sum( by \(.*?\))? ?\()?rate\((?!process_cpu)", target["expr"])
            by_the_second = panel["fieldConfig"]["defaults"]["unit"] in {"reqps", "ops", "cps"}
            assert by_the_second == bool(rate), panel["title"]


def test_each_metric_of_tokend_is_shown() -> None:
    shown = {each.metric for query in QUERIES for each in selected(query.expression)}
    families = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in SERIES}
    unseen = {name for name in families if not any(each.startswith(name) for each in shown)}
    assert {name for name in unseen if name.startswith(("tokend_", "grpc_"))} == set()


def test_panels_of_call_durations_have_exemplars_with_trace_ids(prometheus: Prometheus) -> None:
    asked = [target["expr"] for panel in PANELS for target in panel["targets"] if target.get("exemplar")]
    assert all("grpc_server_handling_seconds_bucket" in expression for expression in asked)
    assert asked
    found = prometheus.exemplars("grpc_server_handling_seconds_bucket")
    assert found
    assert all(len(each["labels"]["trace_id"]) == 32 for each in found)


def test_prometheus_evaluates_the_rules_and_only_expected_alerts_fire(prometheus: Prometheus) -> None:
    assert prometheus.failing_rules() == []
    firing = {each["metric"]["alertname"] for each in prometheus.ask('ALERTS{alertstate="firing"}')}
    assert firing <= {"TokendErrorBudgetBurnsFast", "TokendErrorBudgetBurnsSlowly", "TokendHasADefect"}


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_each_panel_says_what_it_shows() -> None:
    assert all(panel["title"] and panel["description"].endswith(".") for panel in PANELS)


def test_grafanas_models_support_all_members_of_the_dashboard() -> None:
    register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert set(_lost(DASHBOARD, read)) <= NOT_IN_THE_MODELS


def _lost(whole: Any, part: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Returns the names of members that are missing in one of the two, or differ."""
    if isinstance(whole, dict) and isinstance(part, dict):
        for name, value in whole.items():
            if name in part:
                yield from (
                    _lost(value, part[name]) if isinstance(value, (dict, list)) else [name] * (value != part[name])
                )
            else:
                yield name
    elif isinstance(whole, list) and isinstance(part, list) and len(whole) == len(part):
        for one, other in zip(whole, part, strict=True):
            yield from _lost(one, other)
    elif whole != part:
        yield f"{whole}"


def test_the_dashboard_is_as_grafana_writes_it() -> None:
    path = Path(__file__).parents[2] / "server" / "deploy" / "grafana" / "tokend.json"
    assert path.read_text("utf-8") == json.dumps(DASHBOARD, indent=2, ensure_ascii=False) + "\n"
