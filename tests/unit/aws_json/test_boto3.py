"""An unmodified boto3 client against the AWS JSON API, with a local engine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.fakes.cognito_upstream import ACCESS_KEY, AccessKey
from tests.fakes.scripted_engine import ScriptedEngine
from tests.support.local_engine import DEVELOPER, ISSUER, NOW, OTHER_POOL, POOL, LocalEngineUnderTest, parts_of
from tests.unit.aws_json.boto import cognito_client
from tests.unit.aws_json.requests import no_sts, service

from tokend_server import errors
from tokend_server.aws_json.application import AwsJsonApplication
from tokend_server.aws_json.errors import ERRORS
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.clock import SystemClock
from tokend_server.errors import TokendError
from tokend_server.model import Secret
from tokend_server.web.listener import BoundAddress, HttpListener


class Api:
    """The API on a separate port, with a local engine for one pool and a scripted engine for the other."""

    def __init__(self, directory: Path) -> None:
        self.local = LocalEngineUnderTest(directory)
        self.scripted = ScriptedEngine()
        verifier = SignatureVerifier(
            {ACCESS_KEY.aws_access_key_id: Secret(ACCESS_KEY.aws_secret_access_key)}, SystemClock()
        )
        api = service({POOL: self.local.engine, OTHER_POOL: self.scripted}, verifier, SystemClock())
        self._threads = ThreadPoolExecutor(4)
        self._bound = BoundAddress("test", "127.0.0.1:0")
        sts = no_sts(SystemClock())
        application = AwsJsonApplication(api, sts, self._threads, max_calls=100, on_refusal=lambda: None)
        self._listener = HttpListener(self._bound, application).start()
        self.url = f"http://{self._bound.address}"

    def close(self) -> None:
        self._listener.stop()
        self._threads.shutdown()
        self._bound.close()
        self.local.close()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with closing(Api(tmp_path_factory.mktemp("api"))) as running:
        yield running


@pytest.fixture(scope="module")
def client(api: Api) -> Iterator[Any]:
    with cognito_client(api.url) as client:
        yield client


def issue(client: Any, user: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401
    arguments = {"IdentityPoolId": POOL, "Logins": {DEVELOPER: user}} | members
    response: dict[str, Any] = client.get_open_id_token_for_developer_identity(**arguments)
    return response


def test_a_token_is_issued(client: Any) -> None:  # noqa: ANN401
    response = issue(client, "ålice", PrincipalTags={"team": "blue"}, TokenDuration=3600)
    _header, claims = parts_of(Secret(response["Token"]))
    assert (claims["sub"], claims["aud"], claims["iss"]) == (response["IdentityId"], POOL, ISSUER)
    assert claims["amr"] == ["authenticated", DEVELOPER, f"{DEVELOPER}:{POOL}:ålice"]
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 3600)
    assert claims["https://aws.amazon.com/tags"] == {"principal_tags": {"team": ["blue"]}}
    assert response["ResponseMetadata"]["RequestId"]


def test_a_user_keeps_its_identity(client: Any) -> None:  # noqa: ANN401
    assert issue(client, "kept")["IdentityId"] == issue(client, "kept")["IdentityId"]


def test_a_user_is_looked_up_page_by_page(client: Any, api: Api) -> None:  # noqa: ANN401
    identity_id = issue(client, "first")["IdentityId"]
    for user in ("second", "third"):
        assert issue(client, user, IdentityId=identity_id)["IdentityId"] == identity_id
    pages = []
    token: dict[str, str] = {}
    while True:
        page = client.lookup_developer_identity(IdentityPoolId=POOL, IdentityId=identity_id, MaxResults=2, **token)
        assert page["IdentityId"] == identity_id
        pages.append(page["DeveloperUserIdentifierList"])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert [len(page) for page in pages] == [2, 1]
    assert {user for page in pages for user in page} == api.local.users_of(identity_id)


def test_users_are_merged_and_unlinked(client: Any, api: Api) -> None:  # noqa: ANN401
    issue(client, "source")
    destination = issue(client, "destination")["IdentityId"]
    merged = client.merge_developer_identities(
        IdentityPoolId=POOL,
        DeveloperProviderName=DEVELOPER,
        SourceUserIdentifier="source",
        DestinationUserIdentifier="destination",
    )
    assert merged["IdentityId"] == destination
    assert api.local.users_of(destination) == {"source", "destination"}
    client.unlink_developer_identity(
        IdentityPoolId=POOL, IdentityId=destination, DeveloperProviderName=DEVELOPER, DeveloperUserIdentifier="source"
    )
    assert api.local.users_of(destination) == {"destination"}


def test_errors_of_the_engine_are_exceptions_of_aws(client: Any) -> None:  # noqa: ANN401
    first, second = issue(client, "one")["IdentityId"], issue(client, "two")["IdentityId"]
    refused = client.exceptions
    with pytest.raises(refused.DeveloperUserAlreadyRegisteredException):
        issue(client, "one", IdentityId=second)
    with pytest.raises(refused.ResourceConflictException):
        client.lookup_developer_identity(IdentityPoolId=POOL, IdentityId=first, DeveloperUserIdentifier="two")
    with pytest.raises(refused.NotAuthorizedException, match="Couldn't verify signed token"):
        issue(client, "one", Logins={DEVELOPER: "one", "accounts.google.com": "no token"})
    with pytest.raises(refused.InvalidParameterException):
        issue(client, "one", Logins={"other.example.test": "one"})
    with pytest.raises(refused.ResourceNotFoundException, match=r"IdentityPool 'eu-west-1:0' not found\."):
        issue(client, "one", IdentityPoolId="eu-west-1:0")
    with pytest.raises(ClientError, match=r"ValidationException.*'tokenDuration'.*less than or equal to 86400"):
        issue(client, "one", TokenDuration=86_401)


def instance(kind: type[TokendError]) -> TokendError:
    """Returns an error of a class with the text `why`, and default values for its other arguments."""
    error = kind.__new__(kind)
    TokendError.__init__(error, "why")
    error.__dict__ |= {"retry_after": 1.0, "violations": (errors.FieldViolation("logins", "why"),)}
    return error


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_an_exception_of_its_code(kind: type[TokendError], client: Any, api: Api) -> None:  # noqa: ANN401
    api.scripted.failure = instance(kind)
    with pytest.raises(ClientError) as raised:
        issue(client, "alice", IdentityPoolId=OTHER_POOL)
    response = raised.value.response
    assert response["Error"]["Code"] == ERRORS[kind].code
    assert response["ResponseMetadata"]["HTTPStatusCode"] == ERRORS[kind].status
    modeled = {shape.name for shape in client.meta.service_model.error_shapes}
    assert type(raised.value).__name__ == (ERRORS[kind].code if ERRORS[kind].code in modeled else "ClientError")


@pytest.mark.parametrize(
    ("access_key", "code"),
    [
        (ACCESS_KEY._replace(aws_secret_access_key="wrong"), "InvalidSignatureException"),
        (ACCESS_KEY._replace(aws_access_key_id="AKIAUNKNOWN"), "UnrecognizedClientException"),
        (ACCESS_KEY._replace(aws_session_token="unknown"), "UnrecognizedClientException"),
    ],
)
def test_wrong_credentials_are_refused(access_key: AccessKey, code: str, api: Api) -> None:
    with cognito_client(api.url, access_key) as client, pytest.raises(ClientError) as raised:
        issue(client, "alice")
    assert raised.value.response["Error"]["Code"] == code


def test_unsupported_operations_are_rejected_as_unknown(client: Any) -> None:  # noqa: ANN401
    with pytest.raises(ClientError) as raised:
        client.list_identity_pools(MaxResults=1)
    assert raised.value.response["Error"]["Code"] == "UnknownOperationException"
