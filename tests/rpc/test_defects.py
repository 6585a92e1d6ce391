"""A defect of the service: the caller gets an id, the log gets the details, and neither contains a secret."""

import logging
import uuid

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo
from tests.support.grpc_service import METHODS, POOL_ID, GrpcService, failure

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest

CANARY = "canary-7f3a9c"

TEXT = "Internal error. The request id leads to the service's log."

#: The attributes of every log record.
COMMON_ATTRIBUTES = vars(logging.makeLogRecord({})).keys()


class UnforeseenError(Exception):
    """An error that contains the caller's input, like exceptions of libraries."""


def request_id(service: GrpcService, *given: str, method: str = "GetOpenIdTokenForDeveloperIdentity") -> str:
    """Triggers a defect with these `x-request-id`s, checks the response, and returns its id."""
    metadata = [("x-request-id", each) for each in given]
    seen = failure(lambda: service.call(method, metadata=metadata), RequestInfo)
    assert (seen.code, seen.text) == (grpc.StatusCode.INTERNAL, TEXT)
    info, request_info = seen.details
    assert info == ErrorInfo(reason="INTERNAL", domain="tokend")
    assert isinstance(request_info, RequestInfo)
    assert request_info == RequestInfo(request_id=request_info.request_id)
    return str(request_info.request_id)


@pytest.fixture
def broken(service: GrpcService) -> GrpcService:
    service.engine.failure = UnforeseenError(CANARY)
    return service


@pytest.mark.parametrize("method", METHODS)
def test_an_unexpected_exception_is_an_internal_error(method: str, broken: GrpcService) -> None:
    uuid.UUID(request_id(broken, method=method))


@pytest.mark.parametrize("answers", [{"get": None}, {"get": "a token"}])
def test_a_response_of_a_wrong_type_is_an_internal_error(answers: dict[str, object], service: GrpcService) -> None:
    service.engine.answers = answers
    uuid.UUID(request_id(service))


@pytest.mark.parametrize("given", ["7", "b7ad6b71.6992-03:33_1331", "r" * 128])
def test_the_callers_request_id_is_kept(given: str, broken: GrpcService) -> None:
    assert request_id(broken, given) == given


@pytest.mark.parametrize("given", [("",), ("r" * 129,), ("a b",), ("a/b",), ('a"b',), ("one", "two")])
def test_no_request_id_or_an_odd_one_is_replaced(given: tuple[str, ...], broken: GrpcService) -> None:
    first, second = request_id(broken, *given), request_id(broken, *given)
    assert uuid.UUID(first).version == uuid.UUID(second).version == 8
    assert first != second


def test_the_log_record_of_a_defect_has_a_traceback(broken: GrpcService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    request = GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=POOL_ID, logins={"login.example.test": CANARY})
    seen = failure(lambda: broken.call("GetOpenIdTokenForDeveloperIdentity", request), RequestInfo)
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    extra = [
        {name: value for name, value in vars(record).items() if name not in COMMON_ATTRIBUTES} for record in records
    ]
    traceback = extra[0].pop("traceback")
    assert extra == [
        {
            "method": "GetOpenIdTokenForDeveloperIdentity",
            "exception": "UnforeseenError",
            "request_id": next(detail.request_id for detail in seen.details if isinstance(detail, RequestInfo)),
            "message": "internal error",
        }
    ]
    assert "scripted_engine.py" in traceback
    assert "raise self.failure" in traceback


@pytest.mark.parametrize("fails", [True, False])
def test_no_secret_is_seen_anywhere(fails: bool, service: GrpcService, caplog: pytest.LogCaptureFixture) -> None:  # noqa: FBT001 - a parameter
    caplog.set_level(logging.DEBUG)
    service.engine.failure = UnforeseenError(CANARY) if fails else None
    too_long = {"login.example.test": CANARY * 10_000, "": CANARY}
    for logins in ({"login.example.test": CANARY}, too_long):
        request = GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=POOL_ID, logins=logins)
        try:
            service.call("GetOpenIdTokenForDeveloperIdentity", request, metadata=[("x-request-id", "a/b")])
        except grpc.RpcError as error:
            assert CANARY not in f"{error.details()} {error.trailing_metadata()}"  # noqa: PT017 - either outcome is fine
    formatter = logging.Formatter()
    assert all(CANARY not in f"{vars(record)} {formatter.format(record)}" for record in caplog.records)
