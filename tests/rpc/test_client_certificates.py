"""Client certificates over TLS: names with invalid octets, and certificates that are no longer valid."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tests.support import raw_http2
from tests.support.authority import DNS_NAME, URI, Authority, Identification
from tests.support.grpc_service import TIMEOUT, VALID, GrpcService, failure, grpc_service
from tests.support.health import check_health

from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.callers import keys
from tokend_server.clock import SystemClock
from tokend_server.rpc.server import SERVICE_NAME

LOOPBACK = "127.0.0.1"
LOOKUP = "LookupDeveloperIdentity"
ADMIN = "spiffe://acme.internal/admin"
PROXY = "spiffe://acme.internal/proxy"
DAY = 86_400.0

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


class ShiftedClock(SystemClock):
    """The machine's clock with an offset, since certificates are created with the machine's clock."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        return SystemClock.now() + self.offset


@dataclass
class Site:
    """A service with mutual TLS.

    Attributes:
        service: The service.
        clock: Its clock.
        authority: Certifies its clients and itself.
        directory: Where its files are.
    """

    service: GrpcService
    clock: ShiftedClock
    authority: Authority
    directory: Path
    _opened: ExitStack = field(default_factory=ExitStack)

    def channel(self, client: Identification) -> grpc.Channel:
        """A separate connection."""
        credentials = grpc.ssl_channel_credentials(self.authority.certificate, client.private_key, client.certificate)
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        return self._opened.enter_context(grpc.secure_channel(self.service.address, credentials, options))

    def lookup(self, client: Identification, *metadata: tuple[str, str]) -> Callable[[], object]:
        stub = DeveloperIdentityServiceStub(self.channel(client))
        return lambda: stub.LookupDeveloperIdentity(VALID[LOOKUP], metadata=metadata, timeout=TIMEOUT)  # type: ignore[arg-type]

    def callers(self) -> list[str | None]:
        """Returns the callers in the audit log."""
        self.service.await_audit_lines()
        lines = (self.directory / "audit.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["userIdentity"].get("principalId") for line in lines]


@contextmanager
def serving(directory: Path, **settings: object) -> Iterator[Site]:
    authority, clock = Authority("all.example.test"), ShiftedClock()
    server = authority.server(LOOPBACK)
    files = {"tls.crt": server.certificate, "tls.key": server.private_key, "ca.crt": authority.certificate}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    sections: Mapping[str, object] = {
        "policy": {"all": {"callers": ["**"], "pools": ["*"], "operations": ["*"]}},
        "callers": {"keys": {"other": [keys.digest(keys.new_key(bytes))]}},
        "audit": {"destination": f"file:{directory / 'audit.jsonl'}"},
    }
    names = {
        "tls_certificate_file": directory / "tls.crt",
        "tls_private_key_file": directory / "tls.key",
        "tls_client_ca_file": directory / "ca.crt",
    }
    with (
        grpc_service(clock, sections, **{"identify_by": ["mutual_tls"], **names, **settings}) as service,
        ExitStack() as opened,
    ):
        yield Site(service, clock, authority, directory, opened)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    "name",
    [
        (DNS_NAME, b"admin.example\0.evil.com"),
        (DNS_NAME, b"admin.example\0"),
        (DNS_NAME, b"admin.example\n"),
        (URI, ADMIN.encode() + b"\0.evil.com"),
        (URI, ADMIN.encode() + b"\0"),
    ],
)
def test_a_name_is_not_cut_at_a_nul(name: tuple[int, bytes], site: Site) -> None:
    assert failure(site.lookup(site.authority.client_of_octets(name))).code is UNAUTHENTICATED
    assert site.service.engine.asked == []
    assert site.callers() == [None]


def test_an_issuer_name_in_a_certificate_with_other_case_and_spaces_is_accepted(site: Site) -> None:
    site.lookup(site.authority.client(uris=[ADMIN], spelled=" ALL.Example.test"))()
    assert site.callers() == [ADMIN]


def test_a_proxy_is_not_known_by_a_name_that_is_cut_at_a_nul(tmp_path: Path) -> None:
    ways = ["x_forwarded_client_cert", "mutual_tls"]
    with serving(tmp_path, identify_by=ways, trusted_proxies=[PROXY]) as site:
        word = ("x-forwarded-client-cert", f"URI={ADMIN}")
        site.lookup(site.authority.client(uris=[PROXY]), word)()
        forged = site.authority.client_of_octets((URI, PROXY.encode() + b"\0.evil.com"))
        assert failure(site.lookup(forged, word)).code is UNAUTHENTICATED
        assert site.callers() == [ADMIN, None]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"identify_by": ["x_forwarded_client_cert"], "trusted_proxies": [PROXY]},
        {"identify_by": ["bearer_key"]},
        {"identify_by": []},
    ],
    ids=["mutual TLS", "a trusted proxy", "another way", "no way"],
)
def test_a_connection_is_rejected_after_its_certificate_expires(settings: dict[str, object], tmp_path: Path) -> None:
    with serving(tmp_path, insecure=True, **settings) as site:
        client = site.authority.client(uris=[PROXY])
        channel = site.channel(client)
        health = partial(check_health, channel)
        lookup = site.lookup(client, ("x-forwarded-client-cert", f"URI={ADMIN}"))
        health()
        if settings != {"identify_by": ["bearer_key"]}:
            lookup()
        for offset, why in ((DAY, "expired"), (-DAY, "not valid yet")):
            site.clock.offset = offset
            for call in (health, lookup):
                refused = failure(call)
                assert refused.code is UNAUTHENTICATED
                assert why in refused.text
            with pytest.raises(grpc.RpcError) as raised:
                list(ProtoReflectionDescriptorDatabase(channel).get_services())
            assert raised.value.code() is UNAUTHENTICATED
        site.clock.offset = 0
        health()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_is_rejected_after_its_certificate_expires(version: ssl.TLSVersion, site: Site) -> None:
    client = site.authority.client(uris=[ADMIN])
    context = ssl.create_default_context(cadata=site.authority.certificate.decode())
    (site.directory / "client.pem").write_bytes(client.certificate + client.private_key)
    context.load_cert_chain(site.directory / "client.pem")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    status, _, session = call_in_session(site.service.address, context, None)
    assert status == b"0"
    status, reused, session = call_in_session(site.service.address, context, session)
    assert (status, reused) == (b"0", True)
    site.clock.offset = DAY
    for _ in range(2):
        status, reused, session = call_in_session(site.service.address, context, session)
        assert (status, reused) == (b"16", True)


def call_in_session(
    address: str, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[bytes | None, bool | None, ssl.SSLSession | None]:
    """Returns the status of a call on a new connection, whether it has resumed the session, and the next session."""
    host, _, port = address.rpartition(":")
    path, message = f"/{SERVICE_NAME}/{LOOKUP}", VALID[LOOKUP].SerializeToString()
    with (
        socket.create_connection((host, int(port)), TIMEOUT) as connection,
        context.wrap_socket(connection, server_hostname=host, session=session) as secured,
    ):
        ending = raw_http2.call_on(secured, address, path, message)
        return ending.fields.get(b"grpc-status"), secured.session_reused, secured.session
