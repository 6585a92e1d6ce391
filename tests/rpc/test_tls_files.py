"""Certificates, keys and authorities are replaced while a server runs, and invalid files change nothing."""

import datetime as dt
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from prometheus_client import CollectorRegistry
from tests.rpc.rotated_files import LOOPBACK, Rotated, replace_file
from tests.support.authority import Authority, Identification
from tests.support.certificates import UNUSABLE, USABLE, write_odd_certificate
from tests.support.grpc_service import TIMEOUT, VALID, GrpcService, failure, grpc_service

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub


def stale(registry: CollectorRegistry) -> dict[str, float]:
    return gauge(registry, "tokend_tls_files_stale")


def gauge(registry: CollectorRegistry, name: str) -> dict[str, float]:
    """A gauge by listener."""
    return {
        sample.labels["listen"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == name
    }


def served_number(address: str, rotated: Rotated, client: Identification, directory: Path) -> int:
    """Returns the serial number of the certificate on a new connection."""
    (directory / "client.pem").write_bytes(client.certificate + client.private_key)
    context = ssl.create_default_context(cadata=rotated.authority.certificate.decode())
    context.load_cert_chain(directory / "client.pem")
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), TIMEOUT) as connection,
        context.wrap_socket(connection, server_hostname=host) as secure,
    ):
        shown = secure.getpeercert()
        assert shown
        return int(str(shown["serialNumber"]), 16)


@dataclass
class Channels:
    """Creates channels, each with a separate connection."""

    service: GrpcService
    authority: Authority
    opened: ExitStack

    def open(self, client: Identification | None) -> DeveloperIdentityServiceStub:
        pair: Sequence[bytes | None] = (client.private_key, client.certificate) if client else (None, None)
        credentials = grpc.ssl_channel_credentials(self.authority.certificate, *pair)
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.secure_channel(self.service.address, credentials, options)
        return DeveloperIdentityServiceStub(self.opened.enter_context(channel))


@pytest.fixture
def channels(rotated: Rotated) -> Iterator[Channels]:
    with grpc_service(None, POLICY, identify_by=["mutual_tls"], **rotated.settings) as service, ExitStack() as opened:
        yield Channels(service, rotated.authority, opened)


POLICY = {"policy": {"clients": {"callers": ["dns:*"], "pools": ["*"], "operations": ["*"]}}}


def lookup(stub: DeveloperIdentityServiceStub) -> pb.LookupDeveloperIdentityResponse:
    request = VALID["LookupDeveloperIdentity"]
    assert isinstance(request, pb.LookupDeveloperIdentityRequest)
    return stub.LookupDeveloperIdentity(request, timeout=TIMEOUT)


def test_the_first_connection_sees_what_was_written_since_the_start(
    channels: Channels, rotated: Rotated, tmp_path: Path
) -> None:
    rotated.rotate()
    number = served_number(channels.service.address, rotated, rotated.client(), tmp_path)
    assert number == rotated.served.serial_number


def test_a_new_connection_sees_the_new_certificate_while_an_old_one_goes_on(
    channels: Channels, rotated: Rotated, tmp_path: Path
) -> None:
    address, client = channels.service.address, rotated.client()
    old = channels.open(client)
    assert lookup(old).identity_id
    first = rotated.served.serial_number
    assert served_number(address, rotated, client, tmp_path) == first
    for _ in range(3):
        rotated.rotate()
        assert served_number(address, rotated, client, tmp_path) == rotated.served.serial_number != first
        assert lookup(old).identity_id
        assert lookup(channels.open(client)).identity_id


