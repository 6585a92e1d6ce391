"""The connection guard of the SDS listeners, as of every gRPC listener."""

import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health
from tests.fakes.clock import FakeClock
from tests.mesh.listeners import TOKEN, Certificates, configuration, metric, sections, serving
from tests.mesh.secret_streams import TIMEOUT, Stream, connection, delta, secrets_of
from tests.support.grpc_service import failure
from tests.support.ports import can_connect
from tests.support.raw_http2 import call
from tests.support.silent_calls import SilentCalls
from tests.support.waiting import wait_until

from tokend_server.config import Config
from tokend_server.mesh.sds_messages import SERVICE
from tokend_server.rpc.connection_guard import BAR

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the descriptors and the filter are Linux's")

#: More metadata fields than fit into the limit of bytes.
MANY_FIELDS = [(f"x-{number:04}", "") for number in range(1025)]


def test_unidentified_connections_do_not_displace_identified_ones(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    config = configuration(tmp_path, **certificates.settings, max_connections=8)
    with serving(config) as service, ExitStack() as connections:
        address = service.sds_addresses[0]
        with certificates.connection(address, certificates.client) as channel, Stream(channel, "DeltaSecrets") as known:
            known.acknowledge(known.ask(delta(TOKEN)))
            while not metric(service, "tokend_connections_ended_total"):
                connections.enter_context(_connect(address))
            with certificates.connection(address, certificates.client) as new, Stream(new, "DeltaSecrets") as newcomer:
                assert secrets_of(newcomer.ask(delta(TOKEN)))
            assert not known.call.done()


def test_a_host_that_floods_with_metadata_is_barred(tmp_path: Path) -> None:
    clock = FakeClock(time.time())
    with serving(configuration(tmp_path), clock) as service:
        address = service.sds_addresses[0]
        assert call(address, f"/{SERVICE}/FetchSecrets", b"", MANY_FIELDS).reset
        assert metric(service, "tokend_connections_ended_total") == 1
        wait_until(lambda: not can_connect(address))
        clock.advance(BAR)
        with connection(address) as channel, Stream(channel, "DeltaSecrets") as stream:
            assert secrets_of(stream.ask(delta(TOKEN)))


@pytest.mark.parametrize(
    "path", [f"/{SERVICE}/FetchSecrets", *(f"/{health.SERVICE_NAME}/{name}" for name in ("Check", "List", "Watch"))]
)
def test_calls_without_a_message_end(path: str, tmp_path: Path) -> None:
    settings = sections(tmp_path)
    settings["grpc"]["message_timeout_seconds"] = 0.3
    with (
        serving(Config.model_validate(settings)) as service,
        SilentCalls(service.sds_addresses[0], path) as silent,
    ):
        streams = silent.begin(12)
        assert {silent.next_ended() for _ in streams} == set(streams)
        name, of = "grpc_server_handled_total", {"grpc_method": path.rpartition("/")[2]}
        assert metric(service, name, **of, grpc_code="InvalidArgument") == 12


def test_hosts_that_send_no_message_are_barred(tmp_path: Path) -> None:
    """Calls count from their headers on."""
    certificates = {"callers": {"keys": {"other": [f"sha256:{64 * '0'}"]}}}
    settings = sections(tmp_path, identify_by=["bearer_key"]) | certificates
    with serving(Config.model_validate(settings), FakeClock(time.time())) as service:
        address = service.sds_addresses[0]
        path = f"/{health.SERVICE_NAME}/Check"
        with SilentCalls(address, path) as silent, SilentCalls(address, path) as more:
            silent.begin(1000)
            more.begin(1)
            # Without pauses, these connections would be so many that the guard closed those of the calls.
            wait_until(lambda: not can_connect(address))


def test_a_method_that_does_not_exist_is_counted(tmp_path: Path) -> None:
    with serving(configuration(tmp_path)) as service, connection(service.sds_addresses[0]) as channel:
        unknown: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Nothing")
        assert failure(lambda: unknown(b"", timeout=TIMEOUT)).code is grpc.StatusCode.UNIMPLEMENTED
        assert metric(service, "grpc_server_handled_total", grpc_method="unknown", grpc_code="Unimplemented") == 1


def _connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), TIMEOUT)
