"""The conductor's guarantees for the runners of the cases."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from tests.clients import scripted
from tests.clients.conductor import Harness
from tests.support.grpc_service import TIMEOUT, Failure, failure, insecure_channel

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

Ask = Callable[..., Message]


@pytest.fixture
def ask(harness: Harness) -> Ask:
    """Requests a token of a pool on a separate connection."""
    conduct(harness, "/reset")

    def ask_once(pool: str = "pool", user: str = "alice", timeout: float = TIMEOUT) -> Message:
        with insecure_channel(harness.endpoint) as channel:
            return send(DeveloperIdentityServiceStub(channel), token_request(harness, pool, user), timeout)

    return ask_once


def token_request(harness: Harness, pool: str, user: str = "alice") -> pb.GetOpenIdTokenForDeveloperIdentityRequest:
    logins = {harness.variables["developer_provider_name"]: user}
    return pb.GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=harness.variables[pool], logins=logins)


def send(
    stub: DeveloperIdentityServiceStub,
    request: pb.GetOpenIdTokenForDeveloperIdentityRequest,
    timeout: float = TIMEOUT,
) -> pb.GetOpenIdTokenForDeveloperIdentityResponse:
    return stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=timeout)


def conduct(harness: Harness, path: str) -> int:
    request = urllib.request.Request(f"{harness.conductor}{path}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def published_kids(harness: Harness) -> set[str]:
    with urllib.request.urlopen(f"{harness.issuer}/.well-known/jwks.json", timeout=TIMEOUT) as response:
        keys: list[dict[str, Any]] = json.load(response)["keys"]
        return {key["kid"] for key in keys}


def failed(call: Callable[[], Message]) -> Failure:
    return failure(call)


def test_stop_and_start_keep_the_address_and_the_store(harness: Harness, ask: Ask) -> None:
    before = ask()
    assert conduct(harness, "/stop") == 200
    assert failed(ask).code is grpc.StatusCode.UNAVAILABLE
    assert conduct(harness, "/start") == 200
    assert getattr(ask(), "identity_id") == getattr(before, "identity_id")  # noqa: B009 - Messages to mypy


def test_reset_starts_a_stopped_server(harness: Harness, ask: Ask) -> None:
    assert conduct(harness, "/stop") == 200
    assert conduct(harness, "/reset") == 200
    ask()


def test_rotate_publishes_new_keys_beside_the_old_ones(harness: Harness) -> None:
    before = published_kids(harness)
    assert conduct(harness, "/rotate") == 200
    assert published_kids(harness) > before


def test_hanging_calls_are_answered_after_reset(harness: Harness, ask: Ask) -> None:
    assert failed(lambda: ask("pool_hanging", timeout=0.2)).code is grpc.StatusCode.DEADLINE_EXCEEDED
    ask("pool_hanging_later", "bob")
    assert failed(lambda: ask("pool_hanging_later", "bob", timeout=0.2)).code is grpc.StatusCode.DEADLINE_EXCEEDED
    conduct(harness, "/reset")
    ask("pool_hanging_later", "carol")


def test_a_replica_that_hangs_keeps_its_connection_and_answers_after_reset(harness: Harness) -> None:
    conduct(harness, "/reset")
    request = token_request(harness, "pool")
    with ExitStack() as undo:
        channels = [undo.enter_context(insecure_channel(endpoint)) for endpoint in harness.replicas]
        first, second = (DeveloperIdentityServiceStub(channel) for channel in channels)
        identities = {send(stub, request).identity_id for stub in (first, second)}
        assert len(identities) == 1  # they share a store
        assert conduct(harness, "/hang") == 200
        waiting = first.GetOpenIdTokenForDeveloperIdentity.future(request, timeout=TIMEOUT)
        assert {send(second, request).identity_id} == identities
        assert not waiting.done()
        assert conduct(harness, "/reset") == 200
        assert {waiting.result().identity_id} == identities


@pytest.mark.parametrize(("pool", "delay"), scripted.DELAYS.items())
def test_the_scripted_server_refuses_with_the_delay_of_the_pool(harness: Harness, pool: str, delay: Duration) -> None:
    with insecure_channel(harness.scripted) as channel:
        refusal = failure(lambda: send(DeveloperIdentityServiceStub(channel), token_request(harness, pool)), RetryInfo)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
    assert RetryInfo(retry_delay=delay) in refusal.details


@pytest.mark.parametrize("pool", scripted.ANSWERS)
def test_the_scripted_server_answers_with_the_times_of_the_pool(harness: Harness, pool: str) -> None:
    with insecure_channel(harness.scripted) as channel:
        stub = DeveloperIdentityServiceStub(channel)
        first, second = (send(stub, token_request(harness, pool)) for _ in range(2))
    assert first.token != second.token
    begin = first.issue_time.seconds or first.refresh_time.seconds - 300
    given = {name.name: value.seconds - begin for name, value in first.ListFields() if name.name.endswith("_time")}
    expected = {name: value.seconds - 1000 for name, value in scripted.ANSWERS[pool](1000).items()}
    assert given.keys() == expected.keys()
    if pool != "expire_time_absurd":
        assert given == expected
    else:
        assert first.expire_time.seconds == 2**62


def test_a_runner_gets_the_addresses_of_all_servers(harness: Harness) -> None:
    variables = harness.environment
    assert variables["TOKEND_ENDPOINT"] == harness.endpoint
    assert variables["TOKEND_SCRIPTED"] == harness.scripted
    assert tuple(variables["TOKEND_REPLICAS"].split(",")) == tuple(harness.replicas)
    assert len({harness.endpoint, harness.scripted, *harness.replicas}) == 4


def test_an_unknown_path_is_not_found(harness: Harness) -> None:
    assert conduct(harness, "/explode") == 404
