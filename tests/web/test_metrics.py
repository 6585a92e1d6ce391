import uuid
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.support.server_process import ServerProcess
from tests.web.in_process import GetToken

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

CANARY = "canary-4714"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

_METHOD = {"grpc_type", "grpc_service", "grpc_method"}

#: The specified counters, histograms and gauges, with their labels.
METRICS: dict[str, tuple[str, set[str]]] = {
    "grpc_server_started": ("counter", _METHOD),
    "grpc_server_handled": ("counter", _METHOD | {"grpc_code"}),
    "grpc_server_handling_seconds": ("histogram", _METHOD),
    "tokend_tokens_issued": ("counter", {"engine", "pool", "alg"}),
    "tokend_identities": ("counter", {"engine", "pool", "outcome"}),
    "tokend_engine_seconds": ("histogram", {"engine", "operation"}),
    "tokend_engine_failures": ("counter", {"engine", "operation", "reason"}),
    "tokend_signing_key_age_seconds": ("gauge", {"alg"}),
    "tokend_store_seconds": ("histogram", {"operation"}),
    "tokend_store_info": ("gauge", {"kind"}),
}

OPERATIONS = {
    "GetOpenIdTokenForDeveloperIdentity",
    "LookupDeveloperIdentity",
    "MergeDeveloperIdentities",
    "UnlinkDeveloperIdentity",
}

#: Reads the metrics, by name.
Scrape = Callable[[], dict[str, Metric]]


@pytest.fixture
def scrape(tokend: ServerProcess, http: httpx.Client) -> Scrape:
    return lambda: by_name(http.get(f"{tokend.ops}/metrics", headers={"accept": OPENMETRICS}))


@pytest.fixture
def canary_calls(tokend: ServerProcess) -> list[grpc.StatusCode]:
    """Makes calls that contain the canary, one that succeeds and others that fail; returns the result of each."""
    canary = {"identity_pool_id": tokend.identity_pool_id, "logins": {tokend.developer_provider_name: CANARY}}
    changes: list[dict[str, Any]] = [
        {},
        {"identity_id": "us-east-1:0a1b2c3d-0000-4000-8000-0000000000ff"},
        {"identity_pool_id": "us-east-1:0a1b2c3d-0000-4000-8000-0000000000ff"},
        {"logins": {CANARY: CANARY}},
        {"logins": {}},
    ]
    requests = [GetOpenIdTokenForDeveloperIdentityRequest(**{**canary, **change}) for change in changes]
    with grpc.insecure_channel(tokend.endpoint) as channel:
        call = DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity
        return [call.future(request, timeout=30).code() for request in requests]


def by_name(answer: httpx.Response) -> dict[str, Metric]:
    parse: Any = parse_openmetrics if "openmetrics" in answer.headers["content-type"] else parse_text
    return {family.name: family for family in parse(answer.text)}


def labels_of(metric: Metric) -> set[frozenset[str]]:
    return {frozenset(sample.labels.keys() - {"le"}) for sample in metric.samples}


