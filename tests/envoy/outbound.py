"""ext_authz.yaml as the sidecar of a calling service, with a tokend that authenticates it by its certificate."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped] # it has no types
from tests.clients.served import aws_environment
from tests.envoy.examples import Envoy, example
from tests.envoy.page import MUTUAL_TLS, with_files
from tests.fakes.oidc_provider import JWKS_PATH, OidcProvider, rsa_key, sign
from tests.support.authority import Authority
from tests.support.metric_samples import total
from tests.support.ports import free_ports
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess

HOST = "127.0.0.1"
AUDIENCE = "shop"

#: The service whose Envoy asks for tokens, and one that the policy grants nothing.
SERVICE, STRANGER = (f"spiffe://acme.internal/ns/shop/sa/{name}" for name in ("checkout", "batch"))

CONFIG = """
[grpc]
listen = ["127.0.0.1:{port}"]
drain_delay_seconds = 0
tls_certificate_file = "{directory}/tls.crt"
tls_private_key_file = "{directory}/tls.key"
tls_client_ca_file = "{directory}/clients.crt"
identify_by = ["mutual_tls"]
[issuer]
listen = "127.0.0.1:{issuer_port}"
[ops]
listen = "127.0.0.1:0"
[store]
url = "sqlite:///{directory}/tokend.db"
[limits]
calls_per_second = {calls_per_second}
[policy.shop]
callers = ["{service}"]
pools = ["*"]
operations = ["GetOpenIdTokenForDeveloperIdentity"]
principal_tag_keys = ["tenant"]
[audit]
destination = "file:{directory}/audit"
required = {audit_required}
[ext_authz.mappings.web]
identity_pool_id = "{pool}"
user = {{ metadata = "payload.sub" }}
principal_tags = {{ tenant = {{ metadata = "payload.tenant" }} }}
[ext_authz.mappings.closed]
identity_pool_id = "{absent_pool}"
user = {{ metadata = "payload.sub" }}
[ext_authz.mappings.open]
identity_pool_id = "{absent_pool}"
user = {{ metadata = "payload.sub" }}
failure_mode = "open"
[cognito]
endpoint_url = "http://127.0.0.1:{nowhere}"
max_attempts = 1
[pools."{pool}"]
developer_provider_name = "{provider}"
signing_algorithm = "{algorithm}"
[pools."{absent_pool}"]
engine = "cognito"
developer_provider_name = "{provider}"
"""

#: A pool whose Cognito does not answer.
ABSENT_POOL_ID = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000c"


class _App(BaseHTTPRequestHandler):
    """Responds with the request headers that it received."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps([[name.lower(), value] for name, value in self.headers.items()]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
        """Logs nothing."""


@contextmanager
def app() -> Iterator[int]:
    """Starts the called service, and yields its port."""
    with ThreadingHTTPServer((HOST, 0), _App) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@dataclass
