"""Failures of boto3 calls become errors of the contract; botocore parses each response from its bytes."""

import inspect
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import pytest
from botocore import exceptions, parsers
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials
from botocore.session import Session
from tests.fakes.aws_codes import CREDENTIALS_REJECTED, OUTAGE, THROTTLED

from tokend_server import errors
from tokend_server.engines.cognito.fault_rows import ERROR_CODES, EXCEPTIONS, ROWS
from tokend_server.engines.cognito.faults import FAULTS, to_contract_error
from tokend_server.errors import TokendError
from tokend_server.model import Operation, Secret

POOL = "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
IDENTITY = "eu-west-1:9c5f0000-0000-4000-8000-000000000001"
USER = "user-4711"
REQUEST_ID = "5f1c9a52-77aa-4b1e-8d0c-2f6f4f6f0a11"
CALL = "get_open_id_token_for_developer_identity"
MODEL = Session().get_service_model("cognito-identity")

DECLARED = sorted(
    {(operation, shape.name) for operation in Operation for shape in MODEL.operation_model(operation).error_shapes}
)

CLASSES: Mapping[str, type[TokendError]] = {
    "InvalidParameterException": errors.InvalidParameter,
    "NotAuthorizedException": errors.NotAuthorized,
    "ResourceNotFoundException": errors.ResourceNotFound,
    "ResourceConflictException": errors.ResourceConflict,
    "DeveloperUserAlreadyRegisteredException": errors.DeveloperUserAlreadyRegistered,
    "LimitExceededException": errors.LimitExceeded,
    "ValidationException": errors.ValidationFailed,
    "ValidationError": errors.ValidationFailed,
    "RequestEntityTooLargeException": errors.InvalidParameter,
    "ExternalServiceException": errors.LoginProviderUnavailable,
    "UnknownOperationException": errors.UnsupportedByEngine,
    **dict.fromkeys(("TooManyRequestsException", *THROTTLED), errors.TooManyRequests),
    **dict.fromkeys(
        (
            "ConcurrentModificationException",
            "InternalErrorException",
            *OUTAGE,
        ),
        errors.EngineUnavailable,
    ),
    **dict.fromkeys(CREDENTIALS_REJECTED, errors.EngineCredentialsRejected),
    "RequestEntityTooLarge": errors.InvalidParameter,
}

#: The errors with AWS's text.
ABOUT_THE_REQUEST = (
    errors.InvalidParameter,
    errors.NotAuthorized,
    errors.ResourceNotFound,
    errors.ResourceConflict,
    errors.DeveloperUserAlreadyRegistered,
    errors.LimitExceeded,
)


