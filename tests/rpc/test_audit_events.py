"""The audit entries of a call: one line for each decision."""

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client import CollectorRegistry
from tests.fakes.scripted_engine import IDENTITY_ID, ISSUED
from tests.rpc.audited import (
    CANARY,
    GET,
    HIDDEN,
    LOOKUP,
    MERGE,
    UNLINK,
    Audited,
    HeldLog,
    audited_call,
    audited_service,
    token,
)
from tests.support.grpc_service import POOL_ID, failure
from tests.support.health import check_health, watch_health
from tests.support.silent_calls import SilentCalls

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.rpc.server import SERVICE_NAME


def test_an_issued_token_is_audited_with_its_request_and_response(audited: Audited) -> None:
    audited.service.engine.answers["get"] = ISSUED._replace(token=token(alg="RS512"), key_id="us-east-1-3")
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID,
        identity_id=IDENTITY_ID,
        logins={"login.example.test": CANARY, "accounts.google.com": CANARY},
        principal_tags={"department": CANARY},
        token_duration=Duration(seconds=600),
    )
    audited.call(GET, request, x_request_id="r-1", traceparent=f"00-{'4b' * 16}-{'0f' * 8}-01")
    event = audited.event()
    assert event["eventTime"] == "2027-01-15T08:00:00.000Z"
    assert event["eventName"] == GET
    assert event["userIdentity"] == {"type": "bearer_key", "principalId": "key:checkout"}
    assert event["sourceIPAddress"] == "127.0.0.1"
    assert event["userAgent"].startswith("grpc-python/")
    assert event["requestID"] == "r-1"
    assert event["requestParameters"] == {
        "identityPoolId": POOL_ID,
        "identityId": IDENTITY_ID,
        "logins": {"login.example.test": HIDDEN, "accounts.google.com": HIDDEN},
        "tokenDuration": 600,
        "principalTags": {"department": HIDDEN},
    }
    assert event["responseElements"] == {"identityId": IDENTITY_ID}
    assert event["additionalEventData"] == {
        "outcome": "retrieved",
        "keyId": "us-east-1-3",
        "expireTime": "2027-01-15T08:15:00Z",
        "policy": "shop",
        "traceId": "4b" * 16,
    }
    assert "errorCode" not in event
    assert CANARY not in audited.text


def test_login_and_tag_names_are_audited_in_sorted_order(audited: Audited) -> None:
    logins, tags = ([f"{kind}-{number:02}" for number in range(count)] for kind, count in (("login", 10), ("tag", 50)))
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID,
        logins=dict.fromkeys(reversed(logins), CANARY),
        principal_tags=dict.fromkeys(reversed(tags), CANARY),
    )
    assert failure(lambda: audited.call(GET, request)).reason == "CALLER_NOT_ALLOWED"
    parameters = audited.event()["requestParameters"]
    assert list(parameters["logins"]) == logins
    assert list(parameters["principalTags"]) == tags


@pytest.mark.parametrize(
    ("method", "parameters", "identity_id"),
    [
        (LOOKUP, {}, IDENTITY_ID),
        (MERGE, {"developerProviderName": "login.example.test"}, IDENTITY_ID),
        (UNLINK, {"developerProviderName": "login.example.test", "identityId": POOL_ID}, None),
    ],
)
def test_lookup_merge_and_unlink_are_audited(
    method: str, parameters: Mapping[str, str], identity_id: str | None, audited: Audited
) -> None:
    audited.call(method)
    event = audited.event()
    assert event["eventName"] == method
    assert event["requestParameters"] == {"identityPoolId": POOL_ID, **parameters}
    assert event["responseElements"] == ({"identityId": identity_id} if identity_id else None)
    assert event["additionalEventData"] == {"policy": "shop"}
    assert event["readOnly"] == (method == LOOKUP)
    assert "errorCode" not in event
    assert "alice" not in audited.text


def test_unknown_facts_of_a_token_are_omitted(audited: Audited) -> None:
    audited.service.engine.answers["get"] = ISSUED._replace(key_id=None, outcome=None)
    audited.call(GET)
    assert audited.event()["additionalEventData"].keys() == {"expireTime", "policy"}


def test_without_authenticators_callers_are_anonymous(tmp_path: Path) -> None:
    with audited_service(tmp_path, {"policy": {}, "callers": {}}, identify_by=[]) as audited:
        audited.service.call(LOOKUP)
        event = audited.event()
        assert event["userIdentity"] == {"type": "Unknown", "principalId": "anonymous"}
        assert event["additionalEventData"] == {}


def test_the_source_address_of_a_call_over_a_unix_socket_is_unix(tmp_path: Path) -> None:
    with audited_service(tmp_path, listen=[f"unix:{tmp_path}/s"]) as audited:
        audited.call(LOOKUP)
        assert audited.event()["sourceIPAddress"] == "unix"


def test_health_reflection_and_unknown_methods_are_not_audited(tmp_path: Path) -> None:
    with audited_service(tmp_path, {"policy": {}, "callers": {}}, identify_by=[]) as audited:
        check_health(audited.service.channel)
        next(watch_health(audited.service.channel))
        assert ProtoReflectionDescriptorDatabase(audited.service.channel).get_services()
        with suppress(grpc.RpcError):
            audited.service.send_to("/no.such.Service/Method")
        assert audited.text == ""


def test_a_call_cancelled_before_its_message_is_not_audited(tmp_path: Path) -> None:
    with audited_service(tmp_path, {"policy": {}, "callers": {}}, identify_by=[]) as audited:
        with SilentCalls(audited.service.address, GET) as calls:
            for stream in calls.begin(20):
                calls.cancel(stream)
            audited.service.call(LOOKUP)
        while cancelled(audited.service.registry) < 20:
            threading.Event().wait(0.01)
        assert audited.event()["eventName"] == LOOKUP


def cancelled(registry: CollectorRegistry) -> float:
    labels = {"grpc_type": "unary", "grpc_service": SERVICE_NAME, "grpc_method": GET, "grpc_code": "Canceled"}
    return registry.get_sample_value("grpc_server_handled_total", labels) or 0.0


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("ipv4:10.1.2.3:50000", "10.1.2.3"),
        ("ipv6:%5B2001:db8::1%5D:50000", "2001:db8::1"),
        ("ipv6:[::1]:50000", "::1"),
        ("unix:", "unix"),
        ("unix:/run/tokend.sock", "unix"),
    ],
)
def test_an_address_is_reported_without_its_port(source: str, address: str) -> None:
    log = HeldLog()
    log.release.set()
    audited_call(log, lambda _request, _context: "answer", source)
    assert json.loads(log.lines[0])["sourceIPAddress"] == address
