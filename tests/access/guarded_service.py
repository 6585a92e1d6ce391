"""A service with a listener for each authenticator, and local engines that record the received requests."""

import dataclasses
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.fakes.oidc_provider import OidcProvider, rsa_key, sign
from tests.support.authority import Authority, Identification

from tokend_server import app
from tokend_server.callers.keys import digest, new_key
from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import Config
from tokend_server.engine import Engine
from tokend_server.engines.build import build_engines
from tokend_server.model import (
    DeveloperIdentity,
    IssuedToken,
    LookupRequest,
    MergeRequest,
    Secret,
    TokenRequest,
    UnlinkRequest,
)

PROVIDER = "login.example.test"

#: The pool that callers may use, the pool of another caller, and two with some of the operations allowed.
POOL_A = "eu-west-1:aaaaaaaa-0000-4000-8000-000000000001"
POOL_B = "eu-west-1:bbbbbbbb-0000-4000-8000-000000000002"
MINTING_POOL = "eu-west-1:cccccccc-0000-4000-8000-000000000003"
KEEPING_POOL = "eu-west-1:dddddddd-0000-4000-8000-000000000004"
UNKNOWN_POOL = "eu-west-1:eeeeeeee-0000-4000-8000-000000000005"

PROXY = "spiffe://acme.internal/ns/mesh/sa/envoy"
SPIFFE = "spiffe://acme.internal/ns/shop/sa/checkout"
PROXIED = "spiffe://acme.internal/ns/shop/sa/cart"
SUBJECT = "system:serviceaccount:shop:checkout"

#: The callers in the policy.
GRANTED = (
    "spiffe://acme.internal/ns/shop/sa/*",
    "dns:*.shop.internal",
    "jwt:cluster:system:serviceaccount:shop:*",
    "jwt:cluster:build%20bot%20%C3%A9",
    "key:checkout",
    "anonymous",
)

LONGEST = 300

#: The TCP addresses by the authentication method; gRPC chooses the ports.
MUTUAL, PROXIES, TOKENS, OPEN = "127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"
SOCKET = "unix"

_HOSTS = [address.rpartition(":")[0] for address in (MUTUAL, PROXIES, TOKENS, OPEN)]

Metadata = Sequence[tuple[str, str]]


class RememberingEngine:
    """An engine in front of another, which records the received requests."""

    def __init__(self, engine: Engine, reached: list[object]) -> None:
        self._engine = engine
        self._reached = reached

    def get_open_id_token_for_developer_identity(self, request: TokenRequest, deadline: Deadline) -> IssuedToken:
        self._reached.append(request)
        return self._engine.get_open_id_token_for_developer_identity(request, deadline)

    def lookup_developer_identity(self, request: LookupRequest, deadline: Deadline) -> DeveloperIdentity:
        self._reached.append(request)
        return self._engine.lookup_developer_identity(request, deadline)

    def merge_developer_identities(self, request: MergeRequest, deadline: Deadline) -> str:
        self._reached.append(request)
        return self._engine.merge_developer_identities(request, deadline)

    def unlink_developer_identity(self, request: UnlinkRequest, deadline: Deadline) -> None:
        self._reached.append(request)
        self._engine.unlink_developer_identity(request, deadline)


class Credentials:
    """The credentials of callers, valid and invalid.

    Attributes:
        servers: The authority that clients trust.
        clients: The authority that the service trusts.
        strangers: Another authority with the same name.
        keys: The callers' keys by the callers' names.
        secrets: The secrets, which errors must not contain.
    """

    def __init__(self, provider: OidcProvider) -> None:
        self._provider = provider
        self.servers = Authority("servers")
        self.clients, self.strangers = Authority("clients"), Authority("clients")
        self.keys = {
            name: new_key(secrets.token_bytes).reveal() for name in ("checkout", "checkout 2", "other", "none")
        }
        self.secrets = list(self.keys.values())

    def key(self, name: str) -> tuple[str, str]:
        return "authorization", f"Bearer {self.keys[name]}"

    def jwt(self, subject: str = SUBJECT, *, algorithm: str = "RS256", **changes: object) -> tuple[str, str]:
        """Returns a JWT of the issuer with changed claims, as metadata."""
        now = int(SystemClock.now())
        claims = {"iss": self._provider.issuer, "sub": subject, "aud": ["tokend"], "iat": now, "exp": now + 3600}
        token = sign({"alg": algorithm, "kid": "1"}, {**claims, **changes}, rsa_key("1"))
        self.secrets += token.split(".")[1:]
        return "authorization", f"Bearer {token}"


