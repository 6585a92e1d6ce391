"""front_proxy.yaml and sidecar.yaml with a tokend that requires authentication."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from tests.envoy.examples import Envoy, example
from tests.envoy.page import MUTUAL_TLS, with_files
from tests.support.authority import Authority, Identification
from tests.support.grpc_service import TIMEOUT, insecure_channel
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_client.status import to_error

HOST = "127.0.0.1"

CALLER = "spiffe://acme.internal/ns/shop/sa/checkout"
STRANGER = "spiffe://acme.internal/ns/batch/sa/checkout"
PROXY = "spiffe://acme.internal/ns/mesh/sa/gateway"

Metadata: TypeAlias = tuple[tuple[str, str], ...]

NOTHING: Metadata = ()
FORGED: Metadata = (("x-forwarded-client-cert", f"By={PROXY};Hash=5f1e;URI={CALLER}"),)
FORGED_OF_A_STRANGER: Metadata = (("x-forwarded-client-cert", f"Hash=5f1e;URI={STRANGER}"),)

#: The setting of an Envoy that forwards the x-forwarded-client-cert header of clients.
CARELESS = {"forward_client_cert_details: SANITIZE_SET": "forward_client_cert_details: ALWAYS_FORWARD_ONLY"}

CONFIG = """
[grpc]
listen = ["unix:{directory}/s", "127.0.0.1:0"]
drain_delay_seconds = 0
tls_certificate_file = "{directory}/tls.crt"
tls_private_key_file = "{directory}/tls.key"
tls_client_ca_file = "{directory}/clients.crt"
identify_by = ["x_forwarded_client_cert", "mutual_tls"]
trusted_proxies = ["{proxy}"]
[grpc.listeners."unix:{directory}/s"]
identify_by = ["x_forwarded_client_cert"]
[issuer]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[store]
url = "sqlite:///{directory}/tokend.db"
[policy.shop]
callers = ["{caller}"]
pools = ["*"]
operations = ["*"]
[pools."{pool}"]
developer_provider_name = "{provider}"
signing_algorithm = "ES256"
"""


@dataclass(frozen=True)
class Site:
    """A tokend, and all authorities.

    Attributes:
        directory: The directory of `tls.crt`, `tls.key`, `clients.crt` and `servers.crt`.
        clients: The authority of the callers.
        port: tokend's port with mutual TLS; its socket is `s`.
    """

    directory: Path
    clients: Authority
    port: int

    def put(self, name: str, identification: Identification) -> None:
        """Writes a certificate and its key."""
        (self.directory / f"{name}.crt").write_bytes(identification.certificate)
        (self.directory / f"{name}.key").write_bytes(identification.private_key)

    def upstream_tls(self, uri: str) -> Mapping[str, Any]:
        """Returns the page's mutual TLS to this tokend, with the certificate of a name."""
        self.put("caller", self.clients.client(uris=[uri]))
        files = (self.directory / name for name in ("servers.crt", "caller.crt", "caller.key"))
        transport_socket = with_files(MUTUAL_TLS, *files)
        context = transport_socket["typed_config"]
        del context["sni"]  # tokend's certificate has an address and no name
        san = {"san_type": "IP_ADDRESS", "matcher": {"exact": HOST}}
        context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"] = [san]
        return transport_socket


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("t")
    servers, clients = Authority("servers"), Authority("clients")
    (directory / "servers.crt").write_bytes(servers.certificate)
    (directory / "clients.crt").write_bytes(clients.certificate)
    Site(directory, clients, 0).put("tls", servers.server(HOST))
    config = directory / "tokend.toml"
    config.write_text(
        CONFIG.format(directory=directory, proxy=PROXY, caller=CALLER, pool=POOL_ID, provider=DEVELOPER_PROVIDER),
        encoding="utf-8",
    )
    with ServerProcess(config) as server:
        (serving,) = [record for record in server.log if record["message"] == "serving"]
        yield Site(directory, clients, int(serving["grpc"][1].rpartition(":")[2]))


def with_upstream(configuration: str, endpoint: Mapping[str, Any] | None, transport_socket: Mapping[str, Any]) -> str:
    """Returns an example whose cluster has this mutual TLS, and another address if one is given."""
    document = yaml.safe_load(configuration)
    (cluster,) = document["static_resources"]["clusters"]
    cluster["transport_socket"] = transport_socket
    if endpoint:
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}]
    dumped: str = yaml.safe_dump(document).replace("port_value: 9901", "port_value: 0")
    return dumped


