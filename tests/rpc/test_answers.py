"""The results of an engine, as received by its caller."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import FOUND, IDENTITY_ID
from tests.support.grpc_service import POOL_ID, GrpcService, grpc_service

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.model import DeveloperIdentity, TokenRequest


def test_a_token_response_has_the_identity_token_and_times() -> None:
    with grpc_service(FakeClock(now=1_800_000_000.25)) as service:
        answer = service.call("GetOpenIdTokenForDeveloperIdentity")
    assert answer == pb.GetOpenIdTokenForDeveloperIdentityResponse(
        identity_id=IDENTITY_ID,
        token="header.claims.signature",
        expire_time=Timestamp(seconds=1_800_000_900),
        refresh_time=Timestamp(seconds=1_800_000_450),
        issue_time=Timestamp(seconds=1_800_000_000, nanos=250_000_000),
    )


@pytest.mark.parametrize("now", [1_800_000_900, 1_800_000_900.5, 1_800_086_400])
def test_issue_time_is_always_before_expire_time(now: float) -> None:
    with grpc_service(FakeClock(now=now)) as service:
        answer: Any = service.call("GetOpenIdTokenForDeveloperIdentity")
    assert answer.issue_time == Timestamp(seconds=1_800_000_899, nanos=999_000_000)


def test_a_lookup_returns_a_page_of_users_and_the_next_token(service: GrpcService) -> None:
    assert service.call("LookupDeveloperIdentity") == pb.LookupDeveloperIdentityResponse(
        identity_id=IDENTITY_ID, developer_user_identifier_list=["alice", "alice-2"], next_token="page-2"
    )


def test_the_last_page_of_users_has_no_next_token(service: GrpcService) -> None:
    service.engine.answers["lookup"] = DeveloperIdentity(IDENTITY_ID, FOUND.developer_user_identifiers)
    assert service.call("LookupDeveloperIdentity") == pb.LookupDeveloperIdentityResponse(
        identity_id=IDENTITY_ID, developer_user_identifier_list=["alice", "alice-2"]
    )


def test_a_merge_returns_the_remaining_identity(service: GrpcService) -> None:
    assert service.call("MergeDeveloperIdentities") == pb.MergeDeveloperIdentitiesResponse(identity_id=IDENTITY_ID)


def test_an_unlink_returns_an_empty_response(service: GrpcService) -> None:
    assert service.call("UnlinkDeveloperIdentity") == pb.UnlinkDeveloperIdentityResponse()


def test_maps_reach_the_engine_sorted_by_key(service: GrpcService) -> None:
    logins = {f"{number}.login.example.test": f"user {number}" for number in range(10)}
    tags = {f"tag {number:02}": f"value {number}" for number in range(50)}
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID,
        logins=dict(reversed(logins.items())),
        principal_tags=dict(reversed(tags.items())),
    )
    service.call("GetOpenIdTokenForDeveloperIdentity", request)
    (asked,) = service.engine.requests
    assert isinstance(asked, TokenRequest)
    assert [(name, value.reveal()) for name, value in asked.logins.items()] == list(logins.items())
    assert list(asked.principal_tags.items()) == list(tags.items())