class Site:
    """The services around the Envoys.

    Attributes:
        directory: The directory of tokend's files.
        login: The issuer of the users' tokens.
        server: tokend.
        port: Its port, also after a restart.
    """

    directory: Path
    login: OidcProvider
    port: int
    server: ServerProcess = field(init=False)
    _clients: Authority = field(default_factory=lambda: Authority("clients"))

    def configure(
        self, issuer_port: int, nowhere: int, algorithm: str, calls_per_second: int, *, audit_required: bool
    ) -> None:
        servers = Authority("servers")
        shown = servers.server(HOST)
        for name, content in {
            "servers.crt": servers.certificate,
            "clients.crt": self._clients.certificate,
            "tls.crt": shown.certificate,
            "tls.key": shown.private_key,
        }.items():
            (self.directory / name).write_bytes(content)
        self.config.write_text(
            CONFIG.format(
                directory=self.directory,
                port=self.port,
                issuer_port=issuer_port,
                service=SERVICE,
                pool=POOL_ID,
                provider=DEVELOPER_PROVIDER,
                algorithm=algorithm,
                absent_pool=ABSENT_POOL_ID,
                nowhere=nowhere,
                calls_per_second=calls_per_second,
                audit_required=str(audit_required).lower(),
            ),
            encoding="utf-8",
        )

    @property
    def config(self) -> Path:
        return self.directory / "tokend.toml"

    def start(self) -> None:
        self.server = ServerProcess(self.config, aws_environment(self.directory))

    def stop(self) -> None:
        self.server.stop()

    def user_token(self, user: str, **claims: object) -> str:
        """Returns a user's token, signed by the issuer of the site's users."""
        now = int(time.time())
        whole = {"iss": self.login.issuer, "aud": AUDIENCE, "sub": user, "tenant": "acme", "iat": now, "exp": now + 600}
        given = {name: value for name, value in {**whole, **claims}.items() if value is not None}
        return sign({"alg": "RS256", "kid": "1"}, given, rsa_key("1"))

    def audit(self) -> list[dict[str, Any]]:
        """Returns the audit log's records of finished calls."""
        lines = map(json.loads, (self.directory / "audit").read_text(encoding="utf-8").splitlines())
        return [line for line in lines if "phase" not in line["additionalEventData"]]

    def counted(self, name: str, **labels: str) -> float:
        """Returns the sum of a tokend metric with these labels."""
        return total(self.metrics(), name, **labels)

    def metrics(self) -> str:
        """Returns tokend's current metrics."""
        return httpx.get(f"{self.server.ops}/metrics", trust_env=False).text

    @contextmanager
    def inbound(self, directory: Path, app_port: int) -> Iterator[Envoy]:
        """Runs jwt_authn.yaml in front of the called service."""
        issuer = self.server.issuer.removeprefix("http://")
        values = {
            "127.0.0.1:8080": issuer,
            "port_value: 8080": f"port_value: {issuer.partition(':')[2]}",
            "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f": POOL_ID,
            "port_value: 10000": "port_value: 0",
            "port_value: 3000": f"port_value: {app_port}",
        }
        with Envoy(example("jwt_authn.yaml", values), directory) as envoy:
            yield envoy

    @contextmanager
    def outbound(  # noqa: PLR0913 - what the Envoys of tests differ in
        self,
        directory: Path,
        called: str,
        *,
        caller: str = SERVICE,
        values: Mapping[str, str] | None = None,
        tokend_ports: Sequence[int] = (),
        change: Callable[[str], str] = str,
        patient: bool = True,
    ) -> Iterator[Envoy]:
        """Runs ext_authz.yaml next to the calling service, with its certificate, and with an optional change."""
        first, second = tokend_ports or (self.port, self.port)
        configuration = example(
            "ext_authz.yaml",
            {
                "https://login.example.internal/keys": f"{self.login.issuer}{JWKS_PATH}",
                "https://login.example.internal": self.login.issuer,
                "address: login.example.internal, port_value: 8443": f"address: {HOST}, port_value: "
                + self.login.issuer.rpartition(":")[2],
                "port_value: 10001": "port_value: 0",
                "port_value: 50051": f"port_value: {first}",
                "port_value: 50052": f"port_value: {second}",
                "port_value: 3001": f"port_value: {called.rpartition(':')[2]}",
                **(values or {}),
            },
        )
        with Envoy(change(self._with_certificates(configuration, caller)), directory, patient=patient) as envoy:
            if not tokend_ports:
                envoy.wait_until_healthy("tokend", 2)
            yield envoy

    def _with_certificates(self, configuration: str, caller: str) -> str:
        """Returns the example with the page's mutual TLS to tokend, and without TLS to the users' issuer."""
        shown = self._clients.client(uris=[caller])
        files = [self.directory / name for name in ("servers.crt", "caller.crt", "caller.key")]
        files[1].write_bytes(shown.certificate)
        files[2].write_bytes(shown.private_key)
        transport_socket = with_files(MUTUAL_TLS, *files)
        context = transport_socket["typed_config"]
        del context["sni"]  # tokend's certificate has an address and no name
        san = {"san_type": "IP_ADDRESS", "matcher": {"exact": HOST}}
        context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"] = [san]
        document = yaml.safe_load(configuration)
        clusters = {cluster["name"]: cluster for cluster in document["static_resources"]["clusters"]}
        clusters["tokend"]["transport_socket"] = transport_socket
        del clusters["login"]["transport_socket"]
        dumped: str = yaml.safe_dump(document)
        return dumped


@contextmanager
def site(
    directory: Path, algorithm: str = "ES256", calls_per_second: int = 200, *, audit_required: bool = True
) -> Iterator[Site]:
    """Starts tokend, and an issuer of users' tokens."""
    with ExitStack() as undo:
        port, issuer_port, nowhere = free_ports(3)
        made = Site(directory, undo.enter_context(OidcProvider()), port)
        made.configure(issuer_port, nowhere, algorithm, calls_per_second, audit_required=audit_required)
        made.start()
        undo.callback(made.stop)
        yield made