def test_an_invalid_certificate_file_is_reported_and_the_previous_one_served(
    channels: Channels, rotated: Rotated, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address, client, good = channels.service.address, rotated.client(), rotated.served
    listen = f"{LOOPBACK}:0"  # as configured
    assert stale(channels.service.registry) == {listen: 0}
    for content in (b"", b"garbage", good.certificate[:400]):
        replace_file(rotated.files.certificate, content)
        caplog.clear()
        assert served_number(address, rotated, client, tmp_path) == good.serial_number
        assert lookup(channels.open(client)).identity_id
        assert stale(channels.service.registry) == {listen: 1}
        (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
        assert record.getMessage() == "TLS files cannot be used; the previous ones are still used"
        assert vars(record)["listen"] == listen
        assert str(rotated.files.certificate) in vars(record)["problem"]
    rotated.rotate()
    assert served_number(address, rotated, client, tmp_path) == rotated.served.serial_number
    assert stale(channels.service.registry) == {listen: 0}


def test_a_rotation_file_by_file_never_serves_half_of_it(channels: Channels, rotated: Rotated, tmp_path: Path) -> None:
    address, client, good = channels.service.address, rotated.client(), rotated.served
    successor = rotated.authority.server(LOOPBACK)
    replace_file(rotated.files.certificate, successor.certificate)
    assert served_number(address, rotated, client, tmp_path) == good.serial_number
    replace_file(rotated.files.private_key, successor.private_key)
    assert served_number(address, rotated, client, tmp_path) == successor.serial_number


def test_clients_of_a_removed_authority_are_refused_on_new_and_open_connections(
    channels: Channels, rotated: Rotated
) -> None:
    newcomer = Authority("clients.example.test")
    old_client, new_client = rotated.client(), rotated.client(newcomer)
    connected = channels.open(old_client)
    assert lookup(connected).identity_id
    assert failure(lambda: lookup(channels.open(new_client))).code is grpc.StatusCode.UNAVAILABLE

    rotated.accept(rotated.authority, newcomer)
    assert lookup(channels.open(old_client)).identity_id
    assert lookup(channels.open(new_client)).identity_id

    rotated.accept(newcomer)
    asked = len(channels.service.engine.asked)
    assert failure(lambda: lookup(channels.open(old_client))).code is grpc.StatusCode.UNAVAILABLE
    assert len(channels.service.engine.asked) == asked
    assert lookup(channels.open(new_client)).identity_id
    assert failure(lambda: lookup(connected)).code is grpc.StatusCode.UNAUTHENTICATED


#: Formats of files that tokend accepts and gRPC itself would not, or not completely.
UNUSUAL_FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "a byte-order mark": lambda pem: b"\xef\xbb\xbf" + pem,
    "indented": lambda pem: b"  " + pem.replace(b"\n", b"\n  "),
    "CR": lambda pem: pem.replace(b"\n", b"\r"),
}


@pytest.mark.parametrize("oddly", UNUSUAL_FORMATS.values(), ids=UNUSUAL_FORMATS)
def test_files_with_a_byte_order_mark_indentation_or_cr_are_used(
    oddly: Callable[[bytes], bytes], channels: Channels, rotated: Rotated, tmp_path: Path
) -> None:
    newcomer, dropped = Authority("clients.example.test"), rotated.client()
    served = rotated.authority.server(LOOPBACK)
    assert rotated.files.client_ca
    replace_file(rotated.files.client_ca, oddly(newcomer.certificate))
    replace_file(rotated.files.certificate, oddly(served.certificate))
    replace_file(rotated.files.private_key, oddly(served.private_key))
    client = rotated.client(newcomer)
    assert served_number(channels.service.address, rotated, client, tmp_path) == served.serial_number
    assert lookup(channels.open(client)).identity_id
    assert failure(lambda: lookup(channels.open(dropped))).code is grpc.StatusCode.UNAVAILABLE
    assert stale(channels.service.registry) == {f"{LOOPBACK}:0": 0}


def test_every_address_of_a_listener_serves_the_new_certificate(rotated: Rotated, tmp_path: Path) -> None:
    names = {**rotated.settings, "listen": ["localhost:0"]}
    with grpc_service(None, POLICY, identify_by=["mutual_tls"], **names) as service:
        port = service.address.rpartition(":")[2]
        rotated.served = rotated.authority.server(LOOPBACK, "::1")
        replace_file(rotated.files.certificate, rotated.served.certificate)
        replace_file(rotated.files.private_key, rotated.served.private_key)
        for host in (LOOPBACK, "::1"):
            number = served_number(f"{host}:{port}", rotated, rotated.client(), tmp_path)
            assert number == rotated.served.serial_number


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_an_unreadable_client_ca_file_keeps_the_previous_authorities(
    content: bytes | None, channels: Channels, rotated: Rotated
) -> None:
    assert rotated.files.client_ca
    if content is None:
        rotated.files.client_ca.unlink()
    else:
        replace_file(rotated.files.client_ca, content)
    assert lookup(channels.open(rotated.client())).identity_id
    for stranger in (rotated.client(Authority("servers.example.test")), None):
        assert failure(partial(lookup, channels.open(stranger))).code is grpc.StatusCode.UNAVAILABLE


def test_a_renewed_authority_is_accepted_beside_its_expired_certificate(channels: Channels, rotated: Rotated) -> None:
    now = dt.datetime.now(dt.UTC)
    authority = Authority("renewed.example.test", issued_at=now - dt.timedelta(days=3))
    expired = authority.certificate
    authority.renew(now)
    client = rotated.client(authority)
    for authorities in (authority.certificate + expired, expired + authority.certificate):
        assert rotated.files.client_ca
        replace_file(rotated.files.client_ca, authorities)
        assert lookup(channels.open(client)).identity_id


def test_the_gauge_has_the_expiration_of_the_served_certificate(channels: Channels, rotated: Rotated) -> None:
    expiries = gauge(channels.service.registry, "tokend_tls_certificate_expiry_timestamp_seconds")
    assert expiries == {f"{LOOPBACK}:0": rotated.files.read().expires_at.timestamp()}


#: Every kind of key that the files may contain.
KINDS = {
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA 3072": lambda: rsa.generate_private_key(65537, 3072),
    "RSA 4096": lambda: rsa.generate_private_key(65537, 4096),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
}


@pytest.mark.parametrize("generate", KINDS.values(), ids=KINDS)
def test_files_that_are_reported_as_loaded_are_served(
    generate: Callable[[], rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey],
    channels: Channels,
    rotated: Rotated,
    tmp_path: Path,
) -> None:
    served = rotated.authority.server(LOOPBACK, key=generate())
    replace_file(rotated.files.certificate, served.certificate)
    replace_file(rotated.files.private_key, served.private_key)
    number = served_number(channels.service.address, rotated, rotated.client(), tmp_path)
    assert stale(channels.service.registry) == {f"{LOOPBACK}:0": 0}
    assert number == served.serial_number


@pytest.mark.parametrize("kind", [kind for kind, _ in UNUSABLE.values()], ids=UNUSABLE)
def test_certificates_that_grpc_cannot_serve_are_reported(
    kind: tuple[str, ...], channels: Channels, rotated: Rotated, tmp_path: Path
) -> None:
    write_odd_certificate(tmp_path / "odd.crt", tmp_path / "odd.key", kind)
    replace_file(rotated.files.certificate, (tmp_path / "odd.crt").read_bytes())
    replace_file(rotated.files.private_key, (tmp_path / "odd.key").read_bytes())
    number = served_number(channels.service.address, rotated, rotated.client(), tmp_path)
    assert stale(channels.service.registry) == {f"{LOOPBACK}:0": 1}
    assert number == rotated.served.serial_number


@pytest.mark.parametrize("kind", USABLE.values(), ids=USABLE)
def test_odd_certificates_are_served(
    kind: tuple[str, ...], channels: Channels, rotated: Rotated, tmp_path: Path
) -> None:
    write_odd_certificate(tmp_path / "odd.crt", tmp_path / "odd.key", kind)
    odd = (tmp_path / "odd.crt").read_bytes()
    replace_file(rotated.files.certificate, odd)
    replace_file(rotated.files.private_key, (tmp_path / "odd.key").read_bytes())
    host, _, port = channels.service.address.rpartition(":")
    assert ssl.get_server_certificate((host, int(port)), timeout=TIMEOUT).encode() == odd
    assert stale(channels.service.registry) == {f"{LOOPBACK}:0": 0}
