"""boto3's client of Cognito identity pools, without retries and calls to other services."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from tests.fakes.cognito_upstream import ACCESS_KEY, AccessKey


@contextmanager
def cognito_client(url: str, access_key: AccessKey = ACCESS_KEY, **config: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yields a client with these settings of botocore's Config, and closes it at the end."""
    options = {"proxies": {}, "connect_timeout": 30, "read_timeout": 30, "retries": {"total_max_attempts": 1}} | config
    session = boto3.Session(**access_key._asdict(), region_name="eu-west-1")
    client = session.client("cognito-identity", endpoint_url=url, config=Config(**options))
    try:
        yield client
    finally:
        client.close()
