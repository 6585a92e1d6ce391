"""boto3's clients with tokend's settings."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, Protocol

import boto3
import botocore.session
from botocore import xform_name
from botocore.config import Config as BotoConfig
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from tokend_server.aws.botocore_internals import use_credentials
from tokend_server.aws.credentials import chain_credentials, role_credentials
from tokend_server.aws.transport import bound_connections
from tokend_server.clock import Clock


class ClientSettings(Protocol):
    """The settings of a client.

    Attributes:
        endpoint_url: The URL of the API; None for AWS's endpoint of the Region.
        profile: The profile in the AWS configuration files; None for boto3's credential chain.
        role_arn: The role to assume; None for no role.
        timeout_seconds: The timeout of each read of a response.
        connect_timeout_seconds: The timeout of connections.
        max_attempts: The maximum number of requests of a call, including the first.
    """

    @property
    def endpoint_url(self) -> str | None: ...

    @property
    def profile(self) -> str | None: ...

    @property
    def role_arn(self) -> str | None: ...

    @property
    def timeout_seconds(self) -> float: ...

    @property
    def connect_timeout_seconds(self) -> float: ...

    @property
    def max_attempts(self) -> int: ...


def aws_client(
    service: str, settings: ClientSettings, region: str, *, connections: int, clock: Clock
) -> tuple[Any, Credentials]:
    """Returns a client for a service in a Region, and its credentials, without a request or a search for credentials.

    Args:
        service: The service, by its name in boto3.
        settings: Endpoint, credentials, timeouts and attempts.
        region: An AWS region.
        connections: The number of connections that are kept open.
        clock: The time.

    Raises:
        ValueError: The profile, the region or the endpoint cannot be used.
    """
    try:
        return _client(service, settings, region, connections, clock)
    except BotoCoreError as error:
        raise ValueError(str(error)) from error


def methods_of(client: Any, operations: Iterable[str]) -> Mapping[str, Callable[..., Mapping[str, Any]]]:  # noqa: ANN401 - boto3's clients have no types
    """Returns the methods of a client by their operations, as AWS's API names them."""
    return {operation: getattr(client, xform_name(operation)) for operation in operations}


@cache
def _user_agent() -> str:
    """Returns the user agent, to which botocore adds its own."""
    return f"tokend/{version('tokend-server')} Boto3/{boto3.__version__}"


def _client(
    service: str, settings: ClientSettings, region: str, connections: int, clock: Clock
) -> tuple[Any, Credentials]:
    config = BotoConfig(
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
        max_pool_connections=connections,
        parameter_validation=False,  # parameters have been checked against AWS's limits
        user_agent=_user_agent(),
    )
    source = botocore.session.Session(profile=settings.profile)
    if settings.role_arn:
        credentials = role_credentials(source, settings.role_arn, region, config, clock)
        source = botocore.session.Session(profile=settings.profile)
    else:
        credentials = chain_credentials(source, clock)
    use_credentials(source, credentials)
    # The Region of the client is not the session's, in which the credential chain may call STS.
    session = boto3.Session(botocore_session=source)
    client = session.client(service, region, endpoint_url=settings.endpoint_url, config=config)
    bound_connections(client)
    return client, credentials
