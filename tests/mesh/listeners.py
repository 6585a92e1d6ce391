"""Services for tests of the SDS listeners, and their metrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
from tests.fakes.clock import FakeClock
from tests.mesh.secret_streams import OPTIONS
from tests.support.authority import Authority, Identification
from tests.support.metric_samples import total

from tokend_server import app
from tokend_server.app import Service
from tokend_server.config import Config

POOL_ID = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000a"
CALLER = "spiffe://acme.internal/ns/shop/sa/checkout"
TOKEN = "token"


def configuration(directory: Path, **sds: Any) -> Config:  # noqa: ANN401 - settings
    return Config.model_validate(sections(directory, **sds))


def sections(directory: Path, **sds: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    pool = {"developer_provider_name": "login.example", "signing_algorithm": "ES256"}
    everything = {"callers": ["**"], "pools": ["*"], "operations": ["*"]}
    return {
        "data_dir": directory,
        "grpc": {"listen": ["127.0.0.1:0"], "threads": 2, "drain_grace_seconds": 5},
        "issuer": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"},
        "policy": {"everything": everything},
        "sds": {
            "listen": ["127.0.0.1:0"],
            "tokens": {TOKEN: {"identity_pool_id": POOL_ID, "user": "batch"}},
            **sds,
        },
        "pools": {POOL_ID: pool},
    }


@contextmanager
def serving(config: Config, clock: FakeClock | None = None) -> Iterator[Service]:
    service = app.start(config, clock)
    try:
        yield service
    finally:
        service.stop()


class Certificates:
    """The files of a listener with mutual TLS, and a client certificate."""

    def __init__(self, directory: Path) -> None:
        names = ("tls_certificate_file", "tls_private_key_file", "tls_client_ca_file")
        self._files = {name: directory / name for name in names}
        self.settings: dict[str, Any] = {"identify_by": ["mutual_tls"], **self._files}
        self.renew()

    def renew(self) -> None:
        """Writes files of other authorities, with a client certificate of the new one."""
        self._servers, clients = Authority("servers"), Authority("clients")
        server = self._servers.server("127.0.0.1")
        self.client = clients.client(uris=[CALLER])
        contents = (server.certificate, server.private_key, clients.certificate)
        for path, content in zip(self._files.values(), contents, strict=True):
            path.write_bytes(content)

    @contextmanager
    def connection(self, address: str, client: Identification | None) -> Iterator[grpc.Channel]:
        shown = (client.private_key, client.certificate) if client else (None, None)
        credentials = grpc.ssl_channel_credentials(self._servers.certificate, *shown)
        with grpc.secure_channel(address, credentials, OPTIONS) as channel:
            yield channel


def metric(service: Service, name: str, **labels: str) -> float:
    text = httpx.get(f"http://{service.ops_address}/metrics", trust_env=False).text
    return total(text, name, **labels)