def value(metric: Metric, name: str, **labels: str) -> float:
    (found,) = [sample for sample in metric.samples if sample.name == name and labels.items() <= sample.labels.items()]
    return found.value


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", "text/plain; version="), ("text/plain", "text/plain; version="), (OPENMETRICS, OPENMETRICS)],
)
def test_every_metric_is_there_in_both_formats(
    accept: str,
    content_type: str,
    canary_calls: list[grpc.StatusCode],
    tokend: ServerProcess,
    http: httpx.Client,
) -> None:
    assert canary_calls
    answer = http.get(f"{tokend.ops}/metrics", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(content_type)
    found = by_name(answer)
    assert {name: (found[name].type, labels_of(found[name])) for name in METRICS if name in found} == {
        name: (kind, {frozenset(labels)}) for name, (kind, labels) in METRICS.items()
    }


def test_calls_increase_the_counters_of_their_pool_and_operation(
    tokend: ServerProcess, scrape: Scrape, get_token: GetToken
) -> None:
    pool = {"engine": "local", "pool": tokend.identity_pool_id}
    operation = "GetOpenIdTokenForDeveloperIdentity"
    series: list[tuple[str, str, dict[str, str]]] = [
        ("tokend_identities", "tokend_identities_total", {**pool, "outcome": "created"}),
        ("tokend_identities", "tokend_identities_total", {**pool, "outcome": "retrieved"}),
        ("tokend_identities", "tokend_identities_total", {**pool, "outcome": "linked"}),
        ("tokend_tokens_issued", "tokend_tokens_issued_total", {**pool, "alg": "ES256"}),
        ("tokend_engine_seconds", "tokend_engine_seconds_count", {"engine": "local", "operation": operation}),
        ("grpc_server_started", "grpc_server_started_total", {"grpc_method": operation}),
        ("grpc_server_handled", "grpc_server_handled_total", {"grpc_method": operation, "grpc_code": "OK"}),
        ("grpc_server_handling_seconds", "grpc_server_handling_seconds_count", {"grpc_method": operation}),
        ("tokend_store_seconds", "tokend_store_seconds_count", {"operation": "commit"}),
    ]

    get_token(tokend.endpoint, tokend.identity_pool_id, "metrics-alice")  # so that every series exists
    before = scrape()
    for user in ("metrics-bob", "metrics-bob", "metrics-bob"):
        get_token(tokend.endpoint, tokend.identity_pool_id, user)
    after = scrape()
    counted = [
        value(after[name], sample, **labels) - value(before[name], sample, **labels) for name, sample, labels in series
    ]
    assert counted == [1, 2, 0, 3, 3, 3, 3, 3, 1]


def test_a_failure_of_the_engine_is_counted_by_its_reason(
    canary_calls: list[grpc.StatusCode], tokend: ServerProcess, scrape: Scrape
) -> None:
    assert canary_calls[1] is grpc.StatusCode.NOT_FOUND
    labels = {"engine": "local", "operation": "GetOpenIdTokenForDeveloperIdentity", "reason": "RESOURCE_NOT_FOUND"}
    before = value(scrape()["tokend_engine_failures"], "tokend_engine_failures_total", **labels)
    with grpc.insecure_channel(tokend.endpoint) as channel:
        request = GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=tokend.identity_pool_id,
            identity_id="us-east-1:0a1b2c3d-0000-4000-8000-0000000000ff",
            logins={tokend.developer_provider_name: "metrics-carol"},
        )
        call = DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity
        assert call.future(request, timeout=30).code() is grpc.StatusCode.NOT_FOUND
    assert value(scrape()["tokend_engine_failures"], "tokend_engine_failures_total", **labels) == before + 1


def test_series_of_all_outcomes_and_operations_exist_from_the_start(scrape: Scrape) -> None:
    found = scrape()
    outcomes = {sample.labels["outcome"] for sample in found["tokend_identities"].samples}
    operations = {sample.labels["operation"] for sample in found["tokend_engine_seconds"].samples}
    methods = {sample.labels["grpc_method"] for sample in found["grpc_server_started"].samples}
    assert outcomes == {"created", "linked", "retrieved", "merged"}
    assert operations == OPERATIONS
    assert methods >= OPERATIONS


def test_the_time_of_a_call_has_its_trace_as_an_exemplar(
    tokend: ServerProcess, scrape: Scrape, get_token: GetToken
) -> None:
    trace_id = uuid.uuid4().hex
    traceparent = ("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01")
    get_token(tokend.endpoint, tokend.identity_pool_id, "traced", (traceparent,))
    buckets = scrape()["grpc_server_handling_seconds"].samples
    assert trace_id in {each.exemplar.labels["trace_id"] for each in buckets if each.exemplar}


def test_the_kind_of_the_store_is_reported(scrape: Scrape) -> None:
    (sample,) = scrape()["tokend_store_info"].samples
    assert (sample.labels, sample.value) == ({"kind": "sqlite"}, 1)


def test_the_age_of_the_signing_key_is_reported(scrape: Scrape) -> None:
    (sample,) = scrape()["tokend_signing_key_age_seconds"].samples
    assert sample.labels == {"alg": "ES256"}
    assert sample.value >= 0


@pytest.mark.parametrize("accept", ["text/plain", OPENMETRICS])
def test_metrics_do_not_identify_callers(
    accept: str, canary_calls: list[grpc.StatusCode], tokend: ServerProcess, http: httpx.Client
) -> None:
    assert canary_calls[0] is grpc.StatusCode.OK
    assert grpc.StatusCode.OK not in canary_calls[1:]
    text = http.get(f"{tokend.ops}/metrics", headers={"accept": accept}).text
    assert CANARY not in text
    assert "-0000000000ff" not in text
    assert "eyJ" not in text
