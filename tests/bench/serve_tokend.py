"""tokend itself: the local engine on a filled store, with two pools of known users."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import jwt
from tests.bench.generator import Call, Generator, Sample
from tests.bench.messages import GRPC_HEADERS, METHOD, PROVIDER, SERVICE, grpc_body, grpc_request, length_prefixed, user
from tests.bench.processes import THREADS, Cores, running, wait_until
from tests.support.metric_samples import samples
from tests.support.ports import free_ports

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityResponse
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

#: The pool of each signing algorithm.
POOLS = {
    "RS512": "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21",
    "ES256": "local:7d0e3b58-6c2a-4f19-8a44-51c9e2f7b603",
}

#: A moment takes from no byte, for a whole second, to six.
_LONGEST_NANOSECONDS = 999_000_000
_BYTES_OF_NANOSECONDS = 6


@dataclass(frozen=True)
class Tokend:
    """A running tokend.

    Attributes:
        pid: Its process.
        grpc_address: The address for calls.
        issuer_url: The URL of its keys.
        ops_url: The URL of its metrics.
    """

    pid: int
    grpc_address: str
    issuer_url: str
    ops_url: str

    def answer(self, algorithm: str) -> bytes:
        """Returns a serialized response, after verifying its token with the published keys."""
        pool = POOLS[algorithm]
        with grpc.insecure_channel(self.grpc_address, [("grpc.enable_http_proxy", 0)]) as channel:
            stub = DeveloperIdentityServiceStub(channel)
            response = stub.GetOpenIdTokenForDeveloperIdentity(grpc_request(pool, user(0)), timeout=10)
        jwks = jwt.PyJWKSet.from_json(_get(f"{self.issuer_url}/.well-known/jwks.json"))
        key = jwks[jwt.get_unverified_header(response.token)["kid"]]
        claims = jwt.decode(response.token, key, algorithms=[algorithm], audience=pool, leeway=5)
        if claims["sub"] != response.identity_id:
            raise RuntimeError("The token speaks for another identity.")
        return response.SerializeToString()

    def call(self, algorithm: str, answer: bytes) -> Call:
        """Returns the call for a known user."""
        url = f"http://{self.grpc_address}/{SERVICE}/{METHOD}"
        longest = GetOpenIdTokenForDeveloperIdentityResponse.FromString(answer)
        longest.issue_time.nanos = _LONGEST_NANOSECONDS
        size = len(length_prefixed(longest.SerializeToString()))
        return Call(url, GRPC_HEADERS, grpc_body(POOLS[algorithm]), size, varying_bytes=_BYTES_OF_NANOSECONDS)

    def outcomes(self) -> dict[str, int]:
        """Returns how many calls have created, linked and retrieved identities so far."""
        counts: dict[str, int] = {}
        for sample in samples(_get(f"{self.ops_url}/metrics"), "tokend_identities_total"):
            outcome = sample.labels["outcome"]
            counts[outcome] = counts.get(outcome, 0) + int(sample.value)
        return counts

    def sample(self, generator: Generator, call: Call, seconds: float) -> Sample:
        """Loads the server with one of its calls.

        Raises:
            RuntimeError: A call failed, or did not retrieve a known user's identity, or create a new one's.
        """
        before = self.outcomes()
        sample = generator.sample(call, self.pid, seconds)
        after = self.outcomes()
        outcomes = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)}
        if outcomes != {"created" if call.new_users else "retrieved": sample.calls}:
            raise RuntimeError(f"{call.url}: {sample.calls} calls, but {outcomes}")
        return sample


@contextmanager
def serving(  # noqa: PLR0913 - as many as there are differences
    directory: Path, cores: Cores, url: str, *, name: str = "tokend", grpc_settings: str = "", tables: str = ""
) -> Iterator[Tokend]:
    """Serves a filled database, like `tokend serve`, and yields the server when it is ready.

    Args:
        directory: The directory for its files.
        cores: The cores to run on.
        url: The filled store.
        name: The name of its files.
        grpc_settings: Additional TOML of the table [grpc].
        tables: More tables, as TOML.
    """
    grpc_address, issuer_address, ops_address = (f"127.0.0.1:{port}" for port in free_ports(3))
    config = directory / f"{name}.toml"
    config.write_text(
        f"""
        issuer = {{ listen = "{issuer_address}" }}
        ops = {{ listen = "{ops_address}" }}
        store = {{ url = "{url}" }}
        [grpc]
        listen = ["{grpc_address}"]
        threads = {THREADS}
        drain_delay_seconds = 0
        {grpc_settings}
        {tables}
        """
        + "".join(_pool(pool, algorithm) for algorithm, pool in POOLS.items())
    )
    log = directory / f"{name}.log"
    command = [sys.executable, "-m", "tokend_server", "serve", "--config", str(config)]
    with running(command, cores, log) as process:
        wait_until(lambda: _ready(f"http://{ops_address}/readyz"), process, log)
        yield Tokend(process.pid, grpc_address, f"http://{issuer_address}", f"http://{ops_address}")


def _pool(identity_pool_id: str, algorithm: str) -> str:
    return f"""
        [pools."{identity_pool_id}"]
        engine = "local"
        developer_provider_name = "{PROVIDER}"
        signing_algorithm = "{algorithm}"
        """


def _get(url: str) -> str:
    return httpx.get(url, trust_env=False).raise_for_status().text


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
