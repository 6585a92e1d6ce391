"""Secrets on streams, from a service in this process, with real clients."""

import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import httpx
import jwt
import pytest
from tests.fakes.clock import FakeClock
from tests.mesh.listeners import metric
from tests.mesh.secret_streams import TIMEOUT, Stream, connection, delta, fetch, secrets_of, world
from tests.support.raw_http2 import StalledStream

from tokend_server import app
from tokend_server.app import Service
from tokend_server.callers.keys import digest, new_key
from tokend_server.config import Config, Grpc, Issuer, Ops, PolicySettings, Pool, Sds
from tokend_server.mesh.sds_messages import SERVICE

Request: TypeAlias = Callable[..., Any]

POOL_ID = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000a"
PROVIDER = "login.example.test"

KEYS = {name: new_key(secrets.token_bytes) for name in ("cart", "stranger")}
OWN, FIXED, TAGGED, JWKS = "own-token", "batch-token", "tagged-token", "key-set"
LIFE = 900

VARIANTS = pytest.mark.parametrize(("method", "request_for"), [("StreamSecrets", world), ("DeltaSecrets", delta)])


def authorization(name: str = "cart") -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {KEYS[name].reveal()}")]


def configuration(directory: Path) -> Config:
    token = {"identity_pool_id": POOL_ID}
    return Config(
        data_dir=directory,
        grpc=Grpc(listen=["127.0.0.1:0"], threads=2, identify_by=["bearer_key"]),
        issuer=Issuer(listen="127.0.0.1:0"),
        ops=Ops(listen="127.0.0.1:0"),
        callers={"keys": {name: [digest(key)] for name, key in KEYS.items()}},
        policy={
            "carts": PolicySettings(
                callers=["key:cart"],
                pools=[POOL_ID],
                operations=["GetOpenIdTokenForDeveloperIdentity"],
                principal_tag_keys=["tier"],
            )
        },
        audit={"destination": f"file:{directory}/audit.jsonl", "required": True},
        sds=Sds.model_validate(
            {
                "listen": ["127.0.0.1:0"],
                "identify_by": ["bearer_key"],
                "key_set": JWKS,
                "tokens": {
                    OWN: token,
                    FIXED: {**token, "user": "batch", "token_duration_seconds": 300},
                    TAGGED: {**token, "principal_tags": {"tier": "gold"}},
                },
            }
        ),
        pools={POOL_ID: Pool.model_validate({"developer_provider_name": PROVIDER, "signing_algorithm": "ES256"})},
    )


@pytest.fixture(scope="module")
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sds")


@pytest.fixture(scope="module")
def service(directory: Path, clock: FakeClock) -> Iterator[Service]:
    running = app.start(configuration(directory), clock)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def channel(service: Service) -> Iterator[grpc.Channel]:
    with connection(service.sds_addresses[0]) as opened:
        yield opened


def claims(token: str) -> dict[str, object]:
    decoded: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return decoded


@VARIANTS
def test_a_caller_gets_its_own_token(channel: grpc.Channel, method: str, request_for: Request) -> None:
    with Stream(channel, method, authorization()) as stream:
        token = secrets_of(stream.ask(request_for(OWN)))[OWN]
    assert claims(token)["amr"][-1] == f"{PROVIDER}:{POOL_ID}:key:cart"  # type: ignore[index]


def audit_entries(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "audit.jsonl").read_text().splitlines()]


def test_a_token_has_its_configured_user_and_duration(channel: grpc.Channel) -> None:
    with Stream(channel, "DeltaSecrets", authorization()) as stream:
        token = claims(secrets_of(stream.ask(delta(FIXED)))[FIXED])
    assert token["amr"][-1].endswith(":batch")  # type: ignore[index]
    assert token["exp"] - token["iat"] == 300  # type: ignore[operator]


def test_a_token_has_its_tags(channel: grpc.Channel) -> None:
    with Stream(channel, "DeltaSecrets", authorization()) as stream:
        token = claims(secrets_of(stream.ask(delta(TAGGED)))[TAGGED])
    assert token["https://aws.amazon.com/tags"] == {"principal_tags": {"tier": ["gold"]}}


