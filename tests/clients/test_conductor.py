"""The conductor does what the runners of the cases rely on."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from tests.clients.conductor import Harness
from tests.support.grpc_service import PATIENCE, Failure, failure, insecure_channel

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

Ask = Callable[..., Message]


@pytest.fixture
def ask(harness: Harness) -> Ask:
    """Asks for a token of a pool, by a connection of its own."""
    conduct(harness, "/reset")

    def send(pool: str = "pool", user: str = "alice", timeout: float = PATIENCE) -> Message:
        logins = {harness.variables["developer_provider_name"]: user}
        request = pb.GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=harness.variables[pool], logins=logins)
        with insecure_channel(harness.endpoint) as channel:
            answer: Message = DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity(
                request, timeout=timeout
            )
            return answer

    return send


def conduct(harness: Harness, path: str) -> int:
    request = urllib.request.Request(f"{harness.conductor}{path}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def published_kids(harness: Harness) -> set[str]:
    with urllib.request.urlopen(f"{harness.issuer}/.well-known/jwks.json", timeout=PATIENCE) as response:
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


def test_what_hangs_is_answered_after_reset(harness: Harness, ask: Ask) -> None:
    assert failed(lambda: ask("pool_hanging", timeout=0.2)).code is grpc.StatusCode.DEADLINE_EXCEEDED
    ask("pool_hanging_later", "bob")
    assert failed(lambda: ask("pool_hanging_later", "bob", timeout=0.2)).code is grpc.StatusCode.DEADLINE_EXCEEDED
    conduct(harness, "/reset")
    ask("pool_hanging_later", "carol")


def test_there_is_nothing_else(harness: Harness) -> None:
    assert conduct(harness, "/explode") == 404