@dataclasses.dataclass(frozen=True)
class GuardedService:
    """The running service.

    Attributes:
        credentials: The callers' credentials.
        addresses: Its addresses, by the address in its configuration.
        reached: The requests that have reached an engine.
        engines: The engines, by pool.
    """

    credentials: Credentials
    addresses: Mapping[str, str]
    reached: list[object]
    engines: Mapping[str, Engine]

    def channel(self, listener: str, client: Identification | None = None) -> grpc.Channel:
        """Returns a separate channel to a listener."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        if listener == SOCKET:
            return grpc.insecure_channel(self.addresses[listener], options)
        trust = self.credentials.servers.certificate
        shown = (client.private_key, client.certificate) if client else (None, None)
        return grpc.secure_channel(self.addresses[listener], grpc.ssl_channel_credentials(trust, *shown), options)

    def add_user(self, user: str, identity_pool_id: str = POOL_A) -> str:
        """Registers a user without a call, and returns its identity id."""
        request = TokenRequest(identity_pool_id, {PROVIDER: Secret(user)})
        deadline = Deadline(SystemClock())
        return self.engines[identity_pool_id].get_open_id_token_for_developer_identity(request, deadline).identity_id


@contextmanager
def serve_guarded(
    directory: Path, credentials: Credentials, provider: OidcProvider, **grpc: object
) -> Iterator[GuardedService]:
    """Serves until the block ends; `grpc` are additional settings of [grpc]."""
    reached: list[object] = []
    engines: dict[str, Engine] = {}

    def remembering(*arguments: Any) -> Any:  # noqa: ANN401 - as the composition root calls it
        built = build_engines(*arguments)
        engines.update(built.by_pool)
        by_pool = {pool: RememberingEngine(engine, reached) for pool, engine in engines.items()}
        return dataclasses.replace(built, by_pool=by_pool)

    config = Config.model_validate(_settings(directory, credentials, provider.issuer, grpc))
    with ExitStack() as undo:
        with pytest.MonkeyPatch.context() as patch:  # for no longer: this guarded outlives the tests of other services
            patch.setattr(app, "build_engines", remembering)
            service = app.start(config)
        undo.callback(service.stop)
        listeners = [SOCKET if address.startswith("unix:") else address for address in config.grpc.listen]
        addresses = dict(zip(listeners, service.grpc_addresses, strict=True))
        yield GuardedService(credentials, addresses, reached, engines)


def _settings(
    directory: Path, credentials: Credentials, issuer: str, more_of_grpc: Mapping[str, object]
) -> dict[str, object]:
    server = credentials.servers.server(*_HOSTS)
    files = {
        "tls.crt": server.certificate,
        "tls.key": server.private_key,
        "clients.crt": credentials.clients.certificate,
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    client_ca = {"tls_client_ca_file": directory / "clients.crt", "trusted_proxies": [PROXY]}
    socket = f"unix:{directory}/s"
    key_digests = {name: digest(Secret(key)) for name, key in credentials.keys.items()}
    return {
        "grpc": {
            "listen": [MUTUAL, PROXIES, TOKENS, OPEN, socket],
            "tls_certificate_file": directory / "tls.crt",
            "tls_private_key_file": directory / "tls.key",
            "identify_by": ["jwt", "bearer_key"],
            "threads": 8,
            "listeners": {
                MUTUAL: {**client_ca, "identify_by": ["x_forwarded_client_cert", "mutual_tls", "jwt", "bearer_key"]},
                PROXIES: {**client_ca, "identify_by": ["x_forwarded_client_cert"]},
                OPEN: {"identify_by": []},
                socket: {"identify_by": ["x_forwarded_client_cert"]},
            },
            **more_of_grpc,
        },
        "issuer": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"},
        "store": {"url": f"sqlite:///{directory}/tokend.db"},
        "callers": {
            "keys": {
                "checkout": [key_digests["checkout"], key_digests["checkout 2"]],
                "other": [key_digests["other"]],
            },
            "jwt": {"cluster": {"issuer": issuer, "audiences": ["tokend"], "algorithms": ["RS256"]}},
        },
        "limits": {"calls_per_second": 0},
        "pools": {
            pool: {"developer_provider_name": PROVIDER, "signing_algorithm": "ES256"}
            for pool in (POOL_A, POOL_B, MINTING_POOL, KEEPING_POOL)
        },
        "policy": _policy(),
    }


def _policy() -> dict[str, object]:
    minting = ["GetOpenIdTokenForDeveloperIdentity"]
    keeping = ["LookupDeveloperIdentity", "MergeDeveloperIdentities", "UnlinkDeveloperIdentity"]
    limits = {"max_token_duration_seconds": LONGEST, "principal_tag_keys": ["department"]}
    return {
        "granted": {"callers": GRANTED, "pools": [POOL_A], "operations": ["*"], **limits},
        "minting": {"callers": GRANTED, "pools": [MINTING_POOL], "operations": minting, **limits},
        "keeping": {"callers": GRANTED, "pools": [KEEPING_POOL], "operations": keeping, **limits},
        "others": {"callers": ["key:owner-of-b"], "pools": [POOL_B], "operations": ["*"]},
    }
