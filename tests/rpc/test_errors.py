"""Each failure on the wire: the error table of the contract."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, ResourceInfo, RetryInfo
from tests.support.grpc_service import METHODS, TIMEOUT, VALID, GrpcService, failure

from tokend.v1.error_reason_pb2 import ErrorReason
from tokend_server import errors
from tokend_server.errors import TokendError
from tokend_server.rpc.server import SERVICE_NAME

TEXT = "What the caller reads: ü, €."


@dataclass(frozen=True)
class Expected:
    """The status that the caller must receive if the engine raises `error`."""

    error: TokendError
    code: grpc.StatusCode
    reason: str | None
    aws_error_code: str | None = None
    details: tuple[Message, ...] = ()
    trailers: dict[str, str] = field(default_factory=dict)


def retry_in(seconds: int, nanos: int = 0) -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))


TABLE = (
    Expected(
        errors.ValidationFailed([errors.FieldViolation("a", "must be b"), errors.FieldViolation("c", "must be d")]),
        grpc.StatusCode.INVALID_ARGUMENT,
        "VALIDATION_FAILED",
        "ValidationException",
        (
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field="a", description="must be b"),
                    BadRequest.FieldViolation(field="c", description="must be d"),
                ]
            ),
        ),
    ),
    Expected(
        errors.InvalidParameter(TEXT),
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_PARAMETER",
        "InvalidParameterException",
    ),
    Expected(errors.NotAuthorized(TEXT), grpc.StatusCode.PERMISSION_DENIED, "NOT_AUTHORIZED", "NotAuthorizedException"),
    Expected(
        errors.ResourceNotFound(TEXT, resource_type="Identity", resource_name="r:0"),
        grpc.StatusCode.NOT_FOUND,
        "RESOURCE_NOT_FOUND",
        "ResourceNotFoundException",
        (ResourceInfo(resource_type="Identity", resource_name="r:0", description=TEXT),),
    ),
    Expected(
        errors.ResourceConflict(TEXT),
        grpc.StatusCode.FAILED_PRECONDITION,
        "RESOURCE_CONFLICT",
        "ResourceConflictException",
    ),
    Expected(
        errors.DeveloperUserAlreadyRegistered(TEXT),
        grpc.StatusCode.ALREADY_EXISTS,
        "DEVELOPER_USER_ALREADY_REGISTERED",
        "DeveloperUserAlreadyRegisteredException",
    ),
    Expected(
        errors.LimitExceeded(TEXT, subject="r:0"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "LIMIT_EXCEEDED",
        "LimitExceededException",
        (QuotaFailure(violations=[QuotaFailure.Violation(subject="r:0", description=TEXT)]),),
    ),
    Expected(
        errors.TooManyRequests(TEXT, retry_after=2.5),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_REQUESTS",
        "TooManyRequestsException",
        (retry_in(2, 500_000_000),),
        {"grpc-retry-pushback-ms": "2500"},
    ),
    Expected(
        errors.LoginProviderUnavailable(TEXT, retry_after=30),
        grpc.StatusCode.UNAVAILABLE,
        "LOGIN_PROVIDER_UNAVAILABLE",
        "ExternalServiceException",
        (retry_in(30),),
    ),
    Expected(
        errors.EngineUnavailable(TEXT),
        grpc.StatusCode.UNAVAILABLE,
        "ENGINE_UNAVAILABLE",
        "InternalErrorException",
        (retry_in(1),),
    ),
    Expected(
        errors.AuditUnavailable(TEXT),
        grpc.StatusCode.UNAVAILABLE,
        "ENGINE_UNAVAILABLE",
        "InternalErrorException",
        (retry_in(1),),
    ),
    Expected(errors.EngineCredentialsRejected(TEXT), grpc.StatusCode.UNAVAILABLE, "ENGINE_CREDENTIALS_REJECTED"),
    Expected(
        errors.EngineMisconfigured(TEXT),
        grpc.StatusCode.UNAVAILABLE,
        "ENGINE_UNAVAILABLE",
        "InternalErrorException",
        trailers={"grpc-retry-pushback-ms": "-1"},
    ),
    Expected(
        errors.InvalidIdentityPoolConfiguration(TEXT),
        grpc.StatusCode.UNAVAILABLE,
        "ENGINE_UNAVAILABLE",
        "InvalidIdentityPoolConfigurationException",
        trailers={"grpc-retry-pushback-ms": "-1"},
    ),
    Expected(errors.CallerUnauthenticated(TEXT), grpc.StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED"),
    Expected(errors.CallerNotAllowed(TEXT), grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED"),
    Expected(errors.UnsupportedByEngine(TEXT), grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED_BY_ENGINE"),
    Expected(errors.MetadataTooLarge(TEXT), grpc.StatusCode.RESOURCE_EXHAUSTED, "METADATA_TOO_LARGE"),
    Expected(errors.DeadlineExceeded(), grpc.StatusCode.DEADLINE_EXCEEDED, None),
)

EXTRA_KINDS = (ResourceInfo, QuotaFailure, RetryInfo)


def concrete(base: type[TokendError]) -> Iterator[type[TokendError]]:
    """Returns the subclasses of `base` without subclasses."""
    for each in base.__subclasses__():
        yield from concrete(each) if each.__subclasses__() else (each,)


def case_name(expected: Expected) -> str:
    return type(expected.error).__name__


def error_infos(expected: Expected, **metadata: str) -> tuple[ErrorInfo, ...]:
    if expected.reason is None:
        return ()
    known = {"aws_error_code": expected.aws_error_code} if expected.aws_error_code else {}
    return (ErrorInfo(reason=expected.reason, domain="tokend", metadata={**known, **metadata}),)


def test_every_error_class_is_in_the_table() -> None:
    assert {type(expected.error) for expected in TABLE} == set(concrete(TokendError))


def test_the_contract_lists_the_reasons_that_are_given_and_no_others() -> None:
    given = {f"ERROR_REASON_{expected.reason}" for expected in TABLE if expected.reason}
    assert set(ErrorReason.keys()) == given | {"ERROR_REASON_INTERNAL", "ERROR_REASON_UNSPECIFIED"}


@pytest.mark.parametrize("expected", TABLE, ids=case_name)
def test_an_error_reaches_the_caller(expected: Expected, service: GrpcService) -> None:
    service.engine.failure = expected.error
    seen = failure(lambda: service.call("GetOpenIdTokenForDeveloperIdentity"), *EXTRA_KINDS)
    assert (seen.code, seen.text) == (expected.code, expected.error.text)
    assert seen.details == (*error_infos(expected), *expected.details)
    assert {key: value for key, value in seen.trailers.items() if key != "grpc-status-details-bin"} == expected.trailers


@pytest.mark.parametrize("expected", [each for each in TABLE if each.aws_error_code], ids=case_name)
def test_the_id_of_the_request_to_cognito_is_passed_on(expected: Expected, service: GrpcService) -> None:
    error = type(expected.error).__new__(type(expected.error))
    error.__dict__.update(expected.error.__dict__, aws_request_id="4f9b-77")
    service.engine.failure = error
    seen = failure(lambda: service.call("GetOpenIdTokenForDeveloperIdentity"), *EXTRA_KINDS)
    assert seen.details[:1] == error_infos(expected, aws_request_id="4f9b-77")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_reports_errors_alike(method: str, service: GrpcService) -> None:
    service.engine.failure = errors.NotAuthorized(TEXT)
    seen = failure(lambda: service.call(method))
    assert (seen.code, seen.text, seen.reason) == (grpc.StatusCode.PERMISSION_DENIED, TEXT, "NOT_AUTHORIZED")


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_that_is_not_declared_is_not_found(method: str, service: GrpcService) -> None:
    request = type(VALID[method])()
    request.CopyFrom(VALID[method])
    setattr(request, "identity_pool_id", "eu-west-1:0")  # noqa: B010 - a field of each of the four types
    seen = failure(lambda: service.call(method, request), ResourceInfo)
    assert (seen.code, seen.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    text = "IdentityPool 'eu-west-1:0' not found."
    assert seen.details[1] == ResourceInfo(resource_type="IdentityPool", resource_name="eu-west-1:0", description=text)
    assert service.engine.asked == []


@pytest.mark.parametrize(
    ("path", "message", "code"),
    [
        ("/tokend.v1.DeveloperIdentityService/NoSuchMethod", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/no.such.Service/Method", b"", grpc.StatusCode.UNIMPLEMENTED),
        (f"/{SERVICE_NAME}/LookupDeveloperIdentity", bytes(3 * 1024 * 1024), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["a method that is not there", "a service that is not there", "a message above the limit"],
)
def test_errors_of_grpc_itself_have_no_reason(
    path: str, message: bytes, code: grpc.StatusCode, service: GrpcService
) -> None:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = service.channel.unary_unary(path, None, None)
    seen = failure(lambda: call(message, timeout=TIMEOUT))
    assert (seen.code, seen.reason) == (code, None)
    assert service.engine.asked == []
