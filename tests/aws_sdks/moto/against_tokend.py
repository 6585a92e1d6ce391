"""A plugin of pytest with which moto's tests call the service of the environment instead of moto."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import moto
import moto.core
import pytest

#: The Region of most of these tests.
_REGION = "us-west-2"


def _unchanged(test: Callable[..., Any]) -> Callable[..., Any]:
    return test


moto.mock_aws = _unchanged  # type: ignore[assignment] # what it decorates is to call the service
moto.core.set_initial_no_auth_action_count = lambda _count: _unchanged  # type: ignore[assignment] # as above


@pytest.fixture(autouse=True)
def _nothing_of_the_test_before() -> Iterator[None]:
    """Removes a test's state after it; moto removes it before each test."""
    yield
    client = boto3.client("cognito-identity", _REGION)
    for pool in client.list_identity_pools(MaxResults=60)["IdentityPools"]:
        client.delete_identity_pool(IdentityPoolId=pool["IdentityPoolId"])
