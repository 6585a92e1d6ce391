"""With `audit.required`, calls that cannot be recorded have no effect."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from tests.support.calls import Caller
from tests.support.grpc_service import failure

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server import app
from tokend_server.config import Config

POOL_ID = "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
PROVIDER = "login.example.test"


class Running:
    """A service and its caller."""

    identity_pool_id = POOL_ID
    developer_provider_name = PROVIDER

    def __init__(self, service: app.Service) -> None:
        self.endpoint = service.grpc_addresses[0]

    def owner(self, caller: Caller, user: str) -> str | None:
        request = pb.LookupDeveloperIdentityRequest(identity_pool_id=POOL_ID, developer_user_identifier=user)
        try:
            return caller.stub.LookupDeveloperIdentity(request, timeout=30).identity_id
        except grpc.RpcError:
            return None


@contextmanager
def serving(directory: Path, **audit: object) -> Iterator[tuple[Running, Caller]]:
    free = {"listen": "127.0.0.1:0"}
    config = Config.model_validate(
        {
            "data_dir": directory,
            "grpc": {"listen": ["127.0.0.1:0"]},
            "issuer": free,
            "ops": free,
            "audit": audit,
            "pools": {POOL_ID: {"developer_provider_name": PROVIDER, "signing_algorithm": "ES256"}},
        }
    )
    service = app.start(config)
    try:
        running = Running(service)
        with closing(Caller(running)) as caller:
            yield running, caller
    finally:
        service.stop()


@pytest.fixture
def identity_ids(tmp_path: Path) -> Mapping[str, str]:
    """Two existing users."""
    with serving(tmp_path) as (_, caller):
        return {user: caller.get_token(user).identity_id for user in ("alice", "bob")}


def changes(identity_ids: Mapping[str, str]) -> Mapping[str, Message]:
    return {
        "MergeDeveloperIdentities": pb.MergeDeveloperIdentitiesRequest(
            identity_pool_id=POOL_ID,
            developer_provider_name=PROVIDER,
            source_user_identifier="alice",
            destination_user_identifier="bob",
        ),
        "UnlinkDeveloperIdentity": pb.UnlinkDeveloperIdentityRequest(
            identity_pool_id=POOL_ID,
            identity_id=identity_ids["alice"],
            developer_provider_name=PROVIDER,
            developer_user_identifier="alice",
        ),
        "GetOpenIdTokenForDeveloperIdentity": pb.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=POOL_ID, identity_id=identity_ids["alice"], logins={PROVIDER: "another name of alice"}
        ),
    }


@pytest.mark.parametrize(
    "method", ["MergeDeveloperIdentities", "UnlinkDeveloperIdentity", "GetOpenIdTokenForDeveloperIdentity"]
)
def test_a_change_that_cannot_be_recorded_is_not_made(
    method: str, tmp_path: Path, identity_ids: Mapping[str, str]
) -> None:
    with serving(tmp_path, destination="file:/dev/full", required=True) as (_, caller):
        call: Callable[..., object] = getattr(caller.stub, method)
        seen = failure(lambda: call(changes(identity_ids)[method], timeout=30), RetryInfo)
        assert (seen.code, seen.text) == (grpc.StatusCode.UNAVAILABLE, "The call could not be recorded.")
    with serving(tmp_path) as (running, caller):
        assert {user: running.owner(caller, user) for user in identity_ids} == identity_ids
        assert running.owner(caller, "another name of alice") is None


def test_an_identity_that_cannot_be_recorded_is_not_created(tmp_path: Path) -> None:
    with serving(tmp_path, destination="file:/dev/full", required=True) as (_, caller):
        assert failure(lambda: caller.get_token("carol"), RetryInfo).code is grpc.StatusCode.UNAVAILABLE
    with serving(tmp_path) as (running, caller):
        assert running.owner(caller, "carol") is None


def test_an_intent_precedes_its_outcome_and_a_read_has_no_intent(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    with serving(tmp_path, destination=f"file:{path}", required=True) as (_, caller):
        identity_id = caller.get_token("carol").identity_id
        caller.get_token("carol")
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["additionalEventData"].get("phase") for event in events] == ["intent", None, None]
    intent, created, retrieved = events
    assert intent["requestID"] == created["requestID"] != retrieved["requestID"]
    assert intent["responseElements"] is None
    assert created["responseElements"] == {"identityId": identity_id}
