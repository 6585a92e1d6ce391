"""ARNs contain the partition of their region, as in the AWS SDK's table of partitions."""

import json
import re
from importlib.resources import files
from typing import Any

import pytest

from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.pool import LocalPool


def partitions() -> list[dict[str, Any]]:
    table: dict[str, Any] = json.loads((files("botocore") / "data" / "partitions.json").read_text(encoding="utf-8"))
    return list(table["partitions"])


def regions() -> list[tuple[str, str]]:
    """Every region with its partition, and for each partition a possible future region."""
    found = []
    for partition in partitions():
        named = [name for name in partition["regions"] if re.match(partition["regionRegex"], name)]
        to_come = re.sub(r"\d+$", "99", named[0])
        found += [(name, partition["id"]) for name in (*named, to_come)]
    return found


def pool(region: str) -> LocalPool:
    return LocalPool(
        identity_pool_id=f"{region}:0a1b2c3d-0000-4000-8000-00000000000a",
        developer_provider_name="login.example.test",
        login_providers={},
        signing_algorithm=SigningAlgorithm.RS512,
        token_type=TokenType.JWS,
        account_id="123456789012",
        identity_pool_arn_claim=True,
        issuer="https://tokens.example",
    )


def test_the_table_has_regions_of_all_partitions() -> None:
    assert len({partition for _, partition in regions()}) == len(partitions()) >= 8


@pytest.mark.parametrize(("region", "partition"), regions())
def test_the_partition_is_that_of_the_region(region: str, partition: str) -> None:
    assert pool(region).partition == partition


@pytest.mark.parametrize("region", ["local", "house", "us-isolated-1", "cn", "eu-iso-west-1"])
def test_an_unknown_region_is_in_the_partition_aws(region: str) -> None:
    assert pool(region).partition == "aws"
