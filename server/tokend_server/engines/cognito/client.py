"""The boto3 client of a region."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Protocol

import boto3
import botocore.session
from botocore.config import Config as BotoConfig
from botocore.credentials import Credentials

from tokend_server.clock import Clock
from tokend_server.config import Cognito
from tokend_server.engines.cognito.botocore_internals import session_of
from tokend_server.engines.cognito.credentials import chain_credentials, role_credentials
from tokend_server.engines.cognito.transport import bound_connections


class CognitoClient(Protocol):
    """What is used of boto3's client for `cognito-identity`; parameters and responses are AWS's."""

    meta: Any

    def get_open_id_token_for_developer_identity(self, **parameters: object) -> Mapping[str, Any]: ...

    def lookup_developer_identity(self, **parameters: object) -> Mapping[str, Any]: ...

    def merge_developer_identities(self, **parameters: object) -> Mapping[str, Any]: ...

    def unlink_developer_identity(self, **parameters: object) -> Mapping[str, Any]: ...

    def close(self) -> None: ...


def cognito_client(
    settings: Cognito, region: str, *, connections: int, clock: Clock
) -> tuple[CognitoClient, Credentials]:
    """The client of a region, and its credentials; nothing is sent and nothing is looked for yet.

    Args:
        settings: Endpoint, credentials, timeouts and attempts.
        region: An AWS region.
        connections: How many connections are kept open.
        clock: The time.

    Raises:
        botocore.exceptions.BotoCoreError: The profile, the region or the endpoint cannot be used.
        ValueError: The endpoint is no URL.
    """
    config = BotoConfig(
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
        max_pool_connections=connections,
        parameter_validation=False,  # requests are within the contract's limits, which are AWS's
        user_agent=f"tokend/{version('tokend-server')} Boto3/{boto3.__version__}",  # boto3 adds botocore's
    )
    source = botocore.session.Session(profile=settings.profile)
    credentials = (
        role_credentials(source, settings.role_arn, region, config, clock)
        if settings.role_arn
        else chain_credentials(source, clock)
    )
    session = boto3.Session(botocore_session=session_of(credentials, settings.profile), region_name=region)
    client: CognitoClient = session.client("cognito-identity", endpoint_url=settings.endpoint_url, config=config)
    bound_connections(client)
    return client, credentials
