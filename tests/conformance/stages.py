"""The stages of a scenario: a tokend in this process with the local engine, with Cognito or with its stand-in."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
from prometheus_client import CollectorRegistry
from tests.conformance.names import Names
from tests.conformance.over_aws import aws_caller, aws_client
from tests.conformance.over_grpc import grpc_caller
from tests.conformance.play import Caller, CreateGuest
from tests.fakes.cognito_engine import ISSUER
from tests.fakes.cognito_upstream import CognitoUpstream

from tokend_server import app
from tokend_server.callers.aws_keys import secret_access_key
from tokend_server.clock import SystemClock
from tokend_server.config import Config
from tokend_server.engines.build import build_engines
from tokend_server.engines.local.administration import IdentityAdministration
from tokend_server.engines.local.build import new_guid
from tokend_server.engines.local.stores.opening import open_migrated_store
from tokend_server.metrics import Metrics

#: An access key, and the key of which its secret is made.
_ACCESS_KEY_ID, _AWS_KEY = "TKNDABCDEFGHIJKLMNOP", bytes(range(100, 132))

#: Letters that no id has, so that what a run made differs from everything else.
_RUN_LETTERS = "ghjkmnpqrstvwyz"


@dataclass(frozen=True, slots=True)
class Pools:
    """The pools of a run, which have the same developer provider.

    Attributes:
        pool: The tested pool.
        other_pool: Another one of the region; empty if there is none.
        developer_provider_name: Their developer provider.
    """

    pool: str
    other_pool: str
    developer_provider_name: str

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.pool, self.other_pool)))

    def names(self, issuer: str, run: str) -> Names:
        """Returns the initial values of the scenario's placeholders."""
        region = self.pool.partition(":")[0]
        other = {"other pool": self.other_pool} if self.other_pool else {}
        return Names(
            {
                "pool": self.pool,
                **other,
                "provider": self.developer_provider_name,
                "issuer": issuer,
                "run": run,
                "unknown identity": f"{region}:ffffffff-0000-4000-8000-00000000000f",
                "unknown pool": f"{region}:ffffffff-0000-4000-8000-00000000000e",
            }
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """A running tokend, as `play` needs it.

    Attributes:
        caller: Calls it.
        create_guest: Creates guests in its pools.
        issuer: The `iss` of its tokens.
        metrics: Its current metrics.
    """

    caller: Caller
    create_guest: CreateGuest
    issuer: str
    metrics: Callable[[], str]


def new_run() -> str:
    """Returns a text of eight letters that no other run has."""
    return "".join(random.SystemRandom().choices(_RUN_LETTERS, k=8))


@contextmanager
def local_stage(directory: Path, pools: Pools) -> Iterator[Stage]:
    """The local engine on a store in a directory."""
    config = _config(directory, pools, "local")
    with _serving(config) as (service, caller), _guests(config) as create_guest:
        yield Stage(caller, create_guest, service.issuer, lambda: _metrics(service))


@contextmanager
def aws_stage(directory: Path, pools: Pools) -> Iterator[Stage]:
    """The local engine on a store in a directory, called through Cognito's own API."""
    key_file = directory / "aws.key"
    key_file.write_bytes(_AWS_KEY)
    everything = {"callers": ["**"], "pools": ["*"], "operations": ["*"], "max_token_duration_seconds": 86_400}
    sections = {
        "aws": {"listen": "127.0.0.1:0"},
        "callers": {"aws_keys": {"scenario": [_ACCESS_KEY_ID]}, "aws_key_file": key_file},
        "policy": {"all": {**everything, "principal_tag_keys": ["*"]}},
        "limits": {"calls_per_second": 0},
    }
    config = _config(directory, pools, "local", sections=sections)
    secret = secret_access_key(_AWS_KEY, _ACCESS_KEY_ID)
    region = pools.pool.partition(":")[0]
    with _serving(config) as (service, _caller), _guests(config) as create_guest:
        client = aws_client(f"http://{service.aws_address}", _ACCESS_KEY_ID, secret, region)
        try:
            yield Stage(aws_caller(client), create_guest, service.issuer, lambda: _metrics(service))
        finally:
            client.close()


@contextmanager
def cognito_stage(
    directory: Path, pools: Pools, create_guest: CreateGuest, settings: Mapping[str, object]
) -> Iterator[Stage]:
    """The Cognito engine; `settings` are those of [cognito]. Credentials come from boto3's chain."""
    with _serving(_config(directory, pools, "cognito", settings)) as (service, caller):
        yield Stage(caller, create_guest, ISSUER, lambda: _metrics(service))


@contextmanager
def upstream(directory: Path, pools: Pools) -> Iterator[tuple[CognitoUpstream, CreateGuest]]:
    """Cognito's stand-in with local engines behind it, and a function that creates guests in them."""
    config, clock = _config(directory, pools, "local"), SystemClock()
    engines = build_engines(config, ISSUER, Metrics(CollectorRegistry()), clock, nullcontext)
    try:
        with CognitoUpstream(clock, engines=engines.by_pool) as running, _guests(config) as create_guest:
            yield running, create_guest
    finally:
        engines.close()


def _config(
    directory: Path,
    pools: Pools,
    engine: str,
    settings: Mapping[str, object] | None = None,
    sections: Mapping[str, object] | None = None,
) -> Config:
    pool = {"engine": engine, "developer_provider_name": pools.developer_provider_name}
    return Config.model_validate(
        {
            "data_dir": directory,
            "grpc": {"listen": ["127.0.0.1:0"], "threads": 4},
            "issuer": {"listen": "127.0.0.1:0"},
            "ops": {"listen": "127.0.0.1:0"},
            "cognito": settings or {},
            "pools": dict.fromkeys(pools.ids, pool),
            **(sections or {}),
        }
    )


@contextmanager
def _serving(config: Config) -> Iterator[tuple[app.Service, Caller]]:
    service = app.start(config)
    try:
        with grpc.insecure_channel(service.grpc_addresses[0], [("grpc.enable_http_proxy", 0)]) as channel:
            yield service, grpc_caller(channel)
    finally:
        service.stop()


@contextmanager
def _guests(config: Config) -> Iterator[CreateGuest]:
    store = open_migrated_store(config)
    try:
        yield lambda pool: IdentityAdministration(pool, store, SystemClock(), new_guid).create().identity_id
    finally:
        store.close()


def _metrics(service: app.Service) -> str:
    return httpx.get(f"http://{service.ops_address}/metrics", trust_env=False).text
