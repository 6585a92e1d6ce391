"""[aws] and the access keys of its callers: valid settings, and the problems of invalid ones."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from tokend_server.config import Aws, Config
from tokend_server.config.warnings import config_warnings

KEY_ID, OTHER_ID = "TKNDABCDEFGHIJKLMNOP", "TKNDQRSTUVWXYZ234567"
CALLERS = {"aws_keys": {"checkout": [KEY_ID]}, "aws_key_file": "/run/secrets/aws"}
POLICY = {"all": {"callers": ["aws:*"], "pools": ["*"], "operations": ["*"]}}


def sections(**changes: object) -> Mapping[str, Any]:
    whole = {"aws": {"listen": "127.0.0.1:4566"}, "callers": CALLERS, "policy": POLICY}
    # A policy requires identified callers, also for gRPC.
    return {**whole, "grpc": {"identify_by": ["bearer_key"]}, **changes}


def problems(**changes: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(sections(**changes))
    return str(caught.value)


def with_keys(**keys: object) -> Mapping[str, object]:
    return {**CALLERS, "keys": {"checkout": [f"sha256:{64 * '0'}"]}, **keys}


def test_the_aws_listener_is_disabled_by_default() -> None:
    assert Aws().listen is None
    assert Config().aws.listener is None


def test_a_caller_may_have_several_access_keys() -> None:
    config = Config.model_validate(sections(callers=with_keys(aws_keys={"checkout": [KEY_ID, OTHER_ID]})))
    assert config.callers.aws_keys == {"checkout": [KEY_ID, OTHER_ID]}
    assert config.aws.listener is not None
    assert config.aws.listener.is_local


def test_every_problem_is_named_at_once() -> None:
    text = problems(callers={}, policy={}, grpc={})
    assert "aws.listen: every request is signed: declare an access key in [callers.aws_keys]" in text
    assert "policy: callers of aws.listen need a policy" in text


def test_an_exposed_address_without_tls_needs_an_explicit_setting() -> None:
    assert "listen: others can reach 0.0.0.0:4566" in problems(aws={"listen": "0.0.0.0:4566"}, callers=with_keys())
    open_to_all = {"listen": "0.0.0.0:4566", "insecure": True}
    assert Config.model_validate(sections(aws=open_to_all, callers=with_keys())).aws.insecure


def credentials(**settings: object) -> Mapping[str, object]:
    return {"listen": "127.0.0.1:4566", "credentials": settings}


LOCAL_POOL = {"local:0a1b": {"developer_provider_name": "login.example.test"}}
AWS_POOL = {"eu-west-1:0a1b": {"developer_provider_name": "login.example.test"}}


def test_credentials_of_sts_need_an_issuer_url_and_a_region() -> None:
    text = problems(aws=credentials(source="sts"), callers=with_keys(), pools=LOCAL_POOL)
    assert "aws.credentials.source: AWS STS fetches the keys of tokens from their issuer: set issuer.url" in text
    assert "aws.credentials.region: is needed for pools of no AWS Region: local:0a1b" in text
    issuer = {"url": "https://tokens.example.internal"}
    whole = sections(aws=credentials(source="sts"), callers=with_keys(), pools=AWS_POOL, issuer=issuer)
    assert Config.model_validate(whole).aws.credentials.source == "sts"


def test_fake_credentials_on_exposed_addresses_need_an_explicit_setting() -> None:
    remote = {"listen": "0.0.0.0:4566", "insecure": True}
    text = problems(aws={**remote, "credentials": {"source": "static"}}, callers=with_keys())
    assert "credentials.source: others can reach 0.0.0.0:4566, and would mistake fake credentials for AWS's" in text
    explicit = {**remote, "credentials": {"source": "static", "static_for_others": True}}
    assert Config.model_validate(sections(aws=explicit, callers=with_keys())).aws.credentials.static_for_others


def test_fake_credentials_cause_a_warning() -> None:
    static = Config.model_validate(sections(aws=credentials(source="static"), callers=with_keys(), pools=AWS_POOL))
    none = Config.model_validate(sections(callers=with_keys(), pools=AWS_POOL))
    about = [[each for each in config_warnings(config, {}) if "credentials" in each] for config in (static, none)]
    assert about == [
        [
            (
                "aws.credentials.source: GetCredentialsForIdentity returns fake credentials, which AWS does not "
                "accept: for tests only"
            )
        ],
        [],
    ]


def test_a_role_that_is_not_a_role_arn_is_rejected() -> None:
    pool = AWS_POOL["eu-west-1:0a1b"] | {"roles": {"authenticated": "arn:aws:iam::1:user/x"}}
    assert "roles.authenticated" in problems(callers=with_keys(), pools={"eu-west-1:0a1b": pool})


def test_an_address_of_another_listener_is_rejected() -> None:
    assert "aws.listen: 127.0.0.1:4566 is already that of" in problems(
        callers=with_keys(), ops={"listen": "127.0.0.1:4566"}
    ) + problems(callers=with_keys(), grpc={"listen": ["127.0.0.1:4566"], "identify_by": ["bearer_key"]})


@pytest.mark.parametrize("secret", ["hunter2", "AKIAIOSFODNN7EXAMPLE", KEY_ID.lower(), KEY_ID + "A", KEY_ID[:-1]])
def test_an_invalid_access_key_id_is_rejected_and_not_repeated(secret: str) -> None:
    text = problems(callers=with_keys(aws_keys={"checkout": [secret]}))
    assert "must be an access key id: TKND and 16 characters" in text


def test_an_access_key_belongs_to_one_caller() -> None:
    keys = {"checkout": [KEY_ID], "billing": [OTHER_ID, KEY_ID]}
    assert f"aws_keys: {KEY_ID} occurs 2 times" in problems(callers=with_keys(aws_keys=keys))


def test_access_keys_need_an_aws_key_file() -> None:
    assert "aws_key_file: is needed for aws_keys" in problems(callers=with_keys(aws_key_file=None))


def test_incomplete_or_missing_tls_files_are_rejected() -> None:
    text = problems(aws={"listen": "0.0.0.0:4566", "tls_certificate_file": "/tls.crt"}, callers=with_keys())
    assert "tls_certificate_file and tls_private_key_file must be given together" in text
    missing = {"tls_certificate_file": "/nothing.crt", "tls_private_key_file": "/nothing.key"}
    text = problems(aws={"listen": "127.0.0.1:4566", **missing}, callers=with_keys())
    assert "the TLS files cannot be used: /nothing.crt" in text


def test_managed_pools_need_a_listener_and_a_store() -> None:
    assert "aws.manage_pools: pools are managed at aws.listen, which is not set" in problems(aws={"manage_pools": True})
    cognito = {"eu-west-1:0": {"engine": "cognito", "developer_provider_name": "login.example"}}
    managed = {"listen": "127.0.0.1:4566", "manage_pools": True}
    problem = "aws.manage_pools: there is no local pool, and so no store for managed pools: declare one"
    assert problem in problems(aws=managed, pools=cognito, callers=with_keys())
    assert Config.model_validate(sections(aws=managed, callers=with_keys())).aws.manage_pools


def test_open_id_connect_providers_need_managed_pools() -> None:
    providers = {"idp.example": {"client_ids": ["app"]}}
    aws = {"listen": "127.0.0.1:4566", "open_id_connect_providers": providers}
    problem = "aws.open_id_connect_providers: they are for pools that callers make, and aws.manage_pools is not set"
    assert problem in problems(aws=aws, callers=with_keys())
    whole = sections(aws={**aws, "manage_pools": True}, callers=with_keys())
    assert Config.model_validate(whole).aws.declared_provider("idp.example").client_ids == ["app"]
    text = problems(aws={**aws, "open_id_connect_providers": {"no host": {}}}, callers=with_keys())
    assert "open_id_connect_providers: https:// + name 1 must be a URL" in text


def test_an_account_id_without_twelve_digits_is_rejected() -> None:
    with pytest.raises(ValidationError, match="account_id"):
        Aws.model_validate({"account_id": "1234"})
