"""A server that requires authentication, and the credentials of its callers."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.authority import Authority
from tests.support.server_process import ServerProcess

from tokend_server.callers.keys import digest, new_key

PROVIDER = "login.example.test"
POOL = "eu-west-1:0a1b2c3d-0000-4000-8000-0000000000aa"
OTHER_POOL = "eu-west-1:0a1b2c3d-0000-4000-8000-0000000000bb"

CALLER = "spiffe://acme.internal/ns/shop/sa/checkout"

_MUTUAL, _BEARER = "127.0.0.1", "127.0.0.2"


@dataclass(frozen=True)
class Guarded:
    """The server's properties for clients, as strings, for runners in other languages.

    Attributes:
        mutual_tls: HOST:PORT for callers with a certificate.
        bearer: HOST:PORT for callers with a key, over TLS.
        ca_file: The authority of the server's certificates.
        certificate_file: The certificate of a caller.
        private_key_file: Its key.
        key_file: The bearer key of a caller.
        unknown_key_file: An unknown bearer key.
        key_of_a_limited_caller_file: The bearer key of a caller with a limit of one call in half a second.
        identity_pool_id: The pool that all these callers may use.
        other_identity_pool_id: A pool that they may not use.
        developer_provider_name: The developer provider of both.
    """

    mutual_tls: str
    bearer: str
    ca_file: str
    certificate_file: str
    private_key_file: str
    key_file: str
    unknown_key_file: str
    key_of_a_limited_caller_file: str
    identity_pool_id: str = POOL
    other_identity_pool_id: str = OTHER_POOL
    developer_provider_name: str = PROVIDER

    @property
    def environment(self) -> dict[str, str]:
        """Returns the environment variable with the properties for a runner's process."""
        return {"TOKEND_GUARDED": json.dumps(asdict(self))}


@contextmanager
def guarded_server(directory: Path, health: str = "anyone") -> Iterator[Guarded]:
    """Serves until the block ends; `health` is who may check its health."""
    servers, clients = Authority("servers"), Authority("clients")
    server, client = servers.server(_MUTUAL, _BEARER), clients.client(uris=[CALLER])
    keys = {name: new_key(secrets.token_bytes) for name in ("checkout", "limited", "unknown")}
    files = {
        "tls.crt": server.certificate,
        "tls.key": server.private_key,
        "clients.crt": clients.certificate,
        "servers.crt": servers.certificate,
        "client.crt": client.certificate,
        "client.key": client.private_key,
        **{f"{name}.bearer": f"{key.reveal()}\n".encode() for name, key in keys.items()},
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    config = directory / "tokend.toml"
    config.write_text(_config(directory, {name: digest(key) for name, key in keys.items()}, health), encoding="utf-8")
    with ServerProcess(config) as running:
        (serving,) = [record for record in running.log if record["message"] == "serving"]
        mutual_tls, bearer = serving["grpc"]
        shown = ("servers.crt", "client.crt", "client.key", "checkout.bearer", "unknown.bearer", "limited.bearer")
        yield Guarded(mutual_tls, bearer, *(str(directory / name) for name in shown))


def _config(directory: Path, digests: Mapping[str, str], health: str) -> str:
    return f"""
[grpc]
listen = ["{_MUTUAL}:0", "{_BEARER}:0"]
tls_certificate_file = "{directory}/tls.crt"
tls_private_key_file = "{directory}/tls.key"
identify_by = ["bearer_key"]
drain_delay_seconds = 0
health = "{health}"
[grpc.listeners."{_MUTUAL}:0"]
tls_client_ca_file = "{directory}/clients.crt"
identify_by = ["mutual_tls"]
[issuer]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[store]
url = "sqlite:///{directory}/tokend.db"
[callers.keys]
checkout = ["{digests["checkout"]}"]
limited = ["{digests["limited"]}"]
[limits.callers."key:limited"]
calls_per_second = 2
calls_burst = 1
[policy.shop]
callers = ["{CALLER}", "key:*"]
pools = ["{POOL}"]
operations = ["*"]
[pools."{POOL}"]
developer_provider_name = "{PROVIDER}"
signing_algorithm = "ES256"
[pools."{OTHER_POOL}"]
developer_provider_name = "{PROVIDER}"
signing_algorithm = "ES256"
"""
