"""The spans and log records of a server in a separate process."""

import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ResourceInfo, RetryInfo
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from tests.conformance.over_aws import aws_client
from tests.fakes.cognito_script import AwsFailure
from tests.fakes.cognito_upstream import ACCESS_KEY, CognitoUpstream
from tests.support.aws_environment import give_credentials, without_aws_settings
from tests.support.grpc_service import TIMEOUT, Failure, failure, insecure_channel
from tests.support.health import SERVING, check_health
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config
from tests.tracing.collector import Collector, Received, grpc_collector, http_collector

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.callers.aws_keys import new_access_key_id, secret_access_key
from tokend_server.key_files import read_key
from tokend_server.tracing.export import EXPORTED_ATTRIBUTES

SERVICE = "tokend.v1.DeveloperIdentityService"
GET, LOOKUP = f"{SERVICE}/GetOpenIdTokenForDeveloperIdentity", f"{SERVICE}/LookupDeveloperIdentity"
COGNITO_POOL = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000c"
CANARY = "canary-user-9d41"

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")


class Traced:
    """A server and a channel to it."""

    def __init__(self, server: ServerProcess, channel: grpc.Channel) -> None:
        self.server = server
        self.channel = channel
        self.stub = DeveloperIdentityServiceStub(channel)

    def get_token(self, *metadata: tuple[str, str], pool_id: str = POOL_ID, timeout: float = TIMEOUT) -> str:
        request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=pool_id, logins={DEVELOPER_PROVIDER: CANARY}
        )
        return self.stub.GetOpenIdTokenForDeveloperIdentity(request, metadata=metadata, timeout=timeout).token

    def fail_to_look_up(self, *metadata: tuple[str, str]) -> Failure:
        request = pb.LookupDeveloperIdentityRequest(identity_pool_id=POOL_ID, developer_user_identifier="unknown-9d41")
        call = partial(self.stub.LookupDeveloperIdentity, request, metadata=metadata, timeout=TIMEOUT)
        return failure(call, ResourceInfo)


@contextmanager
def serving(directory: Path, environment: Mapping[str, str], extra: str = "") -> Iterator[Traced]:
    config = write_config(directory, f'[log]\nlevel = "debug"\n{extra}')
    with ServerProcess(config, environment) as server, insecure_channel(server.endpoint) as channel:
        yield Traced(server, channel)


@pytest.fixture(params=[grpc_collector, http_collector], ids=["grpc", "http"])
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    with request.param() as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Traced, Collector]]:
    with ExitStack() as stack:
        collector = stack.enter_context(grpc_collector())
        yield stack.enter_context(serving(tmp_path_factory.mktemp("traced"), collector.environment)), collector


def named(spans: list[Received], name: str) -> list[Received]:
    return [span for span in spans if span.name == name]


def canaries(*tokens: str) -> list[bytes]:
    """Values that must not be exported: the login value and the private parts of the token."""
    return [
        text.encode() for text in (CANARY, "unknown-9d41", *(part for token in tokens for part in token.split(".")[1:]))
    ]


def test_calls_reach_the_collector_without_what_is_secret(tmp_path: Path, collector: Collector) -> None:
    with serving(tmp_path, collector.environment) as traced:
        token = traced.get_token(TRACEPARENT)
        assert traced.fail_to_look_up().code is grpc.StatusCode.NOT_FOUND
        got, looked_up = collector.wait_for(2)
    assert (got.name, got.trace_id, got.span.parent_span_id.hex()) == (GET, TRACE_ID, PARENT_ID)
    assert (looked_up.name, looked_up.span.parent_span_id) == (LOOKUP, b"")
    assert got.attributes["rpc.grpc.status_code"] == grpc.StatusCode.OK.value[0]
    assert looked_up.attributes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    for span in (got, looked_up):
        assert span.attributes.keys() <= EXPORTED_ATTRIBUTES
        assert span.span.kind == span.span.SPAN_KIND_SERVER
        assert span.resource["service.name"] == "tokend"
    exported = b"".join(collector.messages)
    assert GET.encode() in exported
    assert [text for text in canaries(token) if text in exported] == []


