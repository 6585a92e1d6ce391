"""A Cognito engine for a test's upstream, built as in the service."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from prometheus_client import CollectorRegistry

from tokend_server.clock import Clock
from tokend_server.config import Config
from tokend_server.engine import Engine
from tokend_server.engines.build import build_engines
from tokend_server.metrics import Metrics


@contextmanager
def cognito_engine(
    endpoint_url: str, identity_pool_id: str, developer_provider_name: str, clock: Clock, **settings: object
) -> Iterator[Engine]:
    """Returns the engine of a pool; `settings` are those of [cognito]. Credentials come from the environment."""
    pool: Mapping[str, Any] = {"engine": "cognito", "developer_provider_name": developer_provider_name}
    config = Config.model_validate(
        {"cognito": {"endpoint_url": endpoint_url, **settings}, "pools": {identity_pool_id: pool}}
    )
    engines = build_engines(config, "", Metrics(CollectorRegistry()), clock, nullcontext)
    try:
        yield engines.by_pool[identity_pool_id]
    finally:
        engines.close()
