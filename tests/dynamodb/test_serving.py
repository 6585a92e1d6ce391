"""Two servers on one table are one service."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import jwt
import pytest
from tests.support.dynamodb import table_name, table_url
from tests.support.grpc_service import TIMEOUT
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub


@pytest.fixture
def servers(moto_url: str, tmp_path: Path) -> Iterator[list[ServerProcess]]:
    environment = {"TOKEND_STORE_URL": table_url(moto_url, table_name())}
    with (
        ServerProcess(write_config(tmp_path), environment) as first,
        ServerProcess(write_config(tmp_path), environment) as second,
    ):
        yield [first, second]


def call(server: ServerProcess, user: str) -> pb.GetOpenIdTokenForDeveloperIdentityResponse:
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=POOL_ID, logins={DEVELOPER_PROVIDER: user})
    with grpc.insecure_channel(server.endpoint) as channel:
        return DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity(request, timeout=TIMEOUT)


def test_a_user_has_one_identity_and_tokens_have_the_same_keys(servers: list[ServerProcess]) -> None:
    first, second = servers
    answers = [call(first, "alice"), call(second, "alice"), call(second, "bob"), call(first, "bob")]
    ids = [answer.identity_id for answer in answers]
    assert ids == [ids[0], ids[0], ids[2], ids[2]]
    assert ids[0] != ids[2]
    keys = [httpx.get(f"{server.issuer}/.well-known/jwks.json").json()["keys"] for server in servers]
    assert keys[0] == keys[1]
    assert {jwt.get_unverified_header(answer.token)["kid"] for answer in answers} == {keys[0][0]["kid"]}
    assert httpx.get(f"{first.ops}/readyz").status_code == 200