@VARIANTS
def test_the_key_set_is_that_of_the_issuer(
    service: Service, channel: grpc.Channel, method: str, request_for: Request
) -> None:
    with Stream(channel, method, authorization()) as stream:
        found = secrets_of(stream.ask(request_for(JWKS)))
    assert json.loads(found[JWKS]) == httpx.get(f"{service.issuer}/.well-known/jwks.json", trust_env=False).json()


@VARIANTS
def test_a_wildcard_subscription_gets_all_secrets(channel: grpc.Channel, method: str, request_for: Request) -> None:
    found: dict[str, str] = {}
    with Stream(channel, method, authorization()) as stream:
        stream.send(request_for())
        while found.keys() != {OWN, FIXED, TAGGED, JWKS}:
            found |= secrets_of(stream.receive())


@VARIANTS
def test_a_token_is_replaced_before_its_refresh_time(
    channel: grpc.Channel, clock: FakeClock, method: str, request_for: Request
) -> None:
    with Stream(channel, method, authorization()) as stream:
        response = stream.ask(request_for(OWN))
        stream.acknowledge(response, OWN)
        before = claims(secrets_of(response)[OWN])
        clock.advance(LIFE / 3 - 1)
        after = claims(secrets_of(stream.receive())[OWN])
    assert before["iat"] < after["iat"] < before["iat"] + LIFE / 3  # type: ignore[operator]


def test_streams_of_a_caller_share_its_token(channel: grpc.Channel) -> None:
    with (
        Stream(channel, "StreamSecrets", authorization()) as one,
        Stream(channel, "DeltaSecrets", authorization()) as two,
    ):
        assert secrets_of(one.ask(world(OWN))) == secrets_of(two.ask(delta(OWN)))


def test_a_reconnected_stream_gets_no_resource_that_it_has(channel: grpc.Channel) -> None:
    with Stream(channel, "DeltaSecrets", authorization()) as stream:
        (own,) = stream.ask(delta(OWN)).resources
    with Stream(channel, "DeltaSecrets", authorization()) as stream:
        response = stream.ask(delta(OWN, FIXED, initial_resource_versions={OWN: own.version}))
    assert secrets_of(response).keys() == {FIXED}


def test_an_unknown_secret_name_is_reported_as_removed(channel: grpc.Channel) -> None:
    with Stream(channel, "DeltaSecrets", authorization()) as stream:
        assert stream.ask(delta("nothing")).removed_resources == ["nothing"]


def test_a_token_denied_by_the_policy_is_reported_as_missing(channel: grpc.Channel, directory: Path) -> None:
    with Stream(channel, "DeltaSecrets", authorization("stranger")) as stream:
        assert stream.ask(delta(OWN)).removed_resources == [OWN]
    (entry,) = [each for each in audit_entries(directory) if each["userIdentity"]["principalId"] == "key:stranger"]
    assert entry["errorCode"] == "CALLER_NOT_ALLOWED"


def test_each_token_is_recorded(channel: grpc.Channel, directory: Path) -> None:
    with Stream(channel, "StreamSecrets", authorization()) as stream:
        stream.ask(world(OWN))
    entries = [each for each in audit_entries(directory) if each["userIdentity"]["principalId"] == "key:cart"]
    assert entries
    assert {each["eventName"] for each in entries} == {"GetOpenIdTokenForDeveloperIdentity"}
    assert OWN in {each["additionalEventData"]["mapping"] for each in entries}


def test_a_rejected_secret_is_counted_and_not_sent_again(service: Service, channel: grpc.Channel) -> None:
    before = metric(service, "tokend_sds_receipts_total", receipt="rejected")
    with Stream(channel, "StreamSecrets", authorization()) as stream:
        response = stream.ask(world(OWN))
        stream.send(world(OWN, response_nonce=response.nonce, error_detail={"code": 3, "message": "no"}))
        found = secrets_of(stream.ask(world(OWN, FIXED, response_nonce=response.nonce)))
    assert found.keys() == {OWN, FIXED}
    assert metric(service, "tokend_sds_receipts_total", receipt="rejected") == before + 1


