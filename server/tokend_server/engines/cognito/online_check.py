"""Checks whether Cognito serves the configured pools, with texts for operators."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from tokend_server.clock import Clock, Deadline
from tokend_server.config import Config
from tokend_server.engine import Engine
from tokend_server.engines.cognito.build import build_cognito_engines
from tokend_server.errors import ResourceNotFound, TokendError
from tokend_server.metrics import Metrics
from tokend_server.model import LookupRequest, Secret, pool_region

#: A user that need not exist: Cognito checks the pool and the caller's permissions before it looks up users.
_NO_USER = Secret("tokend-check-config")


def check_online(config: Config, clock: Clock) -> Iterator[tuple[str, str]]:
    """Looks up a user in each of Cognito's pools, which changes nothing.

    Returns:
        For each pool its id and its problem; the problem is empty if there is none.

    Raises:
        ConfigError: The profile or the endpoint cannot be used.
    """
    engines = build_cognito_engines(config, config.pools_of("cognito"), Metrics(CollectorRegistry()), clock)
    try:
        for identity_pool_id, engine in engines.by_pool.items():
            yield identity_pool_id, _problem(identity_pool_id, engine, Deadline(clock))
    finally:
        engines.close()


def _problem(identity_pool_id: str, engine: Engine, deadline: Deadline) -> str:
    try:
        engine.lookup_developer_identity(LookupRequest(identity_pool_id, developer_user_identifier=_NO_USER), deadline)
    except ResourceNotFound as error:
        if error.resource_type != "IdentityPool":
            return ""
        return (
            f"There is no such pool in {pool_region(identity_pool_id)} for the account of these credentials. "
            "Check the id, and whose credentials they are."
        )
    except TokendError as error:
        said_by_aws = f" (AWS says {error.aws_error_code}.)" if error.aws_request_id else ""
        return (error.advice or error.text) + said_by_aws
    return ""
