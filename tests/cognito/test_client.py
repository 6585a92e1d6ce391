"""The boto3 client that is built from the configuration."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import botocore.session
import grpc
import pytest
from botocore.credentials import Credentials
from tests.cognito.running_service import (
    COGNITO_POOL,
    GET,
    LOCAL_POOL,
    PROVIDER,
    REQUESTS,
    TIMEOUT,
    Services,
    token_request,
)
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_script import AwsFailure
from tests.fakes.cognito_upstream import ACCESS_KEY, AccessKey, CognitoUpstream
from tests.fakes.http_connections import Listener, read_request
from tests.support.aws_environment import without_aws_settings
from tests.support.certificates import write_certificate

from tokend_server.aws.client import aws_client
from tokend_server.config import Cognito
from tokend_server.errors import ConfigError

OTHER_KEY = AccessKey("AKIAOTHER", "other-secret")


def test_nothing_is_sent_before_the_first_call(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url)
    service.readyz()
    assert upstream.requests == []


def test_the_regional_aws_endpoint_is_used_by_default() -> None:
    client, _credentials = aws_client("cognito-identity", Cognito(), "eu-west-1", connections=1, clock=FakeClock())
    assert client.meta.endpoint_url == "https://cognito-identity.eu-west-1.amazonaws.com"
    client.close()


def test_the_credential_chain_is_in_the_region_of_the_environment(aws_environment: pytest.MonkeyPatch) -> None:
    regions = []

    def create(session: botocore.session.Session) -> object:
        regions.append(session.get_config_variable("region"))
        return SimpleNamespace(load_credentials=lambda: Credentials(*ACCESS_KEY))

    aws_environment.setenv("AWS_DEFAULT_REGION", "us-west-2")
    aws_environment.setattr("tokend_server.aws.credentials.create_credential_resolver", create)
    client, credentials = aws_client("cognito-identity", Cognito(), "eu-west-1", connections=1, clock=FakeClock())
    assert credentials.get_frozen_credentials().access_key == ACCESS_KEY.aws_access_key_id
    assert regions == ["us-west-2"]
    client.close()


def test_every_member_arrives_as_aws_names_it(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url)
    for method in REQUESTS:
        service.call(method)
    service.get_token("bob", principal_tags={"team": "blue"}, identity_id="us-east-1:0")
    bodies = [request.body for request in upstream.requests]
    user = {"DeveloperProviderName": PROVIDER, "DeveloperUserIdentifier": "alice"}
    users = {"SourceUserIdentifier": "alice", "DestinationUserIdentifier": "bob"}
    assert [{**body, "IdentityId": "…"} if "IdentityId" in body else body for body in bodies] == [
        {"IdentityPoolId": COGNITO_POOL, "Logins": {PROVIDER: "alice"}, "TokenDuration": 900},
        {"IdentityPoolId": COGNITO_POOL, "DeveloperUserIdentifier": "alice", "MaxResults": 60},
        {"IdentityPoolId": COGNITO_POOL, "DeveloperProviderName": PROVIDER, **users},
        {"IdentityPoolId": COGNITO_POOL, "IdentityId": "…", **user},
        {
            "IdentityPoolId": COGNITO_POOL,
            "IdentityId": "…",
            "Logins": {PROVIDER: "bob"},
            "PrincipalTags": {"team": "blue"},
            "TokenDuration": 900,
        },
    ]


def test_the_user_agent_names_tokend(services: Services, upstream: CognitoUpstream) -> None:
    services.start(upstream.url).get_token()
    agent = upstream.requests[0].headers["user-agent"]
    assert agent.startswith("tokend/")
    assert " Boto3/" in agent


def test_a_connection_is_kept(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url)
    for number in range(5):
        service.get_token(f"user-{number}")
    upstream.script([AwsFailure("NotAuthorizedException")])
    service.refused()
    service.get_token()
    assert {request.connection for request in upstream.requests} == {1}


@pytest.mark.parametrize("user", ["a" * 1024, "\0", "日本語", '"}{', "user\r\nx: y"])
def test_any_user_arrives_as_it_is(services: Services, upstream: CognitoUpstream, user: str) -> None:
    services.start(upstream.url).get_token(user)
    assert upstream.requests[0].body["Logins"] == {PROVIDER: user}


def test_the_largest_request_arrives(services: Services, upstream: CognitoUpstream) -> None:
    request = token_request("alice", principal_tags={f"{number:0128}": "v" * 256 for number in range(50)})
    for number in range(9):
        request.logins[f"idp-{number}.example.test"] = "t" * 50_000  # type: ignore[attr-defined]
    services.start(upstream.url).call(GET, request)
    assert sum(map(len, upstream.requests[0].body["Logins"].values())) == 450_005


def test_a_profile_is_used(services: Services, aws_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_aws_settings(aws_environment, tmp_path)
    (tmp_path / "no-aws-credentials").write_text(
        f"[other]\naws_access_key_id = {OTHER_KEY.aws_access_key_id}\n"
        f"aws_secret_access_key = {OTHER_KEY.aws_secret_access_key}\n"
    )
    with CognitoUpstream(access_key=OTHER_KEY) as upstream:
        assert services.start(upstream.url, profile="other").get_token().token


def test_a_profile_that_is_not_there_is_a_problem_of_the_configuration(
    services: Services, upstream: CognitoUpstream
) -> None:
    with pytest.raises(ConfigError, match="no-such-profile"):
        services.start(upstream.url, profile="no-such-profile")


def test_a_failed_start_releases_its_resources(services: Services, upstream: CognitoUpstream) -> None:
    for _ in range(2):
        with pytest.raises(ConfigError):
            services.start(upstream.url, beside_local=True, profile="no-such-profile")
    assert services.start(upstream.url, beside_local=True).get_token("bob", LOCAL_POOL).token


@contextmanager
def dripping_over_tls(directory: Path, sent: bytes) -> Iterator[tuple[str, threading.Event]]:
    """An HTTPS server that sends this for a request and then nothing; the event signals that it hangs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = write_certificate(directory)
    context.load_cert_chain(certificate.certificate_file, certificate.private_key_file)
    holding, end = threading.Event(), threading.Event()

    def serve(connection: socket.socket, _number: int) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
            read_request(secured)
            secured.sendall(sent)
            holding.set()
            end.wait(2 * TIMEOUT)

    listener = Listener(serve)
    listener.start()
    try:
        yield f"https://127.0.0.1:{listener.port}", holding
    finally:
        end.set()
        listener.stop()


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nconte", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"])
def test_a_call_over_tls_ends_at_its_deadline_too(
    services: Services, aws_environment: pytest.MonkeyPatch, tmp_path: Path, sent: bytes
) -> None:
    with dripping_over_tls(tmp_path, sent) as (url, holding):
        aws_environment.setenv("AWS_CA_BUNDLE", str(tmp_path / "tls.crt"))
        service = services.start(url, threads=1, beside_local=True, timeout_seconds=60, connect_timeout_seconds=60)
        failed = service.refused(timeout=1)
        assert failed.code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert holding.is_set()
        assert service.get_token("bob", LOCAL_POOL).token


def test_an_untrusted_server_certificate_makes_cognito_unavailable(services: Services, tmp_path: Path) -> None:
    with dripping_over_tls(tmp_path, b"") as (url, holding):
        failed = services.start(url, max_attempts=1).refused()
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
        assert not holding.is_set()


def test_the_environments_key_is_the_one_that_signs(services: Services, upstream: CognitoUpstream) -> None:
    services.start(upstream.url).get_token()
    signature = upstream.requests[0].headers["authorization"]
    assert f"Credential={ACCESS_KEY.aws_access_key_id}/" in signature
    assert "/us-east-1/cognito-identity/aws4_request" in signature
