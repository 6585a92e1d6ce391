import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.clients.python.bearer_server import BearerServer, bearer_server
from tests.clients.python.facades import OPTIONS, TIMEOUT, Facade, SyncFacade
from tests.clients.python.silent import SilentProxy
from tests.support.certificates import Certificate, write_certificate

from tokend_client import TokendError, TokenRequest, service_config, tls_credentials
from tokend_client.channel import DEFAULT_TIMEOUT, channel_options
from tokend_client.telemetry import client_version
from tokend_client.testing import FakeTokendServer

CLIENTS_README = Path(__file__).parents[3] / "clients" / "README.md"


def test_the_service_config_is_that_of_all_clients() -> None:
    (documented,) = re.findall(r"```json\n(.*?)```", CLIENTS_README.read_text(encoding="utf-8"), re.DOTALL)
    expected = json.loads(documented)
    assert float(expected["methodConfig"][0].pop("timeout").removesuffix("s")) == DEFAULT_TIMEOUT
    assert json.loads(service_config()) == expected


LOCAL = (
    *("127.0.0.1:50051", "localhost:1", "[::1]:50051", "unix:/run/tokend.sock", "unix-abstract:tokend"),
    *("dns:///localhost:1", "dns:127.0.0.1:1", "ipv4:127.0.0.1:1,127.0.0.2:2", "ipv6:[::1]:1", "localhost"),
)
REMOTE = (
    *("tokend:50051", "10.0.0.1:50051", "[2001:db8::1]:1", "dns:///tokend.example.test:1", "localhost.example.test:1"),
    *("ipv4:127.0.0.1:1,10.0.0.1:1", "dns://127.0.0.1/tokend:1", "xds:///tokend"),
)


@pytest.mark.parametrize("target", LOCAL)
def test_a_bearer_token_may_travel_in_plaintext_within_this_machine(target: str, facade_type: type[Facade]) -> None:
    facade_type(target, plaintext=True, bearer_token=lambda: "t").__exit__()


@pytest.mark.parametrize("target", REMOTE)
def test_a_bearer_token_does_not_travel_in_plaintext_to_other_machines(target: str, facade_type: type[Facade]) -> None:
    with pytest.raises(ValueError, match="plaintext"):
        facade_type(target, plaintext=True, bearer_token=lambda: "t")
    facade_type(target, plaintext=True).__exit__()
    facade_type(target, plaintext=False, bearer_token=lambda: "t").__exit__()


def test_all_conflicts_with_plaintext_are_reported_at_once(facade_type: type[Facade]) -> None:
    with pytest.raises(ValueError, match=r"exclude each other; a bearer token is not sent"):
        facade_type("tokend:1", plaintext=True, credentials=tls_credentials(), bearer_token=lambda: "t")


@pytest.mark.parametrize("part", ["root_certificates", "private_key", "certificate_chain"])
@pytest.mark.parametrize("content", [b"", b"no PEM"])
def test_invalid_pem_is_rejected_before_grpc_aborts_the_process(
    certificate: Certificate, part: str, content: bytes
) -> None:
    given = {
        "root_certificates": certificate.certificate_file.read_bytes(),
        "private_key": certificate.private_key_file.read_bytes(),
        "certificate_chain": certificate.certificate_file.read_bytes(),
    }
    assert tls_credentials(**given)
    with pytest.raises(ValueError, match=f"{part}: no PEM"):
        tls_credentials(**(given | {part: content}))


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return write_certificate(tmp_path)


@contextmanager
def tls_server(certificate: Certificate) -> Iterator[BearerServer]:
    pair = (certificate.private_key_file.read_bytes(), certificate.certificate_file.read_bytes())
    with bearer_server(credentials=grpc.ssl_server_credentials([pair])) as running:
        yield running


def test_a_client_uses_tls_and_trusts_the_certificates_of_the_system(
    facade_type: type[Facade], certificate: Certificate, alice: TokenRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate_file))
    with tls_server(certificate) as server, facade_type(server.address, plaintext=False) as facade:
        with pytest.raises(TokendError) as caught:
            facade.call("get_token", request=alice)
        assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED  # it was reached: the error is from another service


def test_tls_to_a_plaintext_listener_is_reported(
    facade_type: type[Facade], server: FakeTokendServer, alice: TokenRequest
) -> None:
    with (
        facade_type(server.endpoint, plaintext=False) as facade,
        pytest.raises(TokendError, match="plaintext") as caught,
    ):
        facade.call("get_token", request=alice)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, None)
    assert not server.requests


def test_plaintext_to_a_tls_listener_fails_with_unavailable(
    facade_type: type[Facade], certificate: Certificate, alice: TokenRequest
) -> None:
    with tls_server(certificate) as server, facade_type(server.address) as facade, pytest.raises(TokendError) as caught:
        facade.call("get_token", request=alice)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, None)


def test_the_channel_options_set_keepalive_and_reconnect_within_a_second() -> None:
    options = dict(channel_options(()))
    assert options.pop("grpc.service_config") == service_config()
    assert options == {
        "grpc.primary_user_agent": f"tokend-python/{client_version()}",
        "grpc.enable_http_proxy": 0,
        "grpc.keepalive_time_ms": 30_000,
        "grpc.keepalive_timeout_ms": 3000,
        "grpc.http2.ping_timeout_ms": 3000,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_pings_without_data": 0,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 3000,
        "grpc.max_reconnect_backoff_ms": 1000,
    }
    assert dict(channel_options([("grpc.keepalive_time_ms", 1)]))["grpc.keepalive_time_ms"] == 1


@pytest.mark.parametrize("watched", [True, False], ids=["with a call", "without calls"])
def test_a_connection_that_becomes_silent_times_out(
    facade_type: type[Facade], server: FakeTokendServer, alice: TokenRequest, *, watched: bool
) -> None:
    options = [*OPTIONS, ("grpc.keepalive_time_ms", 500), ("grpc.keepalive_timeout_ms", 500)]
    options.append(("grpc.http2.ping_timeout_ms", 500))
    if not watched:
        options.append(("grpc.inhibit_health_checking", 1))
    with SilentProxy(server.endpoint) as proxy, facade_type(proxy.endpoint, options=options) as facade:
        facade.ask(alice)
        proxy.fall_silent()
        assert proxy.closed.wait(TIMEOUT)


def test_a_call_ends_at_its_deadline_if_no_connection_is_established(facade_type: type[Facade]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        user = TokenRequest(identity_pool_id="r:0", logins={"p": "a"})
        with facade_type(f"127.0.0.1:{silent.getsockname()[1]}") as facade:
            begun = time.monotonic()
            with pytest.raises(TokendError) as call:
                facade.call("get_token", request=user, timeout=0.5)
            with pytest.raises(TokendError) as ask:
                facade.ask(user, timeout=0.5)
            assert {call.value.code, ask.value.code} == {grpc.StatusCode.DEADLINE_EXCEEDED}
            assert time.monotonic() - begun < 2


def test_a_caller_does_not_wait_for_interceptors_longer_than_it_wants(server: FakeTokendServer) -> None:
    user = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "a"})
    server.pause()
    with SyncFacade(server.endpoint, interceptors=[WaitsForTheCode()]) as facade:
        begun = time.monotonic()
        with pytest.raises(TokendError) as caught:
            facade.ask(user, timeout=0.3)
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - begun < 1
        server.resume()
        assert facade.ask(user).identity_id


class WaitsForTheCode(grpc.UnaryUnaryClientInterceptor):
    """An interceptor that counts calls by their status, like those of services."""

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - the call
        call = continuation(client_call_details, request)
        call.code()
        return call
