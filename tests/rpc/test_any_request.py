"""Any request gets a response of the contract, and values within the limits arrive unchanged."""

import string
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.grpc_service import METHODS, POOL_IDS, VALID, GrpcService, grpc_service

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.model import LookupRequest, MergeRequest, Secret, TokenRequest, UnlinkRequest

bounded = settings(max_examples=60)


@pytest.fixture(scope="module")
def service() -> Iterator[GrpcService]:
    with grpc_service() as running:
        yield running


def texts(most: int = 40, least: int = 0, **characters: Any) -> st.SearchStrategy[str]:  # noqa: ANN401 - hypothesis' own
    """Strings that protobuf can contain: without surrogates."""
    return st.text(st.characters(codec="utf-8", **characters), min_size=least, max_size=most)


def outcome(service: GrpcService, method: str, serialized: bytes) -> grpc.StatusCode:
    try:
        service.send_bytes(method, serialized)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


CODES_OF_THE_CONTRACT = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}

any_text = texts() | st.sampled_from(POOL_IDS)
any_map = st.dictionaries(texts(), texts(), max_size=12)
any_number = st.integers(-(2**31), 2**31 - 1)
any_duration = st.builds(Duration, seconds=st.integers(-(2**63), 2**63 - 1), nanos=any_number)

ANY_MESSAGE = {
    "GetOpenIdTokenForDeveloperIdentity": st.builds(
        pb.GetOpenIdTokenForDeveloperIdentityRequest,
        identity_pool_id=any_text,
        identity_id=any_text,
        logins=any_map,
        principal_tags=any_map,
        token_duration=st.none() | any_duration,
    ),
    "LookupDeveloperIdentity": st.builds(
        pb.LookupDeveloperIdentityRequest,
        identity_pool_id=any_text,
        identity_id=any_text,
        developer_user_identifier=any_text,
        max_results=any_number,
        next_token=any_text,
    ),
    "MergeDeveloperIdentities": st.builds(
        pb.MergeDeveloperIdentitiesRequest,
        source_user_identifier=any_text,
        destination_user_identifier=any_text,
        developer_provider_name=any_text,
        identity_pool_id=any_text,
    ),
    "UnlinkDeveloperIdentity": st.builds(
        pb.UnlinkDeveloperIdentityRequest,
        identity_id=any_text,
        identity_pool_id=any_text,
        developer_provider_name=any_text,
        developer_user_identifier=any_text,
    ),
}


@pytest.mark.parametrize("method", METHODS)
@bounded
@given(data=st.data())
def test_any_message_gets_a_status_code_of_the_contract(method: str, service: GrpcService, data: st.DataObject) -> None:
    message = data.draw(ANY_MESSAGE[method])
    assert outcome(service, method, message.SerializeToString()) in CODES_OF_THE_CONTRACT


@pytest.mark.parametrize("method", METHODS)
@bounded
@given(data=st.data())
def test_any_bytes_get_a_status_code_of_the_contract(method: str, service: GrpcService, data: st.DataObject) -> None:
    valid = VALID[method].SerializeToString()
    start = data.draw(st.integers(0, len(valid)))
    serialized = valid[:start] + data.draw(st.binary(max_size=20)) + data.draw(st.sampled_from([b"", valid[start:]]))
    assert outcome(service, method, serialized) in CODES_OF_THE_CONTRACT


pool_ids = st.sampled_from(POOL_IDS)
regions = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=18)
guids = st.text("0123456789abcdef-", min_size=1, max_size=36)
identity_ids = st.builds("{}:{}".format, regions, guids)
users = texts(1024, least=1)
provider_names = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=128)
page_tokens = texts(100, least=1, exclude_categories=["Z", "Cc"])


def maps(entries: int, least: int = 0) -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(texts(128, least=1), texts(256, least=1), min_size=least, max_size=entries)


def arrived(service: GrpcService, method: str, message: Message) -> object:
    """Makes a call, and returns what reached the engine."""
    service.engine.asked.clear()
    service.call(method, message)
    (request,) = service.engine.requests
    return request


@bounded
@given(
    pool_id=pool_ids,
    identity_id=st.none() | identity_ids,
    logins=maps(10, least=1),
    tags=maps(50),
    seconds=st.none() | st.integers(1, 86_400),
)
def test_a_token_request_arrives_unchanged(  # noqa: PLR0913 - its fields
    *,
    service: GrpcService,
    pool_id: str,
    identity_id: str | None,
    logins: dict[str, str],
    tags: dict[str, str],
    seconds: int | None,
) -> None:
    message = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=pool_id,
        identity_id=identity_id or "",
        logins=logins,
        principal_tags=tags,
        token_duration=Duration(seconds=seconds) if seconds else None,
    )
    assert arrived(service, "GetOpenIdTokenForDeveloperIdentity", message) == TokenRequest(
        identity_pool_id=pool_id,
        logins={name: Secret(value) for name, value in logins.items()},
        identity_id=identity_id,
        principal_tags=tags,
        token_duration=timedelta(seconds=seconds or 900),
    )


@bounded
@given(
    pool_id=pool_ids,
    identity_id=st.none() | identity_ids,
    user=st.none() | users,
    most=st.integers(0, 60),
    page=st.none() | page_tokens,
)
def test_a_lookup_request_arrives_unchanged(  # noqa: PLR0913 - its fields
    *, service: GrpcService, pool_id: str, identity_id: str | None, user: str | None, most: int, page: str | None
) -> None:
    message = pb.LookupDeveloperIdentityRequest(
        identity_pool_id=pool_id,
        identity_id=identity_id or "",
        developer_user_identifier=user or "",
        max_results=most,
        next_token=page or "",
    )
    assert arrived(service, "LookupDeveloperIdentity", message) == LookupRequest(
        identity_pool_id=pool_id,
        identity_id=identity_id,
        developer_user_identifier=Secret(user) if user else None,
        max_results=most or 60,
        next_token=page,
    )


@bounded
@given(pool_id=pool_ids, provider=provider_names, source=users, destination=users)
def test_a_merge_request_arrives_unchanged(
    service: GrpcService, pool_id: str, provider: str, source: str, destination: str
) -> None:
    message = pb.MergeDeveloperIdentitiesRequest(
        identity_pool_id=pool_id,
        developer_provider_name=provider,
        source_user_identifier=source,
        destination_user_identifier=destination,
    )
    expected = MergeRequest(pool_id, provider, Secret(source), Secret(destination))
    assert arrived(service, "MergeDeveloperIdentities", message) == expected


@bounded
@given(pool_id=pool_ids, identity_id=identity_ids, provider=provider_names, user=users)
def test_an_unlink_request_arrives_unchanged(
    service: GrpcService, pool_id: str, identity_id: str, provider: str, user: str
) -> None:
    message = pb.UnlinkDeveloperIdentityRequest(
        identity_pool_id=pool_id,
        identity_id=identity_id,
        developer_provider_name=provider,
        developer_user_identifier=user,
    )
    expected = UnlinkRequest(pool_id, identity_id, provider, Secret(user))
    assert arrived(service, "UnlinkDeveloperIdentity", message) == expected