class Body:
    """The bytes of an HTTP response."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self._content


class Answering:
    """A boto3 client whose requests are answered without being sent."""

    def __init__(self, service: str) -> None:
        self._client = boto3.client(
            service,
            region_name="eu-west-1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        self._client.meta.events.register("before-send", self._answer)
        self._status, self._content = 200, b""

    def failure(self, status: int, content: bytes, method: str = CALL, **parameters: object) -> Exception:
        self._status, self._content = status, content
        given = {"IdentityPoolId": POOL, "Logins": {}} if method == CALL else {}
        try:
            getattr(self._client, method)(**(given | parameters))
        except Exception as error:  # noqa: BLE001 - botocore lets any through
            return error
        pytest.fail("the call succeeded")

    def _answer(self, **_: object) -> AWSResponse:
        headers = {"x-amzn-requestid": REQUEST_ID, "content-type": "application/x-amz-json-1.1"}
        return AWSResponse(
            "https://cognito-identity.eu-west-1.amazonaws.com/", self._status, headers, Body(self._content)
        )


@pytest.fixture(scope="module")
def cognito() -> Answering:
    return Answering("cognito-identity")


@pytest.fixture(scope="module")
def sts() -> Answering:
    return Answering("sts")


@pytest.fixture
def no_aws_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


def refusal(code: str, text: object = "Some reason.") -> bytes:
    return json.dumps({"__type": f"com.amazonaws.cognito#{code}:", "message": text}).encode()


def domain(error: Exception, *secrets: str, identity_id: str | None = None) -> TokendError:
    known = to_contract_error(error, [Secret(each) for each in secrets], POOL, identity_id)
    assert known is not None
    return known


@pytest.mark.parametrize(("operation", "code"), DECLARED)
def test_every_declared_error_of_an_operation_has_its_class(cognito: Answering, operation: str, code: str) -> None:
    method = "".join(f"_{each.lower()}" if each.isupper() else each for each in operation).lstrip("_")
    raised = cognito.failure(400, refusal(code), method)
    assert type(raised).__name__ == code
    assert type(domain(raised)) is CLASSES[code]


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_code_is_converted_to_its_class_and_kept_in_the_error(cognito: Answering, code: str) -> None:
    error = domain(cognito.failure(400, refusal(code)))
    assert type(error) is CLASSES[code]
    assert (error.aws_error_code, error.aws_request_id) == (code, REQUEST_ID)
    assert CLASSES.keys() == ERROR_CODES.keys()


@pytest.mark.parametrize("code", sorted(ERROR_CODES))
def test_only_aws_texts_about_the_request_are_passed_on(cognito: Answering, code: str) -> None:
    error = domain(cognito.failure(400, refusal(code, "Some reason.")))
    is_passed_on = isinstance(error, ABOUT_THE_REQUEST) and not code.startswith("RequestEntity")
    assert (error.text == "Some reason.") == is_passed_on
    assert ("reason" in error.text) == is_passed_on


@pytest.mark.parametrize("text", ["", None, {"a": 1}, 5])
def test_a_rejection_without_a_text_has_a_default_text(cognito: Answering, text: object) -> None:
    assert domain(cognito.failure(400, refusal("NotAuthorizedException", text))).text == "Cognito gives no reason."


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (400, b"", errors.EngineUnavailable),
        (403, b"", errors.EngineUnavailable),
        (404, refusal("SomethingNewException"), errors.EngineUnavailable),
        (429, b"", errors.TooManyRequests),
        (429, refusal("SomethingNewException"), errors.TooManyRequests),
        (500, b"", errors.EngineUnavailable),
        (502, b"<html>Bad gateway</html>", errors.EngineUnavailable),
        (503, refusal("SomethingNewException"), errors.EngineUnavailable),
    ],
)
def test_an_unknown_code_is_reported_by_its_status(
    cognito: Answering, status: int, content: bytes, expected: type[TokendError]
) -> None:
    error = domain(cognito.failure(status, content))
    assert type(error) is expected
    assert ("this release does not know" in error.text) == (status in {400, 403, 404})
    assert error.aws_request_id == REQUEST_ID
    given = "SomethingNewException" if b"__type" in content else expected.aws_error_code
    assert error.aws_error_code == given


@pytest.mark.parametrize("content", [b"[1]", b"null", b'"text"', b"\xff\xfe", b'{"__type": 5}'])
def test_a_response_that_botocore_cannot_parse_is_a_misconfiguration(cognito: Answering, content: bytes) -> None:
    raised = cognito.failure(500, content)
    assert not isinstance(raised, exceptions.ClientError | exceptions.BotoCoreError)
    found = (type(domain(raised)), domain(raised).text)
    assert found == (errors.EngineMisconfigured, "Cognito's response cannot be parsed.")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AccessDenied", errors.EngineCredentialsRejected),
        (400, "InvalidIdentityToken", errors.EngineCredentialsRejected),
        (400, "NotAuthorizedException", errors.EngineCredentialsRejected),
        (400, "Throttling", errors.EngineUnavailable),
        (503, "ServiceUnavailable", errors.EngineUnavailable),
        (500, "SomethingNew", errors.EngineUnavailable),
    ],
)
def test_rejections_of_sts_are_never_the_callers_fault(
    sts: Answering, status: int, code: str, expected: type[TokendError]
) -> None:
    content = f"<ErrorResponse><Error><Code>{code}</Code><Message>Role of {USER}</Message></Error></ErrorResponse>"
    raised = sts.failure(status, content.encode(), "assume_role", RoleArn="arn:aws:iam::123456789012:role/tokend")
    error = domain(raised)
    assert (type(error), error.aws_error_code) == (expected, code)
    assert USER not in error.text


def test_a_pool_is_not_found_as_in_the_local_engine(cognito: Answering) -> None:
    local = errors.ResourceNotFound.identity_pool(POOL)
    assert facts_of(domain(cognito.failure(400, refusal("ResourceNotFoundException", local.text)))) == facts_of(local)


@pytest.mark.parametrize("user", ["1", "eu", "3f1c", IDENTITY])
def test_an_identity_is_not_found_as_in_the_local_engine(cognito: Answering, user: str) -> None:
    local = errors.ResourceNotFound.identity(IDENTITY)
    raised = cognito.failure(400, refusal("ResourceNotFoundException", local.text))
    assert facts_of(domain(raised, user, identity_id=IDENTITY)) == facts_of(local)


def test_a_developer_user_is_not_found_as_in_the_local_engine(cognito: Answering) -> None:
    local = errors.ResourceNotFound.developer_user()
    raised = cognito.failure(400, refusal("ResourceNotFoundException", f"{local.text} '{USER}'"))
    assert facts_of(domain(raised, USER)) == (f"{local.text} '***'", "DeveloperUser", "")


def facts_of(error: TokendError) -> tuple[str, str, str]:
    assert isinstance(error, errors.ResourceNotFound)
    return error.text, error.resource_type, error.resource_name


@pytest.mark.parametrize(("identity_id", "subject"), [(IDENTITY, IDENTITY), (None, POOL)])
def test_a_limit_error_names_the_identity_or_else_the_pool(
    cognito: Answering, identity_id: str | None, subject: str
) -> None:
    error = domain(cognito.failure(400, refusal("LimitExceededException")), identity_id=identity_id)
    assert isinstance(error, errors.LimitExceeded)
    assert error.subject == subject


def test_a_login_value_in_a_refusal_is_masked(cognito: Answering) -> None:
    raised = cognito.failure(400, refusal("NotAuthorizedException", f"Access of {USER} to '{POOL}'\r\nis forbidden."))
    assert domain(raised, USER).text == f"Access of *** to '{POOL}'  is forbidden."


@pytest.mark.parametrize("place", ["code", "request id"])
def test_codes_and_request_ids_with_login_values_are_not_passed_on(place: str) -> None:
    code, request_id = ("Bob4711Exception", REQUEST_ID) if place == "code" else ("SomethingNew", "id-of-Bob4711")
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": request_id}}
    error = domain(exceptions.ClientError(response, Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY), "Bob4711")
    shown = (error.aws_error_code, error.aws_request_id)
    assert shown == (("InternalErrorException", REQUEST_ID) if place == "code" else ("SomethingNew", None))


def botocore_classes() -> list[type[Exception]]:
    everything = (each for _name, each in inspect.getmembers(exceptions, inspect.isclass))
    every_exception = (each for each in everything if issubclass(each, Exception))
    return [
        each
        for each in every_exception
        if issubclass(each, exceptions.BotoCoreError) and each is not exceptions.BotoCoreError
    ]


def raised_as(kind: type[Exception]) -> Exception:
    """Returns an exception of a class, without the arguments of its text."""
    error = kind.__new__(kind)
    error.args = (f"about {USER}",)
    return error


@pytest.mark.parametrize("kind", botocore_classes())
def test_every_exception_of_botocores_has_a_row_of_its_own_or_its_family(kind: type[Exception]) -> None:
    families = [each.__name__ for each in kind.__mro__ if each.__module__ == "botocore.exceptions"]
    rows = [name for name in families if name in EXCEPTIONS]
    assert rows[0] != "BotoCoreError"
    known = to_contract_error(raised_as(kind), [], POOL)
    fault = EXCEPTIONS[rows[0]]
    assert type(known) is (fault.error if fault else type(None))
    assert known is None or USER not in known.text
    assert FAULTS.label(raised_as(kind)) == kind.__name__


def test_every_row_names_a_class_of_botocore() -> None:
    assert [name for name in EXCEPTIONS if not hasattr(exceptions, name) and not hasattr(parsers, name)] == []
    assert {name for name in ROWS.leaks if name.startswith("botocore.")} == ROWS.leaks.keys()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (exceptions.PartialCredentialsError, errors.EngineCredentialsRejected),
        (exceptions.CredentialRetrievalError, errors.EngineCredentialsRejected),
        (exceptions.ProfileNotFound, errors.EngineCredentialsRejected),
        (exceptions.UnauthorizedSSOTokenError, errors.EngineCredentialsRejected),
        (exceptions.RefreshWithMFAUnsupportedError, errors.EngineCredentialsRejected),
        (exceptions.InfiniteLoopConfigError, errors.EngineCredentialsRejected),
        (exceptions.ConnectTimeoutError, errors.EngineUnavailable),
        (exceptions.ReadTimeoutError, errors.EngineUnavailable),
        (exceptions.ConnectionClosedError, errors.EngineUnavailable),
        (exceptions.ProxyConnectionError, errors.EngineUnavailable),
        (exceptions.SSLError, errors.EngineMisconfigured),
        (exceptions.NoRegionError, errors.EngineMisconfigured),
        (exceptions.InvalidRegionError, errors.EngineMisconfigured),
        (exceptions.ParamValidationError, errors.InvalidParameter),
        (exceptions.BotoCoreError, errors.EngineUnavailable),
        (parsers.ResponseParserError, errors.EngineMisconfigured),
        (ConnectionResetError, errors.EngineUnavailable),
    ],
)
def test_an_exception_without_a_response_is_converted_to_its_class(
    kind: type[Exception], expected: type[TokendError]
) -> None:
    error = domain(raised_as(kind), USER)
    assert type(error) is expected
    assert error.aws_request_id is None
    assert USER not in error.text


@pytest.mark.parametrize("kind", [exceptions.WaiterError, KeyError, errors.DeadlineExceeded])
def test_other_exceptions_are_not_converted(kind: type[Exception]) -> None:
    assert to_contract_error(raised_as(kind), [], POOL) is None


def test_missing_credentials_are_reported_with_advice(no_aws_settings: pytest.MonkeyPatch) -> None:
    no_aws_settings.delenv("AWS_WEB_IDENTITY_TOKEN_FILE", raising=False)
    client = Session().create_client("cognito-identity", "eu-west-1")
    with pytest.raises(exceptions.NoCredentialsError) as raised:
        client.lookup_developer_identity(IdentityPoolId=POOL)
    error = domain(raised.value)
    assert type(error) is errors.EngineCredentialsRejected
    assert "default chain found no credentials" in error.advice


def test_a_missing_web_identity_token_file_is_reported_with_advice(no_aws_settings: pytest.MonkeyPatch) -> None:
    no_aws_settings.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token")
    no_aws_settings.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/tokend")
    client = Session().create_client("cognito-identity", "eu-west-1")
    with pytest.raises(FileNotFoundError) as raised:
        client.lookup_developer_identity(IdentityPoolId=POOL)
    error = domain(raised.value)
    assert type(error) is errors.EngineCredentialsRejected
    assert "token file" in error.advice


def refused_renewal(reason: Exception) -> Exception:
    """Returns the exception of botocore's credentials when they cannot be renewed for a reason."""

    def renew() -> dict[str, str]:
        raise reason

    with pytest.raises(type(reason)) as raised:
        DeferredRefreshableCredentials(renew, "assume-role").get_frozen_credentials()
    return raised.value


