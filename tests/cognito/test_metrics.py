"""The metrics of the Cognito engine. Tests of a behavior also check its counters."""

import time

import pytest
from tests.cognito.conftest import Pair
from tests.cognito.running_service import COGNITO_POOL, GET, METHODS, RunningService, Services
from tests.fakes.cognito_faults import AWS_FAILURES, GARBAGE, SERVER_FAULTS, THROTTLED
from tests.fakes.cognito_script import AwsFailure, Close, Hang, Reset, Step, Success
from tests.fakes.cognito_upstream import CognitoUpstream

from tokend_server.engines.cognito.fault_rows import ERROR_CODES, EXCEPTIONS

#: Codes that AWS could add at any time.
UNKNOWN_ERRORS = [AwsFailure(f"Unheard{number}Exception") for number in range(5)]

FAULTS: list[Step] = [
    *AWS_FAILURES.values(),
    *SERVER_FAULTS.values(),
    *GARBAGE.values(),
    *UNKNOWN_ERRORS,
    Close(),
    Reset(),
]

LABELS: dict[str, set[str]] = {
    "region": {"us-east-1"},
    "pool": {COGNITO_POOL},
    "operation": set(METHODS),
    "source": {"cognito", "shared", "reused", "stale"},
    "limit": {"calls", "quota"},
    "code": {*ERROR_CODES, *EXCEPTIONS, "ConnectionClosedError", "other"},
    "le": {"0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5"}
    | {"1.0", "2.5", "5.0", "10.0", "+Inf"},
}


def requests_counted(service: RunningService, operation: str = GET) -> float:
    return service.metric("tokend_cognito_request_seconds_count", region="us-east-1", operation=operation)


@pytest.mark.parametrize("method", METHODS)
def test_each_request_is_timed(shared: Pair, method: str) -> None:
    def seconds() -> float:
        return shared.service.metric("tokend_cognito_request_seconds_sum", region="us-east-1", operation=method)

    counted, before, began = requests_counted(shared.service, method), seconds(), time.monotonic()
    shared.service.call(method)
    shared.service.call(method)
    assert requests_counted(shared.service, method) == counted + 2
    assert 0 < seconds() - before < time.monotonic() - began


def test_each_retry_counts_as_a_request_and_each_call_once(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url)
    upstream.script([AwsFailure("InternalErrorException", status=500), Close()])
    service.get_token()
    assert requests_counted(service) == 3
    assert service.metric("tokend_cognito_request_failures_total", code="InternalErrorException") == 1
    assert service.metric("tokend_cognito_request_failures_total", code="ConnectionClosedError") == 1
    assert service.metric("tokend_cognito_answers_total", source="cognito") == 1
    assert service.metric("tokend_engine_seconds_count", engine="cognito", operation=GET) == 1


@pytest.mark.parametrize("name", GARBAGE)
def test_requests_with_malformed_responses_are_timed(shared: Pair, name: str) -> None:
    counted = requests_counted(shared.service)
    shared.upstream.always(GARBAGE[name])
    shared.service.refused()
    assert requests_counted(shared.service) == counted + 1


def test_a_request_without_an_answer_is_counted_as_failed(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url, timeout_seconds=0.2)
    upstream.always(Hang())
    service.refused()
    assert service.metric("tokend_cognito_request_failures_total", code="ReadTimeoutError") == 1
    upstream.stop_listening()
    service.refused()
    assert service.metric("tokend_cognito_request_failures_total", code="EndpointConnectionError") >= 1


def test_a_call_that_was_never_made_is_no_request(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url, requests_per_second=0.001, burst=1)
    service.get_token()
    service.refused()
    assert requests_counted(service) == 1
    assert service.metric("tokend_cognito_refused_total", limit="quota") == 1
    assert service.metric("tokend_cognito_answers_total") == 1


def test_a_known_quota_is_reported(services: Services, upstream: CognitoUpstream) -> None:
    quota = "tokend_cognito_quota_requests_per_second"
    limited = services.start(upstream.url, requests_per_second=30)
    assert limited.metric_children(quota) == [({"region": "us-east-1"}, 30.0)]
    assert services.start(upstream.url, requests_per_second=0).metric_children(quota) == []


def test_tokens_of_cognito_are_counted_by_their_algorithm(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url)
    service.get_token()
    assert service.metric("tokend_tokens_issued_total", engine="cognito", pool=COGNITO_POOL, alg="RS512") == 1


def test_metric_labels_have_only_known_values_after_any_failure(shared: Pair) -> None:
    service, upstream = shared
    for step in FAULTS:
        upstream.script([step])
        service.begin().exception()
    upstream.always(THROTTLED)
    service.refused()
    upstream.always(Success())
    seen = [
        (name, value)
        for sample in service.samples()
        if sample.name.startswith("tokend_cognito_")
        for name, value in sample.labels.items()
    ]
    assert {name for name, _value in seen} <= LABELS.keys()
    assert [(name, value) for name, value in seen if value not in LABELS[name]] == []
    assert service.metric("tokend_cognito_request_failures_total", code="other") >= len(UNKNOWN_ERRORS)
