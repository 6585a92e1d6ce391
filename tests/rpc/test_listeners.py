"""Addresses, TLS and the size of messages."""

import os
import socket
import stat
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.rpc.limits import WIDE
from tests.support.certificates import Certificate, write_certificate
from tests.support.grpc_service import (
    LONGEST_POOL_ID,
    METHODS,
    TIMEOUT,
    VALID,
    failure,
    grpc_service,
    insecure_channel,
)
from tests.support.threads import no_threads_left

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.errors import ConfigError


def lookup(channel: grpc.Channel) -> pb.LookupDeveloperIdentityResponse:
    request = VALID["LookupDeveloperIdentity"]
    assert isinstance(request, pb.LookupDeveloperIdentityRequest)
    return DeveloperIdentityServiceStub(channel).LookupDeveloperIdentity(request, timeout=TIMEOUT)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return write_certificate(tmp_path_factory.mktemp("tls"))


def tls_settings(certificate: Certificate) -> dict[str, object]:
    return {
        "tls_certificate_file": certificate.certificate_file,
        "tls_private_key_file": certificate.private_key_file,
    }


def test_a_unix_socket_is_open_to_user_and_group_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokend.sock"
    with grpc_service(listen=[f"unix:{path}"]) as service:
        assert service.address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert lookup(service.channel).identity_id


@pytest.mark.parametrize("name", ["\udcff", "a b%", "100%zz", "\u00fc"])
def test_a_unix_socket_may_have_any_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with grpc_service(listen=["127.0.0.1:0", f"unix:{path}"]) as service:
        assert service.server.addresses[1] == f"unix:{path}"
        with grpc.insecure_channel(f"unix:{quote(os.fsencode(path))}") as channel:
            assert lookup(channel).identity_id


def test_a_server_that_cannot_bind_all_addresses_leaves_no_threads() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            no_threads_left(),
            pytest.raises(ConfigError),
            grpc_service(listen=["127.0.0.1:0", address]),
        ):
            pass


def test_several_addresses_serve_at_once(tmp_path: Path) -> None:
    with grpc_service(listen=["127.0.0.1:0", f"unix:{tmp_path}/s", "127.0.0.1:0"]) as service:
        addresses = service.server.addresses
        assert len(set(addresses)) == 3
        for address in addresses:
            with insecure_channel(address) as channel:
                assert lookup(channel).identity_id
        assert len(service.engine.asked) == 3


def test_a_port_that_is_taken_is_named() -> None:
    with grpc_service() as service, pytest.raises(ConfigError) as caught, grpc_service(listen=[service.address]):
        pass
    assert caught.value.problems == [
        f"grpc.listen: cannot listen on {service.address}: Address already in use; is another server using it?"
    ]


def test_a_port_that_another_program_has_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError, match=address), grpc_service(listen=[address]):
            pass


def test_a_unix_socket_in_a_missing_directory_is_named_in_the_error(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/no-such-directory/s"
    with pytest.raises(ConfigError, match="no-such-directory"), grpc_service(listen=[address]):
        pass


def test_tls_serves_those_who_trust_the_certificate(certificate: Certificate) -> None:
    credentials = grpc.ssl_channel_credentials(certificate.certificate_file.read_bytes())
    with (
        grpc_service(**tls_settings(certificate)) as service,
        grpc.secure_channel(service.address, credentials) as channel,
    ):
        assert lookup(channel).identity_id


def test_tls_takes_no_plaintext(certificate: Certificate) -> None:
    with grpc_service(**tls_settings(certificate)) as service:
        assert failure(lambda: lookup(service.channel)).code is grpc.StatusCode.UNAVAILABLE
        assert service.engine.asked == []


def test_tls_is_for_tcp_addresses_alone(certificate: Certificate, tmp_path: Path) -> None:
    with grpc_service(listen=[f"unix:{tmp_path}/s", "127.0.0.1:0"], **tls_settings(certificate)) as service:
        assert lookup(service.channel).identity_id
        with insecure_channel(service.server.addresses[1]) as channel:
            assert failure(lambda: lookup(channel)).code is grpc.StatusCode.UNAVAILABLE


def padded(size: int) -> pb.LookupDeveloperIdentityRequest:
    """Returns a request of exactly this many bytes."""
    request = pb.LookupDeveloperIdentityRequest(next_token="t" * (size - 3))
    assert request.ByteSize() == size
    return request


def test_a_message_past_the_limit_is_refused() -> None:
    with grpc_service(max_receive_message_bytes=10_000) as service:
        past = failure(lambda: service.call("LookupDeveloperIdentity", padded(10_001)))
        assert past.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        at_limit = failure(lambda: service.call("LookupDeveloperIdentity", padded(10_000)))
        assert at_limit.code is grpc.StatusCode.INVALID_ARGUMENT
        assert service.engine.asked == []


def wide_map(entries: int, longest_value: int) -> dict[str, str]:
    """Returns the largest map of the contract: every character takes four bytes."""
    return {WIDE * 127 + chr(0x1F600 + number): WIDE * longest_value for number in range(entries)}


LARGEST = {
    "GetOpenIdTokenForDeveloperIdentity": pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=LONGEST_POOL_ID,
        identity_id=LONGEST_POOL_ID,
        logins=wide_map(10, 50_000),
        principal_tags=wide_map(50, 256),
        token_duration=Duration(seconds=86_400),
    ),
    "LookupDeveloperIdentity": pb.LookupDeveloperIdentityRequest(
        identity_pool_id=LONGEST_POOL_ID,
        identity_id=LONGEST_POOL_ID,
        developer_user_identifier=WIDE * 1024,
        max_results=60,
        next_token=WIDE * 65_535,
    ),
    "MergeDeveloperIdentities": pb.MergeDeveloperIdentitiesRequest(
        source_user_identifier=WIDE * 1024,
        destination_user_identifier=WIDE * 1024,
        developer_provider_name="p" * 128,
        identity_pool_id=LONGEST_POOL_ID,
    ),
    "UnlinkDeveloperIdentity": pb.UnlinkDeveloperIdentityRequest(
        identity_id=LONGEST_POOL_ID,
        identity_pool_id=LONGEST_POOL_ID,
        developer_provider_name="p" * 128,
        developer_user_identifier=WIDE * 1024,
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_largest_request_of_the_contract_gets_through_by_default(method: str) -> None:
    with grpc_service() as service:
        service.call(method, LARGEST[method])
        assert len(service.engine.asked) == 1


def test_a_unix_socket_that_another_server_uses_is_named(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    with grpc_service(listen=[address]) as first:
        with pytest.raises(ConfigError) as refused, grpc_service(listen=[address]):
            pass
        assert refused.value.problems == [f"grpc.listen: another server is using {address}"]
        first.call("LookupDeveloperIdentity")


def test_a_unix_socket_that_was_left_behind_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    with grpc_service(listen=[f"unix:{path}"]) as service:
        service.call("LookupDeveloperIdentity")
