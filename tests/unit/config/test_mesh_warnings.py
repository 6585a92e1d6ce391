"""Warnings about tokens for proxies that no row of the policy allows."""

from collections.abc import Mapping
from typing import Any

import pytest

from tokend_server.config import Config
from tokend_server.config.pools import EMBEDDED_POOL_ID
from tokend_server.config.warnings import config_warnings

POOL = EMBEDDED_POOL_ID
GET_TOKEN = "GetOpenIdTokenForDeveloperIdentity"
ROW = {"callers": ["**"], "pools": ["*"], "operations": ["*"]}
USER = {"metadata": "payload.sub"}
TENANT = {"metadata": "payload.tenant"}


def warnings(row: Mapping[str, Any] | None, *, mapping: Mapping[str, Any] | None = None, **token: object) -> list[str]:
    """Returns the warnings about a mapping or a token, with a row of the policy, if there is one."""
    policy = {"policy": {"row": {**ROW, **row}}} if row is not None else {}
    wanted: dict[str, Any] = (
        {"sds": {"listen": ["127.0.0.1:0"], "tokens": {"own": {"identity_pool_id": POOL, "user": "a", **token}}}}
        if mapping is None
        else {"ext_authz": {"mappings": {"web": {"identity_pool_id": POOL, "user": USER, **mapping}}}}
    )
    pools = {POOL: {"developer_provider_name": "login.example.test"}}
    return list(config_warnings(Config.model_validate({"pools": pools, **policy, **wanted}), {}))


@pytest.mark.parametrize(
    ("row", "mapping"),
    [
        (None, {"token_duration_seconds": 3600, "principal_tags": {"tenant": TENANT}}),
        ({}, {}),
        ({"pools": [POOL], "operations": [GET_TOKEN]}, {"token_duration_seconds": 900}),
        ({"max_token_duration_seconds": 3600}, {"token_duration_seconds": 3600}),
        ({"principal_tag_keys": ["tenant"]}, {"principal_tags": {"tenant": TENANT}}),
        ({"principal_tag_keys": ["*"]}, {"principal_tags": {"tenant": TENANT}}),
        ({}, {"principal_tags": {"tenant": {**TENANT, "optional": True}}}),
    ],
)
def test_an_allowed_mapping_causes_no_warning(row: Mapping[str, Any] | None, mapping: Mapping[str, Any]) -> None:
    assert warnings(row, mapping=mapping) == []


@pytest.mark.parametrize(
    ("row", "mapping", "expected"),
    [
        ({"operations": ["LookupDeveloperIdentity"]}, {}, f"no row of the policy has {GET_TOKEN} on {POOL}"),
        (
            {},
            {"token_duration_seconds": 901},
            f"no row of the policy for {POOL} has a max_token_duration_seconds of 901 or more",
        ),
        (
            {"principal_tag_keys": ["plan"]},
            {"principal_tags": {"tenant": TENANT, "plan": {"metadata": "payload.plan"}}},
            f"no row of the policy for {POOL} has all of these in principal_tag_keys: plan, tenant",
        ),
    ],
)
def test_a_mapping_that_no_policy_row_allows_causes_a_warning(
    row: Mapping[str, Any], mapping: Mapping[str, Any], expected: str
) -> None:
    assert warnings(row, mapping=mapping) == [f"ext_authz.mappings.web: each request would be denied: {expected}"]


def test_a_token_of_sds_that_no_row_allows_causes_a_warning() -> None:
    (warning,) = warnings({}, token_duration_seconds=3600)
    assert warning.startswith("sds.tokens.own: no caller would get it: ")
