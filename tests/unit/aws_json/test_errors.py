"""What becomes of each failure on the wire of AWS JSON."""

import json
from collections.abc import Iterator

import pytest

from tokend_server import errors
from tokend_server.aws_json.errors import ERRORS, AwsError, internal_error, to_aws_error
from tokend_server.aws_json.wire import error_response
from tokend_server.errors import FieldViolation, TokendError

TEXT = "What the caller reads."

REQUEST_ID = "11111111-2222-4333-8444-555555555555"

MANY = (
    "3 validation errors detected: Value at 'identityPoolId' failed to satisfy constraint: Member must not be null; "
    "Value at 'logins.key' failed to satisfy constraint: Member must have length less than or equal to 128; "
    "Value at 'principalTags.value' failed to satisfy constraint: Member must have length less than or equal to 256"
)

#: What a client has to see of each error: code, status and text.
TABLE: list[tuple[TokendError, str, int, str]] = [
    (
        errors.ValidationFailed(
            [
                FieldViolation("identity_pool_id", "Member must not be null"),
                FieldViolation("logins.key", "Member must have length less than or equal to 128"),
                FieldViolation("principal_tags.value", "Member must have length less than or equal to 256"),
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
    (errors.CallerUnauthenticated(TEXT), "UnrecognizedClientException", 400, TEXT),
    (errors.CallerNotAllowed(TEXT), "AccessDeniedException", 400, TEXT),
    (errors.UnsupportedByEngine(TEXT), "UnknownOperationException", 400, TEXT),
    (errors.MetadataTooLarge(TEXT), "RequestEntityTooLargeException", 413, TEXT),
    (
        errors.DeadlineExceeded(),
        "InternalErrorException",
        500,
        "The deadline was exceeded before the call was done.",
    ),
]


def concrete(base: type[TokendError]) -> Iterator[type[TokendError]]:
    """The classes below `base` that have none below themselves."""
    for each in base.__subclasses__():
        yield from concrete(each) if each.__subclasses__() else (each,)


def test_every_error_has_a_row() -> None:
    assert set(ERRORS) == set(concrete(TokendError))
    assert [type(error) for error, *_rest in TABLE] == list(ERRORS)


@pytest.mark.parametrize(("error", "code", "status", "text"), TABLE, ids=[row[1] for row in TABLE])
def test_an_error_is_reported_in_awss_form(error: TokendError, code: str, status: int, text: str) -> None:
    told = error_response(to_aws_error(error), REQUEST_ID)
    assert told.status == status
    assert json.loads(told.body) == {"__type": code, "message": text}
    assert told.headers == {
        "content-type": "application/x-amz-json-1.1",
        "x-amzn-requestid": REQUEST_ID,
        "x-amzn-errortype": f"{code}:",
        "x-amzn-errormessage": text,
    }


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if kind.aws_error_code])
def test_an_error_bears_the_name_that_grpc_callers_see_too(kind: type[TokendError]) -> None:
    assert ERRORS[kind].code == kind.aws_error_code


def test_a_defect_is_reported_by_a_fixed_text() -> None:
    told = internal_error()
    assert (told.code, told.status) == ("InternalErrorException", 500)
    assert told.message == "Internal error. The request id leads to the service's log."


@pytest.mark.parametrize("text", ["", "ü", "a\nb", "a\r\nx-injected: 1", " a", "a ", "a\x7f", "a\tb"])
def test_a_text_that_no_header_can_hold_is_in_the_body_alone(text: str) -> None:
    told = error_response(AwsError("NotAuthorizedException", text), REQUEST_ID)
    assert "x-amzn-errormessage" not in told.headers
    assert json.loads(told.body)["message"] == text