def test_a_failed_renewal_of_credentials_is_converted_by_its_cause(cognito: Answering) -> None:
    assert type(domain(refused_renewal(RuntimeError("still expired")))) is errors.EngineCredentialsRejected
    assert type(domain(refused_renewal(cognito.failure(500, b"[1]")))) is errors.EngineMisconfigured
    assert to_contract_error(refused_renewal(errors.DeadlineExceeded()), [], POOL) is None


def test_an_unreachable_endpoint_is_unavailable_with_advice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    client = boto3.client(
        "cognito-identity",
        region_name="eu-west-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(exceptions.EndpointConnectionError) as raised:
        client.lookup_developer_identity(IdentityPoolId=POOL)
    error = domain(raised.value)
    assert (type(error), error.text) == (errors.EngineUnavailable, "Cognito cannot be reached.")
    assert "Check that the region exists" in error.advice


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDeniedException", "IAM policy"),
        ("UnrecognizedClientException", "does not know the access key"),
        ("InvalidSignatureException", "clock"),
        ("RequestExpired", "clock"),
        ("ExpiredTokenException", "expired"),
        ("OptInRequired", "not signed up"),
        ("TooManyRequestsException", "quota"),
        ("ResourceNotFoundException", "region"),
        ("SomethingNewException", "does not know"),
    ],
)
def test_the_operator_is_informed_what_to_do(cognito: Answering, code: str, words: str) -> None:
    assert words in domain(cognito.failure(400, refusal(code))).advice


