"""boto3's clients, as tokend calls AWS by them."""

from functools import cache
from importlib.metadata import version
from typing import Any, Protocol

import boto3
import botocore.session
from botocore.config import Config as BotoConfig
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from tokend_server.aws.botocore_internals import session_of
from tokend_server.aws.credentials import chain_credentials, role_credentials
from tokend_server.aws.transport import bound_connections
from tokend_server.clock import Clock


class ClientSettings(Protocol):
    """How an API is reached.

    Attributes:
        endpoint_url: Where it is; None for AWS's endpoint of the region.
        profile: Profile of the AWS configuration files; None as boto3 finds credentials.
        role_arn: Role to assume; None for none.
        timeout_seconds: Longest that a piece of an answer takes.
        connect_timeout_seconds: Longest that a connection takes.
        max_attempts: Requests for one call, the first included.
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
    """The client of a service in a region, and its credentials; nothing is sent and nothing is looked for yet.

    Args:
        service: The service, by boto3's name.
        settings: Endpoint, credentials, timeouts and attempts.
        region: An AWS region.
        connections: How many connections are kept open.
        clock: The time.

    Raises:
        ValueError: The profile, the region or the endpoint cannot be used.
    """
    try:
        return _client(service, settings, region, connections, clock)
    except BotoCoreError as error:
        raise ValueError(str(error)) from error


@cache
def _user_agent() -> str:
    """What requests say of their sender, to which botocore adds itself."""
    return f"tokend/{version('tokend-server')} Boto3/{boto3.__version__}"


def _client(
    service: str, settings: ClientSettings, region: str, connections: int, clock: Clock
) -> tuple[Any, Credentials]:
    config = BotoConfig(
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
        max_pool_connections=connections,
        parameter_validation=False,  # what is sent is within AWS's limits already
        user_agent=_user_agent(),
    )
    source = botocore.session.Session(profile=settings.profile)
    credentials = (
        role_credentials(source, settings.role_arn, region, config, clock)
        if settings.role_arn
        else chain_credentials(source, clock)
    )
    session = boto3.Session(botocore_session=session_of(credentials, settings.profile), region_name=region)
    client = session.client(service, endpoint_url=settings.endpoint_url, config=config)
    bound_connections(client)
    return client, credentials
