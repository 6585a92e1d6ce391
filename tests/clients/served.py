"""The server of the conformance cases, which can be stopped, restarted and given new keys."""

import json
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import httpx
from tests.clients.in_flight import calls_in_flight
from tests.clients.pools import COGNITO_POOLS, LOCAL_POOLS, POOL_IDS, PROVIDER
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.support.grpc_service import TIMEOUT
from tests.support.ports import free_ports
from tests.support.server_process import ServerProcess

from tokend_server.clock import SystemClock
from tokend_server.config import KeyTimes, load_config
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.rotation import KeyRotation
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.stores.opening import open_migrated_store

#: Seconds for a client to reconnect to a restarted server. A client that has ended never does.
RETURN_TIMEOUT = 30

_HTTP_TIMEOUT = 30

_LOOK_AGAIN = 0.02

#: Twice the maximum number of concurrent calls of a case, so that all their writes may wait for one on a slow disk.
_THREADS = 64


class Served:
    """A `tokend serve` on fixed ports.

    Args:
        directory: The directory of its configuration and its database.
        cognito_url: The URL of Cognito.
        login_providers: The issuers of the pools' public providers by name; their client id is `portal`.

    Attributes:
        endpoint: Its gRPC endpoint.
        issuer: The issuer of its tokens.
    """

    def __init__(self, directory: Path, cognito_url: str, login_providers: Mapping[str, str]) -> None:
        grpc_port, issuer_port, ops_port = free_ports(3)
        self.endpoint = f"127.0.0.1:{grpc_port}"
        self._ops_url = f"http://127.0.0.1:{ops_port}"
        self.issuer = f"http://127.0.0.1:{issuer_port}"
        self._config = directory / "tokend.toml"
        self._config.write_text(
            f"""
[grpc]
listen = ["{self.endpoint}"]
threads = {_THREADS}
drain_delay_seconds = 0
[issuer]
listen = "127.0.0.1:{issuer_port}"
[ops]
listen = "127.0.0.1:{ops_port}"
[store]
url = "sqlite:///{directory}/tokend.db"
[cognito]
endpoint_url = "{cognito_url}"
requests_per_second = 0
max_attempts = 1
{_pools(login_providers)}
""",
            encoding="utf-8",
        )
        self._environment = aws_environment(directory)
        self._server: ServerProcess | None = None
        self._has_client = False

    def start(self) -> None:
        """Starts serving."""
        if self._server is None:
            self._server = ServerProcess(self._config, self._environment)

    def start_again(self) -> None:
        """Starts serving, and waits until the client, if there is one, has reconnected and watches its health.

        Only the client sees when it has received the health status: the player of the case waits for that.
        """
        self.start()
        deadline = time.monotonic() + RETURN_TIMEOUT
        while self._has_client and not self._watches() and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)

    def stop(self) -> None:
        """Stops the process gracefully."""
        if self._server is not None:
            self._has_client = self._watches() > 0
            self._server.stop()
            self._server = None

    def rotate(self) -> None:
        """Makes it sign with new keys and publish them."""
        with closing(open_migrated_store(load_config(self._config))) as store:
            rotation = KeyRotation(store, StoredKeys(), SystemClock(), KeyTimes())
            for algorithm in SigningAlgorithm:
                rotation.add(algorithm, signs_in=0)
            expected = {key.kid for key in store.signing_keys()}
        deadline = time.monotonic() + TIMEOUT
        while self._published() != expected:
            if time.monotonic() > deadline:
                raise RuntimeError("the new keys are not published")
            time.sleep(_LOOK_AGAIN)

    def _published(self) -> set[str]:
        return {key["kid"] for key in json.loads(_get(f"{self.issuer}/.well-known/jwks.json"))["keys"]}

    def _watches(self) -> int:
        return calls_in_flight(self._ops_url, "Watch")


def aws_environment(directory: Path) -> dict[str, str]:
    """Returns an environment with the upstream's credentials, without other AWS settings and proxies."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": ACCESS_KEY.aws_secret_access_key,
        "AWS_CONFIG_FILE": str(directory / "no-aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "no-aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _pools(login_providers: Mapping[str, str]) -> str:
    lines = []
    for name, algorithm in LOCAL_POOLS.items():
        table = f'pools."{POOL_IDS[name]}"'
        lines += [f"[{table}]", f'developer_provider_name = "{PROVIDER}"', f'signing_algorithm = "{algorithm}"']
        for provider_name, issuer in login_providers.items():
            lines += [f'[{table}.open_id_connect_providers."{provider_name}"]']
            lines += [f'issuer = "{issuer}"', 'client_ids = ["portal"]']
    for name in COGNITO_POOLS:
        lines += [f'[pools."{POOL_IDS[name]}"]', 'engine = "cognito"', f'developer_provider_name = "{PROVIDER}"']
    return "\n".join(lines)


def _get(url: str) -> str:
    with httpx.Client(trust_env=False, verify=False, timeout=_HTTP_TIMEOUT) as client:
        return client.get(url).raise_for_status().text