def test_the_operator_is_informed_of_an_untrusted_certificate_and_a_missing_proxy() -> None:
    assert "certificate is not trusted" in domain(raised_as(exceptions.SSLError)).advice
    assert "HTTPS_PROXY" in domain(raised_as(exceptions.ProxyConnectionError)).advice


def test_every_error_of_the_service_has_advice() -> None:
    operators = (errors.LastingError, errors.UnsupportedByEngine, errors.TooManyRequests)
    faults = [*ERROR_CODES.values(), *ROWS.leaks.values(), *(fault for fault in EXCEPTIONS.values() if fault)]
    assert [fault for fault in faults if issubclass(fault.error, operators) and not fault.advice] == []


def test_errors_of_callers_have_the_text_of_aws_and_no_advice(cognito: Answering) -> None:
    error = domain(cognito.failure(400, refusal("NotAuthorizedException")))
    assert (error.advice, error.text) == ("", "Some reason.")


def test_labels_are_bounded(cognito: Answering) -> None:
    assert FAULTS.label("NotAuthorizedException") == "NotAuthorizedException"
    assert FAULTS.label(cognito.failure(400, refusal("NotAuthorizedException"))) == "NotAuthorizedException"
    assert FAULTS.label(cognito.failure(400, refusal("SomethingNewException"))) == "other"
    assert FAULTS.label(cognito.failure(502, b"")) == "other"
    assert FAULTS.label("SomethingNewException") == "other"
    assert FAULTS.label(raised_as(exceptions.ReadTimeoutError)) == "ReadTimeoutError"
    assert FAULTS.label(raised_as(parsers.ResponseParserError)) == "ResponseParserError"
    assert FAULTS.label(KeyError(USER)) == "other"
    assert FAULTS.label(ConnectionResetError()) == "other"
    assert FAULTS.label(type("MadeUpError", (Exception,), {})()) == "other"
