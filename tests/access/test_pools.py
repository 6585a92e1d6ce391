"""A caller who may use one pool gets no access to another through it."""

from collections.abc import Iterator

import grpc
import pytest
from google.rpc.error_details_pb2 import ResourceInfo
from tests.access.guarded_service import POOL_A, POOL_B, PROVIDER, TOKENS, GuardedService
from tests.access.methods import GET, LOOKUP, MERGE, UNLINK, call
from tests.support.grpc_service import failure

from tokend.v1 import developer_identity_service_pb2 as pb


@pytest.fixture(scope="module")
def channel(guarded: GuardedService) -> Iterator[grpc.Channel]:
    with guarded.channel(TOKENS) as channel:
        yield channel


def test_identities_of_another_pool_are_not_accessible(guarded: GuardedService, channel: grpc.Channel) -> None:
    theirs = guarded.add_user("carol", POOL_B)
    mine = guarded.add_user("carol", POOL_A)
    assert mine != theirs
    requests = {
        GET: pb.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=POOL_A, identity_id=theirs, logins={PROVIDER: "mallory"}
        ),
        LOOKUP: pb.LookupDeveloperIdentityRequest(identity_pool_id=POOL_A, identity_id=theirs),
        UNLINK: pb.UnlinkDeveloperIdentityRequest(
            identity_pool_id=POOL_A,
            identity_id=theirs,
            developer_provider_name=PROVIDER,
            developer_user_identifier="carol",
        ),
    }
    for path, request in requests.items():
        failed = failure(lambda: call(path, channel, request, [guarded.credentials.key("checkout")]), ResourceInfo)  # noqa: B023 - called at once
        assert failed.code is grpc.StatusCode.NOT_FOUND, path
    assert guarded.add_user("carol", POOL_B) == theirs


def test_no_user_of_the_other_pool_is_reached(guarded: GuardedService, channel: grpc.Channel) -> None:
    theirs = guarded.add_user("dave", POOL_B)
    guarded.add_user("erin", POOL_A)
    requests = {
        LOOKUP: pb.LookupDeveloperIdentityRequest(identity_pool_id=POOL_A, developer_user_identifier="dave"),
        MERGE: pb.MergeDeveloperIdentitiesRequest(
            identity_pool_id=POOL_A,
            developer_provider_name=PROVIDER,
            source_user_identifier="dave",
            destination_user_identifier="erin",
        ),
    }
    for path, request in requests.items():
        failed = failure(lambda: call(path, channel, request, [guarded.credentials.key("checkout")]), ResourceInfo)  # noqa: B023 - called at once
        assert failed.code is grpc.StatusCode.NOT_FOUND, path
    assert guarded.add_user("dave", POOL_B) == theirs
