"""Each failure in the AWS JSON protocol."""

import json
from collections.abc import Callable, Iterator

import pytest

from tokend_server import errors
from tokend_server.arns import identity_pool_arn
from tokend_server.aws_json.errors import (
    ERRORS,
    AwsError,
    access_denied,
    internal_error,
    to_aws_error,
    unauthenticated,
    unparsable_body,
)
from tokend_server.aws_json.wire import error_response
from tokend_server.errors import FieldViolation, TokendError
from tokend_server.rpc.status import STATUS

TEXT = "What the caller reads."

REQUEST_ID = "11111111-2222-4333-8444-555555555555"

MANY = (
    "3 validation errors detected: "
    "Value null at 'identityPoolId' failed to satisfy constraint: Member must not be null; "
    "Value at 'developerUserIdentifier' failed to satisfy constraint: "
    "Member must have length less than or equal to 1024; "
    "Value '90000' at 'tokenDuration' failed to satisfy constraint: Member must have value less than or equal to 86400"
)

#: The expected code, status and text of each error.
TABLE: list[tuple[TokendError, str, int, str]] = [
    (
        errors.ValidationFailed(
            [
                FieldViolation("identity_pool_id", "Member must not be null", "null"),
                FieldViolation("developer_user_identifier", "Member must have length less than or equal to 1024"),
                FieldViolation("token_duration", "Member must have value less than or equal to 86400", "'90000'"),
            ]
        ),
        "ValidationException",
        400,
        MANY,
    ),
    (errors.InvalidParameter(TEXT), "InvalidParameterException", 400, TEXT),
    (errors.NotAuthorized(TEXT), "NotAuthorizedException", 400, TEXT),
    (errors.ResourceNotFound(TEXT, resource_type="Identity"), "ResourceNotFoundException", 400, TEXT),
    (errors.ResourceConflict(TEXT), "ResourceConflictException", 400, TEXT),
    (errors.DeveloperUserAlreadyRegistered(TEXT), "DeveloperUserAlreadyRegisteredException", 400, TEXT),
    (errors.LimitExceeded(TEXT, subject="r:0"), "LimitExceededException", 400, TEXT),
    (errors.TooManyRequests(TEXT), "TooManyRequestsException", 400, "Rate exceeded"),
    (errors.LoginProviderUnavailable(TEXT), "ExternalServiceException", 400, TEXT),
    (errors.EngineUnavailable(TEXT), "InternalErrorException", 500, TEXT),
    (errors.AuditUnavailable(TEXT), "InternalErrorException", 500, TEXT),
    (errors.EngineCredentialsRejected(TEXT), "InternalErrorException", 500, TEXT),
    (errors.EngineMisconfigured(TEXT), "InternalErrorException", 500, TEXT),
    (errors.InvalidIdentityPoolConfiguration(TEXT), "InvalidIdentityPoolConfigurationException", 400, TEXT),
    (errors.CallerUnauthenticated(TEXT), "UnrecognizedClientException", 400, TEXT),
    (errors.CallerNotAllowed(TEXT), "AccessDeniedException", 400, TEXT),
    (errors.UnsupportedByEngine(TEXT), "UnknownOperationException", 400, TEXT),
    (errors.MetadataTooLarge(TEXT), "RequestEntityTooLargeException", 413, TEXT),
    (
        errors.DeadlineExceeded(),
        "InternalErrorException",
        500,
        "The deadline was exceeded before the call was completed.",
    ),
]


def concrete(base: type[TokendError]) -> Iterator[type[TokendError]]:
    """Returns the subclasses of `base` without subclasses."""
    for each in base.__subclasses__():
        yield from concrete(each) if each.__subclasses__() else (each,)


def test_every_error_has_a_row() -> None:
    assert set(ERRORS) == set(concrete(TokendError))
    assert [type(error) for error, *_rest in TABLE] == list(ERRORS)


@pytest.mark.parametrize(("error", "code", "status", "text"), TABLE, ids=[row[1] for row in TABLE])
def test_an_error_is_reported_in_awss_form(error: TokendError, code: str, status: int, text: str) -> None:
    converted = error_response(to_aws_error(error), REQUEST_ID)
    assert converted.status == status
    assert json.loads(converted.body) == {"__type": code, "message": text}
    assert converted.headers == {
        "content-type": "application/x-amz-json-1.1",
        "x-amzn-requestid": REQUEST_ID,
        "x-amzn-errortype": f"{code}:",
        "x-amzn-errormessage": text,
    }


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if kind.aws_error_code])
def test_an_error_has_the_same_aws_error_code_as_over_grpc(kind: type[TokendError]) -> None:
    assert ERRORS[kind].code == kind.aws_error_code


def test_a_defect_is_reported_by_a_fixed_text() -> None:
    converted = internal_error()
    assert (converted.code, converted.status) == ("InternalErrorException", 500)
    assert converted.message == "Internal error. The request id leads to the service's log."


@pytest.mark.parametrize("text", ["", "ü", "a\nb", "a\r\nx-injected: 1", " a", "a ", "a\x7f", "a\tb"])
def test_a_text_that_is_invalid_in_a_header_is_only_in_the_body(text: str) -> None:
    converted = error_response(AwsError("NotAuthorizedException", text), REQUEST_ID)
    assert "x-amzn-errormessage" not in converted.headers
    assert json.loads(converted.body)["message"] == text


@pytest.mark.parametrize("contract_error", [unauthenticated, unparsable_body])
def test_predefined_aws_errors_keep_their_code_and_text(
    contract_error: Callable[[AwsError], TokendError],
) -> None:
    error = contract_error(AwsError("SomeException", TEXT))
    assert type(error) in STATUS
    assert error.misuse
    converted = to_aws_error(error)
    assert (converted.code, converted.message, converted.status) == ("SomeException", TEXT, 400)


def test_a_denied_call_has_the_text_of_iam() -> None:
    error = errors.CallerNotAllowed("Not in the policy.")
    resource = identity_pool_arn("eu-west-1:0a", "123456789012")
    converted = access_denied(error, "aws:checkout", "MergeDeveloperIdentities", resource)
    assert (converted.code, converted.status) == ("AccessDeniedException", 400)
    assert converted.message == (
        "User: aws:checkout is not authorized to perform: cognito-identity:MergeDeveloperIdentities on resource: "
        "arn:aws:cognito-identity:eu-west-1:123456789012:identitypool/eu-west-1:0a because: Not in the policy."
    )


def test_a_long_text_is_in_the_body_alone() -> None:
    converted = error_response(AwsError("ValidationException", "v" * 5000), REQUEST_ID)
    assert "x-amzn-errormessage" not in converted.headers
    assert json.loads(converted.body)["message"] == "v" * 5000
