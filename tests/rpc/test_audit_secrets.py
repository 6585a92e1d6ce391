from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import pytest
from tests.fakes.scripted_engine import ISSUED
from tests.rpc.audited import CANARY, CHECKOUT, READER, Audited, token
from tests.support.grpc_service import POOL_ID

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.model import Secret

if TYPE_CHECKING:
    from google.protobuf.message import Message

#: Requests where every secret is the canary; the last ones break limits.
CANARIES: Mapping[str, "Message"] = {
    "get": pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, logins={"login.example.test": CANARY}, principal_tags={"department": CANARY}
    ),
    "lookup": pb.LookupDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, developer_user_identifier=CANARY, next_token=CANARY
    ),
    "merge": pb.MergeDeveloperIdentitiesRequest(
        identity_pool_id=POOL_ID,
        developer_provider_name="login.example.test",
        source_user_identifier=CANARY,
        destination_user_identifier=CANARY,
    ),
    "unlink": pb.UnlinkDeveloperIdentityRequest(
        identity_pool_id=POOL_ID,
        identity_id=POOL_ID,
        developer_provider_name="login.example.test",
        developer_user_identifier=CANARY,
    ),
    "get beyond the limits": pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, logins={"": CANARY * 9999}, principal_tags={"department": CANARY * 99}
    ),
    "lookup beyond the limits": pb.LookupDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, developer_user_identifier=CANARY * 999, next_token=f"{CANARY} {CANARY}"
    ),
}


@pytest.mark.parametrize("request_of", CANARIES)
@pytest.mark.parametrize("fails", [False, True])
def test_no_line_has_a_secret(request_of: str, audited: Audited, *, fails: bool) -> None:
    engine, request = audited.service.engine, CANARIES[request_of]
    engine.answers["get"] = ISSUED._replace(token=token(alg="RS512"))
    engine.failure = KeyError(CANARY) if fails else None
    method = type(request).__name__.removesuffix("Request")
    for key in (CHECKOUT, READER, Secret(CANARY)):
        with suppress(grpc.RpcError):
            audited.call(method, request, key)
    assert len(audited.events) == 3
    for secret in (CANARY, CHECKOUT.reveal(), READER.reveal()):
        assert secret not in audited.text
