"""Every limit of every field, over the wire: valid at the bound, invalid beyond it, all violations at once."""

from collections.abc import Iterator

import grpc
import pytest
from tests.rpc.limits import ALL_BROKEN, Case, cases, changed
from tests.support.grpc_service import METHODS, VALID, GrpcService, failure, grpc_service

from tokend_server.model import Operation

CASES = tuple(cases())


@pytest.fixture(scope="module")
def shared() -> Iterator[GrpcService]:
    with grpc_service() as running:
        yield running


@pytest.fixture
def service(shared: GrpcService) -> GrpcService:
    shared.engine.asked.clear()
    return shared


def case_name(case: Case) -> str:
    value = case.value if isinstance(case.value, int) else f"{len(str(case.value))} characters"
    return f"{case.method}-{case.field}-{value}"


def test_every_operation_has_a_valid_request() -> None:
    assert set(VALID) == set(Operation)


@pytest.mark.parametrize("method", METHODS)
def test_every_field_has_limits(method: str) -> None:
    fields = {field.name for field in VALID[method].DESCRIPTOR.fields}
    of_method = [case for case in CASES if case.method == method]
    assert {case.field for case in of_method if case.violations} == fields
    assert {case.field for case in of_method if not case.violations} == fields


@pytest.mark.parametrize("case", [case for case in CASES if not case.violations], ids=case_name)
def test_a_value_within_the_limits_reaches_the_engine(case: Case, service: GrpcService) -> None:
    service.call(case.method, case.request)
    assert len(service.engine.asked) == 1


@pytest.mark.parametrize("case", [case for case in CASES if case.violations], ids=case_name)
def test_a_value_that_breaks_a_limit_is_refused_before_any_work(case: Case, service: GrpcService) -> None:
    seen = failure(lambda: service.call(case.method, case.request))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert seen.violations == list(case.violations)
    assert service.engine.asked == []


@pytest.mark.parametrize(("method", "values", "violations"), ALL_BROKEN, ids=METHODS)
def test_everything_wrong_with_a_request_is_named_at_once(
    method: str, values: dict[str, object], violations: tuple[tuple[str, str], ...], service: GrpcService
) -> None:
    seen = failure(lambda: service.call(method, changed(method, values)))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert seen.violations == list(violations)
    count = len(violations)
    listed = "; ".join(
        f"Value at '{path}' failed to satisfy constraint: {constraint}" for path, constraint in violations
    )
    assert seen.text == f"{count} validation errors detected: {listed}"


def test_one_violation_is_reported_in_the_singular(service: GrpcService) -> None:
    request = changed("LookupDeveloperIdentity", {"max_results": 61})
    seen = failure(lambda: service.call("LookupDeveloperIdentity", request))
    constraint = "Member must have value less than or equal to 60"
    assert (
        seen.text == f"1 validation error detected: Value at 'max_results' failed to satisfy constraint: {constraint}"
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "serialized",
    [
        pytest.param(b"\xff", id="half a tag"),
        pytest.param(b"\x0a\x05abc", id="a length past the end"),
        pytest.param(b"\x0a\x02\xff\xfe", id="no UTF-8"),
        pytest.param(b"\x0a\x03\xed\xa0\x80", id="a surrogate"),
        pytest.param(b"\x0b", id="a group without an end"),
        pytest.param(b"\x00\x00", id="field number zero"),
    ],
)
def test_bytes_that_are_no_request_are_refused(method: str, serialized: bytes, service: GrpcService) -> None:
    seen = failure(lambda: service.send_bytes(method, serialized))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert seen.violations == [("", "Request must be a serialized message of its type")]
    assert service.engine.asked == []


@pytest.mark.parametrize("method", METHODS)
def test_unknown_fields_are_ignored(method: str, service: GrpcService) -> None:
    unknown_field = b"\xfa\x3f\x03new"  # field 1023, three bytes
    service.send_bytes(method, VALID[method].SerializeToString() + unknown_field)
    assert len(service.engine.asked) == 1