@pytest.mark.parametrize("method", ["StreamSecrets", "DeltaSecrets"])
@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer tokend_none")]])
def test_streams_of_unidentified_callers_are_rejected_as_unauthenticated(
    channel: grpc.Channel, method: str, metadata: list[tuple[str, str]]
) -> None:
    with Stream(channel, method, metadata) as stream, pytest.raises(grpc.RpcError) as caught:
        stream.receive()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("message", [world(OWN, type_url="type.googleapis.com/x.Y"), world("x" * 2000)])
def test_an_invalid_request_ends_the_stream_with_invalid_argument(channel: grpc.Channel, message: object) -> None:
    with Stream(channel, "StreamSecrets", authorization()) as stream, pytest.raises(grpc.RpcError) as caught:
        stream.ask(message)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_malformed_message_ends_the_stream(channel: grpc.Channel) -> None:
    method: Any = channel.stream_stream("/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets")
    with pytest.raises(grpc.RpcError) as caught:
        next(method(iter([b"\xff"]), metadata=authorization()))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


class TestFetch:
    def test_a_fetch_returns_the_existing_secrets(self, channel: grpc.Channel) -> None:
        assert secrets_of(fetch(channel, world(OWN, JWKS), authorization())).keys() == {OWN, JWKS}

    @pytest.mark.parametrize(
        ("name", "caller", "code"),
        [
            ("nothing", "cart", grpc.StatusCode.NOT_FOUND),
            (OWN, "stranger", grpc.StatusCode.PERMISSION_DENIED),
        ],
    )
    def test_a_missing_or_denied_secret_has_its_status_code(
        self, channel: grpc.Channel, name: str, caller: str, code: grpc.StatusCode
    ) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            fetch(channel, world(name), authorization(caller))
        assert caught.value.code() is code


def test_streams_and_tokens_are_counted(service: Service, channel: grpc.Channel) -> None:
    issued = metric(service, "tokend_sds_tokens_total", outcome="issued")
    assert issued == metric(service, "tokend_mesh_tokens_total", use="sds", source="issued") > 0
    with Stream(channel, "DeltaSecrets", authorization()) as stream:
        stream.ask(delta(OWN))
        assert metric(service, "tokend_sds_streams") == 1
    assert metric(service, "tokend_sds_tokens_late") == 0
    assert metric(service, "grpc_server_handled_total", grpc_method="FetchSecrets", grpc_code="NotFound") == 1


def test_no_secret_is_in_a_line_of_the_audit_log(channel: grpc.Channel, directory: Path) -> None:
    with Stream(channel, "DeltaSecrets", authorization()) as stream:
        token = secrets_of(stream.ask(delta(OWN)))[OWN]
    text = (directory / "audit.jsonl").read_text()
    assert token not in text
    assert KEYS["cart"].reveal() not in text


def test_a_stop_ends_streams_gracefully(tmp_path: Path) -> None:
    service = app.start(configuration(tmp_path))
    with connection(service.sds_addresses[0]) as channel, Stream(channel, "DeltaSecrets", authorization()) as stream:
        stream.ask(delta(OWN))
        service.stop()
        with pytest.raises(StopIteration):
            stream.receive()
        assert stream.call.code() is grpc.StatusCode.OK


def test_a_stop_ends_a_stream_gracefully_during_its_first_response(tmp_path: Path) -> None:
    service = app.start(configuration(tmp_path))
    address, stopping = service.sds_addresses[0], threading.Thread(target=service.stop)
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as connected:
        message = delta(OWN).SerializeToString()
        with connection(address) as channel:
            fetch(channel, world(OWN), authorization())  # known secrets are sent at once
            stream = StalledStream(connected, address, f"/{SERVICE}/DeltaSecrets", message, authorization())
            stream.until_response()
            fetch(channel, world(OWN), authorization())  # by the same thread, so the stream's is under way before
        stopping.start()
        stream.until_goaway()
        ending = stream.open_window()
        stopping.join()
    assert not ending.reset
    assert ending.fields[b"grpc-status"] == b"0"


def test_a_caller_keeps_its_identity_after_a_restart(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        service = app.start(configuration(tmp_path))
        with (
            connection(service.sds_addresses[0]) as channel,
            Stream(channel, "StreamSecrets", authorization()) as stream,
        ):
            found.append(claims(secrets_of(stream.ask(world(OWN)))[OWN])["sub"])
        service.stop()
    assert found[0] == found[1]