@contextmanager
def front_proxy(
    site: Site, directory: Path, *, over_tls: bool, values: Mapping[str, str] | None = None
) -> Iterator[Envoy]:
    """Returns the example in front of tokend, over its socket or mutual TLS."""
    files = {f"/etc/envoy/{name}": f"{site.directory}/{name}" for name in ("tls.crt", "tls.key", "clients.crt")}
    places = {"0.0.0.0, port_value: 50443": f"{HOST}, port_value: 0", "/run/tokend/tokend.sock": f"{site.directory}/s"}
    configuration = example("front_proxy.yaml", {**files, **places, **(values or {})})
    if over_tls:
        address = {"socket_address": {"address": HOST, "port_value": site.port}}
        configuration = with_upstream(configuration, address, site.upstream_tls(PROXY))
    with Envoy(configuration, directory) as envoy:
        yield envoy


@pytest.fixture(scope="module", params=[False, True], ids=["socket", "mutual TLS"])
def envoy(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    with front_proxy(site, tmp_path_factory.mktemp("envoy"), over_tls=request.param) as running:
        yield running


def outcome(site: Site, envoy: Envoy, uri: str | None, metadata: Metadata = NOTHING) -> str:
    """Makes a call with the certificate of this name, and returns OK, or the reason or code of the failure."""
    shown = site.clients.client(uris=[uri] if uri else [])
    trusted = (site.directory / "servers.crt").read_bytes()
    tls = grpc.ssl_channel_credentials(trusted, shown.private_key, shown.certificate)
    with grpc.secure_channel(envoy.address, tls, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        return outcome_of_a_call(channel, metadata)


def outcome_of_a_call(channel: grpc.Channel, metadata: Metadata = NOTHING) -> str:
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, logins={DEVELOPER_PROVIDER: "alice"}
    )
    try:
        DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity(
            request, metadata=metadata, timeout=TIMEOUT, wait_for_ready=True
        )
    except grpc.RpcError as error:
        return to_error(error).reason or error.code().name
    return "OK"


@pytest.mark.parametrize(
    ("uri", "metadata", "expected"),
    [
        (CALLER, NOTHING, "OK"),
        (CALLER, FORGED_OF_A_STRANGER, "OK"),
        (STRANGER, NOTHING, "CALLER_NOT_ALLOWED"),
        (STRANGER, FORGED, "CALLER_NOT_ALLOWED"),
        (STRANGER, FORGED * 2, "CALLER_NOT_ALLOWED"),
        (PROXY, FORGED, "CALLER_NOT_ALLOWED"),
        (None, NOTHING, "CALLER_UNAUTHENTICATED"),
        (None, FORGED, "CALLER_UNAUTHENTICATED"),
    ],
)
def test_the_certificate_forwarded_by_envoy_identifies_the_caller(
    uri: str | None, metadata: Metadata, expected: str, site: Site, envoy: Envoy
) -> None:
    assert outcome(site, envoy, uri, metadata) == expected


def test_without_a_certificate_there_is_no_connection(site: Site, envoy: Envoy) -> None:
    trusted = (site.directory / "servers.crt").read_bytes()
    with grpc.secure_channel(envoy.address, grpc.ssl_channel_credentials(trusted)) as channel:
        request = pb.LookupDeveloperIdentityRequest(identity_pool_id=POOL_ID)
        with pytest.raises(grpc.RpcError) as caught:
            DeveloperIdentityServiceStub(channel).LookupDeveloperIdentity(request, timeout=TIMEOUT)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_forged_header_is_accepted_from_an_envoy_that_forwards_it(site: Site, tmp_path: Path) -> None:
    with front_proxy(site, tmp_path, over_tls=False, values=CARELESS) as careless:
        assert outcome(site, careless, STRANGER, FORGED) == "OK"


@pytest.mark.parametrize(("uri", "expected"), [(CALLER, "OK"), (STRANGER, "CALLER_NOT_ALLOWED")])
def test_the_certificate_of_a_sidecar_identifies_the_caller(
    uri: str, expected: str, site: Site, tmp_path: Path
) -> None:
    ports = {"port_value: 50050": "port_value: 0"}
    ports |= {f"port_value: {port}": f"port_value: {site.port}" for port in (50051, 50052)}
    configuration = with_upstream(example("sidecar.yaml", ports), None, site.upstream_tls(uri))
    with Envoy(configuration, tmp_path) as envoy:
        envoy.wait_until_healthy("tokend", 2)  # both of its replicas are this one
        with insecure_channel(envoy.address) as channel:
            assert outcome_of_a_call(channel) == expected
            assert outcome_of_a_call(channel, FORGED) == expected