def test_calls_of_cognitos_own_api_reach_the_collector_without_what_is_secret(tmp_path: Path) -> None:
    key_file = tmp_path / "aws.key"
    key_file.write_text(secrets.token_hex(32), encoding="ascii")
    access_key_id = new_access_key_id(secrets.token_bytes)
    aws = f"""
[aws]
listen = "127.0.0.1:0"
[callers]
aws_key_file = "{key_file}"
aws_keys = {{ checkout = ["{access_key_id}"] }}
[policy.all]
callers = ["**"]
pools = ["*"]
operations = ["*"]
"""
    secret = secret_access_key(read_key(key_file), access_key_id)
    with grpc_collector() as collector, serving(tmp_path, collector.environment, aws) as traced:
        client = aws_client(traced.server.aws, access_key_id, secret, "us-east-1")
        client.meta.events.register("before-sign", lambda request, **_: request.headers.add_header(*TRACEPARENT))
        logins = {DEVELOPER_PROVIDER: CANARY}
        issued = client.get_open_id_token_for_developer_identity(IdentityPoolId=POOL_ID, Logins=logins)
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.lookup_developer_identity(IdentityPoolId=POOL_ID, DeveloperUserIdentifier="unknown-9d41")
        client.close()
        spans = collector.wait_for(2)
    operations = ("GetOpenIdTokenForDeveloperIdentity", "LookupDeveloperIdentity")
    assert [span.name for span in spans] == [f"AWSCognitoIdentityService/{each}" for each in operations]
    for span, operation in zip(spans, operations, strict=True):
        assert (span.trace_id, span.span.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
        assert span.span.kind == span.span.SPAN_KIND_SERVER
        assert span.attributes["rpc.method"] == operation
        assert span.attributes.keys() <= EXPORTED_ATTRIBUTES
    assert [span.span.status.code for span in spans] == [Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR]
    exported = b"".join(collector.messages)
    secret_texts = [*canaries(issued["Token"]), secret.reveal().encode(), access_key_id.encode()]
    assert [text for text in secret_texts if text in exported] == []


def test_health_is_not_traced(shared: tuple[Traced, Collector]) -> None:
    traced, collector = shared
    before = len(collector.spans())
    assert check_health(traced.channel) == SERVING
    traced.get_token()
    spans = collector.wait_for(before + 1)
    assert [span.name for span in spans[before:]] == [GET]


def test_log_records_have_the_trace_of_the_span(shared: tuple[Traced, Collector]) -> None:
    traced, collector = shared
    before = len(collector.spans())
    traced.fail_to_look_up()
    (span,) = collector.wait_for(before + 1)[before:]
    assert [record["message"] for record in records_of(traced.server, span.trace_id)] == ["call failed"]


def test_log_records_have_the_callers_trace(shared: tuple[Traced, Collector]) -> None:
    traced, _ = shared
    trace_id = TRACE_ID.replace("4", "5")
    traced.fail_to_look_up(("traceparent", f"00-{trace_id}-{PARENT_ID}-01"))
    (record,) = records_of(traced.server, trace_id)
    assert record["method"] == "LookupDeveloperIdentity"
    assert record["request_id"]


def test_log_records_have_the_callers_trace_without_opentelemetry(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as traced:
        traced.fail_to_look_up(TRACEPARENT)
        (record,) = records_of(traced.server, TRACE_ID)
    assert record["message"] == "call failed"


def records_of(server: ServerProcess, trace_id: str) -> list[dict[str, object]]:
    """Returns the log records of a trace, written before the response; the pipe may deliver them later."""
    give_up = time.monotonic() + TIMEOUT
    while not (found := [record for record in server.log if record.get("trace_id") == trace_id]):
        assert time.monotonic() < give_up, server.log
    return found


@pytest.mark.parametrize("sampler", ["always_off", "parentbased_always_off"])
def test_the_sampler_is_the_operators_choice(tmp_path: Path, sampler: str) -> None:
    with grpc_collector() as collector:
        with serving(tmp_path, {**collector.environment, "OTEL_TRACES_SAMPLER": sampler}) as traced:
            traced.get_token()
            traced.get_token(TRACEPARENT)
        assert [span.trace_id for span in collector.spans()] == ([] if sampler == "always_off" else [TRACE_ID])


def test_propagators_are_the_operators_choice(tmp_path: Path) -> None:
    with grpc_collector() as collector:
        with serving(tmp_path, {**collector.environment, "OTEL_PROPAGATORS": "baggage"}) as traced:
            traced.get_token(TRACEPARENT)
        (span,) = collector.spans()
    assert span.trace_id != TRACE_ID
    assert span.span.parent_span_id == b""


def test_invalid_exporter_headers_are_not_logged(tmp_path: Path) -> None:
    with grpc_collector() as collector:
        headers = {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization Bearer {CANARY}"}
        with serving(tmp_path, {**collector.environment, **headers}) as traced:
            traced.get_token(TRACEPARENT, ("baggage", CANARY), ("tracestate", CANARY))
            traced.server.stop()
            assert [line for line in traced.server.output if CANARY in line] == []
        assert collector.spans()


@contextmanager
def deaf_endpoint() -> Iterator[str]:
    """An endpoint that accepts connections, and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def dead_endpoint() -> Iterator[str]:
    """An endpoint without a server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("endpoint", [deaf_endpoint, dead_endpoint])
def test_without_a_collector_calls_succeed_and_the_server_stops(
    tmp_path: Path, endpoint: Callable[[], AbstractContextManager[str]], protocol: str
) -> None:
    patient = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "300",
        "OTEL_BSP_SCHEDULE_DELAY": "1",
        "OTEL_BSP_MAX_QUEUE_SIZE": "8",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
    }
    with endpoint() as url, serving(tmp_path, {**patient, "OTEL_EXPORTER_OTLP_ENDPOINT": url}) as traced:
        assert all(traced.get_token() for _ in range(64))  # several times as many as the queue holds
        assert traced.server.stop() == 0
        warnings = [
            record["message"] for record in traced.server.log if record["logger"] == "tokend_server.tracing.provider"
        ]
    assert warnings == ["the collector does not accept the last spans"]


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CognitoUpstream]:
    without_aws_settings(monkeypatch, tmp_path)
    give_credentials(monkeypatch, ACCESS_KEY)
    with CognitoUpstream() as running:
        yield running


def test_a_call_to_cognito_is_a_span_within_the_callers(tmp_path: Path, upstream: CognitoUpstream) -> None:
    extra = f"""
[cognito]
endpoint_url = "{upstream.url}"
max_attempts = 1
[pools."{COGNITO_POOL}"]
engine = "cognito"
developer_provider_name = "{DEVELOPER_PROVIDER}"
"""
    text = f"Logins of {CANARY} do not match"
    with grpc_collector() as collector, serving(tmp_path, collector.environment, extra) as traced:
        before = len(collector.spans())
        token = traced.get_token(TRACEPARENT, pool_id=COGNITO_POOL)
        upstream.script([AwsFailure("NotAuthorizedException", text), AwsFailure("InternalErrorException", text, 500)])
        call = partial(traced.get_token, TRACEPARENT, pool_id=COGNITO_POOL)
        seen = [failure(call, ResourceInfo, RetryInfo).code for _ in range(2)]
        assert seen == [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE]
        spans = [span for span in collector.wait_for(before + 6) if span.trace_id == TRACE_ID]
    calls, upstream_calls = named(spans, GET), [span for span in spans if span.name != GET]
    assert {span.name for span in upstream_calls} == {"Cognito Identity.GetOpenIdTokenForDeveloperIdentity"}
    assert [span.span.parent_span_id for span in upstream_calls] == [span.span.span_id for span in calls]
    assert [span.attributes["http.status_code"] for span in upstream_calls] == [200, 400, 500]
    assert all(span.attributes.keys() <= EXPORTED_ATTRIBUTES for span in spans)
    exported = b"".join(collector.messages)
    assert [text for text in [*canaries(token), ACCESS_KEY.aws_access_key_id.encode()] if text in exported] == []
