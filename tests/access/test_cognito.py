"""A response of Cognito for one caller is not returned to another."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.access.guarded_service import PROVIDER, Credentials
from tests.fakes.cognito_script import Hang, Success
from tests.fakes.cognito_upstream import ACCESS_KEY, CognitoUpstream
from tests.support.aws_environment import give_credentials, without_aws_settings
from tests.support.grpc_service import TIMEOUT

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server import app
from tokend_server.callers.keys import digest
from tokend_server.config import Config
from tokend_server.model import Secret

POOL = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000c"
GET = pb.GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=POOL, logins={PROVIDER: "alice"})
LOOKUP = pb.LookupDeveloperIdentityRequest(identity_pool_id=POOL, developer_user_identifier="alice")

#: The callers, each with one of the keys.
KEYS = {"checkout": "checkout", "other": "other", "brief": "checkout 2"}


class Callers:
    """A service that reuses tokens, and callers with keys."""

    def __init__(self, channel: grpc.Channel, credentials: Credentials) -> None:
        self._stub: Any = DeveloperIdentityServiceStub(channel)
        self._credentials = credentials

    def get_token(self, caller: str) -> str:
        token: str = self.begin(caller, "GetOpenIdTokenForDeveloperIdentity", GET).result().token
        return token

    def begin(self, caller: str, method: str, request: object) -> "grpc.Future[Any]":
        begun: grpc.Future[Any] = getattr(self._stub, method).future(
            request, metadata=[self._credentials.key(KEYS[caller])], timeout=TIMEOUT
        )
        return begun


@pytest.fixture
def upstream() -> Iterator[CognitoUpstream]:
    with CognitoUpstream() as running:
        yield running
        running.release()


@pytest.fixture
def callers(
    upstream: CognitoUpstream, credentials: Credentials, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callers]:
    without_aws_settings(monkeypatch, tmp_path)
    give_credentials(monkeypatch, ACCESS_KEY)
    server = credentials.servers.server("127.0.0.1")
    (tmp_path / "tls.crt").write_bytes(server.certificate)
    (tmp_path / "tls.key").write_bytes(server.private_key)
    keys = {name: [digest(Secret(credentials.keys[key]))] for name, key in KEYS.items()}
    rows = {"pools": [POOL], "operations": ["*"]}
    config = Config.model_validate(
        {
            "grpc": {
                "listen": ["127.0.0.1:0"],
                "tls_certificate_file": tmp_path / "tls.crt",
                "tls_private_key_file": tmp_path / "tls.key",
                "identify_by": ["bearer_key"],
            },
            "ops": {"listen": "127.0.0.1:0"},
            "callers": {"keys": keys},
            "cognito": {"endpoint_url": upstream.url, "reuse_tokens": True},
            "pools": {POOL: {"engine": "cognito", "developer_provider_name": PROVIDER}},
            "policy": {
                "brief": {"callers": ["key:brief"], "max_token_duration_seconds": 300, **rows},
                "others": {"callers": ["key:*"], **rows},
            },
        }
    )
    with ExitStack() as undo:
        service = app.start(config)
        undo.callback(service.stop)
        trust = grpc.ssl_channel_credentials(credentials.servers.certificate)
        channel = undo.enter_context(grpc.secure_channel(service.grpc_addresses[0], trust))
        yield Callers(channel, credentials)


def test_a_token_is_reused_for_its_caller_alone(callers: Callers, upstream: CognitoUpstream) -> None:
    mine, theirs = callers.get_token("checkout"), callers.get_token("other")
    assert mine != theirs
    assert [callers.get_token("checkout") for _ in range(3)] == [mine] * 3
    assert [callers.get_token("other") for _ in range(3)] == [theirs] * 3
    assert len(upstream.requests) == 2


def test_the_requested_token_duration_is_limited_by_the_callers_policy(
    callers: Callers, upstream: CognitoUpstream
) -> None:
    callers.get_token("checkout")
    callers.get_token("brief")
    assert [request.body["TokenDuration"] for request in upstream.requests] == [900, 300]


@pytest.mark.parametrize(
    ("method", "request_"), [("GetOpenIdTokenForDeveloperIdentity", GET), ("LookupDeveloperIdentity", LOOKUP)]
)
def test_callers_share_no_call_in_flight(
    callers: Callers, upstream: CognitoUpstream, method: str, request_: object
) -> None:
    upstream.always(Hang(then=Success()))
    calls = [callers.begin(caller, method, request_) for caller in ("checkout", "other")]
    upstream.wait_for_held(2)
    upstream.release()
    for call in calls:
        call.result()
    assert len(upstream.requests) == 2
